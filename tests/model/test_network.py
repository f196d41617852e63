import copy
import json
import os
import pickle
import resource
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import TrainConfig
from model.initializers import INITIALIZERS
from model.layers import ACTIVATIONS
from model.losses import LOSSES
from model.network import Network
from model.optimizers import OPTIMIZERS
from model.outputs import OUTPUTS
from model.training import build_optimizer

DEPTHS = [(), (5,), (5, 4, 3)]
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_depth = pytest.mark.parametrize("hidden", DEPTHS)


OF_CLASSES = [name for name, loss in LOSSES.items() if not (loss.regression or loss.multilabel)]


def build(n_inputs=4, n_classes=3, *, seed=0, dtype=np.float64, moved=True, **options):
    """Return a network; `moved` gives its biases values too, away from ReLU's kink."""
    rng = np.random.default_rng(seed)
    network = Network(n_inputs, n_classes, TrainConfig(**options), rng, dtype=dtype)
    if moved:
        network.params += 0.1 * rng.standard_normal(network.params.shape)
    return network


def draw_rows(network, rows, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, network.n_inputs)).astype(network.params.dtype)
    return x, rng.integers(0, network.n_outputs, rows)


def gradient(network, x, y):
    network.backward(x, y)
    return network.grads.copy()


@pytest.fixture(scope="session")
def plain_outputs(formulas):
    """The network's formula in plain NumPy."""

    def outputs(network, x):
        for linear in network.linears[:-1]:
            x = formulas[network.config.activation](x @ linear.w + linear.b)
        return x @ network.linears[-1].w + network.linears[-1].b

    return outputs


@pytest.fixture(scope="session")
def plain_loss(plain_outputs):
    """The mean cross-entropy, plus ½λ‖W‖² over all weights and no bias."""

    def loss(network, x, y, weight_decay=0.0):
        z = plain_outputs(network, x)
        cross_entropy = np.logaddexp.reduce(z, axis=1) - z[np.arange(len(z)), y]
        penalty = sum(np.sum(linear.w**2) for linear in network.linears)
        return cross_entropy.mean() + 0.5 * weight_decay * penalty

    return loss


@every_activation
@every_depth
def test_forward_is_its_formula(plain_outputs, activation, hidden):
    network = build(activation=activation, hidden_layer_sizes=hidden)
    x, _ = draw_rows(network, 6)
    np.testing.assert_allclose(network.forward(x), plain_outputs(network, x), rtol=1e-12)


@every_activation
@every_depth
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_gradient_of_every_parameter(
    plain_loss, numerical_gradient, activation, hidden, weight_decay
):
    network = build(activation=activation, hidden_layer_sizes=hidden, weight_decay=weight_decay)
    x, y = draw_rows(network, 6)
    expected = numerical_gradient(lambda: plain_loss(network, x, y, weight_decay), network.params)
    np.testing.assert_allclose(gradient(network, x, y), expected, rtol=1e-6, atol=1e-8)


def test_repeating_the_batch_leaves_the_gradient_alone():
    network = build(weight_decay=0.3)
    x, y = draw_rows(network, 6)
    once, twice = gradient(network, x, y), gradient(network, np.tile(x, (2, 1)), np.tile(y, 2))
    np.testing.assert_allclose(twice, once, rtol=1e-10, atol=1e-15)


def test_a_smaller_batch_uses_nothing_from_a_larger_one():
    network = build(hidden_layer_sizes=(5, 4), batch_size=32)
    x, y = draw_rows(network, 32)
    large, small = gradient(network, x, y), gradient(network, x[:7], y[:7])
    fresh = build(hidden_layer_sizes=(5, 4), batch_size=32)
    np.testing.assert_array_equal(small, gradient(fresh, x[:7], y[:7]))
    np.testing.assert_array_equal(large, gradient(network, x, y))


@every_depth
def test_weights_come_first_and_biases_last_on_one_vector(hidden):
    network = build(hidden_layer_sizes=hidden)
    network.params[:] = np.arange(network.params.size)
    network.grads[:] = -network.params
    weights = [linear.w.ravel() for linear in network.linears]
    biases = [linear.b for linear in network.linears]
    np.testing.assert_array_equal(np.concatenate(weights + biases), network.params)
    np.testing.assert_array_equal(np.concatenate(weights), network.weights)
    for linear in network.linears:
        for view in (linear.w, linear.b):
            assert np.shares_memory(view, network.params)
        for view in (linear.dw, linear.db):
            assert np.shares_memory(view, network.grads)
        np.testing.assert_array_equal(linear.dw, -linear.w)
        np.testing.assert_array_equal(linear.db, -linear.b)


