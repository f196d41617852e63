"""Studies that repeat each configuration over several seeds."""

from pathlib import Path
from statistics import fmean, stdev

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.analysis.configurations import (
    best_configurations,
    configuration_record,
    configuration_rows,
    configurations,
)
from hpsearch.analysis.summaries import StudySummary
from hpsearch.errors import SettingsError, StudyError
from hpsearch.figures.outcomes import draw_means
from hpsearch.report.charts.learning import learning_panels
from hpsearch.report.facts import Facts
from hpsearch.report.page import report_page
from hpsearch.search.study import run_study
from hpsearch.settings.figures import FigureSettings
from hpsearch.settings.study import parse_settings
from hpsearch.tracking.page import describe
from hpsearch.trials.metrics import METRICS
from hpsearch.trials.records import seeds_of

SEEDS = 3
TWINS = [
    {"label": "one", "learning_rate": 0.1, "momentum": 0.9},
    {"label": "slow", "learning_rate": 0.001, "momentum": 0.9},
    {"label": "twin", "learning_rate": 0.1, "momentum": 0.9},
]


@pytest.fixture
def journal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return "test.journal"


@pytest.fixture
def twins(make_settings):
    search = {"sampler": "grid", "seeds": SEEDS, "trials": 3}
    return make_settings(
        search=search,
        trial={"learning_rate": {"choices": [0.1, 0.001]}, "momentum": 0.9},
        enqueue=TWINS,
    )


def curves(trial):
    return trial.user_attrs["curves"] | {"times": None}


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_labelled_configuration_is_repeated(journal, twins, jobs):
    outcome = run_study(twins, storage=journal, jobs=jobs)
    assert (outcome.total, outcome.new) == (9, 9)
    assert seeds_of(outcome.study) == SEEDS
    one, slow, twin = configurations(outcome.study)
    assert [c.label for c in (one, slow, twin)] == ["one", "slow", "twin"]
    slots = [[t.user_attrs["slot"] for t in c.trials] for c in (one, slow, twin)]
    assert slots == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    # Repeats of a configuration differ, but all configurations have the same draws.
    assert len({str(curves(trial)) for trial in one.trials}) == SEEDS
    assert [curves(t) for t in one.trials] == [curves(t) for t in twin.trials]
    assert one.values != slow.values


def test_an_interrupted_study_continues_with_the_missing_repeats(journal, twins):
    calls = iter(range(20))
    first = run_study(twins, storage=journal, should_stop=lambda: next(calls) > 12)
    assert first.reason == "interrupted"
    assert 0 < first.new < 9
    assert run_study(twins, storage=journal).new == 9 - first.new
    assert len(configurations(first.study)) == 3


def test_a_study_cannot_continue_with_another_number_of_seeds(journal, twins):
    run_study(twins, storage=journal)
    with pytest.raises(
        StudyError, match=r"was started with search.seeds 3, now 2; use name=… for a new study"
    ):
        run_study(twins.replace(search={"seeds": 2}), storage=journal)


def test_points_of_a_grid_are_repeated(journal, make_settings):
    settings = make_settings(
        search={"sampler": "grid", "seeds": 2, "trials": 4},
        trial={"learning_rate": {"choices": [0.01, 0.1]}, "momentum": {"choices": [0.5, 0.9]}},
    )
    repeated = configurations(run_study(settings, storage=journal).study)
    points = [(0.01, 0.5), (0.01, 0.9), (0.1, 0.5), (0.1, 0.9)]
    for configuration, (rate, momentum) in zip(repeated, points, strict=True):
        assert [t.params for t in configuration.trials] == 2 * [
            {"learning_rate": rate, "momentum": momentum}
        ]
        assert configuration.label == f"learning_rate {rate}, momentum {momentum}"


def test_random_draws_are_repeated(journal, make_settings):
    settings = make_settings(search={"seeds": 2, "trials": 3})
    repeated = configurations(run_study(settings, storage=journal).study)
    drawn = [configuration.trials[0].params for configuration in repeated]
    assert [[t.params for t in c.trials] for c in repeated] == [[params] * 2 for params in drawn]
    once = run_study(make_settings(search={"trials": 3}), name="once", storage=journal).study
    assert [trial.params for trial in once.trials] == drawn


@pytest.mark.parametrize("sampler", ["tpe", "gp", "qmc"])
def test_samplers_other_than_grid_and_random_refuse_repeats(make_settings, sampler):
    with pytest.raises(
        SettingsError,
        match=(f"search.seeds: is 2, but sampler '{sampler}' repeats nothing; use grid or random"),
    ):
        make_settings(search={"sampler": sampler, "seeds": 2})


def test_repeats_are_not_pruned(make_settings, journal):
    for seeds, pruner in [(1, "halving"), (2, "none")]:
        table = {"name": "s", "search": {"sampler": "random", "seeds": seeds}}
        assert parse_settings(table, "file").search.pruner == pruner
    settings = make_settings(search={"pruner": "halving", "seeds": 2})  # stored by version 0.1
    with pytest.raises(SettingsError, match=r"search.pruner: is .halving., which"):
        run_study(settings, storage=journal)
    assert not Path(journal).exists()


