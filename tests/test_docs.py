"""README and docs are a contract: their commands run in their order, and the reference is complete.

Each page runs in a folder of its own, in which the README's first command has already run.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from mlflow import MlflowClient

from hpsearch.cli import COMMANDS, cli
from hpsearch.data.sources import FILES, SOURCES
from hpsearch.execution.engines.forkserver import ENVIRONMENT
from hpsearch.settings.data import DataSettings
from hpsearch.settings.figures import KINDS, FigureSettings
from hpsearch.settings.model import ModelSettings
from hpsearch.settings.notify import NotifySettings
from hpsearch.settings.search import OPTIONS, SearchSettings
from hpsearch.settings.study import StudySettings
from hpsearch.space.ranges import RANGE_KEYS
from hpsearch.trainables.network_keys import KEYS
from model.config import FIELD_TYPES, TrainConfig
from model.initializers import INITIALIZERS
from model.layers import ACTIVATIONS
from model.losses import LOSSES
from model.optimizers import OPTIMIZERS
from model.outputs import OUTPUTS
from model.schedules import SCHEDULES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README, INDEX, REFERENCE = ROOT / "README.md", DOCS / "README.md", DOCS / "reference.md"
CLUSTER = DOCS / "cluster.md"
PAGES = [README, *sorted(DOCS.glob("**/*.md"))]
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
LONGEST_README = 150  # lines
SETS_UP = "python3 -m venv"  # the two commands that .ci/run runs
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("bash", "toml", "python")  # kinds of blocks that a page runs


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page, each with its kind."""
    return FENCED.findall(TEXT[page])


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks, without those that set up an environment."""
    lines = [line for kind, block in blocks(page) if kind == "bash" for line in block.splitlines()]
    return [line for line in lines if not line.startswith(SETS_UP)]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row of a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def section(page: Path, title: str) -> str:
    """What stands under a heading, down to the next one of its level or above."""
    level, found = title.partition(" ")[0], TEXT[page].partition(f"\n{title}\n")[2]
    assert found, f"{page.name} has no heading {title!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", found, flags=re.MULTILINE)[0]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    without_code = FENCED.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[tuple[str, str]]:
    """The files and the anchors that a page links to."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        yield path, anchor


