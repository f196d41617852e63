import numpy as np
import pytest

from model.config import TrainConfig
from model.losses import LOSSES
from model.outputs import OUTPUTS, nearest_distribution

OUTPUT_FORMULAS = {
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "identity": lambda z: z,
}


def one_hot(z, y):
    return np.eye(z.shape[1])[y]


def cross_entropy(z, y):
    return -np.log(OUTPUT_FORMULAS["softmax"](z)[np.arange(len(z)), y])


def binary_cross_entropy(z, y):
    p, t = OUTPUT_FORMULAS["sigmoid"](z), one_hot(z, y)
    return -np.sum(t * np.log(p) + (1 - t) * np.log(1 - p), axis=1)


def squared_error(output):
    return lambda z, y: np.sum((OUTPUT_FORMULAS[output](z) - one_hot(z, y)) ** 2, axis=1)


# The loss of each row, by its textbook formula.
ORACLES = {
    ("cross_entropy", "softmax"): cross_entropy,
    ("binary_cross_entropy", "sigmoid"): binary_cross_entropy,
    **{("mean_squared_error", output): squared_error(output) for output in OUTPUT_FORMULAS},
}
CASES = list(ORACLES)
every_loss = pytest.mark.parametrize(("loss", "output"), CASES)


def build_loss(z, loss, output):
    kind = LOSSES[loss]
    built = kind(z.shape[1], **TrainConfig(loss=loss, output=output).arguments_for(kind))
    built.allocate(len(z), z.dtype)
    built.resize(len(z))
    return built


def losses(z, y, *case):
    """Return the loss of each row."""
    built = build_loss(z[:1], *case)
    return np.array([built.forward(z[[i]], y[[i]])[0] for i in range(len(z))])


def gradient(z, y, *case):
    loss, outputs = build_loss(z, *case), z.copy()
    loss.forward(outputs, y)
    return loss.backward(outputs)


def probabilities(z, *case):
    return build_loss(z, *case).predictions(z.copy())


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return 3 * rng.standard_normal((12, 5)), rng.integers(0, 5, 12)


@every_loss
def test_the_loss_of_each_row_is_its_formula(batch, loss, output):
    z, y = batch
    expected = ORACLES[loss, output](z, y)
    np.testing.assert_allclose(losses(z, y, loss, output), expected, rtol=1e-12)
    total, _ = build_loss(z, loss, output).forward(z.copy(), y)
    assert total == pytest.approx(expected.sum(), rel=1e-12)


@every_loss
def test_forward_leaves_the_outputs_and_counts_the_hits(batch, loss, output):
    z, y = batch
    built, outputs = build_loss(z, loss, output), z.copy()
    _, hits = built.forward(outputs, y)
    np.testing.assert_allclose(outputs, OUTPUT_FORMULAS[output](z), rtol=1e-12)
    assert hits == np.count_nonzero(np.argmax(z, axis=1) == y) > 0


@every_loss
def test_gradient_of_the_mean(batch, numerical_gradient, loss, output):
    z, y = batch
    expected = numerical_gradient(lambda: losses(z, y, loss, output).mean(), z)
    np.testing.assert_allclose(gradient(z, y, loss, output), expected, rtol=1e-6, atol=1e-8)


@every_loss
def test_probabilities_are_a_distribution_in_the_order_of_the_outputs(batch, loss, output):
    z, _ = batch
    for scale in (1e-3, 1, 1e4):
        p = probabilities(scale * z, loss, output)
        assert (p >= 0).all()
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
        ordered = np.take_along_axis(p, np.argsort(z, axis=1), axis=1)
        assert (np.diff(ordered, axis=1) >= 0).all()


@pytest.mark.parametrize("case", [CASES[0], CASES[2]])
def test_probabilities_of_softmax_are_its_outputs(batch, case):
    z, _ = batch
    np.testing.assert_allclose(probabilities(z, *case), OUTPUT_FORMULAS["softmax"](z), rtol=1e-12)


