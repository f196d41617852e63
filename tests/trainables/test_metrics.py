"""The metrics of a user's own model: their directions, their figures and how they read."""

# ruff: noqa: ARG001  (`folder` is where it is)

import pytest
from PIL import Image

from hpsearch import Tracker, load_settings, run_study
from hpsearch.analysis.history import History
from hpsearch.analysis.ranking import best_epoch
from hpsearch.errors import SettingsError, StudyError
from hpsearch.figures.declared import draw_figures
from hpsearch.settings.study import parse_settings
from hpsearch.storage.catalog import study_settings
from hpsearch.trials.metrics import bounds, common_format, is_share, known_direction
from hpsearch.workspace import Workspace

DECLARING = """
import does_not_exist_until_it_trains

METRICS = {"val/lift": "maximize", "val/cost": "minimize"}

def train(config):
    return 1.0
"""
CURVES = """
METRICS = {"val/lift": "maximize", "train/lift": "maximize", "val/late": "minimize"}

def train(config, *, epochs):
    for epoch in range(1, epochs + 1):
        late = {"val/late": 100.0 + epoch} if epoch > 2 else {}
        odd = None if epoch % 2 else 3.0 * epoch
        yield {"val/lift": config["x"] * epoch, "train/lift": odd, **late}
"""
SEARCH = {"metric": "val/lift", "sampler": "random", "pruner": "none", "trials": 3}


def table(**tables):
    return {
        "name": "own",
        "model": {"train": "net.py:train"},
        "search": SEARCH | tables.pop("search", {}),
        "trial": {"epochs": 4, "x": {"low": 1.0, "high": 2.0}},
    } | tables


@pytest.fixture
def folder(working_folder):
    (working_folder / "net.py").write_text(CURVES)
    return working_folder


def test_a_file_declares_the_directions_of_its_metrics(folder):
    (folder / "net.py").write_text(DECLARING)
    for metric, direction in [("val/lift", "maximize"), ("val/cost", "minimize")]:
        settings = parse_settings(table(search={"metric": metric}), "own.toml")
        assert settings.search.direction == direction
        assert f'direction = "{direction}"' in settings.to_toml()  # which needs no file any more


def test_a_declared_metric_is_found_beside_the_study_file(folder, tmp_path, monkeypatch):
    (folder / "own.toml").write_text(
        '[model]\ntrain = "net.py:train"\n[search]\nmetric = "val/lift"\n[trial]\nx = 1.0\n'
    )
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert load_settings("../own.toml").search.direction == "maximize"


def test_a_function_declares_its_metrics_too(folder):
    namespace = {"METRICS": {"val/lift": "minimize"}}
    exec("def train(config):\n    return 1.0", namespace)
    settings = parse_settings(table(model={"train": namespace["train"]}), "own.toml")
    assert settings.search.direction == "minimize"


@pytest.mark.parametrize(
    ("declared", "search", "sentence"),
    [
        (
            "{'val/lift': 'maximize'}",
            {"metric": "val/lfit"},
            "'val/lfit' is not a metric of net.py",
        ),
        ("{'val/lift': 'maximize'}", {"direction": "minimize"}, "is 'minimize', but METRICS of"),
        ("['val/lift']", {}, r"METRICS of net.py:train must be such as"),
        ("{'val/lift': 'up'}", {}, r"with 'maximize' or 'minimize' for each metric"),
        ("made()", {}, r"a plain dictionary .*, but is 'made\(\)'"),
        (
            "{}",
            {},
            r"search.direction: is missing; write 'maximize' if a higher val/lift is better",
        ),
    ],
)
def test_wrong_declarations_are_one_sentence(folder, declared, search, sentence):
    (folder / "net.py").write_text(f"METRICS = {declared}\ndef train(config): return 1.0\n")
    with pytest.raises(SettingsError, match=sentence):
        parse_settings(table(search=search), "own.toml")


def test_every_command_draws_the_metrics_of_the_model(folder):
    figures = [
        {"kind": "best"},
        {"kind": "curves"},
        {"kind": "panels", "panels": "x", "title": "by x"},
        {"kind": "best", "name": "late", "metrics": ["val/late"]},
    ]
    trial = {"epochs": 4, "x": {"choices": [1.0, 2.0]}}
    settings = parse_settings(table(figure=figures, trial=trial), "own.toml")
    study = run_study(settings, storage="h.journal").study
    assert study_settings(study).search.direction == "maximize"
    drawn = draw_figures(study)
    labels = {
        name: (figure.get_supylabel() or figure.axes[0].get_ylabel())
        for name, figure in drawn.items()
    }
    assert labels == {
        "best": "val/lift, train/lift",
        "curves": "val/lift, train/lift",
        "panels": "train/lift",
        "late": "val/late",
    }
    for figure in drawn.values():
        lines = [line for axes in figure.axes for line in axes.get_lines() if len(line.get_xdata())]
        assert lines
    workspace = Workspace("h.journal", tracked=False)
    assert workspace.report("own-random").path.stat().st_size > 100_000
    workspace.figures("own-random", save="figures")
    with Image.open("figures/late.png") as image:
        assert image.size[0] > 300


