"""A worker runs exactly the slots that it is assigned, and drops a trial that was taken away."""

from dataclasses import asdict
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from threadpoolctl import threadpool_info, threadpool_limits

from hpsearch.errors import Interrupted
from hpsearch.execution import objective as objective_module
from hpsearch.execution import worker
from hpsearch.execution.objective import Objective
from hpsearch.execution.worker import WorkerTask, work
from hpsearch.settings.study import parse_settings
from hpsearch.storage.leases import this_process
from hpsearch.storage.open import open_storage
from hpsearch.tracking.tracker import Tracker


class ListChannel:
    """Hands out a list of slots; `at_epoch(slot, number)` is called at each epoch."""

    def __init__(self, slots, at_epoch=lambda *_: None):
        self.slots, self.at_epoch = list(slots), at_epoch
        self.epochs, self.trials = [], []

    def next_slot(self):
        return self.slots.pop(0) if self.slots else None

    def epoch(self, slot, epoch):
        self.epochs.append((slot, epoch))
        self.at_epoch(slot, epoch)

    def finished(self, trial):
        self.trials.append(trial)


@pytest.fixture
def url(tmp_path):
    """A journal with an empty study "s"."""
    url = str(tmp_path / "s.journal")
    optuna.create_study(storage=open_storage(url), study_name="s", direction="maximize")
    return url


@pytest.fixture
def objective(make_settings):
    return Objective(make_settings())


def trials_in(url, name="s"):
    return optuna.load_study(storage=open_storage(url), study_name=name).get_trials()


# The loop


def test_it_runs_the_slots_that_it_gets(url, objective):
    channel = ListChannel([3, 0, 7])
    work(objective, WorkerTask("s", url, None), channel)

    trials = trials_in(url)
    assert [t.user_attrs["slot"] for t in trials] == [3, 0, 7]
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 3
    assert [t.user_attrs["process"] for t in trials] == [asdict(this_process())] * 3
    assert channel.epochs == [(slot, epoch) for slot in (3, 0, 7) for epoch in (1, 2, 3)]
    assert [t.number for t in channel.trials] == [0, 1, 2]
    assert [t.value for t in channel.trials] == [t.value for t in trials]


def test_a_slot_gives_the_same_trial_in_any_order(url, objective):
    work(objective, WorkerTask("s", url, None), ListChannel([5, 2]))
    work(objective, WorkerTask("s", url, None), ListChannel([2, 5]))
    a5, a2, b2, b5 = trials_in(url)
    assert (a5.params, a2.params) == (b5.params, b2.params)
    assert (a5.value, a2.value) == (b5.value, b2.value)
    assert a5.params != a2.params


def test_the_coordinator_may_stop_a_trial(url, objective):
    def stop_at_two(slot, number):
        if (slot, number) == (0, 2):
            raise Interrupted

    channel = ListChannel([0, 1], stop_at_two)
    work(objective, WorkerTask("s", url, None), channel)
    first, second = trials_in(url)
    assert (first.state, first.user_attrs["interrupted"]) == (TrialState.FAIL, True)
    assert len(first.user_attrs["curves"]["times"]) == 2
    assert second.state is TrialState.COMPLETE
    assert [t.state for t in channel.trials] == [TrialState.FAIL, TrialState.COMPLETE]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_trial_that_another_process_declared_dead_is_dropped(url, objective, at):
    def declare_dead(slot, number):
        if (slot, number) == (0, at):
            theirs = optuna.load_study(storage=open_storage(url), study_name="s")
            theirs.tell(0, state=TrialState.FAIL)

    channel = ListChannel([0, 1], declare_dead)
    work(objective, WorkerTask("s", url, None), channel)
    assert [t.state for t in trials_in(url)] == [TrialState.FAIL, TrialState.COMPLETE]
    assert channel.epochs[-3:] == [(1, 1), (1, 2), (1, 3)]
    assert [t.number for t in channel.trials] == [1]


def test_labelled_configurations_take_their_slots(url, make_settings):
    entries = [
        {"label": "by the book", "learning_rate": 0.25, "momentum": 0.75},
        {"label": "half", "momentum": 0.5, "epochs": 2},
    ]
    objective = Objective(make_settings(enqueue=entries))
    work(objective, WorkerTask("s", url, None), ListChannel([0, 1, 2]))

    configs = [t.user_attrs["setup"]["config"] for t in trials_in(url)]
    labels = [t.user_attrs["setup"].get("label") for t in trials_in(url)]
    assert labels == ["by the book", "half", None]
    assert (configs[0]["learning_rate"], configs[0]["momentum"]) == (0.25, 0.75)
    assert (configs[1]["momentum"], configs[1]["epochs"]) == (0.5, 2)
    assert configs[1]["learning_rate"] != 0.25  # left open, and so sampled
    assert configs[2]["epochs"] == 3
    assert configs[2]["momentum"] not in (0.5, 0.75)


