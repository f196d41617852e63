"""The importance of parameters."""

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from hpsearch.report.charts.contours import contour_panels, most_important
from hpsearch.report.charts.importance import importance_panels, importances_of
from hpsearch.report.facts import Facts
from hpsearch.report.region import region_of


def test_the_parameter_that_determines_the_value_is_the_most_important(make_trial, make_study):
    rng = np.random.default_rng(0)
    draws = rng.uniform(size=(40, 2))
    trials = [
        make_trial(
            n, [y], params={"learning_rate": 10 ** (-4 * x), "width": int(10 + 20 * (z // 0.34))}
        )
        for n, ((x, z), y) in enumerate(zip(draws, 1 - draws[:, 0], strict=True))
    ]
    facts = Facts.of(make_study(*trials), 5)
    importances = importances_of(facts)
    assert [*importances.shares] == ["learning_rate", "width"]
    assert sum(importances.shares.values()) == pytest.approx(1)
    assert importances == importances_of(facts)
    assert [axis.name for axis in most_important(facts, importances)] == [
        "learning_rate",
        "width",
    ]


def test_the_note_warns_if_the_best_tenth_is_small(make_trial, make_study):
    for number, words in ((30, "The best tenth has only 3 trials here"), (100, "")):
        trials = [
            make_trial(n, [0.01 * n], params={"width": 10 + n % 3 * 20}) for n in range(number)
        ]
        facts = Facts.of(make_study(*trials), 5)
        note = importance_panels(facts, importances_of(facts)).note
        assert words in note
        assert ("The best tenth has" in note) is bool(words)


@pytest.mark.parametrize(
    ("direction", "better", "sentence"),
    [
        ("maximize", 0, "All trials are equally good."),
        ("minimize", 1, "All but 1 trial are equally good."),
        ("maximize", 2, "All but 2 trials are equally good."),
        ("maximize", 3, ""),
    ],
)
def test_equally_good_trials_have_no_importances(direction, better, sentence, make_study):
    sign = 1 if direction == "maximize" else -1
    trials = [
        create_trial(
            value=sign * max(0, n - 29 + better),
            params={"x": n / 30},
            distributions={"x": FloatDistribution(0, 1)},
        )
        for n in range(30)
    ]
    importances = importances_of(Facts.of(make_study(*trials, direction=direction), 5))
    assert importances.missing == sentence
    assert importances.best == (0 if sentence else 3)


def test_a_parameter_of_a_single_trial_causes_no_warning(make_trial, make_study):
    trials = [
        make_trial(
            n,
            [0.01 * n],
            params={"width": 10 + 20 * (n % 2)} | ({"learning_rate": 0.1} if n == 7 else {}),
        )
        for n in range(30)
    ]
    assert importances_of(Facts.of(make_study(*trials), 5)).shares["learning_rate"] == 0


def test_a_parameter_with_one_value_has_no_importance_and_no_contours(make_trial, make_study):
    equal = [make_trial(n, [0.1 * n], params={"width": 10}) for n in range(12)]
    facts = Facts.of(make_study(*equal), 5)
    assert importances_of(facts).missing == "No parameter had different values."
    assert contour_panels(facts, importances_of(facts), region_of(facts)).missing
