"""Figures of a study: what is on them, and where they go."""

from statistics import fmean, stdev

import numpy as np
import optuna
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from optuna.trial import TrialState, create_trial

from hpsearch.analysis.mean_curves import config_values, mean_curve, running_mean
from hpsearch.errors import SettingsError, StudyError, TrackingError
from hpsearch.figures.declared import draw, draw_figures, figures_of
from hpsearch.figures.drawing import COLOURS
from hpsearch.figures.illustrations import draw_histograms, draw_paths
from hpsearch.figures.samples import histogram_bins
from hpsearch.figures.saving import save_figures
from hpsearch.search.rounds import run_rounds
from hpsearch.search.study import run_study
from hpsearch.settings.figures import FigureSettings
from hpsearch.settings.study import parse_settings
from hpsearch.space.ranges import Choices, Range
from hpsearch.tracking.artifacts import log_figures, log_study_figures, publish
from hpsearch.tracking.store import TrackingStore
from hpsearch.tracking.tracker import Tracker
from model.diagnostics import Histogram

PNG = b"\x89PNG\r\n"
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


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Four configurations, two seeds each, with the norms of their gradients."""
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


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """Forty random trials and a labelled one; an epoch is four batches."""
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


def curves_of(trial, metric="val/accuracy"):
    return trial.user_attrs["curves"][metric]


def trial_with(slot, values, *, value=None, config=None, label=None):
    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
    curves = dict.fromkeys(("train/loss", "train/accuracy", "val/loss", "val/accuracy"), values)
    setup = {"config": config or {}, "metric": "val/accuracy"} | ({"label": label} if label else {})
    attributes = {"slot": slot, "setup": setup, "curves": curves | {"times": [0] * len(values)}}
    return create_trial(state=state, value=value, user_attrs=attributes)


def study_with(*trials, definition=None):
    study = optuna.create_study(study_name="s", direction="maximize")
    study.set_user_attr("definition", {"search.metric": "val/accuracy"} | (definition or {}))
    study.add_trials(trials)
    return study


def figure(kind, **keys):
    return FigureSettings(kind=kind, **keys)


def legend(drawn):
    return [text.get_text() for text in drawn.legends[0].get_texts()] if drawn.legends else []


def points(line):
    return list(line.get_xdata()), list(line.get_ydata())


# Lines


def test_a_line_is_the_mean_of_those_that_are_still_there():
    trials = [trial_with(0, [0.1, 0.3, 0.8]), trial_with(1, [0.5])]
    line = mean_curve(trials, "val/accuracy")
    assert line.x == [1, 2, 3]
    assert line.mean == [fmean([0.1, 0.5]), 0.3, 0.8]
    assert (line.low, line.high) == ([0.1, 0.3, 0.8], [0.5, 0.3, 0.8])


def test_where_an_epoch_is_so_many_batches_x_counts_iterations():
    trials = [trial_with(0, [0.1, 0.3], config={"steps_per_epoch": 100})]
    assert mean_curve(trials, "val/loss").x == [100, 200]


def test_a_running_mean_looks_back():
    assert running_mean([1.0, 2.0, 6.0, 7.0], 3) == [1.0, 1.5, 3.0, 5.0]
    assert running_mean([0.1, 0.2, 0.3], 1) == [0.1, 0.2, 0.3]
    assert running_mean([], 5) == []


def test_values_come_as_the_file_lists_them_and_numbers_of_a_range_in_order():
    trials = [trial_with(n, [], config={"dropout": d}) for n, d in enumerate((0.2, 0.1, 0.3, 0.1))]
    assert config_values(trials, "dropout", Choices((0.3, 0.1, 0.2, 0.9))) == [0.3, 0.1, 0.2]
    assert config_values(trials, "dropout", Range(low=0.0, high=0.5)) == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("key", "sizes", "value"),
    [("hidden_layers", [5, 5], 2), ("hidden_units", [7], 7), ("hidden_layer_sizes", [9, 4], "9-4")],
)
def test_a_shape_is_a_value_too(key, sizes, value):
    trial = trial_with(0, [], config={"hidden_layer_sizes": sizes})
    searched = Choices(((9, 4), (3,))) if key == "hidden_layer_sizes" else Range(low=1, high=9)
    assert config_values([trial], key, searched) == [value]


# Curves


def test_curves_have_a_line_for_each_configuration_and_metric(grid):
    drawn = draw(grid, figure("curves"))
    (axes,) = drawn.axes
    lines = axes.get_lines()
    assert len(lines) == 8
    assert {line.get_linestyle() for line in lines[::2]} == {"-"}
    assert {line.get_linestyle() for line in lines[1::2]} == {"--"}
    assert [line.get_color() for line in lines[::2]] == list(COLOURS[:4])
    assert [line.get_color() for line in lines[1::2]] == list(COLOURS[:4])
    first, second = grid.trials[:2]
    means = [fmean(pair) for pair in zip(curves_of(first), curves_of(second), strict=True)]
    assert points(lines[0]) == ([1, 2, 3], means)
    assert len(axes.collections) > 0  # the bands
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "val/accuracy, train/accuracy")
    names = [f"weight_std {std}, batch_norm {norm}" for std in STDS for norm in NORMS]
    assert legend(drawn) == [*names, "val/accuracy", "train/accuracy"]


def test_a_band_reaches_from_the_lowest_to_the_highest():
    trials = [trial_with(0, [0.1, 0.4], value=0.4), trial_with(1, [0.3, 0.4], value=0.4)]
    study = study_with(*trials, definition={"search.seeds": "2"})
    (axes,) = draw(study, figure("curves", metrics=["val/accuracy"])).axes
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    assert sorted({y for x, y in corners if x == 1}) == [0.1, 0.3]
    assert {y for x, y in corners if x == 2} == {0.4}


@pytest.mark.parametrize(
    ("seeds", "names"), [(1, ["trial 0", "trial 1"]), (2, ["trials 0 to 1", "trials 2 to 3"])]
)
def test_a_configuration_whose_label_is_too_long_goes_by_its_trials(seeds, names):
    label = "a label of many words " * 4
    trials = [trial_with(slot, [0.5], value=0.5, label=label) for slot in range(2 * seeds)]
    study = study_with(*trials, definition={"search.seeds": str(seeds)})
    assert legend(draw(study, figure("curves", metrics=("val/loss",)))) == names


def test_smooth_log_title_and_top(grid):
    settings = figure(
        "curves", metrics=["train/loss"], smooth=2, log=True, top=1, title="It costs $5, not $6"
    )
    drawn = draw(grid, settings)
    (axes,) = drawn.axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "train/loss (mean of 2 epochs)"
    assert drawn.get_suptitle() == r"It costs \$5, not \$6"  # no formula
    (line,) = axes.get_lines()
    pairs = [grid.trials[n : n + 2] for n in range(0, 8, 2)]
    best = max(pairs, key=lambda pair: fmean(trial.value for trial in pair))
    smoothed = [running_mean(curves_of(trial, "train/loss"), 2) for trial in best]
    assert list(line.get_ydata()) == pytest.approx(np.mean(smoothed, axis=0))


def test_a_configuration_that_diverged_ends():
    study = study_with(
        trial_with(0, [0.1, 0.2], label="diverged"), trial_with(1, [0.5] * 4, value=0.5, label="ok")
    )
    drawn = draw(study, figure("curves", metrics=["val/accuracy"]))
    assert [points(line)[0] for line in drawn.axes[0].get_lines()] == [[1, 2], [1, 2, 3, 4]]
    assert legend(drawn) == ["diverged", "ok"]


def test_the_axis_says_that_the_test_set_validates():
    study = study_with(trial_with(0, [0.5], value=0.5), definition={"data.validation": "test"})
    drawn = draw(study, figure("curves"))
    assert drawn.axes[0].get_ylabel() == "val/accuracy (test set), train/accuracy"
    assert "val/accuracy (test set)" in legend(drawn)
    assert draw(study, figure("means")).axes[0].get_xlabel() == "val/accuracy (test set)"


def test_iterations_are_on_the_axis(sampled):
    drawn = draw(sampled, figure("curves", top=3))
    assert drawn.axes[0].get_xlabel() == "iteration"
    assert {tuple(line.get_xdata()) for line in drawn.axes[0].get_lines()} == {(4,)}
    assert drawn.get_suptitle() == "tiny-random, the best 3 of 41"


# Panels and the best


def test_panels_by_one_key_and_lines_by_another(grid):
    drawn = draw(grid, figure("panels", panels="weight_std", lines="batch_norm"))
    assert [axes.get_title() for axes in drawn.axes] == ["0.5", "0.01"]
    assert legend(drawn) == ["batch_norm none", "batch_norm before"]
    assert drawn.axes[0].get_ylim() == drawn.axes[1].get_ylim()
    for std, axes in zip(STDS, drawn.axes, strict=True):
        assert len(axes.get_lines()) == 2
        for norm, line in zip(NORMS, axes.get_lines(), strict=True):
            its = [t for t in grid.trials if t.params == {"weight_std": std, "batch_norm": norm}]
            curves = [curves_of(trial, "train/accuracy") for trial in its]
            assert len(curves) == 2
            assert list(line.get_ydata()) == pytest.approx(np.mean(curves, axis=0))
    assert (drawn.get_supxlabel(), drawn.get_supylabel()) == ("epoch", "train/accuracy")


def test_more_panels_than_can_be_read_are_refused(sampled):
    with pytest.raises(
        StudyError,
        match=r"figure 'panels': dropout has 40 values; a figure has at most 36 panels",
    ):
        draw(sampled, figure("panels", panels="dropout"))


def test_labels_choose_what_is_drawn_and_leave_the_panels_alone():
    trials = [
        trial_with(slot, [0.1, 0.2], value=0.2, label=label)
        for slot, label in enumerate(["plain", "odd", "wide"])
    ]
    study = study_with(*trials)
    drawn = draw(study, figure("curves", labels=("wide", "plain"), metrics=("val/loss",)))
    assert legend(drawn) == ["plain", "wide"]
    assert drawn.get_suptitle() == "s"  # they are chosen, not the best
    rows = draw(study, figure("means", labels=("odd",))).axes[0].get_yticklabels()
    assert [row.get_text() for row in rows] == ["odd"]


@pytest.mark.parametrize("kind", ["curves", "gradients", "means"])
def test_what_a_figure_names_may_not_have_run_yet(kind):
    study = study_with(trial_with(0, [0.5], value=0.5, label="plain"))
    sentence = f"figure '{kind}': study 's' has no trial of 'wide' and 'odd' yet"
    with pytest.raises(StudyError, match=sentence):
        draw(study, figure(kind, labels=("wide", "odd")))


def test_the_best_trials_have_a_panel_each(grid):
    drawn = draw(grid, figure("best", top=7))
    best = sorted(grid.trials, key=lambda trial: (-trial.value, trial.number))[:7]
    titles = [f"Best-{n} {trial.value:.4g}" for n, trial in enumerate(best, start=1)]
    assert [axes.get_title() for axes in drawn.axes] == titles
    for trial, axes in zip(best, drawn.axes, strict=True):
        solid, dashed = axes.get_lines()
        assert list(solid.get_ydata()) == curves_of(trial)
        assert list(dashed.get_ydata()) == curves_of(trial, "train/accuracy")
        assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert drawn.axes[0].get_gridspec().ncols == 5
    assert len({axes.get_ylim() for axes in drawn.axes}) == 1
    assert legend(drawn) == ["val/accuracy", "train/accuracy"]


# Gradients, values, means


def test_gradients_by_layer_in_the_first_and_the_last_epoch(grid):
    drawn = draw(grid, figure("gradients"))
    assert [axes.get_title() for axes in drawn.axes] == ["first epoch", "last epoch"]
    for axes, epoch in zip(drawn.axes, (0, -1), strict=True):
        assert axes.get_yscale() == "log"
        norms = [t.user_attrs["curves"]["gradient_norms"][epoch] for t in grid.trials[:2]]
        x, y = points(axes.get_lines()[0])
        assert x == [1, 2]
        assert y == pytest.approx(np.mean(norms, axis=0))
        assert len(axes.get_lines()) == 4
    assert len(legend(drawn)) == 4


def test_a_study_without_diagnostics_has_no_gradients(sampled):
    with pytest.raises(StudyError, match=r"kept no gradient norms; .* says diagnostics = true"):
        draw(sampled, figure("gradients"))


def test_sampled_values_on_their_own_scales(sampled):
    drawn = draw(sampled, figure("values"))
    panels = {axes.get_xlabel(): axes for axes in drawn.axes}
    assert list(panels) == [
        *["learning_rate", "1 − momentum", "dropout", "batch_size", "activation"]
    ]
    scales = [axes.get_xscale() for axes in panels.values()]
    assert scales == ["log", "log", "linear", "linear", "linear"]
    # Forty values: the labelled configuration's were not sampled.
    for name, bins in (("learning_rate", 6), ("1 − momentum", 6), ("dropout", 6)):
        heights = [bar.get_height() for bar in panels[name].patches]
        assert len(heights) == bins
        assert sum(heights) == pytest.approx(40)
        assert panels[name].get_lines()[0].get_ydata()[0] == pytest.approx(40 / bins)
    assert [bar.get_height() for bar in panels["batch_size"].patches] == [
        sum(trial.params["batch_size"] == size for trial in sampled.trials[1:])
        for size in range(10, 15)
    ]
    assert panels["1 − momentum"].get_xlim() == pytest.approx((0.01, 0.5))
    counts = [bar.get_height() for bar in panels["activation"].patches]
    chosen = [trial.params["activation"] for trial in sampled.trials[1:]]
    assert counts == [chosen.count("relu"), chosen.count("tanh")]
    assert panels["activation"].get_lines()[0].get_ydata()[0] == 20


def test_repeats_of_a_configuration_were_sampled_once(grid):
    stds, norms = draw(grid, figure("values")).axes
    assert [[bar.get_height() for bar in axes.patches] for axes in (stds, norms)] == [[2, 2]] * 2
    assert [axes.get_ylabel() for axes in (stds, norms)] == ["configurations"] * 2


@pytest.mark.parametrize(
    ("entry", "edges", "shares"),
    [
        (Range(low=0.0, high=1.0), [0, 0.25, 0.5, 0.75, 1], [0.25] * 4),
        (Range(low=1e-4, high=1.0, log=True), [1e-4, 1e-3, 1e-2, 0.1, 1], [0.25] * 4),
        (Range(low=0.9, high=0.99, log="complement"), None, [0.25] * 4),
        (Range(low=1, high=3), [0.5, 1.5, 2.5, 3.5], [1 / 3] * 3),
        (Range(low=0.1, high=0.9, step=0.4), [-0.1, 0.3, 0.7, 1.1], [1 / 3] * 3),
        (Range(low=1, high=10), [0.5, 2.5, 5.5, 8.5, 10.5], [0.2, 0.3, 0.3, 0.2]),
    ],
)
def test_bins_are_even_on_the_scale_that_is_sampled(entry, edges, shares):
    found, parts = histogram_bins(entry, 4)
    assert edges is None or found == pytest.approx(edges)
    assert parts == pytest.approx(shares)


def test_bins_of_whole_numbers_on_a_log_scale_hold_what_is_drawn_in_them():
    entry, draws = Range(low=1, high=200, log=True), 4000
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler)
    values = [entry.suggest(study.ask(), "n") for _ in range(draws)]
    edges, shares = histogram_bins(entry, 8)
    counts, _ = np.histogram(values, edges)
    assert counts / draws == pytest.approx(shares, abs=0.03)


def test_means_have_a_row_for_each_configuration(grid):
    (axes,) = draw(grid, figure("means")).axes
    names = [f"weight_std {std}, batch_norm {norm}" for std in STDS for norm in NORMS]
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first at the top
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    for row, text in enumerate(axes.texts):
        values = [trial.value for trial in grid.trials[2 * row : 2 * row + 2]]
        assert points(dots[row]) == (values, [row, row])
        assert text.get_text() == f"{fmean(values):.4f} ± {stdev(values):.2g}"
    bars = [path for bars in axes.collections for path in bars.get_paths()]
    values = [trial.value for trial in grid.trials[:2]]
    ends = [fmean(values) - stdev(values), fmean(values) + stdev(values)]
    assert list(bars[0].vertices[:, 0]) == pytest.approx(ends)
    assert axes.get_xlabel() == "val/accuracy"


def test_means_say_what_was_lost():
    trials = [trial_with(0, [0.5], value=0.5), trial_with(1, [0.1]), trial_with(2, [])]
    study = study_with(*trials, definition={"search.seeds": "2"})
    (axes,) = draw(study, figure("means")).axes
    said = [text.get_text() for text in axes.texts]
    assert said == ["0.5000 (1 of 2 repeats)", "no repeat ran to its end"]


# A study's figures


def test_figures_are_those_of_the_file_or_the_best(grid, sampled):
    assert [each.kind for each in figures_of(grid)] == ["curves", "means"]
    assert [*draw_figures(grid)] == ["curves", "means"]
    assert figures_of(sampled) == (FigureSettings(kind="best"),)
    assert len(draw_figures(sampled)["best"].axes) == 20


def test_somebody_elses_study_has_its_best():
    study = study_with(trial_with(0, [0.5], value=0.5))
    assert [*draw_figures(study)] == ["best"]


@pytest.mark.parametrize("kind", ["curves", "best", "means"])
def test_before_a_trial_has_completed_there_is_nothing_to_draw(kind):
    with pytest.raises(StudyError, match="study 's' has no completed trial yet, so there is noth"):
        draw(study_with(trial_with(0, [0.5])), figure(kind))


def test_figures_may_be_declared_when_a_study_is_done(tmp_path):
    journal, search = str(tmp_path / "j"), {"trials": 1, "sampler": "random"}
    study = run_study(settings_of(search=search), storage=journal).study
    assert figures_of(study) == (FigureSettings(kind="best"),)
    search |= {"trials": 1, "patience": 7, "diagnostics": True}
    figures = [{"kind": "means"}, {"kind": "gradients"}]
    study = run_study(settings_of(*figures, search=search), storage=journal).study
    assert [each.kind for each in figures_of(study)] == ["means", "gradients"]
    assert "patience" not in study.user_attrs["settings"]  # it was run without
    study = run_study(settings_of(search=search), storage=journal).study
    assert figures_of(study) == (FigureSettings(kind="best"),)


def test_drawing_changes_no_setting_of_matplotlib(grid):
    import matplotlib

    before = dict(matplotlib.rcParams)
    for drawn in draw_figures(grid).values():
        assert isinstance(drawn, Figure)
    assert dict(matplotlib.rcParams) == before


# Files


def test_figures_are_saved(grid, tmp_path):
    folder = tmp_path / "a" / "b"
    paths = save_figures(draw_figures(grid), folder)
    assert paths == [folder / "curves.png", folder / "means.png"]
    assert sorted(folder.iterdir()) == paths
    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_a_file_is_overwritten_with_force_alone(tmp_path):
    (tmp_path / "two.png").write_text("mine")
    figures = {"one": Figure(), "two": Figure()}
    with pytest.raises(SettingsError) as error:
        save_figures(figures, tmp_path)
    assert str(error.value) == (
        f"save: {tmp_path / 'two.png'} exists already; force=True overwrites it"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["two.png"]
    save_figures(figures, tmp_path, force=True)
    assert (tmp_path / "two.png").read_bytes().startswith(PNG)


def test_a_folder_is_not_overwritten(tmp_path):
    (tmp_path / "one.png").mkdir()
    with pytest.raises(SettingsError, match=r"^save: .*/one\.png is a folder$"):
        save_figures({"none": Figure(), "one": Figure()}, tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


def test_a_folder_whose_name_is_too_long_is_an_error_too(tmp_path):
    with pytest.raises(SettingsError, match=r"^save: .*one\.png: File name too long$"):
        save_figures({"one": Figure()}, tmp_path / ("x" * 300))


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_folder_is_none_if_it_is_a_file(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(SettingsError, match=r"^save: .*/file is not a folder"):
        save_figures({"one": Figure()}, file / below)


# MLflow


def artifacts(client, run):
    return sorted(each.path for each in client.list_artifacts(run.info.run_id))


def runs_in(client, name):
    return client.search_runs([client.get_experiment_by_name(name).experiment_id])


def test_a_study_has_one_run_of_figures(mlflow_uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracker, client = Tracker(mlflow_uri), MlflowClient(mlflow_uri)
    settings = settings_of(search={"trials": 2, "sampler": "random"})
    study = run_study(settings, storage="j", tracker=tracker).study
    for drawn in (draw_figures(study), {"means": draw(study, figure("means"))}):
        log_study_figures(tracker.store, study, drawn)
    runs = runs_in(client, "tiny-random")
    (run,) = [run for run in runs if run.data.tags["hpsearch.kind"] == "figures"]
    assert len(runs) == 3
    assert artifacts(client, run) == ["best.png", "means.png"]
    assert (run.info.run_name, run.info.status, run.data.metrics) == ("figures", "FINISHED", {})
    assert run.data.tags["hpsearch.study"] == "tiny-random"
    assert run.data.tags["hpsearch.study_id"] == study.user_attrs["hpsearch.study_id"]
    path = client.download_artifacts(run.info.run_id, "best.png", str(tmp_path))
    with open(path, "rb") as file:
        assert file.read(6) == PNG
    assert Tracker(mlflow_uri).sync(study) == 0  # it is no trial


def test_rounds_have_a_run_each_which_goes_with_its_round(mlflow_uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracker, client = Tracker(mlflow_uri), MlflowClient(mlflow_uri)
    rate = {"learning_rate": {"low": 0.01, "high": 0.5}}
    settings = settings_of(
        {"kind": "values"}, search={"trials": 2, "sampler": "random"}, trial=rate
    )
    rounds = [o.study for o in run_rounds(settings, 2, storage="j", tracker=tracker)]
    for study in rounds:
        log_study_figures(tracker.store, study, draw_figures(study))
    names = {run.info.run_name for run in runs_in(client, "tiny-random")}
    assert {"figures", "r2-figures"} < names
    tracker.delete(rounds[1])
    left = {run.info.run_name for run in runs_in(client, "tiny-random")}
    assert left == {"figures", "trial-0000", "trial-0001"}


def test_figures_of_no_study_have_a_run_of_their_experiment(mlflow_uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store, client = TrackingStore(mlflow_uri), MlflowClient(mlflow_uri)
    log_figures(store, "mine", {"one": Figure()})
    publish({"two": Figure()}, "mine", save="plots", store=store)
    (run,) = runs_in(client, "mine")
    assert artifacts(client, run) == ["one.png", "two.png"]
    assert (run.info.run_name, run.info.status) == ("figures", "FINISHED")
    assert (tmp_path / "plots" / "two.png").exists()


def test_nothing_is_saved_where_the_tracking_store_is_away(tmp_path):
    store = TrackingStore(f"sqlite:///{tmp_path}/nowhere/mlflow.db")
    with pytest.raises(TrackingError, match="there is no folder"):
        publish({"one": Figure()}, "mine", save=tmp_path / "plots", store=store)
    assert list(tmp_path.iterdir()) == []


# Of no study


def test_paths_over_contours():
    paths = {"straight": [(-7, 2), (0, 0)], "none": [(1, 1)], "third $": [(0, 0), (1, 2), (3, 4)]}
    drawn = draw_paths(paths, lambda x, y: x**2 / 20 + y**2, title="f", levels=[1, 2, 4])
    assert [axes.get_title() for axes in drawn.axes] == ["straight", "none", r"third \$"]
    for axes, path in zip(drawn.axes, paths.values(), strict=True):
        assert list(zip(*points(axes.get_lines()[0]), strict=True)) == path
        (contours,) = axes.collections
        assert list(contours.levels) == [1, 2, 4]
        assert (axes.get_xlim(), axes.get_ylim()) == ((-10, 10), (-10, 10))
    (ends,) = (axes.get_lines()[-1] for axes in drawn.axes[:1])
    assert points(ends) == ([0], [0])


def test_histograms_in_a_row_for_each_setting():
    layers = [Histogram.of(np.linspace(0, top, 100)) for top in (1, 0.001, 1e-9)]
    drawn = draw_histograms({"wide": layers, "narrow": layers[:2]}, title="ReLU")
    assert len(drawn.axes) == 5
    assert [axes.get_title() for axes in drawn.axes[:3]] == ["layer 1", "layer 2", "layer 3"]
    assert [drawn.axes[n].get_ylabel() for n in (0, 3)] == ["wide", "narrow"]
    assert len({axes.get_xlim() for axes in drawn.axes[:3]}) == 1
    assert drawn.axes[0].texts[0].get_text() == "0.5 ± 0.292"
    assert list(drawn.axes[1].patches[0].get_data().values) == list(layers[1].counts)
