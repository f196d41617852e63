"""Oracles that several tests of the training core share."""

from collections.abc import Callable

import numpy as np
import pytest

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


@pytest.fixture(scope="session")
def formulas():
    """Activation name → its textbook formula; a new activation adds its own."""
    return FORMULAS


@pytest.fixture(scope="session")
def numerical_gradient():
    return central_differences
