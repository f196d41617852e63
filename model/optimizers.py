"""Update rules on flat vectors, in place.

An optimizer knows nothing of networks: `step` updates `params` (n,) by `grads` (n,), which it may
overwrite. Hyperparameters are keyword-only arguments named as in TrainConfig.
"""

from abc import ABC, abstractmethod
from math import sqrt

import numpy as np

from model.layers import Array


class Optimizer(ABC):
    """One update rule and the state it keeps for one parameter vector."""

    def __init__(self, params: Array) -> None:
        """Create the state for `params`, whose values are not read."""

    @abstractmethod
    def step(self, params: Array, grads: Array, learning_rate: float) -> None:
        """Update `params` in place with η = learning_rate; may overwrite `grads`."""


class SGD(Optimizer):
    """Stochastic gradient descent (Robbins & Monro, 1951): w ← w − ηg."""

    def step(self, params: Array, grads: Array, learning_rate: float) -> None:
        grads *= learning_rate
        params -= grads


class Momentum(Optimizer):
    """Classical momentum (Polyak, 1964): v ← μv − ηg, w ← w + v."""

    def __init__(self, params: Array, *, momentum: float) -> None:
        self.momentum = momentum
        self.velocity = np.zeros_like(params)

    def step(self, params: Array, grads: Array, learning_rate: float) -> None:
        grads *= learning_rate
        self.velocity *= self.momentum
        self.velocity -= grads
        params += self.velocity


class Nesterov(Momentum):
    """Nesterov's accelerated gradient (Nesterov, 1983; Sutskever et al., 2013).

    v ← μv − ηg, w ← w + μv − ηg, where w are the parameters one momentum step ahead; g is their
    gradient.
    """

    def step(self, params: Array, grads: Array, learning_rate: float) -> None:
        grads *= learning_rate
        self.velocity *= self.momentum
        self.velocity -= grads
        params -= grads
        np.multiply(self.velocity, self.momentum, out=grads)
        params += grads


class AdaGrad(Optimizer):
    """AdaGrad (Duchi et al., 2011): s ← s + g², w ← w − ηg/(√s + ε) with ε = 1e-10."""

    epsilon = 1e-10

    def __init__(self, params: Array) -> None:
        self.squares = np.zeros_like(params)
        self.scratch = np.empty_like(params)

    def step(self, params: Array, grads: Array, learning_rate: float) -> None:
        np.multiply(grads, grads, out=self.scratch)
        self.squares += self.scratch
        np.sqrt(self.squares, out=self.scratch)
        self.scratch += self.epsilon
        grads *= learning_rate
        grads /= self.scratch
        params -= grads


class RMSProp(Optimizer):
    """RMSProp (Hinton, 2012): s ← ρs + (1−ρ)g², w ← w − ηg/(√s + ε) with ε = 1e-8."""

    epsilon = 1e-8

    def __init__(self, params: Array, *, rho: float) -> None:
        self.rho = rho
        self.squares = np.zeros_like(params)
        self.scratch = np.empty_like(params)

    def step(self, params: Array, grads: Array, learning_rate: float) -> None:
        np.multiply(grads, grads, out=self.scratch)
        self.scratch *= 1 - self.rho
        self.squares *= self.rho
        self.squares += self.scratch
        np.sqrt(self.squares, out=self.scratch)
        self.scratch += self.epsilon
        grads *= learning_rate
        grads /= self.scratch
        params -= grads


class Adam(Optimizer):
    """Adam (Kingma & Ba, 2015), with both moments corrected for starting at zero.

    m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − η m̂/(√v̂ + ε)
    with m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ) and ε = 1e-8. The corrections are folded into scalars:
    η m̂/(√v̂ + ε) = η c₂/(1−β₁ᵗ) · m/(√v + c₂ε) with c₂ = √(1−β₂ᵗ).
    """

    epsilon = 1e-8

    def __init__(self, params: Array, *, beta1: float, beta2: float) -> None:
        self.beta1, self.beta2 = beta1, beta2
        self.m, self.v = np.zeros_like(params), np.zeros_like(params)
        self.scratch = np.empty_like(params)
        self.t = 0

    def step(self, params: Array, grads: Array, learning_rate: float) -> None:
        self.t += 1
        c2 = sqrt(1 - self.beta2**self.t)
        np.multiply(grads, 1 - self.beta1, out=self.scratch)
        self.m *= self.beta1
        self.m += self.scratch
        grads *= grads
        grads *= 1 - self.beta2
        self.v *= self.beta2
        self.v += grads
        np.sqrt(self.v, out=self.scratch)
        self.scratch += c2 * self.epsilon
        np.divide(self.m, self.scratch, out=self.scratch)
        self.scratch *= learning_rate * c2 / (1 - self.beta1**self.t)
        params -= self.scratch


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "adam": Adam,
}
