"""Fixtures of the figures' tests: two small studies, and trials and studies made by hand."""

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings

STDS, NORMS = [0.5, 0.01], ["none", "before"]


def settings_of(*figures, search=None, trial=None, **rest):
    table = {
        "name": "tiny",
        "data": {"source": "digits", "limit": 120},
        "search": {"sampler": "grid", "pruner": "none"} | (search or {}),
        "trial": {"epochs": 3, "hidden_layer_sizes": [8]} | (trial or {}),
        "figure": list(figures),
    }
    return parse_settings(table | rest, "test")


@pytest.fixture(scope="session")
def figure_settings():
    """A function that returns the settings of a tiny study with the given figures."""
    return settings_of


@pytest.fixture(scope="session")
def grid(tmp_path_factory):
    """A study of four configurations with two seeds each, which keeps gradient norms."""
    settings = settings_of(
        {"kind": "curves"},
        {"kind": "means"},
        search={"seeds": 2, "diagnostics": True},
        trial={
            "initializer": "normal",
            "weight_std": {"choices": STDS},
            "batch_norm": {"choices": NORMS},
        },
    )
    return run_study(settings, storage=str(tmp_path_factory.mktemp("grid") / "j")).study


@pytest.fixture(scope="session")
def sampled(tmp_path_factory):
    """A study of forty random trials and a labelled one; an epoch is four batches."""
    settings = settings_of(
        search={"sampler": "random", "trials": 41},
        trial={
            "epochs": 1,
            "steps_per_epoch": 4,
            "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
            "momentum": {"low": 0.5, "high": 0.99, "log": "complement"},
            "dropout": {"low": 0.0, "high": 0.5},
            "batch_size": {"low": 10, "high": 14},
            "activation": {"choices": ["relu", "tanh"]},
        },
        enqueue=[{"label": "known", "learning_rate": 0.1}],
    )
    return run_study(settings, storage=str(tmp_path_factory.mktemp("sampled") / "j")).study


@pytest.fixture(scope="session")
def make_trial():
    """A function that makes a trial with a learning curve, which is pruned without a value."""

    def make(slot, values, *, value=None, label=None):
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        curves = dict.fromkeys(("train/loss", "train/accuracy", "val/loss", "val/accuracy"), values)
        setup = {"config": {}, "metric": "val/accuracy"} | ({"label": label} if label else {})
        attributes = {"slot": slot, "setup": setup, "curves": curves | {"times": [0] * len(values)}}
        return create_trial(state=state, value=value, user_attrs=attributes)

    return make


@pytest.fixture(scope="session")
def make_study():
    """A function that makes a study of given trials."""

    def make(*trials, definition=None):
        study = optuna.create_study(study_name="s", direction="maximize")
        study.set_user_attr("definition", {"search.metric": "val/accuracy"} | (definition or {}))
        study.add_trials(trials)
        return study

    return make
