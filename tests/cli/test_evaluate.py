"""`hpsearch evaluate`: what it prints, how it stops, and what the other commands do with it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from hpsearch.cli import cli
from hpsearch.errors import StudyError
from hpsearch.storage.catalog import load_study
from hpsearch.storage.open import open_storage

STUDY = """
name = "flowers"
[data]
source = "iris"
[search]
sampler = "random"
pruner = "none"
trials = 6
[trial]
epochs = 3
hidden_units = { low = 5, high = 20 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
"""
NAME = "flowers-random"
EVALUATE = ("evaluate", NAME, "--top", "2", "--seeds", "3")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the search has been run, without MLflow."""
    monkeypatch.chdir(tmp_path)
    Path("flowers.toml").write_text(STUDY)
    result = run("study", "flowers.toml", "--no-tracking")
    assert result.exit_code == 0, result.output
    return tmp_path


@pytest.mark.usefixtures("flowers")
def test_it_prints_the_verdict_and_the_scores() -> None:
    result = run(*EVALUATE, "--no-tracking", "--save", "plots")
    assert result.exit_code == 0, result.output
    found = json.loads(run(*EVALUATE, "--no-tracking", "--json").stdout)
    assert result.stdout.startswith(f"{NAME}: the search's best val/accuracy ")
    assert "Test set of 30 rows, first use, on " in result.stdout
    (first,) = re.findall(rf"^{found['chosen']} .*$", result.stdout, re.MULTILINE)
    assert f"{found['candidates'][0]['mean']:.4f}" in first
    assert "best" in first
    assert re.search("one network +95 % interval +mean of 3 +ensemble of 3", result.stdout)
    for title in ("accuracy", "log_loss", "calibration error", "setosa", "versicolor"):
        assert re.search(rf"^{title} ", result.stdout, re.MULTILINE)
    assert f"{found['test']['network']['accuracy']:.4f}" in result.stdout
    assert "6/6 trainings" in result.stderr
    assert "3/3 final networks" in result.stderr
    assert sorted(os.listdir("plots")) == ["calibration.png", "confusion.png", "evaluation.png"]
    assert not Path("mlflow.db").exists()
    again = run(*EVALUATE, "--no-tracking", "--save", "plots")
    assert again.exit_code == 1
    assert "--force overwrites it" in again.stderr


def test_configurations_that_are_as_good_in_the_search_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{10 * (-1) ** n},{'ab'[n % 2]}\n" for n in range(100))
    Path("easy.csv").write_text(f"x,y\n{rows}")
    easy = STUDY.replace('"iris"', '"easy.csv"\ntarget = "y"').replace("trials = 6", "trials = 3")
    Path("flowers.toml").write_text(easy.replace("epochs = 3", "epochs = 20"))
    assert run("study", "flowers.toml", "--no-tracking").exit_code == 0
    command = ["evaluate", NAME, "--seeds", "2", "--no-tracking"]
    said = run(*command, "--top", "1").stderr
    assert "2 more configurations have the best value of the search: raise --top" in said
    assert "1 more configuration has the best value" in run(*command, "--top", "2").stderr
    assert "best value of the search" not in run(*command, "--top", "3").stderr


@pytest.mark.usefixtures("flowers")
def test_a_second_use_needs_again_and_is_shown_as_the_second() -> None:
    run(*EVALUATE, "--no-tracking")
    more = run("evaluate", NAME, "--top", "2", "--seeds", "4", "--no-tracking")
    assert more.exit_code == 0
    assert (
        "Not scored on the test set: the test set of these data has been used once" in more.stdout
    )
    assert re.search(r"first use, on .*, by 3 networks of trial \d+\n", more.stdout)
    assert "ensemble of 3" in more.stdout
    again = run("evaluate", NAME, "--top", "2", "--seeds", "4", "--no-tracking", "--again")
    assert "Test set of 30 rows, use 2, so no longer unseen, on " in again.stdout


@pytest.mark.usefixtures("flowers")
def test_candidates_are_shown_with_their_labels() -> None:
    entries = "".join(
        f'[[enqueue]]\nlabel = "{label}"\nlearning_rate = {rate}\n'
        for label, rate in [("slow one", 0.01), ("fast one", 0.1)]
    )
    Path("two.toml").write_text(STUDY + entries)
    run("study", "two.toml", "--name", "two", "--trials", "2", "--no-tracking")
    printed = run("evaluate", "two", "--seeds", "2", "--no-tracking").stdout
    for text in ("label", "slow one", "fast one"):
        assert text in printed


@pytest.mark.usefixtures("flowers")
def test_a_better_later_trial_is_named_and_exported() -> None:
    study = ("study", "flowers.toml", "--seed", "1", "--name", "s", "--no-tracking")
    assert run(*study, "--trials", "1").exit_code == 0
    assert run("evaluate", "s", "--seeds", "2", "--no-tracking").exit_code == 0
    assert run("export", "s", "-f", "json").stderr == ""
    assert run(*study).exit_code == 0
    best = json.loads(run("best", "s", "--json").stdout)[0]["slot"]
    exported = run("export", "s", "-f", "json")
    since = f"trial {best} is better and has not been evaluated: hpsearch evaluate s\n"
    assert exported.stderr == since
    assert json.loads(exported.stdout)["slot"] == best != 0
    for command in ("report", "figures", "best", "show", "narrow"):
        refused = run(command, "s.evaluation")
        assert refused.exit_code == 1
        assert "is the evaluation of 's'; name that instead" in refused.stderr


def test_list_shows_only_searches_and_delete_includes_the_evaluation(flowers: Path) -> None:
    assert run(*EVALUATE).exit_code == 0
    assert [each["study"] for each in json.loads(run("list", "--json").stdout)] == [NAME]
    deleted = run("delete", NAME, "--yes")
    assert deleted.stderr == f"deleted {NAME}\ndeleted {NAME}.evaluation\n"
    client = MlflowClient(f"sqlite:///{flowers / 'mlflow.db'}")
    assert client.get_experiment_by_name(NAME) is None
    run("study", "flowers.toml", "--no-tracking")
    found = run(*EVALUATE, "--no-tracking")  # the log outlives the study
    assert "has been used once" in found.stdout


def test_deleting_an_evaluation_removes_it_from_mlflow_and_keeps_the_search(flowers: Path) -> None:
    run("sync", NAME)
    assert run(*EVALUATE).exit_code == 0
    client = MlflowClient(f"sqlite:///{flowers / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(NAME)
    assert "Evaluated" in experiment.tags["mlflow.note.content"]
    deleted = run("delete", f"{NAME}.evaluation", "--yes")
    assert deleted.stderr == f"deleted {NAME}.evaluation\n"
    left = client.search_runs([experiment.experiment_id])
    assert {each.data.tags["hpsearch.kind"] for each in left} == {"trial"}
    text = client.get_experiment(experiment.experiment_id).tags["mlflow.note.content"]
    assert "Evaluated" not in text
    assert json.loads(run("list", "--json").stdout)[0]["complete"] == 6


@pytest.mark.usefixtures("flowers")
def test_sync_writes_what_an_evaluation_trained_without_mlflow() -> None:
    run(*EVALUATE, "--no-tracking")
    assert run("sync", NAME).stderr.endswith(f"{NAME}: 16 runs written\n")
    assert run("sync", NAME).stderr.endswith(f"{NAME}: 0 runs written\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "flowers-rando"), "did you mean 'flowers-random'?"),
        (("evaluate", NAME, "--seeds", "1"), "1 is not in the range 2<=x<=1000"),
        (("evaluate", NAME, "--tracking-uri", "sqlite:///no/where.db"), "there is no folder"),
    ],
)
def test_a_wrong_command_is_one_sentence_and_creates_nothing(
    flowers: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = sorted(os.listdir(flowers)), (flowers / "hpsearch.journal").read_bytes()
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    after = (flowers / "hpsearch.journal").read_bytes()
    assert b"flowers-random.evaluation" not in after
    assert sorted(os.listdir(flowers)) == before[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_continues_where_it_was_stopped(flowers: Path, number: signal.Signals) -> None:
    arguments = ["evaluate", NAME, "--seeds", "60", "--jobs", "2", "--no-tracking"]
    command = [sys.executable, "-m", "hpsearch", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    storage = open_storage(str(flowers / "hpsearch.journal"))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(trained(storage)) < 5:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert f"{NAME}: interrupted, " in said
        assert "Traceback" not in said
    kept = trained(storage)
    assert 5 <= len(kept) < 360
    result = run(*arguments[:-1], "--no-tracking", "--json")
    assert result.exit_code == 0, result.output
    now = trained(storage)
    assert kept.items() <= now.items()
    assert len(now) == 5 * 60 + 60
    assert len(json.loads(result.stdout)["candidates"]) == 5


def trained(storage: Any) -> dict[int, int]:
    """Slot → number of the finished trials of the evaluation."""
    try:
        study = load_study(storage, f"{NAME}.evaluation")
    except StudyError:
        return {}
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    return {trial.user_attrs["slot"]: trial.number for trial in done}