@pytest.mark.parametrize("case", [CASES[1], CASES[3]])
def test_probabilities_of_sigmoids_are_their_shares(batch, case):
    z, _ = batch
    p = OUTPUT_FORMULAS["sigmoid"](z)
    expected = p / p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities(z, *case), expected, rtol=1e-12)
    far_out = probabilities(np.array([[-1000.0, -1000.0, -2000.0]]), *case)
    np.testing.assert_array_equal(far_out, [[0.5, 0.5, 0]])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
        ([1.0, 1.0, 0.0], [0.5, 0.5, 0.0]),
        ([2.0, 0.5, -7.0], [1.0, 0.0, 0.0]),
        ([-1.0, -1.0, -1.0], [1 / 3, 1 / 3, 1 / 3]),
        ([1e8, 1e8, 0.0], [0.5, 0.5, 0.0]),
    ],
)
def test_nearest_distribution_by_hand(row, expected):
    np.testing.assert_allclose(nearest_distribution(np.array([row])), [expected], atol=1e-15)


def test_no_distribution_is_nearer(batch):
    z, _ = batch
    p = nearest_distribution(z.copy())
    others = np.random.default_rng(1).dirichlet(np.full(5, 0.3), (200, len(z)))
    nearer = others + 0.99 * (p - others)  # and close to p as well
    for candidates in (others, nearer):
        assert (((candidates - z) ** 2).sum(axis=2) >= ((p - z) ** 2).sum(axis=1)).all()


@pytest.mark.parametrize(
    ("case", "expected_loss", "expected_gradient"),
    [
        (CASES[0], np.log(4), [-0.75, 0.75]),  # p = (1, 3)/4
        (CASES[1], np.log(2) + np.log(4), [-0.5, 0.75]),  # p = (1/2, 3/4)
        (CASES[2], 2 * 0.75**2, [-0.5625, 0.5625]),  # 4 · 0.75 · (1/4)(3/4)
        (CASES[3], 0.25 + 0.5625, [-0.25, 0.28125]),  # 2 · 0.75 · (3/4)(1/4)
        (CASES[4], 1 + np.log(3) ** 2, [-2, 2 * np.log(3)]),
    ],
)
def test_by_hand(case, expected_loss, expected_gradient):
    z, y = np.log([[1.0, 3.0]]), np.array([0])
    np.testing.assert_allclose(losses(z, y, *case), [expected_loss], rtol=1e-14)
    np.testing.assert_allclose(gradient(z, y, *case), [expected_gradient], rtol=1e-14)


@every_loss
def test_repeating_the_rows_leaves_mean_and_gradient_alone(batch, loss, output):
    z, y = batch
    twice_z, twice_y = np.tile(z, (2, 1)), np.tile(y, 2)
    mean = losses(z, y, loss, output).mean()
    assert losses(twice_z, twice_y, loss, output).mean() == pytest.approx(mean, rel=1e-14)
    both_halves = gradient(twice_z, twice_y, loss, output).reshape(2, *z.shape).sum(axis=0)
    np.testing.assert_allclose(both_halves, gradient(z, y, loss, output), atol=1e-15)


def test_squared_errors_are_summed_over_the_outputs():
    for k in (2, 10):
        z, y = np.zeros((3, k)), np.zeros(3, int)
        assert losses(z, y, "mean_squared_error", "sigmoid") == pytest.approx([k / 4] * 3)


@pytest.mark.parametrize("case", [CASES[0], CASES[2]])
def test_adding_a_constant_to_a_row_changes_no_softmax(batch, case):
    z, y = batch
    shift = np.linspace(-500, 500, len(z))[:, None]
    np.testing.assert_allclose(losses(z + shift, y, *case), losses(z, y, *case), rtol=1e-9)


