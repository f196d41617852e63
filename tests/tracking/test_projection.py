"""The contents of a frozen trial's run, rule by rule."""

import datetime
import json
from dataclasses import asdict

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.tracking.projection import project
from model.config import TrainConfig

START = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000)
CONFIG = TrainConfig(epochs=4, hidden_layer_sizes=(178, 46), learning_rate=0.02)
SETUP = {
    "config": CONFIG.as_dict(),
    "metric": "val/accuracy",
    "seed": 11,
    "data": {"name": "digits", "digest": "0123456789abcdef", "source": "digits"},
}
CURVES = {
    "train/loss": [2.0, 1.5, 1.25],
    "train/accuracy": [0.25, 0.5, 0.75],
    "val/loss": [2.5, 1.0, 2.0],
    "val/accuracy": [0.5, 0.875, 0.75],
    "times": [1_700_000_000_100, 1_700_000_000_200, 1_700_000_000_300],
}


def make_trial(*, state=TrialState.COMPLETE, number=12, setup=SETUP, curves=CURVES, **attrs):
    attrs = {"slot": 7, "setup": setup, "curves": curves, **attrs}
    trial = create_trial(
        state=state,
        value=0.875 if state is TrialState.COMPLETE else None,
        params={"learning_rate": 0.02},
        distributions={"learning_rate": FloatDistribution(1e-3, 1, log=True)},
        user_attrs={key: value for key, value in attrs.items() if value is not None},
    )
    trial.number, trial.datetime_start = number, START
    if state.is_finished():
        trial.datetime_complete = START + datetime.timedelta(seconds=2)
    return trial


def points(run):
    return {(m.key, m.step): (m.value, m.timestamp) for m in run.metrics}


def test_tags_say_where_a_run_comes_from():
    run = project("digits-random", make_trial(), "trial-0007")
    assert run.name == "trial-0007"
    assert run.tags == {
        "hpsearch.kind": "trial",
        "hpsearch.study": "digits-random",
        "hpsearch.number": "12",
        "hpsearch.slot": "7",
        "hpsearch.seed": "11",
        "hpsearch.state": "complete",
        "mlflow.source.name": "hpsearch",
        "mlflow.source.type": "LOCAL",
    }


def test_the_params_are_the_whole_configuration():
    params = {p.key: p.value for p in project("s", make_trial(), "trial-0007").params}
    expected = asdict(CONFIG) | {"hidden_layer_sizes": "178-46"}
    assert params == {key: str(value) for key, value in expected.items()}


def test_a_network_without_hidden_layers_has_a_shape_too():
    config = TrainConfig(hidden_layer_sizes=()).as_dict()
    run = project("s", make_trial(setup=SETUP | {"config": config}), "trial-0007")
    params = {p.key: p.value for p in run.params}
    assert params["hidden_layer_sizes"] == "none"


def test_the_steps_of_metrics_are_epochs_at_their_stored_times():
    run = project("s", make_trial(state=TrialState.RUNNING), "trial-0007")
    assert points(run) == {
        (name, epoch): (CURVES[name][epoch - 1], CURVES["times"][epoch - 1])
        for name in ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
        for epoch in (1, 2, 3)
    }


@pytest.mark.parametrize(("metric", "best"), [("val/accuracy", 0.875), ("val/loss", 1.0)])
def test_an_ended_trial_has_its_best_value_and_its_epochs_once(metric, best):
    run = project("s", make_trial(setup=SETUP | {"metric": metric}), "trial-0007")
    (name,) = {key for key, _ in points(run) if key.endswith("_best")}
    assert name == f"{metric}_best"
    ends = {key[0]: point for key, point in points(run).items() if key[1] == 0}
    assert ends == {
        name: (best, run.end),
        "best_epoch": (2, run.end),
        "epochs": (3, run.end),
    }
    assert len(run.metrics) == 4 * 3 + 3
    assert len({m.key for m in run.metrics}) <= 8


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING])
def test_without_curves_there_are_no_metrics(state):
    assert project("s", make_trial(state=state, curves=None), "trial-0007").metrics == []


@pytest.mark.parametrize(
    ("state", "attrs", "status", "reason"),
    [
        ("COMPLETE", {}, "FINISHED", None),
        ("PRUNED", {"reason": "pruned at epoch 3"}, "FINISHED", "pruned at epoch 3"),
        ("PRUNED", {"reason": "diverged at epoch 1"}, "FINISHED", "diverged at epoch 1"),
        ("FAIL", {"reason": "ValueError: no"}, "FAILED", "ValueError: no"),
        ("FAIL", {"reason": "process died"}, "FAILED", "process died"),
        ("FAIL", {}, "FAILED", None),
        ("FAIL", {"interrupted": True}, "KILLED", "interrupted"),
        ("RUNNING", {}, "RUNNING", None),
    ],
)
def test_the_status_says_how_the_trial_ended(state, attrs, status, reason):
    run = project("s", make_trial(state=TrialState[state], **attrs), "trial-0007")
    assert run.status == status
    assert run.tags["hpsearch.state"] == state.lower()
    assert run.tags.get("hpsearch.reason") == reason
    assert (run.end is None) == (status == "RUNNING")


def test_times_are_the_trials_own_in_milliseconds():
    run = project("s", make_trial(), "trial-0007")
    assert (run.start, run.end) == (round(START.timestamp() * 1000), run.start + 2000)


def test_a_label_is_a_tag():
    run = project("s", make_trial(setup=SETUP | {"label": "the book's best"}), "trial-0007")
    assert run.tags["hpsearch.label"] == "the book's best"


def test_the_data_set_is_an_input():
    (found,) = project("s", make_trial(), "trial-0007").inputs
    assert (found.dataset.name, found.dataset.digest) == ("digits", "01234567")
    assert json.loads(found.dataset.source) == {"source": "digits", "digest": "0123456789abcdef"}


def test_a_trial_of_another_objective_shows_its_params():
    trial = create_trial(
        value=3.5,
        params={"x": 1.5, "kind": "linear"},
        distributions={
            "x": FloatDistribution(0, 2),
            "kind": CategoricalDistribution(["linear", "rbf"]),
        },
    )
    trial.number = 3
    run = project("theirs", trial, "trial-0004")
    assert run.name == "trial-0004"
    assert {p.key: p.value for p in run.params} == {"x": "1.5", "kind": "linear"}
    assert (run.status, run.inputs) == ("FINISHED", [])
    assert [(metric.key, metric.value) for metric in run.metrics] == [("value_best", 3.5)]
    assert "hpsearch.seed" not in run.tags
