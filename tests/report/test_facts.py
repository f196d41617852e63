"""The data of a report."""

from optuna.trial import TrialState

from hpsearch.report.facts import Facts


def test_a_pruned_trial_counts_with_its_best_value(make_trial, make_study):
    study = make_study(
        make_trial(0, [0.5]), make_trial(1, [0.2, 0.4, 0.3], state=TrialState.PRUNED)
    )
    assert [point.value for point in Facts.of(study, 5).points] == [0.5, 0.4]