def test_writing_to_the_vector_changes_the_network():
    network = build()
    x, _ = draw_rows(network, 6)
    network.params[:] = 0
    network.params[-3:] = [1, 2, 3]  # the last layer's biases
    np.testing.assert_array_equal(network.forward(x), np.tile([1, 2, 3], (6, 1)))


@pytest.mark.parametrize(
    ("activation", "initializer"),
    [
        ("relu", "he"),
        ("leaky_relu", "he"),
        ("relu6", "he"),
        ("sigmoid", "xavier"),
        ("tanh", "xavier"),
        ("identity", "xavier"),
    ],
)
def test_auto_is_he_for_the_relu_family_and_xavier_for_the_others(activation, initializer):
    auto = build(activation=activation, initializer="auto", moved=False)
    named = build(activation=activation, initializer=initializer, moved=False)
    np.testing.assert_array_equal(auto.params, named.params)


@every_activation
def test_auto_works_for_every_activation(activation):
    auto = build(activation=activation, initializer="auto", moved=False)
    assert np.count_nonzero(auto.weights) == auto.weights.size


@pytest.mark.parametrize(
    "initializer", [name for name in INITIALIZERS if name not in ("zeros", "constant")]
)
def test_initial_parameters(initializer):
    options = {"initializer": initializer, "hidden_layer_sizes": (6, 6, 6), "moved": False}
    network = build(6, 6, **options)
    for linear in network.linears:
        np.testing.assert_array_equal(linear.b, 0)
    first, *others = (linear.w for linear in network.linears)
    assert not any(np.array_equal(first, other) for other in others)
    np.testing.assert_array_equal(network.params, build(6, 6, **options).params)
    assert not np.array_equal(network.params, build(6, 6, seed=1, **options).params)


def test_weight_std_is_the_deviation_of_normal():
    network = build(200, 200, initializer="normal", weight_std=0.5, moved=False)
    assert network.weights.std() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_variances_layer_by_layer(initializer):
    options = {"initializer": initializer, "weight_std": 0.5, "bias_std": 0.3}
    sizes = [400, 300, 200, 500]
    network = build(400, 500, hidden_layer_sizes=sizes[1:-1], moved=False, **options)
    expected = {
        "he": lambda n_in, _: 2 / n_in,
        "xavier": lambda n_in, _: 1 / n_in,
        "glorot": lambda n_in, n_out: 2 / (n_in + n_out),
        "normal": lambda *_: 0.25,
        "zeros": lambda *_: 0,
        "constant": lambda *_: 0,
    }[initializer]
    for linear in network.linears:
        assert linear.w.var() == pytest.approx(expected(linear.n_in, linear.n_out), rel=0.03)
    assert network.params[network.weights.size :].std() == pytest.approx(0.3, rel=0.1)


def test_weights_are_the_same_bits_whatever_the_biases():
    zero, drawn = build(moved=False), build(moved=False, bias_std=1)
    np.testing.assert_array_equal(zero.weights, drawn.weights)


