"""Running a study: it is continued, refused, interrupted or failed, and shown in MLflow."""

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from hpsearch.errors import DataError, SettingsError, StorageError, StudyError, TrackingError
from hpsearch.execution.objective import load_network
from hpsearch.search.study import run_study, study_name
from hpsearch.settings.definition import READING
from hpsearch.settings.study import parse_settings, settings_table
from hpsearch.storage.catalog import load_study, study_settings
from hpsearch.storage.open import open_storage
from hpsearch.tracking.tracker import Tracker
from hpsearch.trials.records import (
    definition_of,
    study_file,
    write_definition,
    write_study_file,
)

TOO_WIDE = {"label": "too wide", "hidden_layer_sizes": [10**13]}  # no memory holds its weights


@pytest.fixture
def journal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "test.journal"


@pytest.fixture
def run(journal):
    """`run_study` on a journal of this test's own."""

    def run_it(settings, **options):
        return run_study(settings, **{"storage": str(journal)} | options)

    return run_it


def stop_after(calls):
    """Return a `should_stop`, asked before each trial and after each epoch."""
    asked = iter(range(calls))
    return lambda: next(asked, None) is None


def by_slot(study):
    """Return parameters, curves and value of the trials that are done."""
    done = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    found = {}
    for trial in done:
        curves = trial.user_attrs["curves"] | {"times": None}
        found[trial.user_attrs["slot"]] = (trial.params, curves, trial.value)
    assert len(found) == len(done)
    return found


# Budget


@pytest.mark.parametrize("url", ["s.journal", "sqlite:///s.db"])
def test_a_study_has_exactly_its_total_however_often_it_is_started(run, make_settings, url):
    first = run(make_settings(), storage=url)
    assert (first.reason, first.new, first.study.study_name) == ("finished", 4, "tiny-random")
    assert (first.slots.done, first.slots.todo) == ([0, 1, 2, 3], [])

    again = run(make_settings(), storage=url)
    assert (again.reason, again.new) == ("finished", 0)
    assert len(again.study.trials) == 4

    more = run(make_settings(search={"trials": 6}), storage=url)
    assert (more.reason, more.new, more.slots.done) == ("finished", 2, [0, 1, 2, 3, 4, 5])

    fewer = run(make_settings(search={"trials": 2}), storage=url)
    assert (fewer.new, fewer.slots.done) == (0, [0, 1])
    assert len(fewer.study.trials) == 6


def test_the_default_name_is_that_of_the_file_and_the_sampler(make_settings):
    settings = make_settings(search={"sampler": "tpe"})
    assert study_name(settings) == "tiny-tpe"
    assert study_name(settings, "mine") == "mine"
    with pytest.raises(SettingsError, match="name: 'a/b' is no name for a study"):
        study_name(settings, "a/b")


@pytest.mark.parametrize(("metric", "best"), [("val/accuracy", max), ("val/loss", min)])
def test_the_direction_follows_from_the_metric(run, make_settings, metric, best):
    study = run(make_settings(search={"metric": metric})).study
    assert study.best_value == best(trial.value for trial in study.trials)
    for trial in study.trials:
        assert trial.value == best(trial.user_attrs["curves"][metric])


def test_progress_counts_trials_and_epochs(run, make_settings):
    seen = []

    def watch(progress):
        seen.append((progress.done, dict(progress.running), progress.total, progress.best))

    study = run(make_settings(search={"trials": 2}), on_progress=watch).study
    first, second = (trial.value for trial in study.trials)
    assert seen == [
        (0, {}, 2, None),
        *[(0, {0: epoch}, 2, None) for epoch in (1, 2, 3)],
        (1, {}, 2, first),
        *[(1, {1: epoch}, 2, first) for epoch in (1, 2, 3)],
        (2, {}, 2, max(first, second)),
    ]

    seen.clear()
    run(make_settings(search={"trials": 2}), on_progress=watch)
    assert seen == [(2, {}, 2, max(first, second))]


# Continue, or refuse to


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"trial": {"learning_rate": {"low": 1e-2, "high": 1.0, "log": True}}},
            r"trial.learning_rate 0.001..1.0 (log), now 0.01..1.0 (log)",
        ),
        ({"trial": {"epochs": 5}}, "trial.epochs 3, now 5"),
        ({"trial": {"batch_size": 32}}, "trial.batch_size 100, now 32"),
        (
            {"search": {"metric": "val/loss", "seed": 1}},
            "search.metric val/accuracy, now val/loss; search.seed 0, now 1",
        ),
    ],
)
def test_another_search_under_the_same_name_is_refused(run, make_settings, changes, message):
    study = run(make_settings()).study
    before = study.user_attrs, study.trials
    with pytest.raises(StudyError) as caught:
        run(make_settings(**changes))
    expected = f"study 'tiny-random' was started with {message}; use name=… for a new study"
    assert str(caught.value) == expected
    assert (study.user_attrs, study.trials) == before


