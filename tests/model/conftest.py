"""Oracles and measures that several tests of the training core share."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from model.data import Dataset

FORMULAS = {
    "relu": lambda z: np.where(z > 0, z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "relu6": lambda z: np.clip(z, 0, 6),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
    "identity": lambda z: z,
}


def central_differences(function: Callable[[], float], x: np.ndarray) -> np.ndarray:
    """Return the gradient of `function`, which reads the float64 array x, with respect to x."""
    step = 1e-6
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + step
        above = function()
        x[i] = kept - step
        below = function()
        x[i] = kept
        gradient[i] = (above - below) / (2 * step)
    return gradient


def peak_memory_of(function: Callable[[], object], *, times: int) -> int:
    """Return the peak of allocated bytes while `function` is called `times` times.

    Buffers that the very first call makes do not count: it comes before the measurement.
    """
    function()
    tracemalloc.start()
    try:
        for _ in range(times):
            function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def noise(n_train=30, n_val=11, n_features=4, n_classes=3):
    """Return noise with random labels: a network can only memorize the rows."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_train + n_val, n_features)).astype(np.float32)
    y = rng.integers(0, n_classes, n_train + n_val)
    return Dataset(
        name="tiny",
        source="tiny",
        digest="",
        feature_names=tuple(f"x{i}" for i in range(n_features)),
        class_names=tuple("abc"[:n_classes]),
        x_train=x[:n_train],
        y_train=y[:n_train],
        x_val=x[n_train:],
        y_val=y[n_train:],
    )


@pytest.fixture(scope="session")
def data():
    return noise()


@pytest.fixture(scope="session")
def tiny_data():
    """A function that returns noise of other sizes."""
    return noise


@pytest.fixture(scope="session")
def formulas():
    """Activation name → its textbook formula; a new activation adds its own."""
    return FORMULAS


@pytest.fixture(scope="session")
def numerical_gradient():
    return central_differences


@pytest.fixture(scope="session")
def peak_memory():
    return peak_memory_of
