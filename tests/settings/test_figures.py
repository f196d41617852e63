"""[[figure]] in a study file: reading it, refusing it and writing it back."""

import tomllib

import pytest

from hpsearch.errors import SettingsError
from hpsearch.figures.declared import DRAWERS
from hpsearch.settings.definition import definition
from hpsearch.settings.figures import KINDS, FigureSettings
from hpsearch.settings.study import load_settings, parse_settings

STUDY = """
[trial]
learning_rate = { low = 1e-3, high = 1.0, log = true }
batch_norm = { choices = ["none", "before"] }
epochs = 3

[[figure]]
kind = "curves"

[[figure]]
kind = "curves"
name = "losses"
title = "How it falls"
metrics = ["train/loss", "val/loss"]
smooth = 3
log = true
top = 5

[[figure]]
kind = "panels"
panels = "batch_norm"
lines = "learning_rate"
"""
SPACE = {"learning_rate": {"low": 0.1, "high": 0.5}, "batch_norm": {"choices": ["none", "after"]}}


def parse(*figures, **tables):
    return parse_settings({"name": "n", "trial": SPACE, "figure": [*figures], **tables}, "f.toml")


def refusal(*figures, **tables):
    with pytest.raises(SettingsError) as error:
        parse(*figures, **tables)
    return str(error.value)


def test_figures_are_read_with_the_defaults_of_their_kind(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    curves, losses, panels = load_settings(tmp_path / "study.toml").figure
    assert (curves.kind, curves.name, curves.title) == ("curves", "curves", None)
    assert curves.metrics == ()  # those of the study
    assert (curves.smooth, curves.log, curves.top) == (1, False, 20)
    assert (losses.name, losses.title) == ("losses", "How it falls")
    assert losses.metrics == ("train/loss", "val/loss")
    assert (losses.smooth, losses.log, losses.top) == (3, True, 5)
    assert (panels.panels, panels.lines) == ("batch_norm", "learning_rate")
    assert panels.metrics == ()


def test_a_study_without_figures_has_none_in_its_file():
    settings = parse()
    assert settings.figure == ()
    assert "figure" not in settings.to_toml()


def test_the_file_that_is_written_declares_the_same_figures(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    settings = load_settings(tmp_path / "study.toml")
    written = tomllib.loads(settings.to_toml())
    assert parse_settings(written, "again") == settings
    assert written["figure"][0] == {
        "name": "curves",
        "kind": "curves",
        "smooth": 1,
        "log": False,
        "top": 20,
    }
    assert settings.replace(search={"trials": 3}).figure == settings.figure


def test_figures_are_not_part_of_the_definition():
    plain, drawn = parse(), parse({"kind": "best"})
    assert definition(plain, "d") == definition(drawn, "d")


def test_every_kind_has_a_function_that_draws_it():
    assert KINDS.keys() == DRAWERS.keys()


@pytest.mark.parametrize(
    ("figure", "sentence"),
    [
        (
            {"kind": "curvs"},
            "0.kind: 'curvs' is not a figure; did you mean 'curves'? "
            "(curves, panels, best, gradients, values, means)",
        ),
        ({}, "0.kind: is missing"),
        ({"kind": 3}, "0.kind: must be text, but got 3"),
        (3, "0: must be a table, but got 3"),
        (
            {"kind": "best", "tpo": 3},
            "0.tpo: 'tpo' is not a key here; did you mean 'top'? "
            "(kind, name, title, metrics, smooth, log, panels, lines, top, labels)",
        ),
        ({"kind": "best", "smooth": 0}, "0.smooth: must be at least 1, but got 0"),
        ({"kind": "best", "smooth": 1.5}, "0.smooth: must be a whole number, but got 1.5"),
        ({"kind": "best", "log": 1}, "0.log: must be true or false, but got 1"),
        ({"kind": "best", "top": 0}, "0.top: must be at least 1, but got 0"),
        ({"kind": "best", "metrics": "val/loss"}, "0.metrics: must be a list, but got 'val/loss'"),
        (
            {"kind": "best", "metrics": ["val/los"]},
            "0.metrics: 'val/los' is not a metric; did you mean 'val/loss'? "
            "(train/loss, train/accuracy, val/loss, val/accuracy)",
        ),
        (
            {"kind": "best", "metrics": []},
            "0.metrics: must name one or two different metrics, but got []",
        ),
        (
            {"kind": "best", "metrics": ["val/loss", "val/loss"]},
            "0.metrics: must name one or two different metrics, but got ['val/loss', 'val/loss']",
        ),
        (
            {"kind": "best", "metrics": ["val/loss", "val/accuracy"]},
            "0.metrics: val/loss and val/accuracy cannot share an axis; draw two figures",
        ),
        (
            {"kind": "values", "log": True},
            "0.log: is not for 'values'; it is for 'curves', 'panels', 'best'",
        ),
        (
            {"kind": "panels"},
            "0.panels: is missing; it names the searched key whose values make the panels",
        ),
        (
            {"kind": "panels", "panels": "batchnorm"},
            "0.panels: 'batchnorm' is not a searched key; did you mean 'batch_norm'? "
            "(learning_rate, batch_norm)",
        ),
        (
            {"kind": "panels", "panels": "batch_norm", "lines": "epochs"},
            "0.lines: 'epochs' is not a searched key (learning_rate, batch_norm)",
        ),
        (
            {"kind": "panels", "panels": "batch_norm", "lines": "batch_norm"},
            "0.lines: 'batch_norm' already makes the panels; name another key",
        ),
        ({"kind": "means", "labels": ["plane"]}, "0.labels: 'plane' is not a label ("),
        (
            {"kind": "best", "labels": ["a"]},
            "0.labels: is not for 'best'; it is for 'curves', 'gradients', 'means'",
        ),
        ({"kind": "gradients"}, "0.kind: 'gradients' needs diagnostics = true in [search]"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_sentence(figure, sentence):
    assert refusal(figure).startswith(f"f.toml: figure.{sentence}")


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 101, "two words"])
def test_a_name_must_be_a_valid_file_name(name):
    assert refusal({"kind": "best", "name": name}) == (
        f"f.toml: figure.0.name: {name!r} is not a valid file name; use up to 100 letters, digits, "
        "'.', '_' and '-', and do not begin with '.'"
    )


@pytest.mark.parametrize("name", ["losses", "Losses"])
def test_two_figures_need_different_names(name):
    first, second = {"kind": "curves", "name": "losses"}, {"kind": "curves", "name": name}
    assert refusal(first, second) == (
        "f.toml: figure.1.name: figure.0 is also called 'losses'; rename one"
    )


@pytest.mark.parametrize("tables", [3, {"kind": "best"}])
def test_figures_must_be_tables(tables):
    assert refusal(figure=tables) == (
        f"f.toml: figure: must be [[figure]] tables, but got {tables!r}"
    )


def test_a_study_with_diagnostics_can_draw_gradients():
    (figure,) = parse({"kind": "gradients"}, search={"diagnostics": True}).figure
    assert figure == FigureSettings(kind="gradients")


def test_a_figure_cannot_name_a_label_if_there_is_none():
    assert refusal({"kind": "means", "labels": ["a"]}) == (
        "f.toml: figure.0.labels: 'a' is not a label (there is none)"
    )