@pytest.mark.parametrize("initializer", ["zeros", "constant"])
def test_identical_units_stay_identical(initializer):
    network = build(initializer=initializer, activation="tanh", moved=False)
    x, y = draw_rows(network, 6)
    for _ in range(3):
        network.params -= 0.1 * gradient(network, x, y)
    first = network.linears[0].w
    np.testing.assert_allclose(first, np.tile(first[:, :1], first.shape[1]), atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_activation
def test_everything_follows_the_dtype(dtype, activation):
    network = build(dtype=dtype, activation=activation, weight_decay=0.1)
    x, y = draw_rows(network, 6)
    network.backward(x, y)
    assert network.params.dtype == network.grads.dtype == dtype
    assert network.forward(x).dtype == network.predict_proba(x).dtype == dtype


def test_float32_agrees_with_float64():
    single, double = build(dtype=np.float32), build(dtype=np.float64)
    x, y = draw_rows(single, 50)
    np.testing.assert_allclose(gradient(single, x, y), gradient(double, x, y), atol=1e-6)


@pytest.mark.parametrize("batch_size", [10, 1500])
@pytest.mark.parametrize("rows", [1, 999, 1000, 1001, 2500])
def test_evaluation_in_blocks_equals_evaluation_at_once(
    plain_outputs, plain_loss, batch_size, rows
):
    network = build(batch_size=batch_size, weight_decay=0.3)  # the result excludes the penalty
    x, y = draw_rows(network, rows)
    loss, accuracy = network.evaluate(x, y)
    z = plain_outputs(network, x)
    assert loss == pytest.approx(plain_loss(network, x, y), rel=1e-12)
    assert accuracy == np.mean(np.argmax(z, axis=1) == y)
    p = np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
    np.testing.assert_allclose(network.predict_proba(x), p, rtol=1e-10)


def test_a_batch_may_be_larger_than_an_evaluation_block(plain_loss):
    network = build(batch_size=2500)
    x, y = draw_rows(network, 2500)
    network.backward(x, y)
    assert network.train_metrics()[0] == pytest.approx(plain_loss(network, x, y), rel=1e-12)


def test_probabilities_are_not_overwritten_by_the_next_call():
    network = build()
    x, _ = draw_rows(network, 6)
    p = network.predict_proba(x)
    kept = p.copy()
    network.predict_proba(-x)
    np.testing.assert_array_equal(p, kept)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)


def test_training_metrics_are_means_over_the_rows_since_the_reset(plain_loss, plain_outputs):
    network = build(weight_decay=0.3)
    x, y = draw_rows(network, 9)
    network.backward(-x, y)
    network.reset_metrics()
    for rows in (slice(0, 7), slice(7, 9)):
        network.backward(x[rows], y[rows])
    loss, accuracy = network.train_metrics()
    assert loss == pytest.approx(plain_loss(network, x, y, 0.3), rel=1e-12)
    assert accuracy == np.mean(np.argmax(plain_outputs(network, x), axis=1) == y)


@every_activation
def test_buffers_are_reused(peak_memory, activation):
    options = {"activation": activation, "hidden_layer_sizes": (100,), "weight_decay": 0.1}
    network = build(200, 100, dtype=np.float32, batch_size=200, **options)
    x, y = draw_rows(network, 200)  # any new float array would take 78 KiB
    assert peak_memory(lambda: network.backward(x, y), times=1000) < 64 * 1024


@pytest.mark.parametrize("loss", OF_CLASSES)
def test_a_thousand_gradients_with_everything_switched_on_allocate_nothing(peak_memory, loss):
    options = {"batch_norm": "before", "dropout": 0.3, "weight_decay": 0.1, "loss": loss}
    network = build(60, 60, dtype=np.float32, hidden_layer_sizes=(150, 150), **options)
    x, y = draw_rows(network, 120)  # a buffer of a hidden layer takes 70 KiB
    rng = np.random.default_rng(0)
    assert peak_memory(lambda: network.backward(x, y, rng), times=1000) < 64 * 1024


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_thousand_steps_of_an_optimizer_allocate_nothing(peak_memory, optimizer):
    network = build(60, 60, dtype=np.float32, hidden_layer_sizes=(150, 150))
    rule = build_optimizer(TrainConfig(optimizer=optimizer), network.params)
    network.backward(*draw_rows(network, 120))
    step = partial(rule.step, network.params, network.grads, 1e-6)
    assert peak_memory(step, times=1000) < 64 * 1024 < network.params.nbytes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_depth
def test_a_saved_network_comes_back_the_same(tmp_path, dtype, hidden):
    network = build(dtype=dtype, hidden_layer_sizes=hidden, activation="tanh", weight_decay=0.1)
    network.save(tmp_path / "net.npz")
    loaded = Network.load(str(tmp_path / "net.npz"))
    x, _ = draw_rows(network, 6)
    assert loaded.config == network.config
    assert loaded.params.dtype == dtype
    np.testing.assert_array_equal(loaded.params, network.params)
    np.testing.assert_array_equal(loaded.predict_proba(x), network.predict_proba(x))


def test_the_file_name_is_not_changed(tmp_path):
    build().save(tmp_path / "best.model")
    assert [path.name for path in tmp_path.iterdir()] == ["best.model"]