def test_a_figure_of_a_metric_that_no_trial_has_is_refused(folder):
    figure = [{"kind": "best", "metrics": ["val/lfit"]}]
    study = run_study(parse_settings(table(figure=figure), "own.toml"), storage="h.journal").study
    with pytest.raises(StudyError, match=r"figure 'best': 'val/lfit' is not a metric of study"):
        draw_figures(study)


@pytest.mark.parametrize(
    ("metric", "direction", "share", "ends"),
    [
        ("val/accuracy", "maximize", True, (0.0, 1.0)),
        ("val/accuracy (test set)", "maximize", True, (0.0, 1.0)),
        ("val/rmse", "minimize", False, (0.0, float("inf"))),
        ("Val-AUC", "maximize", True, (0.0, 1.0)),
        ("r2", "maximize", False, (float("-inf"), float("inf"))),
        ("val/lift", None, False, (float("-inf"), float("inf"))),
    ],
)
def test_what_a_name_says(metric, direction, share, ends):
    assert (known_direction(metric), is_share(metric), bounds(metric)) == (direction, share, ends)


@pytest.mark.parametrize(
    ("values", "metric", "expected"),
    [
        ([0.00012, 0.5], "val/accuracy", ".4f"),
        ([0.00012, 0.5], "val/loss", ".6f"),
        ([0.9, 12.0], "val/rmse", ".4f"),
        ([23451.2, 99000.0], "val/rmse", ".1f"),
        ([123.4, 150.0], "val/rmse", ".2f"),
        ([95.1, 96.0], "val/accuracy", ".3f"),  # in percent
        ([], "val/rmse", ".4f"),
    ],
)
def test_digits_follow_the_values(values, metric, expected):
    assert common_format(values, metric) == expected


FALLING = """
def train(config, *, epochs):
    for epoch in range(1, epochs + 1):
        yield {"val/lift": config["x"] - epoch if epoch != 3 else None, "other": 1.0}
"""


def test_the_last_epoch_counts_where_a_study_says_so(folder):
    (folder / "net.py").write_text(FALLING)
    search = {"value": "last", "direction": "maximize", "trials": 2}
    settings = parse_settings(table(search=search), "own.toml")
    study = run_study(settings, storage="h.journal").study
    for trial in study.trials:
        assert trial.value == trial.params["x"] - 4
        assert best_epoch(trial) == 4
    workspace = Workspace("h.journal", tracked=False)
    record = workspace.best("own-random").records()[0]
    assert (record["value"], record["best_epoch"]) == (study.best_value, 4)
    history = History.of_rounds([study], "val/lift")
    assert (history.best, history.spent) == (study.best_value, 8)
    assert workspace.report("own-random").path.is_file()
    other = parse_settings(table(search={**search, "value": "best"}), "own.toml")
    with pytest.raises(StudyError, match=r"search\.value last, now best"):
        run_study(other, storage="h.journal")


def test_epochs_without_the_metric_are_spent_all_the_same(folder):
    (folder / "net.py").write_text(FALLING)
    search = {"direction": "maximize", "trials": 2}
    study = run_study(parse_settings(table(search=search), "own.toml"), storage="h.journal").study
    history = History.of_rounds([study], "val/lift")
    assert (history.best, history.spent) == (study.best_value, 8)


@pytest.mark.parametrize(("direction", "ascending"), [("minimize", "true"), ("maximize", "false")])
def test_mlflow_shows_the_best_first_whichever_way_is_better(
    folder, mlflow_uri, direction, ascending
):
    (folder / "net.py").write_text("def train(config):\n    return config['x']\n")
    search = {"metric": "val/lift", "direction": direction}
    settings = parse_settings(table(search=search), "own.toml")
    run_study(settings, storage="h.journal", tracker=Tracker(mlflow_uri))
    page = Workspace("h.journal", mlflow_uri).tracking_page("own-random")
    assert "orderByKey=metrics.%60val%2Flift_best%60" in page
    assert f"orderByAsc={ascending}" in page