def environment() -> dict[str, str]:
    """As in an activated one: python, hpsearch and the rest are this interpreter's own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    known = os.environ | {"PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {k: v for k, v in known.items() if k not in ("HPSEARCH_STORAGE", "MLFLOW_TRACKING_URI")}


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def serve(command: str, folder: Path) -> str:
    """The first line that a server prints; then the server is stopped as by Ctrl-C."""
    command = command.partition("#")[0] if " #" in command else command
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command} --no-browser --port 0"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    return line


@pytest.fixture
def in_background() -> Iterator[Callable[[str, Path], None]]:
    """A function that starts a command, which is ended after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: str, folder: Path) -> None:
        with (folder / "background.log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {command}"],
                    cwd=folder,
                    env=environment(),
                    stdout=log,
                    stderr=log,
                )
            )

    yield start
    for process in reversed(started):
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's first command has run."""
    folder = tmp_path_factory.mktemp("docs") / "prepared"
    folder.mkdir()
    first = next(line for line in TEXT[README].splitlines() if line.startswith(SETS_UP))
    result = run(f"hpsearch {first.partition('bin/hpsearch ')[2]}", folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(kind in RUN for kind, _ in blocks(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_a_page_runs_from_top_to_bottom(
    page: Path,
    prepared: Path,
    tmp_path: Path,
    small_mnist: Path,
    in_background: Callable[[str, Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HPSEARCH_DATA", str(small_mnist))
    folder = shutil.copytree(prepared, tmp_path / "work")
    for kind, block in blocks(page):
        if kind == "toml":
            name = re.match(r"# (\S+\.toml)\n", block)
            assert name is not None, f"the first line says what the file is called:\n{block}"
            (folder / name[1]).write_text(block)
        elif kind == "python" and (name := re.match(r"# (\S+\.py)\n", block)):
            (folder / name[1]).write_text(block)
        elif kind == "python":
            (folder / "block.py").write_text(block)
            result = run("python block.py", folder)
            assert result.returncode == 0, result.stderr
        for command in block.splitlines() if kind == "bash" else []:
            if command.startswith(SETS_UP):
                continue
            if command.endswith(" &"):
                in_background(command.removesuffix(" &"), folder)
                continue
            if command.startswith("hpsearch ui"):
                assert serve(command, folder).startswith("http://127.0.0.1:")
                continue
            result = run(command, folder)
            assert result.returncode == 0, f"{command}\n{result.stderr}"
            assert "Traceback" not in result.stderr, f"{command}\n{result.stderr}"


def test_the_commands_for_several_machines_run_on_one(
    in_background: Callable[[str, Path], None], postgres: Any, tmp_path: Path
) -> None:
    shown = re.findall(r"^```text\n(.*?)^```", section(CLUSTER, "## On several"), re.M | re.S)
    lines = [line for block in shown for line in block.splitlines()]
    mlflow_port, scheduler_port = free_port(), free_port()
    here = {
        "journal+postgresql://me@first/hp": shlex.quote(postgres.url()),
        "0.0.0.0": "127.0.0.1",
        "first:": "127.0.0.1:",
        "5000": str(mlflow_port),
        "8786": str(scheduler_port),
        "--nworkers 8": "--nworkers 2",
        "houses.toml": "digits --name many --trials 4 --epochs 2",
    }
    for name, value in here.items():
        assert any(name in line for line in lines), name
        lines = [line.replace(name, value) for line in lines]
    mlflow, scheduler, worker, study = lines
    for command in (mlflow, scheduler, worker):
        in_background(command, tmp_path)
    for port in (mlflow_port, scheduler_port):
        wait_for(port)
    result = run(study, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "many: all 4 trials are done" in result.stderr
    assert not [*tmp_path.glob("*.journal")]
    client = MlflowClient(f"http://127.0.0.1:{mlflow_port}")
    assert len(client.search_runs([client.get_experiment_by_name("many").experiment_id])) == 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until something listens there."""
    until = time.monotonic() + 90
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.2)


def test_the_error_they_quote_is_the_error(tmp_path: Path) -> None:
    quoted = [
        (page, error)
        for page in PAGES
        for error in re.findall(r"^    (Error: .*)$", TEXT[page], re.MULTILINE)
    ]
    assert len(quoted) == 1
    page, error = quoted[0]
    (study,) = (block for _, block in blocks(page) if block.startswith("# flowers.toml"))
    (tmp_path / "flowers.toml").write_text(study.replace("{ low = 1e-4", "{ lo = 1e-4"))
    assert run("hpsearch study flowers.toml", tmp_path).stderr == f"{error}\n"
    assert not (tmp_path / "hpsearch.journal").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown(name: str) -> None:
    shown = [command for page in PAGES for command in commands(page)]
    assert any(command.startswith(f"hpsearch {name}") for command in shown)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_has_every_option(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    (title,) = re.findall(rf"^### `hpsearch {name}\b.*$", TEXT[REFERENCE], re.MULTILINE)
    text = section(REFERENCE, title)
    options = {option for each in command.params for option in each.opts if option[0] == "-"}
    assert {option for option in options if f"`{option}" not in text} == set()
    stated = set(re.findall(r"`(--?[a-z-]+)", text))
    assert stated <= options
    for parameter in command.params:
        if isinstance(parameter, click.Option) and type(parameter.default) in (int, float):
            assert re.search(rf"`{parameter.opts[-1]} \w+`.*\b{parameter.default}\b", text)


@pytest.mark.parametrize(
    ("title", "table"),
    [
        ("### `[model]`", ModelSettings),
        ("### `[data]`", DataSettings),
        ("### `[search]`", SearchSettings),
        ("### `[[figure]]`", FigureSettings),
        ("### `[notify]`", NotifySettings),
    ],
)
def test_the_reference_has_every_key_and_its_default(title: str, table: Any) -> None:
    found = {cells[0]: cells[1] for cells in rows(section(REFERENCE, title).split("\n#### ")[0])}
    fields = {field.alias or name: field for name, field in table.model_fields.items()}
    assert {key.strip("`") for key in found if "`" in key} == set(fields)
    for key, field in fields.items():
        stated = found[f"`{key}`"]
        if re.fullmatch(r"`.*`", stated):
            default = tomllib.loads(f"value = {stated.strip('`')}")["value"]
            default = tuple(default) if isinstance(default, list) else default
            assert default == field.get_default(call_default_factory=True), key
        elif not stated:
            assert field.is_required() or field.get_default(call_default_factory=True) is None, key


@pytest.mark.parametrize("name", OPTIONS)
def test_the_reference_has_every_option_of_samplers_and_pruners(name: str) -> None:
    found = {
        cells[1].strip("`"): cells[2]
        for cells in rows(section(REFERENCE, "### `[search]`"))
        if cells[0] == f"`{name}`"
    }
    fields = OPTIONS[name].model_fields
    assert set(found) == set(fields)
    for option, stated in found.items():
        if stated.startswith("`"):
            default = tomllib.loads(f"value = {stated.split('`')[1]}")["value"]
            assert default == fields[option].default, option


def test_the_reference_has_every_key_of_a_study_file() -> None:
    text = section(REFERENCE, "## Study file")
    names = {*StudySettings.model_fields, *KEYS, *RANGE_KEYS, "choices", "label", *SOURCES, *FILES}
    assert {name for name in names if f"`{name}`" not in text and f"[{name}]" not in text} == set()


EXITS = {
    "the command did its work": "hpsearch list",
    "`--timeout`, `--target` or `--patience` ended a study": (
        "hpsearch study digits --trials 50 --timeout 0.01 --no-tracking"
    ),
    "an error, which is printed as one sentence": "hpsearch best nobody",
    "no trial of the study ran to its end": "hpsearch study lost.toml --no-tracking",
    "you answered no to `delete`": "echo n | hpsearch delete lost-random --no-tracking",
    "a wrong option or argument": "hpsearch study --jobs 0",
    # Others are tested where they can be brought about: tests/cli/, tests/execution/.
    "a trial of the study failed three times; `--retry-failed` retries it": None,
    "another process took the study over": None,
    "`hpsearch score` found a larger drop than `--max-drop`": None,
    "Ctrl-C; what was finished is kept, and the same command continues": None,
    "SIGTERM; the same": None,
}
LOST = """
[data]
source = "iris"
[search]
sampler = "random"
trials = 2
[trial]
epochs = 2
learning_rate = 1e30
"""


def test_the_exit_codes_are_those_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "lost.toml").write_text(LOST)
    found = {cells[1]: cells[0] for cells in rows(section(REFERENCE, "## Exit codes"))[2:]}
    assert list(found) == sorted(EXITS, key=list(found).index)
    for what, command in EXITS.items():
        if command is not None:
            assert run(command, tmp_path).returncode == int(found[what]), command


def test_every_kind_of_figure_is_in_a_table_with_what_it_takes() -> None:
    page = DOCS / "figures-and-report.md"
    found = {cells[0].strip("`"): cells[2] for cells in rows(TEXT[page]) if len(cells) == 3}
    stated = {kind: set(re.findall(r"`(\w+)`", found[kind])) for kind in KINDS}
    assert stated == {kind: set(keys) for kind, keys in KINDS.items()}


def test_the_reference_has_every_environment_variable() -> None:
    code = "".join(
        path.read_text()
        for folder in ("hpsearch", "model")
        for path in (ROOT / folder).rglob("*.py")
    )
    read = set(re.findall(r"""environ(?:\.get\(|\[)["'](\w+)["']""", code)) - {
        "PYTHONPATH",  # these two are for a child process alone
        "PYTHONSAFEPATH",
    }
    text = section(REFERENCE, "## Environment variables")
    assert {name for name in read | ENVIRONMENT.keys() if f"`{name}`" not in text} == set()
    stated = {cells[0]: cells[1] for cells in rows(text) if len(cells) == 3}
    for names, value in stated.items():
        for name in re.findall(r"`(\w+)`", names):
            assert f"`{ENVIRONMENT[name]}`" == value, name


def test_every_technique_is_shown() -> None:
    registries = [ACTIVATIONS, INITIALIZERS, LOSSES, OUTPUTS, OPTIMIZERS, SCHEDULES]
    names = {*FIELD_TYPES, *OPTIONS, *(name for registry in registries for name in registry)}
    cells = "".join(line for text in TEXT.values() for line in re.findall(r"(?m)^\|.*$", text))
    assert {name for name in names if f"`{name}`" not in cells} == set()


def test_the_defaults_they_state_are_the_defaults() -> None:
    stated = [
        each for text in TEXT.values() for each in re.findall(r"`(\w+)` \(([\d.e-]+)\)", text)
    ]
    assert len(stated) > 10
    for name, value in stated:
        assert getattr(TrainConfig, name) == float(value), name
    names = re.findall(r"`(\w+)`[\w ]* \(default", section(REFERENCE, "### `[trial]`"))
    assert {*names} == {
        getattr(TrainConfig, key) for key, kind in FIELD_TYPES.items() if kind is str
    }
    numbers = {name for name, kind in FIELD_TYPES.items() if kind in (int, float)}
    assert numbers <= {name for name, _ in stated}


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "studies/README.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.is_file() or (target.is_dir() and path.endswith("/")), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_every_page_is_linked() -> None:
    linked = {(page.parent / path).resolve() for page in (README, INDEX) for path, _ in links(page)}
    assert {page.name for page in PAGES if page.resolve() not in linked} == set()


def test_the_readme_is_short() -> None:
    assert len(TEXT[README].splitlines()) <= LONGEST_README


def test_two_commands_set_up_an_environment_each() -> None:
    lines = [line for text in TEXT.values() for line in text.splitlines()]
    lines = [line for line in lines if line.startswith(SETS_UP)]
    assert len(lines) == 2
    assert all(line in TEXT[README].splitlines() for line in lines)
    assert lines[0].endswith("hpsearch study --sampler random")
    assert "pytest" in lines[1]


def test_the_source_distribution_has_the_docs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "docs" in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
