"""Every scale against scikit-learn's or a result by hand, also for unusual columns."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from model.scaling import SCALES, Scaler


@pytest.fixture
def x():
    """More rows than one block holds, with columns of different scales."""
    rng = np.random.default_rng(0)
    return rng.normal([0.0, 5.0, -300.0], [1.0, 0.01, 40.0], size=(2500, 3))


def test_standardize_is_scikit_learns(x):
    expected = StandardScaler().fit_transform(x)

    np.testing.assert_allclose(SCALES["standardize"](x)(x), expected, atol=1e-5)


def test_a_constant_column_is_zero_in_every_part():
    train = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])  # the mean of three 0.1 is not 0.1
    scaler = SCALES["standardize"](train)

    assert scaler(train)[:, 0].tolist() == [0.0, 0.0, 0.0]
    assert scaler(np.array([[7.0, 2.0]])).tolist() == [[0.0, 0.0]]


def test_a_small_spread_far_from_zero_survives():
    seconds = 1.7e9 + np.arange(100.0)[:, None]  # float32 holds these to the nearest 128

    scaled = SCALES["standardize"](seconds)(seconds)

    assert len(np.unique(scaled)) == 100
    assert scaled.std() == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
def test_unit_divides_by_the_largest_absolute_value(dtype):
    train = np.array([[1, -4], [2, 0]], dtype)

    assert SCALES["unit"](train)(train).tolist() == [[0.25, -1.0], [0.5, 0.0]]


def test_unit_of_the_smallest_int8_does_not_wrap_around():
    train = np.array([[-128, 64]], np.int8)

    assert SCALES["unit"](train)(train).tolist() == [[-1.0, 0.5]]


def test_unit_of_only_zeros_is_zeros():
    assert SCALES["unit"](np.zeros((2, 2)))(np.zeros((2, 2))).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_global_has_one_mean_and_one_deviation(x):
    np.testing.assert_allclose(SCALES["global"](x)(x), (x - x.mean()) / x.std(), atol=1e-5)


def test_none_leaves_the_values_as_they_are(x):
    np.testing.assert_array_equal(SCALES["none"](x)(x), x.astype(np.float32))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float32, np.float64])
def test_every_scale_gives_contiguous_float32_and_keeps_its_input(scale, dtype):
    raw = np.asfortranarray(np.arange(12).reshape(4, 3) % 2, dtype=dtype)
    before = raw.copy()

    scaled = SCALES[scale](raw)(raw)

    assert scaled.dtype == np.float32
    assert scaled.flags.c_contiguous
    np.testing.assert_array_equal(raw, before)


@pytest.mark.parametrize("scale", SCALES)
def test_a_scaler_is_rebuilt_from_its_two_arrays(scale, x, tmp_path):
    scaler = SCALES[scale](x)
    np.savez(tmp_path / "scaler.npz", shift=scaler.shift, factor=scaler.factor)
    with np.load(tmp_path / "scaler.npz", allow_pickle=False) as saved:
        rebuilt = Scaler(saved["shift"], saved["factor"])

    np.testing.assert_array_equal(rebuilt(x), scaler(x))