def test_changed_data_are_refused_and_moved_data_are_not(run, tmp_path, make_settings):
    table = tmp_path / "table.csv"
    table.write_text("a,label\n" + "".join(f"{row},{row % 2}\n" for row in range(50)))
    settings = make_settings(data={"source": "table.csv", "target": "label", "limit": 50})
    run(settings)

    table.rename(tmp_path / "moved.csv")
    moved = settings.replace(data={"source": "moved.csv"})
    assert run(moved).new == 0

    (tmp_path / "moved.csv").write_text(f"{(tmp_path / 'moved.csv').read_text()}99,1\n")
    with pytest.raises(StudyError, match=r"with other data \(digest \w+, now \w+\); use name=…"):
        run(moved)


def test_data_are_found_from_another_folder(run, tmp_path, monkeypatch, make_settings):
    rows = "".join(f"{i},{i % 3},{'xy'[i % 2]}\n" for i in range(60))
    (tmp_path / "table.csv").write_text(f"a,b,kind\n{rows}")
    study = run(
        make_settings(data={"source": "table.csv", "target": "kind"}, search={"trials": 1})
    ).study
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")

    assert study_settings(study).data.source == str(tmp_path / "table.csv")
    (tmp_path / "elsewhere" / "table.csv").write_text("another table")
    assert study_settings(study).data.source == "table.csv"  # as `run` would find it
    (tmp_path / "elsewhere" / "table.csv").unlink()
    (tmp_path / "table.csv").unlink()
    with pytest.raises(DataError) as raised:
        load_network(study_settings(study))
    missing = f"table.csv: No such file or directory (relative to {tmp_path / 'elsewhere'})"
    assert str(raised.value) == f"data.source: {missing}"


def test_what_the_data_may_not_mean_is_logged(run, tmp_path, make_settings, caplog):
    rows = "".join(f"{i},{i % 3},{('x', 'x ', 'y')[i % 3]}\n" for i in range(60))
    (tmp_path / "table.csv").write_text(f"Id,b,kind\n{rows}")
    run(make_settings(data={"source": "table.csv", "target": "kind"}, search={"trials": 1}))

    blanks, numbers, *_ = (r.getMessage() for r in caplog.records if r.levelname == "WARNING")
    assert blanks.startswith("table.csv: target 'kind' holds 'x' and 'x ', which differ only in")
    assert numbers == "table.csv: column left out: 'Id' only numbers the rows"


def test_budget_sampler_and_pruner_may_change(run, make_settings):
    run(make_settings(), name="mine")
    changed = {"sampler": "tpe", "pruner": "median", "trials": 6}
    outcome = run(make_settings(search=changed), name="mine")
    assert (outcome.reason, outcome.new) == ("finished", 2)


@pytest.mark.parametrize(
    ("directions", "trials"), [(["maximize"], 1), (["minimize"], 0), (["maximize", "minimize"], 0)]
)
def test_a_study_of_another_program_is_refused(run, journal, make_settings, directions, trials):
    theirs = optuna.create_study(
        storage=open_storage(str(journal)), study_name="tiny-random", directions=directions
    )
    for _ in range(trials):
        theirs.tell(theirs.ask(), 1.0)
    with pytest.raises(StudyError, match="'tiny-random' was not started by hpsearch; use name=…"):
        run(make_settings())
    assert len(theirs.trials) == trials
    assert theirs.user_attrs == {}


def test_a_study_whose_creator_died_at_once_is_continued(run, journal, make_settings):
    storage = open_storage(str(journal))
    optuna.create_study(storage=storage, study_name="tiny-random", direction="maximize")
    assert run(make_settings()).new == 4


# Nothing is created for what cannot work


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"data": {"source": "missing.csv"}}, DataError),
        ({"data": {"limit": 2}}, DataError),
    ],
)
def test_bad_data_leave_nothing_behind(
    run, journal, tmp_path, make_settings, mlflow_uri, changes, error
):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error):
        run(make_settings(**changes), tracker=Tracker(mlflow_uri))
    assert sorted(tmp_path.iterdir()) == before
    assert not journal.exists()
    assert experiments(mlflow_uri) == ["Default"]


