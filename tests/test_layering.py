"""Imports point one way, and names cost nothing until they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Who may import whom inside hpsearch: a module may import from its own floor and those below.
FLOORS = [
    {"errors", "options", "forkserver", "output"},
    {"ranges", "slots", "curves", "naming", "verdict", "scores", "looks"},
    {
        "space",
        "enqueue",
        "definition",
        "settings",
        "search_settings",
        "data_settings",
        "figure_settings",
        "grid",
        "narrowing",
    },
    {"slot_samplers", "gp_sampler", "samplers", "pruners", "processes", "carrying"},
    {
        "storage",
        "stored",
        "objective",
        "projection",
        "progress",
        "summary",
        "history",
        "prediction",
    },
    {"configurations", "found", "tables", "tracking_store", "repeating", "pyfunc_model"},
    {"evaluation_record", "evaluation_tables", "evaluation_text"},
    {"description", "tracking", "lines"},
    {"drawing", "publishing", "search_rounds"},
    {"workers", "parent"},
    {"pipes", "pool", "running"},
    {"study"},
    {"rounds"},
    {"export", "model_folder", "evaluation_study", "retraining"},
    {"evaluation", "winner"},
    {"registry"},
    {"learning_figures", "sample_figures", "outcome_figures", "illustrations"},
    {"figures", "comparison"},
    {"comparison_figure", "evaluation_figures", "evaluation_run"},
    {"report"},
    {"cli"},
]
FLOOR = {name: number for number, floor in enumerate(FLOORS) for name in floor}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that `path` imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_model_knows_nothing_of_the_search() -> None:
    everything = "; ".join(f"import model.{path.stem}" for path in modules("model"))
    outside = {"hpsearch", "optuna", "mlflow", "click", "rich"}
    for path in modules("model"):
        assert not {name.partition(".")[0] for name in imported(path)} & outside, path
    # scikit-learn, under the estimator, loads rich by itself where it is installed.
    assert not loaded_by(everything) & (outside - {"rich"})


@pytest.mark.parametrize("path", modules("hpsearch"), ids=lambda path: path.stem)
def test_imports_point_one_way(path: Path) -> None:
    relative = path.relative_to(ROOT / "hpsearch")
    name = relative.parts[0].removesuffix(".py")  # a package is one name
    here = FLOOR["cli" if name in ("__main__", "__init__") else name]
    used = {name.split(".")[1] for name in imported(path) if name.startswith("hpsearch.")}
    assert {name for name in used if FLOOR[name] > here} == set()


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import hpsearch", {"optuna", "mlflow", "sklearn", "numpy", "pydantic"}),
        ("import hpsearch.cli", {"optuna", "mlflow", "sklearn", "numpy", "pydantic", "rich"}),
        ("import model", {"pandas", "sklearn"}),
        ("import model.data", {"pandas", "sklearn"}),
        ("import hpsearch.settings", {"optuna", "mlflow", "sklearn", "pandas"}),
        ("import hpsearch.description, hpsearch.stored", {"mlflow", "sklearn", "scipy", "pandas"}),
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


def test_the_search_never_opens_the_test_set() -> None:
    openers = {
        path.stem
        for path in modules("hpsearch")
        if "load_test_set" in path.read_text(encoding="utf-8")
    }
    assert openers <= {"evaluation"}


def test_public_names_are_all_there() -> None:
    import hpsearch

    for name in hpsearch.__all__:
        assert getattr(hpsearch, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Objektive'"):
        _ = hpsearch.Objektive


def test_modules_stay_small() -> None:
    for path in [*modules("model"), *modules("hpsearch")]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 250, path
