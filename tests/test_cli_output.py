"""What commands print and write: a line for each row, and what happens where nothing can go."""

from pathlib import Path

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
OLD, YOUNG = "old\nand wise\u2028", "young"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of 80 rows, the study of it, and its network."""
    folder = tmp_path_factory.mktemp("people")
    rows = [f'{age},"{OLD if age >= 40 else YOUNG}"' for age in range(80)]
    (folder / "people.csv").write_text("\n".join(["age,kind", *rows, ""]))
    (folder / "ages.csv").write_text("\n".join(["age", *map(str, range(80)), ""]))
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
def test_a_class_takes_one_line_whatever_its_name() -> None:
    lines = run("predict", f"{NAME}.npz", "ages.csv").stdout.splitlines()
    assert len(lines) == 80
    assert set(lines) == {r"old\nand wise\u2028", "young"}