def test_a_bad_name_leaves_nothing_behind(run, tmp_path, make_settings):
    with pytest.raises(SettingsError):
        run(make_settings(), name="no/name", tracker=Tracker(f"sqlite:///{tmp_path}/new.db"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "nosuch://host"])
def test_a_tracking_store_that_does_not_answer_leaves_nothing_behind(
    run, tmp_path, make_settings, uri
):
    with pytest.raises(TrackingError):
        run(make_settings(), tracker=Tracker(uri))
    assert not list(tmp_path.iterdir())


def test_a_deleted_experiment_leaves_no_study_behind(run, journal, make_settings, mlflow_uri):
    client = MlflowClient(mlflow_uri)
    client.delete_experiment(client.create_experiment("tiny-random"))
    with pytest.raises(TrackingError, match="'tiny-random' was deleted"):
        run(make_settings(), tracker=Tracker(mlflow_uri))
    assert not journal.exists()


def test_a_bad_storage_or_a_refused_study_leaves_no_experiment(
    run, tmp_path, make_settings, mlflow_uri
):
    tracker = Tracker(mlflow_uri)
    with pytest.raises(StorageError):
        run(make_settings(), storage=str(tmp_path / "missing" / "s"), tracker=tracker)
    run(make_settings(), name="tiny")
    with pytest.raises(StudyError):
        run(make_settings(search={"seed": 1}), name="tiny", tracker=tracker)
    assert experiments(mlflow_uri) == ["Default"]


def experiments(uri):
    return [experiment.name for experiment in MlflowClient(uri).search_experiments()]


# Interruption


def test_an_interrupted_study_is_closed_and_continues(run, make_settings, mlflow_uri):
    client, tracker = MlflowClient(mlflow_uri), Tracker(mlflow_uri)
    # The first trial asks once for its start and thrice for its epochs.
    outcome = run(make_settings(), tracker=tracker, should_stop=stop_after(4 + 2))
    assert (outcome.reason, outcome.new, outcome.slots.done) == ("interrupted", 1, [0])
    assert [t.state for t in outcome.study.trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert outcome.study.trials[1].user_attrs["interrupted"] is True
    assert len(outcome.study.trials[1].user_attrs["curves"]["times"]) == 2
    runs = {r.data.tags["hpsearch.number"]: r.info.status for r in client.search_runs(["1"])}
    assert runs == {"0": "FINISHED", "1": "KILLED"}

    outcome = run(make_settings(), tracker=tracker)
    assert (outcome.reason, outcome.new, outcome.slots.done) == ("finished", 3, [0, 1, 2, 3])
    assert len(outcome.study.get_trials(states=(TrialState.COMPLETE,))) == 4


def test_an_interruption_between_trials_leaves_no_unfinished_trial(run, make_settings):
    outcome = run(make_settings(), should_stop=stop_after(4))
    assert (outcome.reason, outcome.new) == ("interrupted", 1)
    assert [t.state for t in outcome.study.trials] == [TrialState.COMPLETE]


def test_an_interruption_does_not_count_as_a_try(run, make_settings):
    for _ in range(4):
        outcome = run(make_settings(), should_stop=stop_after(1))
        assert (outcome.reason, outcome.slots.given_up) == ("interrupted", [])
    assert run(make_settings()).slots.done == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("sampler", "pruner", "trials"),
    [
        ("random", "none", 6),
        ("tpe", "none", 16),
        ("tpe", "median", 16),
        ("tpe", "halving", 20),
        ("tpe", "hyperband", 20),
    ],
)
def test_an_interrupted_study_gives_the_same_bits(run, make_settings, sampler, pruner, trials):
    search = {"sampler": sampler, "pruner": pruner, "trials": trials}
    settings = make_settings(search=search, trial={"epochs": 4})
    whole = by_slot(run(settings, name="whole").study)
    assert len(whole) == trials

    for calls in (7, 9):
        assert run(settings, name="parts", should_stop=stop_after(calls)).reason == "interrupted"
    parts = run(settings, name="parts")
    assert len(parts.study.trials) > trials  # some were interrupted, and done again
    assert by_slot(parts.study) == whole


def test_a_target_that_no_trial_can_reach_is_refused(run, make_settings, journal):
    with pytest.raises(SettingsError, match=r"is 98, but .* is at most 1; for 98 %, write 0\.98"):
        run(make_settings(search={"target": 98}))
    assert not journal.exists()


# Failure


