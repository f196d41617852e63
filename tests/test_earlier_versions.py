"""Studies that version 0.1 stored open, read the same, continue, report and evaluate."""

import gzip
import json
import shutil
from pathlib import Path

import mlflow
import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from sklearn.datasets import load_digits

from hpsearch.analysis.ranking import searched_values
from hpsearch.errors import StudyError
from hpsearch.evaluation.record import evaluation_record
from hpsearch.export.network import winner_with_network
from hpsearch.settings.study import load_settings
from hpsearch.storage import leases
from hpsearch.storage.catalog import find_evaluation, load_study
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import DONE, Repeat, own_trials, repeat_of, slot_of
from hpsearch.workspace import Workspace

STORED = Path(__file__).parent / "fixtures" / "version_0_1"
SEARCHES = ["coarse", "coarse.r2", "killed-random", "repeated-grid", "tiny-random", "tiny-tpe"]


def expected(name):
    return json.loads((STORED / "expected" / name).read_text())


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Watch the lease that a killed process left on another machine for a moment only."""
    monkeypatch.setattr(leases, "WATCH_SECONDS_0_1", 0.1)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.05)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with the storage and the tracking database of version 0.1."""
    monkeypatch.chdir(tmp_path)
    for name in ("hpsearch.journal", "mlflow.db"):
        (tmp_path / name).write_bytes(gzip.decompress((STORED / f"{name}.gz").read_bytes()))
    for file in STORED.glob("*.toml"):
        shutil.copy(file, tmp_path)
    return Workspace("hpsearch.journal", f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def client(workspace):
    return MlflowClient(workspace.tracking_store.uri)


# Reading


def test_list_reads_the_same(workspace):
    found = [study.record() for study in workspace.studies()]
    assert found == expected("list.json")


@pytest.mark.parametrize(
    ("name", "file"), [("tiny-tpe", "best.json"), ("repeated-grid", "best-repeated.json")]
)
def test_best_reads_the_same(workspace, name, file):
    assert workspace.best(name).records() == expected(file)


def test_a_trial_reads_the_same(workspace):
    assert workspace.trial("tiny-tpe", "3").record == expected("trial.json")


def test_compare_reads_the_same(workspace):
    compared = workspace.compare(["tiny-tpe", "tiny-random", "coarse"])
    assert compared.as_record() == expected("compare.json")


def test_narrow_writes_the_same_file(workspace):
    narrowed = workspace.narrow("tiny-tpe").as_file()
    old = (STORED / "expected" / "narrow.toml").read_text()
    assert narrowed == old


def test_the_winner_is_exported_the_same(workspace):
    assert json.loads(workspace.export("tiny-tpe", "json")) == expected("winner.json")
    toml = workspace.export("tiny-tpe", "toml").decode()
    settings = (STORED / "expected" / "winner.toml").read_text().partition("\n\nname")[2]
    assert toml.partition("\n\nname")[2] == settings != ""


@pytest.mark.parametrize("name", SEARCHES)
def test_every_study_has_a_report(workspace, name):
    page = workspace.report(name).path.read_text()
    assert f'<meta name="hpsearch-study" content="{name}">' in page


def test_the_report_of_an_evaluated_study_shows_its_evaluation(workspace):
    page = workspace.report("tiny-tpe").path.read_text()
    evaluation = expected("winner.json")["evaluation"]
    assert 'id="candidates-table"' in page
    assert f'data-n="{evaluation["test"]["network"]["accuracy"]}"' in page


def test_figures_are_drawn(workspace):
    assert workspace.figures("repeated-grid", save="plots").files == [Path("plots/best.png")]


# Continuing


def test_a_killed_study_continues_where_it_stopped(workspace, client):
    before = {trial.number for trial in own_trials(workspace.study("killed-random"), DONE)}
    result = workspace.run(load_settings("killed.toml"))
    (outcome,) = result.outcomes
    assert (outcome.reason, outcome.new, outcome.total) == ("finished", 3, 6)
    trials = own_trials(outcome.study, (TrialState.COMPLETE,))
    assert before < {trial.number for trial in trials}
    assert sorted(map(slot_of, trials)) == list(range(6))
    continued = {each["slot"]: each["params"] for each in expected("continued-best.json")}
    assert {slot_of(trial): searched_values(trial) for trial in trials} == {
        slot: pytest.approx(params) for slot, params in continued.items()
    }
    (dead,) = (t for t in outcome.study.trials if t.state is TrialState.FAIL)
    experiment = client.get_experiment_by_name("killed-random").experiment_id
    runs = client.search_runs([experiment])
    states = sorted((run.data.tags["hpsearch.slot"], run.info.status) for run in runs)
    assert len(runs) == 7
    assert [status for _, status in states].count("FAILED") == 1
    assert str(dead.number) in {run.data.tags["hpsearch.number"] for run in runs}


def test_a_finished_study_takes_more_trials(workspace):
    settings = load_settings("tiny.toml").replace(search={"trials": 14})
    outcome = workspace.run(settings).last
    assert (outcome.reason, outcome.new, outcome.total) == ("finished", 2, 14)


def test_a_search_in_rounds_gets_another_round(workspace):
    settings = load_settings("tiny.toml").replace(search={"trials": 6})
    result = workspace.run(settings, name="coarse", rounds=3)
    names = [outcome.study.study_name for outcome in result.outcomes]
    assert names == ["coarse", "coarse.r2", "coarse.r3"]
    assert [outcome.new for outcome in result.outcomes] == [0, 0, 6]


def test_another_space_is_still_refused(workspace):
    settings = load_settings("tiny.toml").replace(trial={"epochs": 6})
    with pytest.raises(StudyError, match=r"was started with trial.epochs 5, now 6"):
        workspace.run(settings)


# Evaluating


def test_a_finished_evaluation_trains_nothing_again(workspace):
    held = find_evaluation(open_storage("hpsearch.journal"), workspace.study("tiny-tpe"))
    numbers = len(held.trials)
    evaluation = workspace.evaluate("tiny-tpe", top=2, seeds=3).evaluation
    old = expected("winner.json")["evaluation"]
    assert json.loads(json.dumps(evaluation_record(evaluation))) == old
    assert len(held.trials) == numbers


def test_an_interrupted_evaluation_continues(workspace):
    storage = open_storage("hpsearch.journal")
    held = find_evaluation(storage, workspace.study("coarse"))
    before = {repeat_of(trial): trial.value for trial in own_trials(held, DONE)}
    assert len(before) == 4
    result = workspace.evaluate("coarse", top=2, seeds=6, again=True)
    record, old = evaluation_record(result.evaluation), expected("evaluated.json")
    after = {repeat_of(trial): trial.value for trial in own_trials(held, DONE)}
    assert after.items() >= before.items()
    slots = {candidate["slot"] for candidate in old["candidates"]}
    assert {r for r in after if not r.epochs} == {Repeat(s, n) for s in slots for n in range(6)}
    assert record["chosen"] in slots
    assert record["test"]["look"] == old["test"]["look"] == 2
    for candidate in record["candidates"]:
        (same,) = (c for c in old["candidates"] if c["slot"] == candidate["slot"])
        assert candidate["params"] == same["params"]
        assert candidate["values"] == pytest.approx(same["values"], abs=0.1)  # other BLAS kernels


def test_more_seeds_add_to_what_version_0_1_trained(workspace):
    storage = open_storage("hpsearch.journal")
    held = find_evaluation(storage, workspace.study("tiny-tpe"))
    old = {repeat_of(t): t.number for t in own_trials(held, DONE) if not repeat_of(t).epochs}
    workspace.evaluate("tiny-tpe", top=2, seeds=4)
    new = {repeat_of(t): t.number for t in own_trials(held, DONE) if not repeat_of(t).epochs}
    assert new.items() > old.items()
    assert len(new) == len(old) + 2
    slots = [slot_of(trial) for trial in own_trials(held)]
    assert len(slots) == len(set(slots))


@pytest.mark.usefixtures("workspace")
def test_the_network_of_an_evaluation_is_the_one_that_was_scored():
    storage = open_storage("hpsearch.journal")
    winner = winner_with_network(storage, load_study(storage, "tiny-tpe"))
    scored = expected("winner.json")["evaluation"]["test"]["network"]["accuracy"]
    assert winner.scores["test/accuracy"] == scored


def test_a_registered_model_still_loads():
    """Its code is a copy of version 0.1's, and imports hpsearch by the names of that version."""
    model = mlflow.pyfunc.load_model(str(STORED / "model"))
    rows = load_digits(as_frame=True).data[:5]
    assert model.predict(rows).tolist() == ["0", "1", "8", "3", "4"]


# The two stores


def test_mlflow_has_all_runs_already(workspace):
    assert workspace.sync("tiny-tpe") == 0
    assert workspace.sync("repeated-grid") == 0


def test_delete_includes_rounds_evaluation_and_runs(workspace, client):
    assert workspace.delete("coarse") == ["coarse", "coarse.r2", "coarse.evaluation"]
    left = optuna.get_all_study_names(open_storage("hpsearch.journal"))
    assert not [name for name in left if name.startswith("coarse")]
    assert client.get_experiment_by_name("coarse") is None