def test_a_saved_network_is_as_readable_as_any_new_file(tmp_path):
    (tmp_path / "any.txt").write_text("")
    build().save(tmp_path / "net.npz")
    assert (tmp_path / "net.npz").stat().st_mode == (tmp_path / "any.txt").stat().st_mode


@contextmanager
def no_file_beyond(size):
    """Let writing more than `size` bytes to one file raise OSError, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_error_while_saving_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "net.npz"
    build().save(path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="File too large"), no_file_beyond(1000):
        build(hidden_layer_sizes=(500,)).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.npz"]


def test_saving_over_a_folder_leaves_nothing_behind(tmp_path):
    (tmp_path / "net.npz").mkdir()
    with pytest.raises(IsADirectoryError):
        build().save(tmp_path / "net.npz")
    assert os.listdir(tmp_path) == ["net.npz"]


ABOUT = {"format": 1, "n_inputs": 4, "n_classes": 3, "config": TrainConfig().as_dict()}
PARAMS = np.zeros(4 * 100 + 100 * 3 + 100 + 3, np.float32)


def without(key):
    return {name: value for name, value in ABOUT.items() if name != key}


def savez(path, about, params=PARAMS):
    np.savez(path, about=np.array(json.dumps(about)), params=params)


def save_array_alone(path):
    with open(path, "wb") as file:
        np.save(file, PARAMS)


def refusal(path):
    """Return why `path` is refused, after checking the sentence around it."""
    with pytest.raises(ValueError, match="not a network") as error:
        Network.load(path)
    sentence = str(error.value)
    start = f"{path}: not a network saved by hpsearch ("
    assert sentence.startswith(start)
    assert sentence.endswith(")")
    return sentence.removeprefix(start)[:-1]


def test_the_hand_written_file_of_the_tests_below_is_valid(tmp_path):
    savez(tmp_path / "net.npz", ABOUT)
    assert Network.load(tmp_path / "net.npz").n_inputs == 4


@pytest.mark.parametrize(
    ("about", "params", "why"),
    [
        (ABOUT | {"format": 2}, PARAMS, "format 2, but this version reads 1"),
        (ABOUT | {"format": 2, "config": {"new": 1}}, PARAMS, "format 2, but this version reads 1"),
        (without("format"), PARAMS, "'format'"),
        (without("config"), PARAMS, "'config'"),
        (without("n_inputs"), PARAMS, "'n_inputs'"),
        (
            ABOUT | {"config": {"momentum": 1.2}},
            PARAMS,
            "momentum must be in [0, 1), but got 1.2",
        ),
        (
            ABOUT,
            PARAMS[1:],
            "parameters of shape (802,), but its layers need (803,)",
        ),
        (
            ABOUT,
            PARAMS[None],
            "parameters of shape (1, 803), but its layers need (803,)",
        ),
    ],
)
def test_a_network_that_does_not_fit_is_refused(tmp_path, about, params, why):
    savez(tmp_path / "net.npz", about, params)
    assert refusal(tmp_path / "net.npz") == why


NO_ARCHIVE = "is not a readable .npz file; write one with np.savez"


@pytest.mark.parametrize(
    ("write", "why"),
    [
        pytest.param(lambda path: path.write_bytes(b"garbage"), NO_ARCHIVE, id="garbage"),
        pytest.param(lambda path: path.write_bytes(b""), NO_ARCHIVE, id="empty"),
        pytest.param(save_array_alone, "holds a single array", id="npy"),
        pytest.param(lambda path: np.savez(path, params=PARAMS), "'about'", id="no about"),
        pytest.param(lambda path: np.savez(path, about="{}"), "'params'", id="no params"),
        pytest.param(lambda path: np.savez(path, about="{", params=PARAMS), "", id="no JSON"),
        pytest.param(lambda path: savez(path, [ABOUT]), "indices", id="a list"),
        pytest.param(lambda path: savez(path, ABOUT | {"n_inputs": "4"}), "str", id="no number"),
        pytest.param(lambda path: savez(path, ABOUT | {"config": {"lr": 1}}), "lr", id="new key"),
        pytest.param(
            lambda path: savez(path, ABOUT, np.array([{}])), "Python objects", id="pickle"
        ),
    ],
)
def test_a_file_that_is_not_a_network_is_refused(tmp_path, write, why):
    write(tmp_path / "net.npz")
    assert why in refusal(tmp_path / "net.npz")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = tmp_path / "net.npz"
    build().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert refusal(path) == NO_ARCHIVE


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "net.npz"
    network = build()
    network.save(path)
    content, last = path.read_bytes(), network.params[-1:].tobytes()
    path.write_bytes(content.replace(last, bytes([last[0] ^ 1]) + last[1:]))
    assert "CRC" in refusal(path)


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Network.load(tmp_path / "net.npz")
    with pytest.raises(FileNotFoundError):
        build().save(tmp_path / "nowhere" / "net.npz")


OPTIONS = st.fixed_dictionaries(
    {
        "hidden_layer_sizes": st.lists(st.integers(1, 6), max_size=3),
        "activation": st.sampled_from(list(ACTIVATIONS)),
        "initializer": st.sampled_from(["auto", *INITIALIZERS]),
        "weight_decay": st.sampled_from([0.0, 1e-3, 1.0]),
    }
)


@settings(max_examples=50, deadline=None)
@given(
    options=OPTIONS,
    n_inputs=st.integers(1, 6),
    n_classes=st.integers(2, 5),
    rows=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_architecture(
    tmp_path_factory, plain_loss, numerical_gradient, options, n_inputs, n_classes, rows, seed
):
    network = build(n_inputs, n_classes, seed=seed, **options)
    x, y = draw_rows(network, rows, seed)

    def loss():
        return plain_loss(network, x, y, options["weight_decay"])

    assert network.forward(x).shape == (rows, n_classes)
    grads = gradient(network, x, y)
    assert network.train_metrics()[0] == pytest.approx(loss(), rel=1e-10)
    for i in np.random.default_rng(seed).integers(0, len(grads), 3):
        expected = numerical_gradient(loss, network.params[i : i + 1])
        np.testing.assert_allclose(grads[i : i + 1], expected, rtol=1e-5, atol=1e-7)

    path = tmp_path_factory.mktemp("any") / "net.npz"
    network.save(path)
    np.testing.assert_array_equal(Network.load(path).predict_proba(x), network.predict_proba(x))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_a_copy_is_a_network_of_its_own(duplicate):
    original, x = build(), np.ones((5, 4))
    before = original.predict_proba(x)
    twin = duplicate(original)
    np.testing.assert_array_equal(twin.predict_proba(x), before)
    twin.params[:] = 0
    np.testing.assert_allclose(twin.predict_proba(x), 1 / 3)
    np.testing.assert_array_equal(original.predict_proba(x), before)


def test_buffers_fit_any_number_of_rows():
    network = build(batch_size=10**11)
    for rows in (5, 2000, 7):
        assert network.forward(np.ones((rows, 4))).shape == (rows, 3)


COMBINED = st.fixed_dictionaries(
    {
        "activation": st.sampled_from([name for name in ACTIVATIONS if name != "relu6"]),
        "hidden_layer_sizes": st.lists(st.integers(1, 4), min_size=1, max_size=3),
        "batch_norm": st.sampled_from(["none", "before", "after"]),
        "dropout": st.sampled_from([0.0, 0.3]),
        "loss": st.sampled_from(OF_CLASSES),
        "output": st.sampled_from([*OUTPUTS]),
        "weight_decay": st.sampled_from([0.0, 0.3]),
    }
)


@settings(max_examples=60, deadline=None)
@given(options=COMBINED, seed=st.integers(0, 2**16))
def test_everything_switched_on_at_once(tmp_path_factory, numerical_gradient, options, seed):
    network = build(n_inputs=3, seed=seed, **options)
    x, y = draw_rows(network, 7, seed)

    def loss():
        network.reset_metrics()
        network.backward(x, y, np.random.default_rng(5))  # the same masks each time
        return network.train_metrics()[0]

    loss()
    found = network.grads.copy()
    expected = numerical_gradient(loss, network.params)
    kinks = np.abs(found - expected) > 1e-4 * (1 + np.abs(expected))
    if options["activation"] in ("relu", "leaky_relu"):  # a step may cross one
        assert kinks.mean() < 0.1
    else:
        assert not kinks.any()

    p = network.predict_proba(x)
    assert p.shape == (7, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    path = tmp_path_factory.mktemp("all") / "net.npz"
    network.save(path)
    np.testing.assert_array_equal(Network.load(path).predict_proba(x), p)
