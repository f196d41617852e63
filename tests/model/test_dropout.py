import numpy as np
import pytest

from model.dropout import Dropout


def build_dropout(rate, rows=200, n_units=500, dtype=np.float64):
    layer = Dropout(n_units, rate)
    layer.allocate(rows, dtype)
    layer.resize(rows)
    return layer


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.25, 0.5, 0.9])
def test_drops_the_given_share_and_scales_by_the_kept_share(rate):
    layer, x = build_dropout(rate), np.ones((200, 500))
    y = layer.forward_train(x, np.random.default_rng(0))
    kept = y != 0
    deviation = np.sqrt(rate * (1 - rate) / x.size)
    assert abs(kept.mean() - (1 - rate)) < 4 * deviation
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-4)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_keeps_every_units_expectation(rate):
    layer, x = build_dropout(rate), np.tile(np.linspace(-1, 1, 500), (200, 1))
    rng = np.random.default_rng(0)
    mean = np.mean([layer.forward_train(x, rng).mean(axis=0) for _ in range(50)], axis=0)
    deviation = np.sqrt(rate / (1 - rate) / (200 * 50))
    assert (abs(mean - x[0]) <= 5 * deviation * abs(x[0])).all()


def test_masks_have_no_pattern():
    layer, x = build_dropout(0.5), np.ones((200, 500))
    rng = np.random.default_rng(0)
    one, two = (layer.forward_train(x, rng).copy() > 0 for _ in range(2))
    limit = 5 * 0.5 / np.sqrt(x.size)
    for mask, other in [(one, two), (one[1:], one[:-1]), (one[:, 1:], one[:, :-1])]:
        assert abs(np.mean(mask == other) - 0.5) < limit
    assert (abs(one.mean(axis=0) - 0.5) < 5 * 0.5 / np.sqrt(200)).all()


def test_does_nothing_at_inference():
    layer, x = build_dropout(0.5), np.random.default_rng(0).standard_normal((200, 500))
    assert layer.forward(x) is x


def test_leaves_its_input_alone_for_the_activation_before_it():
    layer, x = build_dropout(0.5), np.ones((200, 500))
    layer.forward_train(x, np.random.default_rng(0))
    np.testing.assert_array_equal(x, 1)


def test_gradient_under_a_frozen_mask(numerical_gradient):
    layer, rng = build_dropout(0.4, 6, 5), np.random.default_rng(0)
    x, dy = rng.standard_normal((6, 5)), rng.standard_normal((6, 5))

    def value():
        return np.sum(dy * layer.forward_train(x, np.random.default_rng(3)))

    expected = numerical_gradient(value, x)
    np.testing.assert_allclose(layer.backward(dy.copy()), expected, atol=1e-8)


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_any_bit_generator_works(bits):
    layer = build_dropout(0.5)
    kept = layer.forward_train(np.ones((200, 500)), np.random.Generator(bits(0))) > 0
    assert kept.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_rates_at_the_ends_stay_finite(rate):
    y = build_dropout(rate).forward_train(np.ones((200, 500)), np.random.default_rng(0))
    assert np.isfinite(y).all()
    assert y.any() or rate > 0.5


def test_needs_a_generator():
    with pytest.raises(ValueError, match="pass a generator to backward"):
        build_dropout(0.5).forward_train(np.ones((200, 500)), None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_follows_a_smaller_batch_and_the_dtype(dtype):
    layer = build_dropout(0.5, 7, 3, dtype)
    layer.resize(5)
    y = layer.forward_train(np.ones((5, 3), dtype), np.random.default_rng(0))
    dx = layer.backward(np.ones((5, 3), dtype))
    assert y.shape == dx.shape == (5, 3)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_array_equal(dx, y)


def test_buffers_are_reused(peak_memory):
    layer = build_dropout(0.5, 500, 500)
    x, rng = np.ones((500, 500)), np.random.default_rng(0)
    assert peak_memory(lambda: layer.backward(layer.forward_train(x, rng)), times=20) < 64 * 1024
