"""Packages import downward, modules have no import cycles, and heavy imports are late."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A package may import from the packages above it in this list and from `model`.
PACKAGES = [
    "errors formatting files internals signals",  # exceptions, numbers as text, safe writing
    "data",  # reading tables, splitting rows, what becomes a feature
    "space",  # what may be searched
    "trials",  # what trials and studies carry in the storage
    "trainables",  # what is trained
    "settings",  # the study file
    "samplers",  # samplers and pruners by name
    "storage",  # where studies are kept, and who runs them
    "analysis",  # reading studies
    "evaluation",  # the results of an evaluation
    "figures",  # PNG files
    "tracking",  # MLflow
    "execution",  # running trials
    "notifications",  # what a running study tells a webhook
    "search",  # running studies, rounds and evaluations
    "prediction",  # what an exported network predicts for a table
    "export",  # using the winner
    "report",  # one HTML page
    "client",  # studies of a service
    "workspace",  # every use case as a method
    "service",  # studies by HTTP
    "cli",  # the command line
]
LEVEL = {name: level for level, names in enumerate(PACKAGES) for name in names.split()}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """The modules that `path` imports anywhere, also as `from package import module`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported_at_run_time(path: Path) -> set[str]:
    """The modules that `path` imports, except those only for type annotations."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        )
    }


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_every_package_has_its_place() -> None:
    found = {path.stem for path in (ROOT / "hpsearch").glob("*.py")} - {"__init__", "__main__"}
    found |= {path.parent.name for path in (ROOT / "hpsearch").glob("*/__init__.py")}
    assert found == LEVEL.keys()


@pytest.mark.parametrize("path", modules("hpsearch"), ids=name_of)
def test_packages_import_downward(path: Path) -> None:
    parts = name_of(path).split(".")
    here = LEVEL[parts[1]] if len(parts) > 1 and parts[1] in LEVEL else len(PACKAGES)
    used = {name.split(".")[1] for name in imported(path) if name.startswith("hpsearch.")}
    above = {name for name in used if LEVEL.get(name, 0) > here}
    assert above == set(), f"{name_of(path)} imports from {above}, which {parts[1]} must not know"


def test_modules_have_no_import_cycles() -> None:
    known = {name_of(path): path for path in [*modules("hpsearch"), *modules("model")]}
    del known["hpsearch"], known["model"]  # the public faces, which import late or only re-export
    graph = {name: imported(path) & known.keys() - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import each other: {' → '.join(error.args[1])}")


def test_model_does_not_import_the_search() -> None:
    everything = "; ".join(f"import model.{path.stem}" for path in modules("model"))
    outside = {"hpsearch", "optuna", "mlflow", "click", "rich"}
    late = {  # the estimator of an export takes the tables that hpsearch.data has encoded
        "model.estimators": {"hpsearch.data.rows", "hpsearch.data.rows.features_of"},
    }
    for path in modules("model"):
        used = imported_at_run_time(path) - late.get(name_of(path), set())
        assert not {name.partition(".")[0] for name in used} & outside, path
    # scikit-learn, which the estimator imports, loads rich by itself where it is installed.
    assert not loaded_by(everything) & (outside - {"rich"})


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import hpsearch", {"optuna", "mlflow", "sklearn", "numpy", "pydantic"}),
        ("import hpsearch.cli", {"optuna", "mlflow", "sklearn", "numpy", "pydantic", "rich"}),
        ("import hpsearch.workspace", {"optuna", "mlflow", "sklearn", "numpy", "pydantic"}),
        ("import model", {"pandas", "sklearn"}),
        ("import model.data", {"pandas", "sklearn"}),
        ("import hpsearch.data.loading", {"pandas", "sklearn"}),
        ("import hpsearch.settings.study", {"optuna", "mlflow", "sklearn", "pandas"}),
        ("import hpsearch.analysis.summaries", {"mlflow", "sklearn", "scipy", "pandas"}),
        ("from hpsearch import Workspace; Workspace('no').studies()", {"mlflow", "sklearn"}),
    ],
)
def test_imports_are_late(statement: str, absent: set[str]) -> None:
    assert not loaded_by(statement) & absent


def test_only_the_command_line_prints() -> None:
    for path in [*modules("model"), *modules("hpsearch")]:
        if "cli" not in path.parts:
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            calls = [node.func for node in tree if isinstance(node, ast.Call)]
            assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "print"], path


def test_only_records_touches_user_attributes() -> None:
    """The keys of a stored study are a file format, which one module owns."""
    for path in modules("hpsearch"):
        if name_of(path) != "hpsearch.trials.records":
            names = {
                n.attr
                for n in ast.walk(ast.parse(path.read_text()))
                if isinstance(n, ast.Attribute)
            }
            assert not names & {"user_attrs", "set_user_attr"}, path


def test_the_command_line_uses_only_the_workspace() -> None:
    """Use cases live in the workspace; a command parses, calls one of its methods, and prints."""
    doing = {"execution", "search", "tracking", "storage", "evaluation", "export", "figures"}
    allowed = {
        "hpsearch.execution.engines.forkserver",  # starts to import while the command does
        "hpsearch.execution.progress",  # what a line about a study says
        "hpsearch.storage.open",  # an address as it may be shown
        "hpsearch.tracking.server",  # MLflow's own server
        "hpsearch.prediction",  # needs no workspace
        "hpsearch.evaluation.record",
        "hpsearch.evaluation.tables",
        "hpsearch.evaluation.wording",
    }
    for path in modules("hpsearch/cli"):
        for name in imported_at_run_time(path):
            parts = name.split(".")
            if parts[0] == "hpsearch" and len(parts) > 2 and parts[1] in doing:
                assert name in allowed or name.rpartition(".")[0] in allowed, f"{path}: {name}"


def test_the_search_never_opens_the_test_set() -> None:
    openers = {
        name_of(path)
        for path in modules("hpsearch")
        if re.search("load_test_(set|rows)", path.read_text(encoding="utf-8"))
    }
    assert openers == {"hpsearch.data.loading", "hpsearch.search.evaluate"}


def test_all_public_names_can_be_imported() -> None:
    import hpsearch

    for name in hpsearch.__all__:
        assert getattr(hpsearch, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Objektive'"):
        _ = hpsearch.Objektive
