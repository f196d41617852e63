"""The examples of a user's own model, as `hpsearch init` writes them."""

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpsearch.cli import cli
from hpsearch.errors import SettingsError
from hpsearch.settings.examples import examples, write_example

NEEDS = {
    "lightning": "lightning",
    "program": "json",
    "pytorch": "torch",
    "sklearn": "sklearn",
    "xgboost": "xgboost",
}
RESUMES = ("lightning", "pytorch", "xgboost")
LONGEST = 40  # lines of a model


def hpsearch(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "hpsearch", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_is_an_example_of_each_kind():
    assert set(examples()) == set(NEEDS)


@pytest.mark.parametrize("like", NEEDS)
def test_an_example_runs_at_once_and_reads_every_key(tmp_path, like):
    if find_spec(NEEDS[like]) is None:
        pytest.skip(f"{NEEDS[like]} is not installed")
    written = hpsearch("init", "--like", like, folder=tmp_path)
    assert written.returncode == 0, written.stderr
    assert written.stdout.split() == sorted(path.name for path in tmp_path.iterdir())
    ran = hpsearch("study", "study.toml", "--trials", "3", "--jobs", "2", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "all 3 trials are done" in ran.stderr
    assert "has not read it" not in ran.stderr
    (model,) = (path for path in tmp_path.iterdir() if path.suffix == ".py")
    assert len(model.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("like", NEEDS)
def test_an_example_passes_its_check(tmp_path, like):
    if find_spec(NEEDS[like]) is None:
        pytest.skip(f"{NEEDS[like]} is not installed")
    write_example(like, tmp_path)
    checked = hpsearch("check", "study.toml", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "the same seed gives the same curves" in checked.stdout
    assert ("killed after epoch 1, it goes on from" in checked.stdout) is (like in RESUMES)


def test_an_example_can_be_run_from_another_folder(tmp_path):
    write_example("program", tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ran = hpsearch("study", "../study.toml", "--trials", "2", "--no-tracking", folder=elsewhere)
    assert ran.returncode == 0, ran.stderr
    again = hpsearch("study", "../study.toml", "--trials", "3", "--no-tracking", folder=elsewhere)
    assert again.returncode == 0, again.stderr


def test_files_that_exist_are_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text("mine = true\n")
    result = CliRunner().invoke(cli, ["init"])
    assert result.exit_code == 1
    assert "study.toml exists already; --force overwrites it" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
    assert CliRunner().invoke(cli, ["init", "--force"]).exit_code == 0
    assert tomllib.loads(Path("study.toml").read_text())["name"] == "sklearn"


def test_an_unknown_example_is_named(tmp_path):
    with pytest.raises(SettingsError, match="like: 'pytorsh' is not an example; did you mean"):
        write_example("pytorsh", tmp_path)
