"""The page: its headline, its sections, and texts from the data."""

import os
import re

import numpy as np
import optuna
import plotly.graph_objects as go
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.errors import Argument, SettingsError, StudyError
from hpsearch.files import write_file
from hpsearch.report.charts.base import escaped
from hpsearch.report.charts.learning import learning_panels
from hpsearch.report.charts.trials import pruning_panels, savings_sentence
from hpsearch.report.facts import Facts, saved_by_pruning
from hpsearch.report.page import check_page, report_page
from hpsearch.report.tables import best_trials_table
from hpsearch.search.study import run_study
from hpsearch.storage.catalog import rounds_of


def test_the_headline_has_the_best_value_the_counts_and_the_savings(study, page_text):
    page = report_page(study)
    states = [trial.state.name for trial in study.trials]
    text = page_text(page)
    assert f"{study.best_value:.4g} best val/accuracy in trial" in text
    counts = f"{states.count('COMPLETE')} complete, {states.count('PRUNED')} pruned"
    assert states.count("PRUNED") > 3
    assert f"30 trials {counts}" in text
    epochs = sum(len(trial.user_attrs["curves"]["times"]) for trial in study.trials)
    assert f"{epochs} epochs trained" in text
    assert f"{(90 - epochs) / 90:.0%} saved by pruning {90 - epochs} epochs" in text


def test_plotly_accepts_every_chart_and_the_page_has_an_element_for_it(study, page_data):
    page = report_page(study)
    figures = page_data(page, "figures")
    complete = sum(trial.state is TrialState.COMPLETE for trial in study.trials)
    # history, importances, parallel lines, slices, pairs of three, timeline, pruning
    assert len(figures) == complete + 2 + 1 + 1 + 3 + 3 + 1 + 1
    for figure in figures:
        go.Figure({"data": figure["data"], "layout": figure["layout"]})  # raises if it is invalid
        assert page.count(f'id="chart-{figure["name"]}"') == 1
    assert page.count('class="chart"') == len(figures)


def test_the_page_contains_plotly_once_and_loads_nothing_from_a_network(study):
    page = report_page(study)
    assert page.count("* plotly.js v") == 1
    assert not re.findall(r"<(?:script|link|img)[^>]*\b(?:src|href)=[\"'](?!data:,)", page)
    assert "@import" not in page.split("</style>")[0]


def test_names_from_the_data_are_shown_and_not_run(page_data):
    evil = "</script><script>window.hacked=1</script><!--\u2028"
    distribution = CategoricalDistribution([evil, "<b>bold</b>"])
    trials = [
        create_trial(value=n, params={evil: choice}, distributions={evil: distribution})
        for n, choice in enumerate([evil, "<b>bold</b>"])
    ]
    study = optuna.create_study(study_name="<i>s</i>")
    study.add_trials(trials)
    page = report_page(study)
    assert "<script>window" not in page
    assert "<i>s</i>" not in page
    assert "\u2028" not in page.split('id="figures"')[1].split("</script>")[0]
    assert "&lt;script&gt;window.hacked=1" in page
    assert escaped("<b>bold</b>") in page_data(page, "hover-texts")[1]
    slices = (f for f in page_data(page, "figures") if f["name"] == "slices-0")
    ticks = next(slices)["layout"]["xaxis"]["ticktext"]
    assert not any("<" in tick for tick in ticks)


def test_headings_break_after_underscores_and_run_nothing():
    evil = "<b>learning_rate/x"
    trial = create_trial(value=1, params={evil: 1.0}, distributions={evil: FloatDistribution(0, 2)})
    study = optuna.create_study()
    study.add_trial(trial)
    page = report_page(study)
    assert (
        page.count("&lt;b&gt;learning_<wbr>rate/<wbr>x") == 2
    )  # the tables of the best and of all trials
    assert "<b>learning" not in page.split("<script")[0]


def test_a_count_of_one_is_singular(make_settings, tmp_path, make_trial, make_study, page_text):
    study = run_study(make_settings(search={"trials": 1}), storage=str(tmp_path / "j")).study
    text = page_text(report_page(study))
    assert "1 trial. Click a heading" in text
    assert "around the best completed trial." in text
    assert "1 trials" not in text
    trial = make_trial(1, [0.1] * 9, state=TrialState.PRUNED)
    facts = Facts.of(make_study(make_trial(0, [0.5] * 10), trial), 5)
    saved = saved_by_pruning(facts.trials)
    assert "there would have been 1 more epoch, 5%" in savings_sentence(facts, saved)
    (chart,) = pruning_panels(facts, saved).charts
    assert chart.traces[0]["text"] == ["1 trial pruned after 9 epochs"]