@pytest.fixture
def study():
    """A study of four configurations with two seeds each, made by hand; one repeat is pruned."""
    study = optuna.create_study(study_name="s", direction="maximize")
    study.set_user_attr("definition", {"search.seeds": "2", "search.metric": "val/accuracy"})
    values = [(0.5, 0.7), (0.9, 0.8), (0.7, 0.5), (0.99, None)]
    for slot, value in enumerate(value for pair in values for value in pair):
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        attributes = {"slot": slot, "setup": {"label": "abcd"[slot // 2], "config": {"epochs": 1}}}
        study.add_trial(create_trial(state=state, value=value, user_attrs=attributes))
    failed = create_trial(state=TrialState.FAIL, user_attrs={"slot": 0})
    study.add_trial(failed)
    return study


def test_the_best_mean_comes_first_and_a_configuration_that_lacks_a_repeat_last(study):
    best = best_configurations(study, 4)
    assert [c.label for c in best] == ["b", "a", "c", "d"]
    assert best[0].mean == fmean([0.9, 0.8])
    assert best[0].deviation == stdev([0.9, 0.8])
    assert best[-1].deviation is None
    assert [c.label for c in best_configurations(study, 1)] == ["b"]


def test_the_number_of_trials_includes_repeats(journal, make_settings):
    settings = make_settings(search={"seeds": 2, "trials": 3})
    record = StudySummary.of(run_study(settings, storage=journal).study).record()
    assert (record["trials"], record["complete"] + record["pruned"]) == (6, 6)


def test_a_vertical_bar_in_a_label_is_escaped_in_markdown(study):
    attributes = {"slot": 8, "setup": {"label": "l1 | l2"}}
    trial = create_trial(state=TrialState.COMPLETE, value=0.95, user_attrs=attributes)
    study.add_trial(trial)
    heading, row = (
        next(line for line in describe(study).splitlines() if line.startswith(start))
        for start in ("| configuration ", "| l1 ")
    )
    assert row.startswith(r"| l1 \| l2 | 0.9500 |")
    assert row.count("|") == heading.count("|") + 1


def test_a_record_is_plain_data(study):
    assert configuration_record(configurations(study)[3]) == {
        "configuration": 3,
        "label": "d",
        "mean": 0.99,
        "deviation": None,
        "values": [0.99],
        "slots": [6, 7],
        "pruned": 1,
        "params": {},
        "config": {"epochs": 1},
    }


def test_a_configuration_that_lacks_a_repeat_ranks_after_complete_ones(study):
    attributes = {"slot": 8, "setup": {"label": "e", "config": {}}}
    study.add_trial(create_trial(value=1.0, user_attrs=attributes))
    assert [c.label for c in best_configurations(study, 5)] == ["b", "a", "c", "e", "d"]
    (row,) = configuration_rows(configurations(study)[4:], "val/accuracy")
    assert row[-1] == "1 of 2"


@pytest.mark.parametrize(
    ("metric", "values", "means"),
    [
        ("val/loss", [[2e-5, 4e-5], [0.5, 0.25]], ["3e-05", "0.375"]),
        ("val/loss", [[0.2, 0.4], [0.5, 0.25]], ["0.3000", "0.3750"]),
        ("val/accuracy", [[0.002, 0.004], [0.5, 0.25]], ["0.0030", "0.3750"]),
    ],
)
def test_means_of_small_losses_have_enough_decimals(metric, values, means):
    study = optuna.create_study(
        study_name="s", direction="minimize" if metric == "val/loss" else "maximize"
    )
    study.set_user_attr("definition", {"search.seeds": "2", "search.metric": metric})
    for slot, value in enumerate(value for pair in values for value in pair):
        setup = {"label": "ab"[slot // 2], "config": {}, "metric": metric}
        setup |= {"seed": 0, "data": {"name": "digits", "digest": "0" * 16, "source": "digits"}}
        curves = {key: [value] for key in METRICS} | {"times": [0]}
        attributes = {"slot": slot, "setup": setup, "curves": curves}
        study.add_trial(create_trial(value=value, user_attrs=attributes))
    rows = configuration_rows(configurations(study), metric)
    assert [mean for _, mean, *_ in rows] == means
    assert all(f" | {mean} | " in describe(study) for mean in means)
    figure = draw_means(study, FigureSettings(kind="means"))
    drawn = [text.get_text().partition(" ")[0] for text in figure.axes[0].texts]
    assert drawn == means
    page = report_page(study)
    assert all(f'<td class="number" data-n="{float(mean)}">{mean}</td>' in page for mean in means)
    best = means[0] if metric == "val/loss" else means[1]
    assert f'<dd class="figure">{best} ±' in page
    panels = learning_panels(Facts.of(study, 5)).charts
    assert sorted(chart.title.split(" · ")[2].split()[0] for chart in panels) == sorted(means)