def test_a_trial_that_fails_three_times_is_given_up(run, make_settings, mlflow_uri):
    ordinary = {"label": "ordinary", "momentum": 0.5}
    settings = make_settings(enqueue=[ordinary, TOO_WIDE], search={"trials": 3})
    tracker = Tracker(mlflow_uri)
    message = r"trial tiny-random#1 failed: \w*MemoryError: .*; `hpsearch show tiny-random#1` says"
    for _ in range(3):
        with pytest.raises(StudyError, match=message):
            run(settings, tracker=tracker)

    outcome = run(settings, tracker=tracker)
    assert (outcome.reason, outcome.new) == ("given up", 1)
    assert (outcome.slots.done, outcome.slots.given_up) == ([0, 2], [1])
    failed = outcome.study.get_trials(states=(TrialState.FAIL,))
    assert [trial.user_attrs["slot"] for trial in failed] == [1, 1, 1]
    for trial in failed:
        assert trial.user_attrs["traceback"].startswith("Traceback")
        assert "MemoryError" in trial.user_attrs["traceback"]
        assert trial.user_attrs["setup"]["label"] == "too wide"
    runs = MlflowClient(mlflow_uri).search_runs(["1"])
    assert sorted(r.info.status for r in runs) == ["FAILED"] * 3 + ["FINISHED"] * 2

    assert run(settings).reason == "given up"
    assert len(outcome.study.trials) == 5


# Existing studies


def test_load_study_lists_the_known_studies(run, journal, make_settings):
    run(make_settings(search={"trials": 1}), name="digits-random")
    storage = open_storage(str(journal))
    assert load_study(storage, "digits-random").study_name == "digits-random"
    with pytest.raises(StudyError, match=r"'digits-randon' is not a study .*mean 'digits-random'"):
        load_study(storage, "digits-randon")


def test_load_study_in_an_empty_storage(journal):
    with pytest.raises(StudyError, match="no study 'x': the storage is empty; hpsearch study"):
        load_study(open_storage(str(journal)), "x")


# In MLflow


def test_mlflow_has_the_same_trials_as_the_study(run, make_settings, mlflow_uri):
    settings = make_settings(search={"trials": 12, "pruner": "halving"}, trial={"epochs": 9})
    study = run(settings, tracker=Tracker(mlflow_uri)).study
    client = MlflowClient(mlflow_uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "tiny-random"]
    runs = client.search_runs([experiment.experiment_id])
    states = [trial.state.name.lower() for trial in study.trials]
    assert set(states) == {"complete", "pruned"}
    assert sorted(r.data.tags["hpsearch.state"] for r in runs) == sorted(states)

    complete = [r for r in runs if r.data.tags["hpsearch.state"] == "complete"]
    assert max(r.data.metrics["val/accuracy_best"] for r in complete) == study.best_value
    for trial in study.trials:
        (mine,) = [r for r in runs if r.data.tags["hpsearch.number"] == str(trial.number)]
        points = client.get_metric_history(mine.info.run_id, "val/loss")
        assert [p.value for p in points] == trial.user_attrs["curves"]["val/loss"]
    assert f"| trial-{study.best_trial.number:04d} |" in experiment.tags["mlflow.note.content"]


def test_runs_that_an_earlier_start_left_missing_are_written(run, make_settings, mlflow_uri):
    run(make_settings())
    outcome = run(make_settings(search={"trials": 5}), tracker=Tracker(mlflow_uri))
    assert (outcome.new, outcome.written) == (1, 4)
    assert len(MlflowClient(mlflow_uri).search_runs(["1"])) == 5


# Tables as an earlier version read them


def as_begun_by_0_1(study):
    """Make a study on a table that of version 0.1, which knew nothing of how tables are read."""
    known = {key: text for key, text in definition_of(study).items() if key != READING}
    write_definition(study, known)
    write_study_file(study, study_file(study).replace("reading = 1\n", ""))


def test_a_study_of_a_table_that_0_1_began_goes_on_as_it_was(run, tmp_path, make_settings):
    rows = [f"{n % 7},{'red' if n % 2 else 'blue'},{'xy'[n % 2]}\n" for n in range(60)]
    rows[0] = rows[0].replace("blue", "NA")  # a word to 0.1, and an empty cell now
    rows[11] = rows[11].replace("red", "green")
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(rows))
    data = {"source": "t.csv", "target": "y", "limit": 60}
    early = run(make_settings(data={**data, "reading": 1}, search={"trials": 6})).study
    settings = make_settings(data=data, search={"trials": 4})
    begun = run(make_settings(data={**data, "reading": 1}), name="begun").study
    as_begun_by_0_1(begun)

    assert study_settings(begun).data.reading == 1
    more = settings.replace(search={"trials": 6})
    assert run(more, name="begun").new == 2
    assert by_slot(begun) == by_slot(early)
    now = run(more, name="now").study
    assert by_slot(now) != by_slot(early)
    assert study_settings(now).data.reading is None