def test_the_page_of_a_foreign_study_says_what_is_missing(page_text):
    study = optuna.create_study(study_name="mine")

    def objective(trial):
        x = trial.suggest_float("x", -1, 1)
        trial.report(x * x, 1)
        if x > 0.8:
            raise optuna.TrialPruned
        return x * x + (trial.suggest_int("n", 1, 3) if x > 0 else 0)

    study.sampler = optuna.samplers.RandomSampler(seed=0)
    study.optimize(objective, 20)
    text = page_text(report_page(study))
    assert "value against epochs" in text  # what the trials reported
    assert "was not started by hpsearch, so there is no study file" in text
    assert re.search(r"n: in \d+ of 20 trials", text)
    assert "best value in trial" in text


def test_repeats_are_reported_as_configurations(make_settings, tmp_path, page_text):
    settings = make_settings(
        search={"trials": 2, "seeds": 3},
        enqueue=[
            {"label": "slow", "learning_rate": 0.001},
            {"label": "fast", "learning_rate": 0.5},
        ],
    )
    study = run_study(settings, storage=str(tmp_path / "j")).study
    facts = Facts.of(study, 5)
    table = best_trials_table(facts)
    assert table.headings[:6] == [
        "configuration",
        "val/accuracy",
        "±",
        "lowest",
        "highest",
        "repeats",
    ]
    assert "learning_rate" in table.headings
    fast = [trial.value for trial in study.trials[3:]]
    assert [cell.text for cell in table.rows[0][:2]] == ["fast", f"{np.mean(fast):.4f}"]
    assert table.rows[0][3].text == f"{min(fast):.4f}"
    charts = learning_panels(facts).charts
    assert [len(chart.traces) for chart in charts] == [6, 6]
    assert (
        f"{np.mean(fast):.4f} ± {np.std(fast, ddof=1):.2g} best val/accuracy in fast"
        in page_text(report_page(study))
    )


def test_the_page_says_that_the_study_validates_on_the_test_set(make_trial, make_study, page_text):
    page = report_page(make_study(make_trial(0, [0.5]), **{"data.validation": "test"}))
    assert "best val/accuracy (test set)" in page_text(page)


def test_a_study_with_and_without_curves_has_a_page(make_trial, make_study, page_text):
    study = make_study(make_trial(0, [0.5, 0.6]), create_trial(value=0.9))
    facts = Facts.of(study, 5)
    assert [chart.title for chart in learning_panels(facts).charts] == ["2 · trial 0 · 0.6"]
    assert "0.9 best val/accuracy in trial 1" in page_text(report_page(study))


def test_the_name_of_a_better_round_is_escaped(make_trial, make_study):
    study = make_study(make_trial(0, [0.5]))
    evil = optuna.create_study(study_name="<i>", storage=study._storage, direction="maximize")
    evil.add_trial(make_trial(0, [0.4]))
    later = optuna.create_study(study_name="<i>.r2", storage=study._storage, direction="maximize")
    later.set_user_attr("experiment", "<i>")
    later.add_trial(make_trial(0, [0.6]))
    rounds = rounds_of(study._storage, evil)
    page = report_page(evil, rounds=rounds)
    assert "<p>&lt;i&gt;.r2 is better: hpsearch report &#39;&lt;i&gt;.r2&#39;</p>" in page
    assert "is better" not in report_page(later, rounds=rounds)


def test_running_trials_are_counted(make_trial, make_study, page_text):
    study = make_study(make_trial(0, [0.5]))
    study.ask()
    assert "1 trial is still running" in page_text(report_page(study))


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_page_shows_one_moment_however_long_it_takes(
    seeds, monkeypatch, make_trial, make_study, page_text
):
    study = make_study(*(make_trial(slot, [0.5]) for slot in range(4)), **{"search.seeds": seeds})
    saved_by = saved_by_pruning

    def meanwhile(trials):
        study.add_trials([make_trial(4, [0.9]), make_trial(5, [0.9])])
        return saved_by(trials)

    monkeypatch.setattr("hpsearch.report.page.saved_by_pruning", meanwhile)
    text = page_text(report_page(study))
    assert len(study.trials) == 6
    assert "4 trials 4 complete" in text
    assert "0.9" not in text


def test_a_study_without_a_completed_trial_or_with_several_objectives_is_refused(
    make_trial, make_study
):
    with pytest.raises(StudyError, match="study 's' has no completed trial yet, so there is noth"):
        report_page(make_study(make_trial(0, [0.5], state=TrialState.PRUNED)))
    several = optuna.create_study(study_name="two", directions=["minimize", "maximize"])
    with pytest.raises(
        StudyError, match="study 'two' has 2 objectives; a report needs a study with one"
    ):
        report_page(several)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match=r"^output: .*File name too long$"):
        write_file(Argument("output"), tmp_path / ("x" * 300), b"page")
    (tmp_path / "mine.html").write_text('<meta name="generator" content="other">')
    with pytest.raises(SettingsError, match="exists already"):
        check_page(Argument("output"), tmp_path / "mine.html", force=False, update="s")
    os.mkfifo(tmp_path / "pipe.html")
    with pytest.raises(SettingsError, match="is no regular file"):  # it does not wait for a writer
        check_page(Argument("output"), tmp_path / "pipe.html", force=False, update="s")
