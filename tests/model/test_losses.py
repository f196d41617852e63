import numpy as np
import pytest

from model.losses import SoftmaxCrossEntropy


def build_loss(z):
    loss = SoftmaxCrossEntropy(z.shape[1])
    loss.allocate(len(z), z.dtype)
    loss.resize(len(z))
    return loss


def losses(z, y):
    return build_loss(z).forward(z.copy(), y)


def gradient(z, y):
    loss, p = build_loss(z), z.copy()
    loss.forward(p, y)
    return loss.backward(p)


def log_softmax(z):
    return z - np.logaddexp.reduce(z, axis=1, keepdims=True)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return 3 * rng.standard_normal((12, 5)), rng.integers(0, 5, 12)


def test_each_row_loses_minus_its_log_probability(batch):
    z, y = batch
    expected = [-row[label] for row, label in zip(log_softmax(z), y, strict=True)]
    np.testing.assert_allclose(losses(z, y), expected, rtol=1e-12)


def test_forward_leaves_the_probabilities_and_the_predictions(batch):
    z, y = batch
    loss, p = build_loss(z), z.copy()
    loss.forward(p, y)
    np.testing.assert_allclose(p, np.exp(log_softmax(z)), rtol=1e-12)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(loss.predicted, np.argmax(z, axis=1))


def test_probabilities_alone_are_the_same(batch):
    z, y = batch
    loss, p = build_loss(z), z.copy()
    loss.forward(p, y)
    np.testing.assert_array_equal(loss.probabilities(z), p)


def test_gradient_of_the_mean(batch, numerical_gradient):
    z, y = batch
    expected = numerical_gradient(lambda: losses(z, y).mean(), z)
    np.testing.assert_allclose(gradient(z, y), expected, rtol=1e-6, atol=1e-9)


def test_gradient_by_hand():
    z, y = np.log([[1.0, 3.0]]), np.array([0])
    np.testing.assert_allclose(losses(z, y), [np.log(4)], rtol=1e-14)
    np.testing.assert_allclose(gradient(z, y), [[-0.75, 0.75]], rtol=1e-14)


def test_repeating_the_rows_leaves_mean_and_gradient_alone(batch):
    z, y = batch
    twice_z, twice_y = np.tile(z, (2, 1)), np.tile(y, 2)
    assert losses(twice_z, twice_y).mean() == pytest.approx(losses(z, y).mean(), rel=1e-14)
    both_halves = gradient(twice_z, twice_y).reshape(2, *z.shape).sum(axis=0)
    np.testing.assert_allclose(both_halves, gradient(z, y), atol=1e-16)


def test_adding_a_constant_to_a_row_changes_nothing(batch):
    z, y = batch
    shift = np.linspace(-500, 500, len(z))[:, None]
    np.testing.assert_allclose(losses(z + shift, y), losses(z, y), rtol=1e-10)


@pytest.mark.parametrize(
    ("row", "label", "expected_loss", "expected_gradient"),
    [
        ([1e4, -1e4], 0, 0, [0, 0]),
        ([1e4, -1e4], 1, 2e4, [1, -1]),
        ([1e4, 1e4], 0, np.log(2), [-0.5, 0.5]),
        ([-1e4, -1e4], 1, np.log(2), [0.5, -0.5]),
        ([0, -1e4], 1, 1e4, [1, -1]),
    ],
)
def test_huge_outputs_are_exact_in_float32(row, label, expected_loss, expected_gradient):
    z, y = np.array([row], np.float32), np.array([label])
    assert losses(z, y)[0] == np.float32(expected_loss)
    np.testing.assert_array_equal(gradient(z, y), [expected_gradient])


@pytest.mark.parametrize("label_dtype", [np.uint8, np.int32, np.int64])
def test_labels_may_be_any_integers(batch, label_dtype):
    z, y = batch
    np.testing.assert_array_equal(losses(z, y.astype(label_dtype)), losses(z, y))


def test_a_smaller_batch_uses_the_same_buffers(batch):
    z, y = batch
    loss = build_loss(z)
    all_losses = loss.forward(z.copy(), y)
    loss.resize(5)
    p = z[:5].copy()
    some_losses = loss.forward(p, y[:5])
    assert np.shares_memory(some_losses, all_losses)
    np.testing.assert_array_equal(some_losses, losses(z[:5], y[:5]))
    np.testing.assert_array_equal(loss.backward(p), gradient(z[:5], y[:5]))