def test_trials_are_pruned_by_the_pruner_in_the_settings(url, make_settings):
    search = {"pruner": "halving"}
    objective = Objective(make_settings(search=search, trial={"epochs": 9}))
    work(objective, WorkerTask("s", url, None), ListChannel(range(8)))
    pruned = [t for t in trials_in(url) if t.state is TrialState.PRUNED]
    assert pruned
    assert all(len(t.user_attrs["curves"]["times"]) in (1, 3) for t in pruned)


def test_running_and_finished_trials_are_tracked(url, objective, mlflow_uri, monkeypatch):
    monkeypatch.setattr(worker, "LIVE_SECONDS", -1.0)
    monkeypatch.setattr(objective_module, "LIVE_SECONDS", -1.0)
    client, seen = MlflowClient(mlflow_uri), []

    def look(slot, number):
        if number > 1:
            (run,) = client.search_runs(["1"], f"tags.`hpsearch.slot` = '{slot}'")
            points = client.get_metric_history(run.info.run_id, "val/loss")
            seen.append((slot, number, run.info.status, len(points)))

    work(objective, WorkerTask("s", url, Tracker(mlflow_uri)), ListChannel([0, 1], look))
    # A slot's first epoch is in MLflow when its second is over.
    assert seen == [(slot, n, "RUNNING", n - 1) for slot in (0, 1) for n in (2, 3)]
    assert {run.info.status for run in client.search_runs(["1"])} == {"FINISHED"}


# Checkpoints of several hosts

COUNTING = """
def train(config, *, epochs, resume=None):
    first = 0 if resume is None else int(resume.read_text())
    for epoch in range(first, epochs):
        with open("trained.txt", "a") as file:
            file.write(f"{epoch} ")
        yield config["x"] / (1 + epoch), lambda path: path.write_text(str(epoch + 1))
"""


@pytest.mark.parametrize(
    ("sent", "own", "resumes"),
    [
        ("shared", {}, True),
        ("", {"first": "shared", "second": "shared"}, True),
        ("not here", {"first": "shared", "second": "shared"}, True),
        ("", {"first": "disk of first", "second": "disk of second"}, False),
    ],
)
def test_a_host_goes_on_from_a_checkpoint_in_a_shared_folder_and_else_begins_anew(
    working_folder, monkeypatch, sent, own, resumes
):
    (working_folder / "net.py").write_text(COUNTING)
    table = {
        "name": "s",
        "model": {"train": "net.py:train", "checkpoint_seconds": 0.001},
        "search": {"metric": "val/loss", "sampler": "random", "pruner": "none"},
        "trial": {"epochs": 6, "x": {"low": 0.5, "high": 1.0}},
    }
    objective = Objective(parse_settings(table, "s.toml"))
    for name in ("s", "whole"):
        optuna.create_study(storage=open_storage("s.journal"), study_name=name)

    def run_on(host, study="s", at_epoch=lambda *_: None):
        monkeypatch.setenv("HPSEARCH_CHECKPOINTS", own.get(host, ""))
        task = WorkerTask(study, "s.journal", None, sent)
        work(objective, task, ListChannel([2], at_epoch))

    def stop_at_four(_, number):
        if number == 4:
            raise Interrupted

    run_on("first", at_epoch=stop_at_four)
    Path("trained.txt").unlink()
    run_on("second")
    assert Path("trained.txt").read_text().split() == [*"012345"[4 if resumes else 0 :]]
    run_on("third", "whole")
    stopped, done = trials_in("s.journal")
    (whole,) = trials_in("s.journal", "whole")
    assert stopped.state is TrialState.FAIL
    assert (done.params, done.value) == (whole.params, whole.value)
    assert done.intermediate_values == whole.intermediate_values


# Its surroundings


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_matrix_products_run_on_one_thread_during_work(url, objective):
    within = []
    channel = ListChannel([0], lambda *_: within.append(blas_threads()))
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        work(objective, WorkerTask("s", url, None), channel)
        assert blas_threads() == before
    assert before  # NumPy and SciPy have their BLAS loaded
    assert within == [{1}] * 3


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_optuna_logs_nothing_during_work(url, objective, error):
    within = []
    before = optuna.logging.get_verbosity()
    channel = ListChannel([0], lambda *_: within.append(optuna.logging.get_verbosity()))

    def fail(_):
        raise RuntimeError("the coordinator is gone")

    if error:
        channel.finished = fail
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        if error:
            with pytest.raises(error, match="the coordinator is gone"):
                work(objective, WorkerTask("s", url, None), channel)
        else:
            work(objective, WorkerTask("s", url, None), channel)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    assert min(within) > optuna.logging.ERROR
