"""Every study of studies/, shrunk: from its file to its figures, on small files like MNIST's."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from click.testing import CliRunner

from hpsearch.cli import cli
from hpsearch.settings.study import load_settings

STUDIES = Path(__file__).parents[2] / "studies"
FILES = sorted(STUDIES.glob("*.toml"))
PNG = b"\x89PNG"


@pytest.fixture
def work(small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where MNIST is small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPSEARCH_DATA", str(small_mnist))
    return tmp_path


def smaller(key: str, value: Any) -> Any:
    """Return a value of a [trial] table or of a labelled configuration for two short epochs."""
    match key, value:
        case ("epochs", _):
            return 2
        case ("steps_per_epoch", _):
            return 3
        case ("hidden_layer_sizes", {"choices": sizes}):
            return {"choices": [[8] * (number + 1) for number, _ in enumerate(sizes)]}
        case ("hidden_layer_sizes", [*sizes]):
            return [8] * len(sizes)
    return value


def shrunk(path: Path) -> dict[str, Any]:
    """Return the tables of a study file, with little to do."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    table["trial"] = {key: smaller(key, value) for key, value in table["trial"].items()}
    table["enqueue"] = [
        {key: smaller(key, value) for key, value in entry.items()}
        for entry in table.get("enqueue", [])
    ]
    search = table.setdefault("search", {})
    search.pop("pruner_options", None)
    if "seeds" in search:
        search["seeds"] = 2
    if search.get("sampler") != "grid":
        search["trials"] = 4
    return table


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, arguments)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_from_its_file_to_its_figures(path: Path, work: Path) -> None:
    (work / path.name).write_text(tomlkit.dumps(shrunk(path)), encoding="utf-8")
    settings = load_settings(work / path.name)
    result = run("study", path.name, "--no-tracking", "--save", "plots")
    assert result.exit_code == 0, result.output
    assert f"all {settings.search.slots} trials are done" in result.stderr
    names = [figure.name for figure in settings.figure] or ["best"]
    assert sorted(file.stem for file in (work / "plots").iterdir()) == sorted(names)
    for file in (work / "plots").iterdir():
        assert file.read_bytes().startswith(PNG)

    name = f"{settings.name}-{settings.search.sampler}"
    best = json.loads(run("best", name, "--top", "99", "--json").stdout)
    labels = {entry.label for entry in settings.enqueue}
    if settings.search.seeds > 1:
        assert labels <= {record["label"] for record in best}
    on_test = settings.data.validation == "test"
    for command in (["study", path.name, "--no-tracking"], ["best", name]):
        assert ("(test set)" in run(*command).stdout) is on_test
    for command in (["show", name], ["show", f"{name}#1"], ["list"]):
        assert ("(test set)" in run(*command).stdout) is on_test
    (record,) = json.loads(run("list", "--json").stdout)
    assert record["validation"] == settings.data.validation


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(STUDIES / name), *arguments],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )


def test_searches_are_compared_and_go_on_where_they_were(work: Path) -> None:
    sizes = ["--seeds", "1", "--trials", "6", "--epochs", "2", "--jobs", "1"]
    first = script("compare_searches.py", "random_search", *sizes)
    assert first.returncode == 0, first.stderr
    rows = [line.split(" | ") for line in first.stdout.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[1:]] == [
        *["| random", "| random, median", "| tpe", "| tpe, median", "| tpe, halving"],
        "| 3 rounds, tpe, median",
    ]
    assert rows[1][4:] == ["12", rows[1][5], "1.00", "0 of 1 |"]
    assert "learning_rate " in first.stdout.splitlines()[-1]
    assert (work / "compare_searches.journal").exists()
    assert script("compare_searches.py", "random_search", *sizes).stdout == first.stdout


def test_a_grid_is_compared_at_the_same_budget(work: Path) -> None:
    grid = shrunk(STUDIES / "tuning_scales_grid.toml")
    grid["trial"]["hidden_layers"] = grid["trial"]["hidden_units"] = 2
    (work / "grid.toml").write_text(tomlkit.dumps(grid), encoding="utf-8")
    sizes = ["--grid", "grid.toml", "--seeds", "1", "--trials", "9", "--epochs", "2", "--jobs", "1"]
    found = script("compare_searches.py", "tuning_scales", *sizes)
    assert found.returncode == 0, found.stderr
    rows = [line.split(" | ") for line in found.stdout.splitlines() if line.startswith("| ")]
    assert [(row[0], row[4]) for row in rows[1:]] == [
        ("| random", "18"),
        ("| tpe", "18"),
        ("| grid", "18"),
    ]


def test_the_winner_is_scored_on_the_sealed_images(work: Path) -> None:
    (work / "best.toml").write_text(tomlkit.dumps(shrunk(STUDIES / "best_mnist.toml")))
    assert run("study", "best.toml", "--no-tracking").exit_code == 0
    sizes = ("--top", "2", "--seeds", "2")
    found = run("evaluate", "best_mnist-tpe", *sizes, "--no-tracking")
    assert found.exit_code == 0, found.stderr
    assert "Test set of 200 rows, first use, on " in found.stdout


def test_without_mnist_a_study_says_where_it_looked_and_how_to_get_it(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setenv("HPSEARCH_DATA", str(work / "nowhere"))
    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    result = run("study", "optimizer_comparison", "--no-tracking")
    assert result.exit_code == 1
    line = result.stderr.splitlines()[-1]
    assert f"not in $HPSEARCH_DATA/mnist ({work / 'nowhere' / 'mnist'})" in line
    assert "put its four IDX files into $HPSEARCH_DATA/mnist, or go online once" in line
    assert not (work / "hpsearch.journal").exists()
