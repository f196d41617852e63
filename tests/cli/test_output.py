"""What commands print and write, and what happens when the output cannot be written."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import optuna
import pytest
from click.testing import CliRunner, Result

from hpsearch.cli import cli

STUDY = """
name = "people"
[data]
source = "people.csv"
target = "kind"
[search]
sampler = "random"
trials = 1
[trial]
epochs = 30
learning_rate = 0.1
"""
NAME = "people-random"
AGES = [7 * row % 80 for row in range(80)]  # in order, they would only number the rows
OLD, YOUNG = "old\nand wise\u2028", "young"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def run_into(output: int | IO[bytes], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in another process, which prints into `output`."""
    command = [sys.executable, "-m", "hpsearch", *arguments]
    return subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)


def errors_of(result: subprocess.CompletedProcess[str]) -> list[str]:
    """What a command printed on stderr, without the progress of a study."""
    return [line for line in result.stderr.splitlines() if "1/1 trials" not in line]


def test_a_letter_that_the_output_lacks_is_shown_as_a_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    (folder / "labelled.toml").write_text(f'{STUDY}[[enqueue]]\nlabel = "größte"\n')
    assert run("study", "labelled.toml", "--no-tracking", "--name", "labelled").exit_code == 0
    shown = run_into(subprocess.PIPE, "best", "labelled")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "gr\\xf6\\xdfte" in shown.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of 80 rows, the study of it, and its network."""
    folder = tmp_path_factory.mktemp("people")
    # Every tenth is older than the age says, or the age alone would give the class away.
    rows = [f'{age},"{OLD if age >= 40 or n % 10 == 0 else YOUNG}"' for n, age in enumerate(AGES)]
    (folder / "people.csv").write_text("\n".join(["age,kind", *rows, ""]))
    (folder / "ages.csv").write_text("\n".join(["age", *map(str, range(80)), ""]))
    (folder / "many.csv").write_text("\n".join(["age", *["50"] * 5000, ""]))
    (folder / "people.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in (("study", "people.toml", "--no-tracking"), ("export", NAME, "-f", "npz")):
            assert run(*command).exit_code == 0
    return folder


@pytest.fixture
def people(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.usefixtures("people")
def test_a_class_is_printed_on_one_line_whatever_its_name() -> None:
    lines = run("predict", f"{NAME}.npz", "ages.csv").stdout.splitlines()
    assert len(lines) == 80
    assert set(lines) == {r"old\nand wise\u2028", "young"}


PRINTING = [
    ("predict", f"{NAME}.npz", "ages.csv"),
    ("predict", f"{NAME}.npz", "ages.csv", "--proba"),
    ("list",),
    ("predict", f"{NAME}.npz", "many.csv"),  # more than a buffer takes
    ("study", "people.toml", "--no-tracking", "--json"),
]


@pytest.mark.usefixtures("people")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", PRINTING)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_a_one_line_error(
    arguments: tuple[str, ...], unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "wb") as full:
        result = run_into(full, *arguments)
    assert errors_of(result) == ["Error: standard output: No space left on device"]
    assert result.returncode == 1


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("arguments", PRINTING)
def test_a_command_ends_quietly_when_its_reader_stops(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = run_into(writer, *arguments)
    os.close(writer)
    assert (result.returncode, errors_of(result)) == (1, [])


@pytest.mark.usefixtures("people")
def test_a_closed_output_is_not_an_error() -> None:
    command = f"{sys.executable} -m hpsearch list >&-"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_report_gets_a_safe_file_name_whatever_the_study_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, storage = "../a name with </script> é", "sqlite:///theirs.db"
    study = optuna.create_study(study_name=name, storage=storage)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    result = run("report", name, "--storage", storage, "--no-tracking")
    assert result.stdout == ".._a_name_with___script___.html\n", result.stderr
    assert (tmp_path / ".._a_name_with___script___.html").is_file()
