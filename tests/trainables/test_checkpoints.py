"""Checkpoints of a user's own model: going on after a kill, and what is kept of the best."""

# ruff: noqa: ARG001  (`folder` is where it is)

import json
import shutil
import sys

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from hpsearch import Tracker, run_study
from hpsearch.analysis.history import History
from hpsearch.analysis.summaries import StudySummary
from hpsearch.errors import SettingsError, StudyError
from hpsearch.settings.study import parse_settings
from hpsearch.trials.records import curves_of, epochs_trained, own_trials, resumed_after, slot_of
from hpsearch.workspace import Workspace

COUNTING = """
import json, os, signal
from pathlib import Path

def train(config, *, epochs, resume=None):
    total, first = 0.0, 1
    if resume is not None:
        total, first = json.loads(resume.read_text()), 0
        first = round(total / config["x"]) + 1
        with open("resumed.txt", "a") as file:
            file.write(f"{first}\\n")
    for epoch in range(first, epochs + 1):
        total += config["x"]
        yield {"val/loss": abs(3 - epoch) + total}, lambda path: path.write_text(json.dumps(total))
        if epoch == 4 and Path("die.txt").exists():
            Path("die.txt").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
"""
NOTE = """
def note(name):
    with open(name, "a") as file:
        file.write("x")
"""
URL = "h.journal"


def settings_for(*, trial=None, model=None, **search):
    table = {
        "name": "counting",
        "model": {"train": "net.py:train", "checkpoint_seconds": 1e-9} | (model or {}),
        "search": {"metric": "val/loss", "sampler": "tpe", "pruner": "none", "trials": 4} | search,
        "trial": {"epochs": 6, "x": {"low": 0.5, "high": 2.0}} if trial is None else trial,
    }
    return parse_settings(table, "counting.toml")


@pytest.fixture
def folder(working_folder):
    (working_folder / "net.py").write_text(COUNTING)
    return working_folder


def stop_after(epochs):
    """Return a function that stops a study when it has been asked `epochs` times."""
    seen = iter(range(epochs))
    return lambda: next(seen, None) is None


def interrupted(**settings):
    """Return a study that was interrupted in its first trial."""
    outcome = run_study(settings_for(**settings), storage=URL, should_stop=stop_after(3))
    assert outcome.reason == "interrupted"
    (trial,) = outcome.study.trials
    assert 1 < len(curves_of(trial)) < 6
    return trial


def slots(folder):
    return sorted(path.name for path in (folder / "h.checkpoints/counting-tpe").glob("*"))


def test_an_interrupted_trial_goes_on_with_its_parameters_and_has_each_epoch_once(folder):
    whole = run_study(settings_for(), storage="whole.journal").study
    first = interrupted()
    outcome = run_study(settings_for(), storage=URL)
    assert outcome.reason == "finished"
    again = outcome.study.trials[1]
    assert again.params == first.params == whole.trials[0].params
    assert resumed_after(again) == len(curves_of(first))
    assert (folder / "resumed.txt").read_text() == f"{len(curves_of(first)) + 1}\n"
    assert curves_of(again).values == curves_of(whole.trials[0]).values
    assert again.intermediate_values == whole.trials[0].intermediate_values
    assert curves_of(again).times == sorted(curves_of(again).times)
    assert [t.value for t in outcome.study.trials[1:]] == [t.value for t in whole.trials]


def test_epochs_that_a_trial_went_on_from_are_counted_once(folder):
    interrupted()
    study = run_study(settings_for(), storage=URL).study
    assert sum(map(epochs_trained, own_trials(study))) == 4 * 6
    assert StudySummary.of(study).epochs == 4 * 6
    assert History.of_rounds([study], "val/loss").spent == 4 * 6


def test_a_killed_worker_loses_only_what_its_last_checkpoint_lacks(folder, mlflow_uri):
    (folder / "die.txt").touch()
    outcome = run_study(settings_for(trials=3), storage=URL, tracker=Tracker(mlflow_uri), jobs=2)
    assert outcome.reason == "finished"
    (dead,) = outcome.study.get_trials(states=(TrialState.FAIL,))
    (again,) = (t for t in outcome.study.trials if resumed_after(t))
    assert (slot_of(again), again.params) == (slot_of(dead), dead.params)
    assert 1 <= resumed_after(again) <= 4
    assert len(curves_of(again)) == 6
    client = MlflowClient(mlflow_uri)
    (run,) = client.search_runs(["1"], "tags.`hpsearch.resumed_after` != ''")
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "val/loss")]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_checkpoint_of_other_code_or_of_another_study_is_not_used(folder):
    interrupted()
    (folder / "net.py").write_text(COUNTING.replace("abs(3 - epoch)", "abs(4 - epoch)"))
    (folder / "later").mkdir()
    shutil.copy("h.journal", "later/h.journal")
    shutil.copytree("h.checkpoints", "later/h.checkpoints")
    del sys.modules["net"]
    study = run_study(settings_for(), storage="later/h.journal").study
    assert not any(map(resumed_after, study.trials))
    Workspace(URL, tracked=False).delete("counting-tpe")
    shutil.copytree("later/h.checkpoints", "h.checkpoints", dirs_exist_ok=True)
    assert not any(map(resumed_after, run_study(settings_for(), storage=URL).study.trials))


