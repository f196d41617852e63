"""Initial weights of a linear layer; all but two rules draw them from a normal distribution.

Biases start at zero, or are drawn with standard deviation `bias_std` of TrainConfig.

An initializer takes a generator and the shape (n_in, n_out) and returns float64 weights of that
shape. Its hyperparameters are keyword-only arguments named as in TrainConfig.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]
Weights = NDArray[np.float64]
Initializer = Callable[..., Weights]


def normal(rng: np.random.Generator, shape: Shape, *, weight_std: float) -> Weights:
    """Draw with the given standard deviation: σ = weight_std."""
    return weight_std * rng.standard_normal(shape)


def zeros(_rng: np.random.Generator, shape: Shape) -> Weights:
    """W = 0, to show why not: all units of a layer stay identical, whatever the data."""
    return np.zeros(shape)


def constant(_rng: np.random.Generator, shape: Shape, *, weight_constant: float) -> Weights:
    """W = weight_constant everywhere: as symmetric as zeros, but signals and gradients pass."""
    return np.full(shape, weight_constant)


def xavier(rng: np.random.Generator, shape: Shape) -> Weights:
    """Keep the variance of the forward signal: σ = 1/√n_in (LeCun et al., 1998)."""
    return normal(rng, shape, weight_std=sqrt(1 / shape[0]))


def glorot(rng: np.random.Generator, shape: Shape) -> Weights:
    """Balance forward and backward signals: σ² = 2/(n_in + n_out) (Glorot & Bengio, 2010)."""
    return normal(rng, shape, weight_std=sqrt(2 / sum(shape)))


def he(rng: np.random.Generator, shape: Shape) -> Weights:
    """Make up for the half of the signal that ReLU drops: σ = √(2/n_in) (He et al., 2015)."""
    return normal(rng, shape, weight_std=sqrt(2 / shape[0]))


INITIALIZERS: dict[str, Initializer] = {
    "he": he,
    "xavier": xavier,
    "glorot": glorot,
    "normal": normal,
    "zeros": zeros,
    "constant": constant,
}
