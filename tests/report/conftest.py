"""Fixtures of the report's tests: trials and studies made by hand, and the contents of a page."""

import json
import re
from datetime import datetime, timedelta

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.search.study import run_study

START = datetime(2026, 1, 1, 12)
SPACE = {
    "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
    "one_minus_momentum": FloatDistribution(0.01, 0.5, log=True),
    "optimizer": CategoricalDistribution(["sgd", "adam"]),
    "width": IntDistribution(10, 50, step=20),
}
DATA = {"name": "digits", "digest": "0123456789abcdef", "source": "digits"}


@pytest.fixture(scope="session")
def study(make_settings, tmp_path_factory):
    """Thirty trials of three epochs; most are pruned, and the first has a label."""
    settings = make_settings(
        search={"trials": 30, "pruner": "median", "pruner_options": {"n_startup_trials": 8}},
        trial={"activation": {"choices": ["relu", "tanh"]}},
        enqueue=[{"label": "known", "learning_rate": 0.1}],
    )
    return run_study(settings, storage=str(tmp_path_factory.mktemp("report") / "j")).study


@pytest.fixture(scope="session")
def make_trial():
    """A function that makes a trial with a learning curve."""

    def make(slot, values, *, state=TrialState.COMPLETE, params=None, seconds=1.0, **attributes):
        """Return a trial of ten planned epochs of `seconds` each; slots start 100 s apart."""
        start = START + timedelta(seconds=100 * slot)
        params = params or {}
        times = [
            int((start + timedelta(seconds=seconds * (n + 1))).timestamp() * 1000)
            for n in range(len(values))
        ]
        curves = dict.fromkeys(("train/loss", "train/accuracy", "val/loss", "val/accuracy"), values)
        setup = {
            "config": {"epochs": 10, "momentum": 0.9},
            "metric": "val/accuracy",
            "seed": 0,
            "data": DATA,
        }
        stored = {"slot": slot, "setup": setup, "curves": curves | {"times": times}}
        trial = create_trial(
            state=state,
            value=max(values) if state is TrialState.COMPLETE else None,
            params=params,
            distributions={name: SPACE[name] for name in params},
            user_attrs=stored | attributes,
        )
        trial.datetime_start = start
        trial.datetime_complete = start + timedelta(seconds=seconds * len(values))
        return trial

    return make


@pytest.fixture(scope="session")
def make_study():
    """A function that makes a study of given trials."""

    def make(*trials, direction="maximize", **definition):
        study = optuna.create_study(study_name="s", direction=direction)
        study.set_user_attr("definition", {"search.metric": "val/accuracy"} | definition)
        study.add_trials(trials)
        return study

    return make


@pytest.fixture(scope="session")
def page_data():
    """A function that returns the JSON of a page that has the given id."""

    def data(page, name):
        (text,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page)
        return json.loads(text)

    return data


@pytest.fixture(scope="session")
def page_text():
    """A function that returns the text of a page, without tags and scripts."""

    def text(page):
        return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("<script")[0]))

    return text
