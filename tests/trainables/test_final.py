"""The one look at the test rows of a user's own model or of an estimator."""

# ruff: noqa: ARG001  (`folder` is where it is)

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from hpsearch import run_study
from hpsearch.cli import cli
from hpsearch.errors import SettingsError, StudyError
from hpsearch.settings.study import parse_settings
from hpsearch.storage.catalog import load_study
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import own_trials, repeat_of
from hpsearch.workspace import Workspace

URL = "h.journal"
MODEL = """
def load():
    return {"test": 0.25}

def train(config, *, epochs, seed):
    for epoch in range(1, epochs + 1):
        yield {"val/loss": abs(3 - epoch) + config["x"] + seed / 2**40}

def final(config, *, epochs, seed, data):
    with open("looks.txt", "a") as file:
        file.write(f"{epochs}\\n")
    return {"val/loss": config["x"] + data["test"] + epochs, "rows": 10.0}
"""


def settings_for(*, final="net.py:final", **model):
    model = {"train": "net.py:train", "final": final, **model}
    return parse_settings(
        {
            "name": "own",
            "model": {key: value for key, value in model.items() if value},
            "search": {"metric": "val/loss", "sampler": "random", "pruner": "none", "trials": 4},
            "trial": {"epochs": 5, "x": {"low": 0.5, "high": 2.0}},
        },
        "own.toml",
    )


@pytest.fixture
def folder(working_folder):
    """A folder with a model that has data and test rows."""
    code = MODEL.replace("epochs, seed):\n    for", "epochs, seed, data):\n    for")
    (working_folder / "net.py").write_text(code)
    return working_folder


def test_a_function_scores_its_test_rows_once(folder, mlflow_uri):
    study = run_study(settings_for(data="net.py:load"), storage=URL).study
    workspace = Workspace(URL, mlflow_uri)
    evaluation = workspace.evaluate("own-random", top=2, seeds=3).evaluation
    x = study.best_trial.params["x"]
    assert evaluation.epochs == 3  # the best one
    assert evaluation.model_scores == {"test/loss": [x + 3.25] * 3, "test/rows": [10.0] * 3}
    assert (folder / "looks.txt").read_text() == "3\n" * 3
    again = workspace.evaluate("own-random", top=2, seeds=3).evaluation
    assert again.model_scores == evaluation.model_scores
    assert (folder / "looks.txt").read_text() == "3\n" * 3
    assert evaluation.test_use.title == "first use"
    repeats = own_trials(load_study(open_storage(URL), "own-random.evaluation"))
    assert [repeat_of(trial).kind for trial in repeats].count("final") == 3
    client = MlflowClient(mlflow_uri)
    (run,) = client.search_runs(["1"], "tags.`hpsearch.kind` = 'evaluation'")
    assert run.data.metrics["test/loss"] == x + 3.25
    page = workspace.report("own-random").path.read_text()
    assert "Test rows of the model, first use" in page
    assert "mean of 3" in page


def test_another_study_of_the_same_model_has_to_ask(folder):
    settings = settings_for(data="net.py:load")
    for name in ("first", "second"):
        run_study(settings, storage=URL, name=name)
    workspace = Workspace(URL, tracked=False)
    workspace.evaluate("first", top=1, seeds=1)
    second = workspace.evaluate("second", top=1, seeds=1).evaluation
    assert second.model_scores == {}
    assert "the test set of these data has been used once" in second.unscored
    asked = workspace.evaluate("second", top=1, seeds=1, again=True).evaluation
    assert asked.model_scores
    assert asked.test_use.title == "use 2, so no longer unseen"


def test_the_command_prints_the_scores(folder):
    run_study(settings_for(data="net.py:load"), storage=URL)
    command = ["evaluate", "own-random", "--top", "1", "--seeds", "2"]
    arguments = [*command, "--storage", URL, "--no-tracking"]
    printed = CliRunner().invoke(cli, arguments).output
    assert "Test rows of the model, first use" in printed
    assert "one model" in printed
    record = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)
    assert record["test"]["models"]["test/rows"] == [10.0, 10.0]


def test_without_final_nothing_is_scored(folder):
    run_study(settings_for(final=None, data="net.py:load"), storage=URL)
    evaluation = Workspace(URL, tracked=False).evaluate("own-random", top=1, seeds=1).evaluation
    assert evaluation.unscored == "no test rows were held back"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("def final(config):\n    return {}", "final returned {}, which is no score"),
        ("def final(config):\n    return {'loss': float('nan')}", "which is no score"),
        (
            "def final(config):\n    return 'good'",
            "model.final yielded 'good'; an epoch is a mapping",
        ),
        ("def final(config):\n    return 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_final_that_scores_nothing_is_named(folder, code, sentence):
    model = MODEL.partition("def final")[0] + code
    (folder / "net.py").write_text(model)
    run_study(settings_for(), storage=URL)
    with pytest.raises(StudyError, match=sentence):
        Workspace(URL, tracked=False).evaluate("own-random", top=1, seeds=1)


@pytest.mark.parametrize(
    ("final", "sentence"),
    [
        ("net.py:fnal", "model.final: 'fnal' is not a function of net.py; did you mean 'final'"),
        ("net.py:wrong", "model.final: net.py:wrong asks for 'rows', which nothing gives"),
    ],
)
def test_a_wrong_final_is_named_before_anything_runs(folder, final, sentence):
    (folder / "net.py").write_text(MODEL + "\ndef wrong(config, rows):\n    return 1.0\n")
    with pytest.raises(SettingsError, match=sentence):
        run_study(settings_for(final=final, data="net.py:load"), storage=URL)


def test_an_estimator_is_trained_on_all_but_the_sealed_rows(working_folder):
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(200, 3)), columns=["a", "b", "y"])
    table["y"] += table["a"] * 3
    table.to_csv("rows.csv", index=False)
    settings = parse_settings(
        {
            "name": "ridge",
            "model": {"estimator": "sklearn.linear_model.Ridge"},
            "data": {"source": "rows.csv", "target": "y"},
            "search": {"metric": "val/rmse", "sampler": "random", "trials": 3},
            "trial": {"alpha": {"low": 0.1, "high": 10.0}},
        },
        "ridge.toml",
    )
    study = run_study(settings, storage=URL).study
    evaluation = Workspace(URL, tracked=False).evaluate("ridge-random", top=1, seeds=2).evaluation
    rest, test = train_test_split(np.arange(200), test_size=0.2, random_state=0)
    x, y = table[["a", "b"]], table["y"]
    scaler = StandardScaler().fit(x.iloc[rest])
    ridge = Ridge(**study.best_trial.params).fit(scaler.transform(x.iloc[rest]), y.iloc[rest])
    predicted = ridge.predict(scaler.transform(x.iloc[test]))
    expected = root_mean_squared_error(y.iloc[test], predicted)
    assert evaluation.model_scores["test/rmse"] == pytest.approx([expected] * 2)
    assert evaluation.test_use.digest == study.trials[0].user_attrs["setup"]["data"]["digest"]
