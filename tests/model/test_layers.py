import numpy as np
import pytest

from model.config import TrainConfig
from model.layers import ACTIVATIONS, Linear

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def build_linear(rng, rows, n_in=4, n_out=3, **options):
    layer = Linear((n_in, n_out), **options)
    w, b = rng.standard_normal((n_in, n_out)), rng.standard_normal(n_out)
    layer.bind(w, b, np.full_like(w, np.nan), np.full_like(b, np.nan))
    layer.allocate(rows, w.dtype)
    layer.resize(rows)
    return layer


def build_activation(name, z, **options):
    """Return an activation for batches like z."""
    kind = ACTIVATIONS[name]
    layer = kind(z.shape[1], **TrainConfig(**options).arguments_for(kind))
    layer.allocate(len(z), z.dtype)
    layer.resize(len(z))
    return layer


def away_from_zero(rng, shape):
    """Draw z where ReLU has a derivative: no |z| below 0.1."""
    z = 3 * rng.standard_normal(shape)
    return z + 0.1 * np.sign(z)


def test_linear_is_xw_plus_b(rng):
    layer, x = build_linear(rng, rows=5), rng.standard_normal((5, 4))
    expected = np.einsum("ri,io->ro", x, layer.w) + layer.b
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-12)


@pytest.mark.parametrize("first", [False, True])
def test_linear_gradients_of_weights_and_biases(rng, numerical_gradient, first):
    layer, x = build_linear(rng, rows=5, first=first), rng.standard_normal((5, 4))
    dz = rng.standard_normal((5, 3))
    layer.forward(x)
    layer.backward(dz)
    for values, gradient in [(layer.w, layer.dw), (layer.b, layer.db)]:
        expected = numerical_gradient(lambda: np.sum(dz * layer.forward(x)), values)
        np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-8)


def test_linear_gradient_of_its_input(rng, numerical_gradient):
    layer, x = build_linear(rng, rows=5), rng.standard_normal((5, 4))
    dz = rng.standard_normal((5, 3))
    layer.forward(x)
    dx = layer.backward(dz)
    expected = numerical_gradient(lambda: np.sum(dz * layer.forward(x)), x)
    np.testing.assert_allclose(dx, expected, rtol=1e-7, atol=1e-8)


def test_linear_reuses_its_buffers_for_smaller_batches(rng):
    layer = build_linear(rng, rows=8)
    x, dz = rng.standard_normal((8, 4)), rng.standard_normal((8, 3))
    out, dx = layer.forward(x), layer.backward(dz)
    layer.resize(3)
    small_out, small_dx = layer.forward(x[:3]), layer.backward(dz[:3])
    assert small_out.shape == (3, 3)
    assert small_dx.shape == (3, 4)
    assert np.shares_memory(out, small_out)
    assert np.shares_memory(dx, small_dx)
    np.testing.assert_allclose(layer.db, dz[:3].sum(axis=0))


@every_activation
def test_activation_is_its_formula(rng, formulas, name):
    z = 3 * rng.standard_normal((50, 3))
    a = build_activation(name, z).forward(z.copy())
    np.testing.assert_allclose(a, formulas[name](z), atol=1e-15)


@every_activation
def test_activation_gradient(rng, numerical_gradient, name):
    z, da = away_from_zero(rng, (5, 3)), rng.standard_normal((5, 3))
    layer = build_activation(name, z)
    layer.forward(z.copy())
    dz = layer.backward(da.copy())
    expected = numerical_gradient(lambda: np.sum(da * layer.forward(z.copy())), z)
    np.testing.assert_allclose(dz, expected, rtol=1e-7, atol=1e-9)


@every_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activation_works_in_place_and_keeps_the_dtype(rng, name, dtype):
    z = rng.standard_normal((5, 3)).astype(dtype)
    da = np.ones_like(z)
    layer = build_activation(name, z)
    a, dz = layer.forward(z), layer.backward(da)
    assert np.shares_memory(a, z)
    assert np.shares_memory(dz, da)
    assert a.dtype == dz.dtype == dtype


@every_activation
def test_activation_cannot_overflow(name):
    z = np.array([[-1e4, -90, 0, 90, 1e4]], np.float32)
    layer = build_activation(name, z)
    a = layer.forward(z).copy()
    dz = layer.backward(np.ones_like(z))
    assert np.isfinite(a).all()
    assert np.isfinite(dz).all()
    assert (np.diff(a) >= 0).all()


def test_relu_passes_no_gradient_at_zero():
    z = np.array([[-1.0, -0.0, 0.0, 1.0]])
    layer = build_activation("relu", z)
    layer.forward(z)
    np.testing.assert_array_equal(layer.backward(np.ones((1, 4))), [[0, 0, 0, 1]])


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.9])
def test_leaky_relu_has_its_slope_below_zero(slope):
    z = np.array([[-2.0, 0.0, 3.0]])
    layer = build_activation("leaky_relu", z, leaky_slope=slope)
    np.testing.assert_array_equal(layer.forward(z), [[-2 * slope, 0, 3]])
    np.testing.assert_allclose(layer.backward(np.ones((1, 3))), [[slope, slope, 1]], rtol=1e-15)


def test_leaky_relu_follows_a_smaller_batch(rng):
    layer = build_activation("leaky_relu", np.empty((5, 3)))
    layer.resize(2)
    assert layer.forward(rng.standard_normal((2, 3))).shape == (2, 3)
    assert layer.backward(np.ones((2, 3))).shape == (2, 3)


def test_relu6_passes_no_gradient_at_its_ends():
    z = np.array([[-1.0, 0.0, 3.0, 6.0, 7.0]])
    layer = build_activation("relu6", z)
    np.testing.assert_array_equal(layer.forward(z), [[0, 0, 3, 6, 6]])
    np.testing.assert_array_equal(layer.backward(np.ones((1, 5))), [[0, 0, 1, 0, 0]])