def test_the_best_epochs_of_the_best_trials_are_kept_and_exported(folder):
    study = run_study(settings_for(trials=6, model={"keep": 2}), storage=URL).study
    ranked = sorted(study.trials, key=lambda trial: trial.value)
    assert slots(folder) == sorted(f"slot-{trial.number:04d}" for trial in ranked[:2])
    workspace = Workspace(URL, tracked=False)
    checkpoint = workspace.export_checkpoint("counting-tpe", "best.json")
    best = ranked[0]
    values = curves_of(best).of("val/loss")
    assert checkpoint.epoch == values.index(min(values)) + 1
    total = sum(best.params["x"] for _ in range(checkpoint.epoch))
    assert json.loads((folder / "best.json").read_text()) == pytest.approx(total)
    with pytest.raises(SettingsError, match=r"best.json exists already"):
        workspace.export_checkpoint("counting-tpe", "best.json")
    lost = ranked[-1].number
    with pytest.raises(StudyError, match=rf"trial {lost} of .* has no checkpoint: they are kept"):
        workspace.export_checkpoint("counting-tpe", "lost.json", slot=lost)
    assert not (folder / "lost.json").exists()


def test_a_folder_is_a_checkpoint_too(folder):
    (folder / "net.py").write_text("""
def train(config, *, epochs):
    def save(path):
        path.mkdir()
        (path / "weights.txt").write_text("w")
    for epoch in range(epochs):
        yield 1.0 / (epoch + 1), save
""")
    run_study(settings_for(trials=1, trial={"epochs": 2}), storage=URL)
    Workspace(URL, tracked=False).export_checkpoint("counting-tpe", "best")
    assert (folder / "best/weights.txt").read_text() == "w"


def test_nothing_is_kept_of_pruned_trials_or_of_the_repeats_of_an_evaluation(folder):
    (folder / "net.py").write_text(COUNTING.replace('"val/loss": ', '"val/loss": 1e999 or '))
    run_study(settings_for(trials=2), storage=URL)
    assert slots(folder) == []
    Workspace(URL, tracked=False).delete("counting-tpe")
    (folder / "net.py").write_text(COUNTING)
    del sys.modules["net"]
    run_study(settings_for(trials=2), storage=URL)
    Workspace(URL, tracked=False).evaluate("counting-tpe", top=2, seeds=2)
    assert not list(folder.glob("h.checkpoints/counting-tpe.evaluation/*"))
    assert slots(folder) == ["slot-0000", "slot-0001"]


def test_saving_takes_at_most_a_twentieth_of_the_time(folder):
    (folder / "net.py").write_text(
        NOTE
        + """
import time
def train(config, *, epochs, resume=None):
    def save(path):
        note("saves.txt")
        time.sleep(0.05)
        path.touch()
    for epoch in range(epochs):
        yield 1.0, save
"""
    )
    run_study(settings_for(trials=1, trial={"epochs": 300}, model={"keep": 0}), storage=URL)
    assert len((folder / "saves.txt").read_text()) == 1


def test_only_what_can_go_on_is_saved_now_and_then(folder):
    (folder / "net.py").write_text(
        NOTE
        + """
def train(config, *, epochs):
    for epoch in range(epochs):
        yield 1.0 - epoch / 10, lambda path: (note("saves.txt"), path.touch())
"""
    )
    run_study(settings_for(trials=1, trial={"epochs": 5}, model={"keep": 0}), storage=URL)
    assert not (folder / "saves.txt").exists()
    run_study(settings_for(trials=1, trial={"epochs": 5}), storage="keeping.journal")
    assert (folder / "saves.txt").read_text() == "xxxxx"  # each epoch is the best so far


