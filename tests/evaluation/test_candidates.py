"""Candidates: intervals, ties and luck, compared with SciPy's tests and worked by hand."""

import numpy as np
import pytest
from scipy import stats

from hpsearch.evaluation.candidates import Candidate, by_mean, is_tied, mean_interval


def candidate(slot, values, found=0.9, maximize=True):
    return Candidate(slot, "", {}, found, tuple(values), maximize)


def test_the_interval_is_that_of_students_t():
    values = np.random.default_rng(0).normal(0.9, 0.01, 12).tolist()
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((expected.low, expected.high))
    assert mean_interval([0.5]) is None
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5)


def test_the_interval_contains_the_mean_in_95_percent_of_samples():
    rng = np.random.default_rng(1)
    found = [mean_interval(rng.normal(0.9, 0.01, 10).tolist()) for _ in range(2000)]
    held = np.mean([low <= 0.9 <= high for low, high in found])
    assert 0.935 < held < 0.965


@pytest.mark.parametrize("difference", [0.0, 0.001, 0.004, 0.02])
def test_ties_agree_with_the_paired_t_test(difference):
    rng = np.random.default_rng(2)
    first = rng.normal(0.9, 0.01, 10)
    other = first - difference + rng.normal(0, 0.003, 10)
    p = stats.ttest_rel(first, other).pvalue
    pair = candidate(0, first.tolist()), candidate(1, other.tolist())
    assert is_tied(*pair) == (p > 0.05)
    assert is_tied(*pair, 4) == (p * 4 > 0.05)


def test_all_comparisons_together_are_wrong_in_5_percent_of_samples():
    rng, wrong = np.random.default_rng(3), 0
    for _ in range(1000):
        first, *others = (candidate(n, rng.normal(0.9, 0.01, 10).tolist()) for n in range(5))
        wrong += not all(is_tied(first, other, 4) for other in others)
    assert 20 < wrong < 60


def test_candidates_with_the_same_values_are_tied():
    assert is_tied(candidate(0, [0.9, 0.9]), candidate(1, [0.9, 0.9]))
    # 0.1 + 0.2 is not 0.3, and still these differ by nothing.
    assert is_tied(candidate(0, [0.1 + 0.2] * 3), candidate(1, [0.3] * 3))


@pytest.mark.parametrize("draws", range(2, 10))
def test_the_sign_test_decides_when_all_differences_are_equal(draws):
    better, worse = candidate(0, [28 / 29] * draws), candidate(1, [27 / 29] * draws)
    p = stats.binomtest(draws, draws).pvalue
    assert is_tied(better, worse) == (p > 0.05)
    assert is_tied(better, worse, 4) == (p * 4 > 0.05)


def test_an_interval_is_cut_at_the_bounds_of_its_metric():
    assert candidate(0, [0.0, 1.0]).interval == (0.0, 1.0)
    low, high = candidate(0, [0.0, 3.0], maximize=False).interval
    assert low == 0.0
    assert high == pytest.approx(mean_interval([0.0, 3.0])[1])


def test_a_candidate_that_diverged_is_neither_first_nor_tied():
    steady, wild = candidate(1, [0.8, 0.81, 0.8]), candidate(2, [0.99, None, 0.99])
    assert by_mean([wild, steady]) == [steady, wild]
    assert not is_tied(steady, wild)
    assert (wild.diverged, wild.mean) == (1, 0.99)
    lost = candidate(3, [None, None])
    assert (lost.mean, lost.deviation, lost.interval, lost.luck) == (None,) * 4
    assert by_mean([lost, wild, steady])[-1] is lost


@pytest.mark.parametrize(("maximize", "luck"), [(True, 0.02), (False, -0.02)])
def test_luck_is_how_much_better_the_search_value_is_than_the_mean(maximize, luck):
    assert candidate(0, [0.9, 0.94], 0.94, maximize).luck == pytest.approx(luck)


def test_a_lower_loss_is_better():
    low, high = (candidate(n, [v, v], maximize=False) for n, v in enumerate((0.1, 0.2)))
    assert by_mean([high, low]) == [low, high]
