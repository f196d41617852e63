"""The figures that a study file declares."""

import pytest
from matplotlib.figure import Figure

from hpsearch.errors import StudyError
from hpsearch.figures.declared import draw, draw_figures, figures_of
from hpsearch.search.study import run_study
from hpsearch.settings.figures import FigureSettings


def test_a_study_has_the_figures_of_its_file_or_else_the_best_trials(grid, sampled):
    assert [each.kind for each in figures_of(grid)] == ["curves", "means"]
    assert [*draw_figures(grid)] == ["curves", "means"]
    assert figures_of(sampled) == (FigureSettings(kind="best"),)
    assert len(draw_figures(sampled)["best"].axes) == 20


def test_a_foreign_study_has_a_figure_of_its_best_trials(make_trial, make_study):
    study = make_study(make_trial(0, [0.5], value=0.5))
    assert [*draw_figures(study)] == ["best"]


@pytest.mark.parametrize("kind", ["curves", "best", "means"])
def test_a_study_without_a_completed_trial_is_refused(kind, make_trial, make_study):
    with pytest.raises(StudyError, match="study 's' has no completed trial yet, so there is noth"):
        draw(make_study(make_trial(0, [0.5])), FigureSettings(kind=kind))


def test_figures_can_be_declared_after_a_study_has_finished(tmp_path, figure_settings):
    journal, search = str(tmp_path / "j"), {"trials": 1, "sampler": "random"}
    study = run_study(figure_settings(search=search), storage=journal).study
    assert figures_of(study) == (FigureSettings(kind="best"),)
    search |= {"trials": 1, "patience": 7, "diagnostics": True}
    figures = [{"kind": "means"}, {"kind": "gradients"}]
    study = run_study(figure_settings(*figures, search=search), storage=journal).study
    assert [each.kind for each in figures_of(study)] == ["means", "gradients"]
    assert "patience" not in study.user_attrs["settings"]  # it was run without
    study = run_study(figure_settings(search=search), storage=journal).study
    assert figures_of(study) == (FigureSettings(kind="best"),)


def test_drawing_changes_no_setting_of_matplotlib(grid):
    import matplotlib

    before = dict(matplotlib.rcParams)
    for drawn in draw_figures(grid).values():
        assert isinstance(drawn, Figure)
    assert dict(matplotlib.rcParams) == before