@pytest.mark.parametrize(
    ("save", "sentence"),
    [
        ("lambda path: None", r"must write a file or a folder .*; it wrote nothing"),
        ("lambda path: path.with_suffix('.npz').touch()", r"it wrote checkpoint\.npz beside it"),
        ("lambda path: 1 / 0", r"ZeroDivisionError in epoch \d: division by zero"),
        ("'checkpoint'", r"yielded 'checkpoint' beside its metrics; there it has a function"),
    ],
)
def test_a_save_that_saves_nothing_is_named(folder, save, sentence):
    (folder / "net.py").write_text(f"def train(config):\n    yield 1.0, {save}\n")
    with pytest.raises(StudyError, match=sentence):
        run_study(settings_for(trials=1, trial={"x": 1}), storage=URL)
    assert not list(folder.rglob("*.part"))


def test_a_disk_that_takes_no_checkpoint_ends_no_trial(folder, caplog):
    (folder / "net.py").write_text("""
import errno
def full(path):
    raise OSError(errno.ENOSPC, "No space left on device")
def train(config):
    yield 1.0, full
""")
    outcome = run_study(settings_for(trials=2, trial={"x": 1}), storage=URL)
    assert outcome.reason == "finished"
    assert "a checkpoint cannot be written: No space left on device" in caplog.text


def test_a_checkpoint_that_cannot_be_read_is_removed(folder):
    interrupted()
    for checkpoint in folder.glob("h.checkpoints/*/slot-0000/epoch-*/checkpoint"):
        checkpoint.write_text("no JSON")
    with pytest.raises(StudyError, match="JSONDecodeError"):
        run_study(settings_for(), storage=URL)
    outcome = run_study(settings_for(), storage=URL)
    assert outcome.reason == "finished"
    assert not any(map(resumed_after, outcome.study.trials[2:]))


def test_deleting_a_study_deletes_its_checkpoints(folder):
    run_study(settings_for(), storage=URL)
    assert slots(folder)
    Workspace(URL, tracked=False).delete("counting-tpe")
    assert not list(folder.glob("h.checkpoints/*"))


def test_checkpoints_go_to_mlflow_on_request(folder, mlflow_uri):
    model = {"keep": 1, "log_checkpoints": True}
    for _ in range(2):  # the second start has nothing to add
        study = run_study(settings_for(model=model), storage=URL, tracker=Tracker(mlflow_uri)).study
    client = MlflowClient(mlflow_uri)
    logged = {}
    for run in client.search_runs(["1"]):
        for found in client.list_artifacts(run.info.run_id):
            files = client.list_artifacts(run.info.run_id, found.path)
            logged[int(run.data.tags["hpsearch.number"])] = [file.path for file in files]
    assert logged == {study.best_trial.number: [f"checkpoint-epoch-{best_epoch(study)}/checkpoint"]}


def best_epoch(study):
    return curves_of(study.best_trial).best("val/loss", maximize=False)[0]


LOADING = (
    NOTE
    + """
def load():
    note("loads.txt")
    return [1.0, 2.0]

def train(config, *, data):
    return sum(data) * config["x"]
"""
)


def test_data_are_loaded_once_in_each_process(folder):
    (folder / "net.py").write_text(LOADING)
    settings = settings_for(trial={"x": 2.0}, model={"data": "net.py:load"})
    study = run_study(settings, storage=URL).study
    assert [trial.value for trial in study.trials] == [6.0] * 4
    assert (folder / "loads.txt").read_text() == "x"
    run_study(settings, storage="two.journal", jobs=2)
    assert len((folder / "loads.txt").read_text()) <= 3


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({}, r"model.data: is missing, but net.py:train asks for 'data'"),
        ({"data": "net.py:lod"}, r"model.data: 'lod' is not a function of net.py; did you mean"),
        ({"data": "net.py:load", "train": "other.py:train"}, r"other.py:train does not ask for"),
        ({"data": "no.py:load"}, r"model.data: there is no file 'no.py'"),
        ({"data": ["cat", "x"]}, r"must name a function"),
        ({"keep": -1}, r"model.keep: must be at least 0"),
        ({"checkpoint_seconds": 0}, r"model.checkpoint_seconds: must be above 0"),
    ],
)
def test_wrong_settings_are_one_sentence(folder, model, sentence):
    (folder / "net.py").write_text(LOADING)
    (folder / "other.py").write_text("def train(config):\n    return 1.0\n")
    with pytest.raises(SettingsError, match=sentence):
        run_study(settings_for(trial={"x": 2.0}, model=model), storage=URL)
    assert not (folder / URL).exists()


def test_a_study_goes_on_only_with_the_same_data(folder):
    (folder / "net.py").write_text(LOADING + "\ndef other():\n    return [3.0]\n")
    run_study(settings_for(trial={"x": 2.0}, model={"data": "net.py:load"}), storage=URL)
    with pytest.raises(StudyError, match=r"model\.data net\.py:load, now net\.py:other"):
        run_study(settings_for(trial={"x": 2.0}, model={"data": "net.py:other"}), storage=URL)