@pytest.mark.parametrize(
    ("case", "row", "label", "expected_loss", "expected_gradient"),
    [
        (CASES[0], [1e4, -1e4], 0, 0, [0, 0]),
        (CASES[0], [1e4, -1e4], 1, 2e4, [1, -1]),
        (CASES[0], [1e4, 1e4], 0, np.log(2), [-0.5, 0.5]),
        (CASES[0], [-1e4, -1e4], 1, np.log(2), [0.5, -0.5]),
        (CASES[0], [0, -1e4], 1, 1e4, [1, -1]),
        (CASES[1], [1e4, -1e4], 0, 0, [0, 0]),
        (CASES[1], [1e4, -1e4], 1, 2e4, [1, -1]),
        (CASES[2], [1e4, -1e4], 1, 2, [0, 0]),
        (CASES[3], [1e4, -1e4], 1, 2, [0, 0]),
        (CASES[4], [1e4, 0], 1, 1e8 + 1, [2e4, -2]),
    ],
)
def test_huge_outputs_are_exact_in_float32(case, row, label, expected_loss, expected_gradient):
    z, y = np.array([row], np.float32), np.array([label])
    assert losses(z, y, *case)[0] == np.float32(expected_loss)
    np.testing.assert_array_equal(gradient(z, y, *case), [expected_gradient])


def test_a_confident_binary_loss_is_not_rounded_away():
    z, y = np.array([[30.0, -30.0]], np.float32), np.array([0])
    loss = losses(z, y, "binary_cross_entropy", "sigmoid")
    np.testing.assert_allclose(loss, 2 * np.log1p(np.exp(-30.0)), rtol=1e-5)


@every_loss
@pytest.mark.parametrize("label_dtype", [np.uint8, np.int32, np.int64])
def test_labels_may_be_any_integers(batch, label_dtype, loss, output):
    z, y = batch
    found = losses(z, y.astype(label_dtype), loss, output)
    np.testing.assert_array_equal(found, losses(z, y, loss, output))


@every_loss
def test_a_smaller_batch_uses_the_same_buffers(batch, loss, output):
    z, y = batch
    case = (loss, output)
    built = build_loss(z, *case)
    built.forward(z.copy(), y)
    targets = built.targets
    built.resize(5)
    outputs = z[:5].copy()
    total, _ = built.forward(outputs, y[:5])
    assert np.shares_memory(built.targets, targets)
    assert total == pytest.approx(losses(z[:5], y[:5], *case).sum(), rel=1e-12)
    np.testing.assert_array_equal(built.backward(outputs), gradient(z[:5], y[:5], *case))


@every_loss
def test_everything_follows_the_dtype(batch, loss, output):
    z, y = batch[0].astype(np.float32), batch[1]
    assert gradient(z, y, loss, output).dtype == np.float32
    assert probabilities(z, loss, output).dtype == np.float32


def test_every_loss_is_tested_here():
    elsewhere = {n for n, loss in LOSSES.items() if loss.regression or loss.multilabel}
    assert {loss for loss, _ in CASES} == {*LOSSES} - elsewhere
    assert {output for _, output in CASES} == set(OUTPUTS)


@every_loss
def test_agrees_with_torch(batch, loss, output):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    z, y = batch
    twin = torch.tensor(z, requires_grad=True)
    target = functional.one_hot(torch.tensor(y), 5).double()
    applied = {"softmax": lambda z: z.softmax(1), "sigmoid": torch.sigmoid, "identity": lambda z: z}
    expected = {
        "cross_entropy": lambda: functional.cross_entropy(twin, torch.tensor(y), reduction="sum"),
        "binary_cross_entropy": lambda: functional.binary_cross_entropy_with_logits(
            twin, target, reduction="sum"
        ),
        "mean_squared_error": lambda: functional.mse_loss(
            applied[output](twin), target, reduction="sum"
        ),
    }[loss]() / len(z)
    expected.backward()
    assert losses(z, y, loss, output).mean() == pytest.approx(expected.item(), rel=1e-10)
    np.testing.assert_allclose(gradient(z, y, loss, output), twin.grad.numpy(), atol=1e-12)
