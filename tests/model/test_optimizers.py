import numpy as np
import pytest

from model.config import TrainConfig
from model.optimizers import OPTIMIZERS
from model.training import build_optimizer

every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def sgd(w, steps, _):
    for g, eta in steps:
        w = w - eta * g
    return w


def momentum(w, steps, config):
    v = np.zeros_like(w)
    for g, eta in steps:
        v = config.momentum * v - eta * g
        w = w + v
    return w


def nesterov(w, steps, config):
    """As Sutskever et al. write it: the gradient is taken at θ + μv; here w = θ + μv."""
    v = np.zeros_like(w)
    theta = w
    for g, eta in steps:
        v = config.momentum * v - eta * g
        theta = theta + v
        w = theta + config.momentum * v
    return w


def adagrad(w, steps, _):
    s = np.zeros_like(w)
    for g, eta in steps:
        s = s + g**2
        w = w - eta * g / (np.sqrt(s) + 1e-10)
    return w


def rmsprop(w, steps, config):
    s = np.zeros_like(w)
    for g, eta in steps:
        s = config.rho * s + (1 - config.rho) * g**2
        w = w - eta * g / (np.sqrt(s) + 1e-8)
    return w


def adam(w, steps, config):
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, (g, eta) in enumerate(steps, start=1):
        m = config.beta1 * m + (1 - config.beta1) * g
        v = config.beta2 * v + (1 - config.beta2) * g**2
        m_hat, v_hat = m / (1 - config.beta1**t), v / (1 - config.beta2**t)
        w = w - eta * m_hat / (np.sqrt(v_hat) + 1e-8)
    return w


ORACLES = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
}

# From w = (1, −2) with g = (0.5, −4) and η = 0.1, twice, under the default hyperparameters:
# momentum's second move is 0.9 + 1 times its first, Nesterov's moves are 1.9 and 2.71 times SGD's;
# AdaGrad moves by η and η/√2 against the gradient's sign, RMSProp by η/√0.1 and η/√0.19, Adam by η.
BY_HAND = {
    "sgd": [(0.95, -1.6), (0.9, -1.2)],
    "momentum": [(0.95, -1.6), (0.855, -0.84)],
    "nesterov": [(0.905, -1.24), (0.7695, -0.156)],
    "adagrad": [(0.9, -1.9), (0.82928932, -1.82928932)],
    "rmsprop": [(0.68377223, -1.68377223), (0.45435650, -1.45435650)],
    "adam": [(0.9, -1.9), (0.8, -1.8)],
}


@every_optimizer
def test_first_steps_by_hand(name):
    w = np.array([1.0, -2.0])
    optimizer = build_optimizer(TrainConfig(optimizer=name), w)
    for expected in BY_HAND[name]:
        optimizer.step(w, np.array([0.5, -4.0]), 0.1)
        np.testing.assert_allclose(w, expected, rtol=1e-7)


@every_optimizer
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.95])
def test_follows_its_formula(name, decay):
    slow = 0.1 + 0.9 * decay
    config = TrainConfig(optimizer=name, momentum=decay, rho=slow, beta1=decay, beta2=slow)
    rng = np.random.default_rng(0)
    start = rng.standard_normal(20)
    steps = [(rng.standard_normal(20), 0.1 / (1 + t)) for t in range(50)]
    w = start.copy()
    optimizer = build_optimizer(config, w)
    for g, eta in steps:
        optimizer.step(w, g.copy(), eta)
    np.testing.assert_allclose(w, ORACLES[name](start, steps, config), rtol=1e-12, atol=1e-12)


@every_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_has_the_shape_and_dtype_of_the_parameters(name, dtype):
    w = np.ones(6, dtype)
    optimizer = build_optimizer(TrainConfig(optimizer=name), w)
    for _ in range(2):  # the steps must not change the state's dtype either
        optimizer.step(w, np.ones_like(w), np.float64(0.1))
        for state in vars(optimizer).values():
            if isinstance(state, np.ndarray):
                assert (state.shape, state.dtype) == (w.shape, w.dtype)
                assert not np.shares_memory(state, w)


@every_optimizer
def test_updates_the_vector_in_place(name):
    memory = np.ones(8, np.float32)
    w = memory[2:6]  # a view: the step must change `memory`
    optimizer = build_optimizer(TrainConfig(optimizer=name), w)
    optimizer.step(w, np.ones(4, np.float32), 0.1)
    assert (memory[2:6] < 1).all()
    assert (memory[[0, 1, 6, 7]] == 1).all()


@every_optimizer
def test_learns_a_quadratic(name):
    curvature, target = np.array([1.0, 4.0]), np.array([3.0, -2.0])
    w = np.zeros(2)
    optimizer = build_optimizer(TrainConfig(optimizer=name), w)
    for step in range(2000):  # small in the end for RMSProp, large at first for AdaGrad
        optimizer.step(w, curvature * (w - target), 0.5 * 0.99**step)
    np.testing.assert_allclose(w, target, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_adams_first_step_has_the_size_of_the_learning_rate(scale):
    g = scale * np.array([3.0, -0.5, 20.0])
    w = np.zeros(3)
    build_optimizer(TrainConfig(optimizer="adam"), w).step(w, g.copy(), 0.01)
    np.testing.assert_allclose(w, -0.01 * np.sign(g), rtol=1e-4)


@every_optimizer
def test_making_an_optimizer_moves_nothing(name):
    w = np.array([1.0, -2.0])
    optimizer = build_optimizer(TrainConfig(optimizer=name), w)
    np.testing.assert_array_equal(w, [1.0, -2.0])
    state = {key: value for key, value in vars(optimizer).items() if key != "scratch"}
    assert not any(np.any(value) for value in state.values() if isinstance(value, np.ndarray))


@every_optimizer
def test_agrees_with_torch(name):
    torch = pytest.importorskip("torch")
    rules = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.01),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8, nesterov=True),
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.97),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.95)),
    }
    rng = np.random.default_rng(0)
    w = rng.standard_normal(20).astype(np.float32)
    config = TrainConfig(optimizer=name, momentum=0.8, rho=0.97, beta1=0.8, beta2=0.95)
    optimizer = build_optimizer(config, w)
    twin = torch.tensor(w.copy(), requires_grad=True)
    peer = rules[name]([twin])
    for _ in range(200):
        g = rng.standard_normal(20).astype(np.float32)
        twin.grad = torch.tensor(g.copy())
        peer.step()
        optimizer.step(w, g, 0.01)
    np.testing.assert_allclose(w, twin.detach().numpy(), atol=1e-5)
