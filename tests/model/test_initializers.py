from math import sqrt

import numpy as np
import pytest

from model.config import TrainConfig
from model.initializers import INITIALIZERS

VARIANCES = {
    "he": lambda n_in, _: 2 / n_in,
    "xavier": lambda n_in, _: 1 / n_in,
    "glorot": lambda n_in, n_out: 2 / (n_in + n_out),
    "normal": lambda *_: 0.03**2,
}
every_random_initializer = pytest.mark.parametrize("name", VARIANCES)


def draw(name, shape, seed=0):
    initialize = INITIALIZERS[name]
    options = TrainConfig(weight_std=0.03, weight_constant=0.7).arguments_for(initialize)
    return initialize(np.random.default_rng(seed), shape, **options)


@every_random_initializer
@pytest.mark.parametrize("shape", [(1000, 200), (200, 1000), (400, 400)])
def test_draws_with_the_variance_of_its_formula(name, shape):
    weights = draw(name, shape)
    sigma = sqrt(VARIANCES[name](*shape))
    assert weights.shape == shape
    assert weights.std() == pytest.approx(sigma, rel=0.01)
    assert abs(weights.mean()) < 5 * sigma / sqrt(weights.size)


@every_random_initializer
def test_draws_from_a_normal_distribution(name):
    weights = draw(name, (400, 400))
    within_one_sigma = np.mean(abs(weights) < weights.std())
    assert within_one_sigma == pytest.approx(0.6827, abs=0.01)


@every_random_initializer
def test_the_seed_decides_the_bits(name):
    assert np.array_equal(draw(name, (5, 4), seed=1), draw(name, (5, 4), seed=1))
    assert not np.array_equal(draw(name, (5, 4), seed=1), draw(name, (5, 4), seed=2))


@pytest.mark.parametrize(("name", "value"), [("zeros", 0), ("constant", 0.7)])
def test_draws_nothing(name, value):
    np.testing.assert_array_equal(draw(name, (5, 4)), np.full((5, 4), value))


def test_every_initializer_is_tested_here():
    assert set(INITIALIZERS) == {*VARIANCES, "zeros", "constant"}
