"""The contract of an engine with the coordinator; a new engine is one more entry in ENGINES."""

import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context

import optuna
import pytest
from loky import get_reusable_executor
from mlflow import MlflowClient
from optuna.trial import TrialState

from hpsearch.errors import StudyError
from hpsearch.execution.coordinator import Coordinator, RunOptions, Work
from hpsearch.execution.engines.dask import DaskEngine
from hpsearch.execution.engines.engine import build_engine
from hpsearch.execution.engines.executor import ExecutorEngine
from hpsearch.execution.engines.inline import InlineEngine
from hpsearch.execution.engines.processes import ProcessEngine
from hpsearch.execution.objective import Objective
from hpsearch.execution.worker import WorkerTask
from hpsearch.storage.leases import leased
from hpsearch.storage.open import open_storage
from hpsearch.tracking.tracker import Tracker
from hpsearch.trials.records import curves_of, own_trials, process_of, slot_of, was_interrupted

ENGINES = {"inline": InlineEngine, "processes": partial(ProcessEngine, 2)}
EXECUTORS = {
    "loky": lambda: nullcontext(get_reusable_executor(2, timeout=600)),
    "process pool": lambda: ProcessPoolExecutor(2, get_context("forkserver")),
}
TOO_WIDE = {"label": "too wide", "hidden_layer_sizes": [10**13]}  # no memory holds its weights


@pytest.fixture(params=[*ENGINES, *EXECUTORS, "cluster"])
def engine(request):
    if request.param == "cluster":
        yield DaskEngine(request.getfixturevalue("cluster").address)
    elif request.param in ENGINES:
        yield ENGINES[request.param]()
    else:
        with EXECUTORS[request.param]() as executor:
            yield ExecutorEngine(executor, 2)


@pytest.fixture
def url(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return getattr(request, "param", "s.journal")  # relative: workers start in this folder


@pytest.fixture
def fill(engine, url, make_settings):
    """A function that has the engine fill the slots of study "s"; it returns the coordinator."""

    def run(*, tracker=None, should_stop=lambda: False, on_progress=lambda _: None, **tables):
        settings, storage = make_settings(**tables), open_storage(url)
        study = optuna.create_study(
            storage=storage, study_name="s", direction="maximize", load_if_exists=True
        )
        work = Work(settings=settings, slots=range(settings.search.slots))
        options = RunOptions(
            storage=url, tracker=tracker, should_stop=should_stop, on_progress=on_progress
        )
        with leased(storage, study) as lease:
            coordinator = Coordinator(storage, lease, work, options)
            engine.run(coordinator, Objective(settings), WorkerTask("s", url, tracker))
        return coordinator

    return run


def trials_in(url):
    return own_trials(optuna.load_study(storage=open_storage(url), study_name="s"))


@pytest.mark.parametrize("url", ["s.journal", "sqlite:///s.db"], indirect=True)
def test_every_slot_is_filled_once_and_the_same_on_every_engine(fill, url, make_settings):
    fill(search={"trials": 5})
    trials = {slot_of(trial): trial for trial in trials_in(url)}
    assert len(trials) == len(trials_in(url)) == 5
    assert {trial.state for trial in trials.values()} == {TrialState.COMPLETE}
    objective = Objective(make_settings(search={"trials": 5}))
    for slot, trial in trials.items():
        fixed = optuna.trial.FixedTrial(trial.params, number=slot)
        assert objective(fixed) == trial.value
        assert curves_of(fixed).values == curves_of(trial).values


def test_the_coordinator_counts_every_trial(fill):
    seen = []
    coordinator = fill(on_progress=lambda progress: seen.append(progress.done))
    assert seen == sorted(seen)
    assert seen[-1] == coordinator.progress.done == 4
    assert (coordinator.reason, [*coordinator.todo]) == ("", [])


def test_a_done_slot_is_not_filled_again(fill, url):
    fill(search={"trials": 2})
    fill(search={"trials": 4})
    assert sorted(slot_of(trial) for trial in trials_in(url)) == [0, 1, 2, 3]


def test_should_stop_ends_running_trials_after_their_epoch(fill, url):
    stopping = []
    coordinator = fill(
        trial={"epochs": 10**6},
        on_progress=lambda progress: stopping.append(any(progress.running.values())),
        should_stop=lambda: any(stopping),
    )
    assert coordinator.reason == "interrupted"
    trials = trials_in(url)
    assert trials
    assert all(was_interrupted(trial) for trial in trials)
    assert all(curves_of(trial).times for trial in trials if process_of(trial).pid == os.getpid())


def test_a_stop_rule_ends_the_study(fill, url):
    coordinator = fill(search={"trials": 30, "target": 0.0})
    assert coordinator.reason == "target"
    assert 1 <= len([t for t in trials_in(url) if t.state is TrialState.COMPLETE]) < 30


def test_a_failed_trial_ends_the_study_and_leaves_none_running(fill, url):
    with pytest.raises(StudyError, match="trial s#1 failed: "):
        fill(search={"trials": 9}, trial={"epochs": 20}, enqueue=[{"label": "fine"}, TOO_WIDE])
    assert TrialState.RUNNING not in {trial.state for trial in trials_in(url)}
    (failed,) = (t for t in trials_in(url) if t.state is TrialState.FAIL and not was_interrupted(t))
    assert slot_of(failed) == 1


def test_every_trial_is_tracked_once(fill, mlflow_uri):
    fill(tracker=Tracker(mlflow_uri))
    runs = MlflowClient(mlflow_uri).search_runs(["1"])
    assert sorted(run.info.run_name for run in runs) == [f"trial-{n:04d}" for n in range(4)]
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_the_number_of_jobs_chooses_the_engine():
    assert isinstance(build_engine(RunOptions(storage="unused")), InlineEngine)
    several = build_engine(RunOptions(storage="unused", jobs=3))
    assert isinstance(several, ProcessEngine)
    assert several.jobs == 3