# Pruners that did not wait for peers in an earlier version


def peers(study):
    return study_settings(study).search.pruner_options.get("min_peers")


def test_a_study_that_an_earlier_version_began_goes_on_without_waiting(run, make_settings):
    early, now = ({"pruner": "halving", "pruner_options": {"min_peers": n}} for n in (0, 3))
    settings = make_settings(search={"pruner": "halving", "trials": 5}, trial={"epochs": 9})
    begun = run(settings.replace(search=early), name="begun").study
    assert "\nmin_peers = 0\n" in study_file(begun)
    write_study_file(begun, study_file(begun).replace("min_peers = 0\n", ""))
    assert peers(begun) == 0

    more = settings.replace(search={"trials": 12})
    assert run(more, name="begun").new == 7
    assert peers(begun) == 0
    whole = run(settings.replace(search={**early, "trials": 12}), name="whole").study
    assert by_slot(begun) == by_slot(whole)
    new = run(more, name="new").study
    assert peers(new) == 3
    assert by_slot(new) == by_slot(run(more.replace(search=now), name="written").study)
    assert by_slot(new) != by_slot(whole)

    run(more.replace(search={**now, "trials": 13}), name="begun")
    assert peers(begun) == 3  # written in the study file
    run(more.replace(search={"trials": 14}), name="begun")
    assert peers(begun) == 3  # and kept


def test_a_study_that_began_with_the_default_of_an_earlier_version_keeps_it(run, make_settings):
    settings = make_settings(search={"pruner": "median", "trials": 3})
    begun = run(settings).study
    table = settings_table(settings.replace(search={"trials": 50}))
    del table["search"]["pruner"]
    assert run(parse_settings(table, "test")).new == 47
    assert study_settings(begun).search.pruner == "median"
    new = run(parse_settings(table, "test"), name="new").study
    assert study_settings(new).search.pruner == "halving"
    table["search"] |= {"pruner": "halving", "trials": 51}
    run(parse_settings(table, "test"))
    assert study_settings(begun).search.pruner == "halving"


def test_a_study_that_began_with_another_pruner_waits(run, make_settings):
    settings = make_settings(search={"pruner": "median"})
    assert peers(run(settings).study) is None
    study = run(settings.replace(search={"pruner": "halving", "trials": 5})).study
    assert peers(study) == 3


def test_a_study_of_numbers_searches_for_an_error_by_default(run, tmp_path, make_settings):
    rows = "".join(f"{n},{n % 5},{n / 3 + n % 5}\n" for n in range(100))
    (tmp_path / "t.csv").write_text(f"a,b,y\n{rows}")
    settings = make_settings(
        data={"source": "t.csv", "target": "y", "limit": 100}, search={"metrics": ["val/r2"]}
    )
    study = run(settings).study
    stored = study_settings(study)
    assert (stored.search.metric, stored.trial.fixed["loss"]) == ("val/rmse", "squared_error")
    assert study.direction.name == "MINIMIZE"
    curves = study.best_trial.user_attrs["curves"]
    assert {*curves} >= {"train/loss", "val/loss", "val/rmse", "val/r2"}
    assert study.best_value == min(curves["val/rmse"])
    assert run(settings).new == 0


@pytest.mark.parametrize(
    ("trial", "search", "sentence"),
    [
        ({"loss": "cross_entropy"}, {}, r"trial\.loss: 'cross_entropy' is for classes, and these"),
        ({"loss": {"choices": ["huber", "mean_squared_error"]}}, {}, "'mean_squared_error' is for"),
        ({}, {"metric": "val/accuracy"}, r"search\.metric: 'val/accuracy' is not a metric of num"),
        (
            {},
            {"metrics": ["val/f1"]},
            r"search\.metrics: 'val/f1' is not a metric of num",
        ),
    ],
)
def test_what_does_not_fit_numbers_is_refused(
    run, tmp_path, make_settings, trial, search, sentence
):
    rows = "".join(f"{n},{n % 5},{n / 3 + n % 5}\n" for n in range(100))
    (tmp_path / "t.csv").write_text(f"a,b,y\n{rows}")
    data = {"source": "t.csv", "target": "y", "limit": 100}
    with pytest.raises(SettingsError, match=sentence):
        run(make_settings(data=data, trial=trial, search=search))
    assert not (tmp_path / "test.journal").exists()


def test_a_loss_of_numbers_is_refused_for_classes(run, make_settings):
    with pytest.raises(SettingsError, match="'huber' is for numbers, and these labels"):
        run(make_settings(trial={"loss": "huber"}))
