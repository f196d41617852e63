"""Batch normalization: batch statistics in training, their running averages at inference."""

import numpy as np
from numpy.typing import DTypeLike

from model.layers import Array, Layer


class BatchNorm(Layer):
    """Batch normalization (Ioffe & Szegedy, 2015): x̂ = (x − μ)/√(σ² + ε), y = γx̂ + β.

    In training, μ and σ² are the mean and the variance of the batch (rows, n_units), and
    dγ = Σ dy·x̂, dβ = Σ dy, dx = γ/√(σ² + ε) · (dy − dβ/rows − x̂·dγ/rows).
    At inference, they are exponential moving averages with ρ = batch_norm_decay, from 0 and 1: m ←
    ρm + (1−ρ)μ, and likewise for the unbiased variance σ² · rows/(rows − 1).
    ε = batch_norm_epsilon prevents a division by zero for a unit with the same value in all rows.

    A training batch of one row has no variance and raises ValueError. Batches may differ in size.
    Buffers: 2 × rows × n_units values.
    """

    min_rows = 2

    def __init__(self, n_units: int, *, batch_norm_decay: float, batch_norm_epsilon: float) -> None:
        self.n_units, self.decay, self.epsilon = n_units, batch_norm_decay, batch_norm_epsilon
        self.other_shapes = self.running_shapes = ((n_units,), (n_units,))

    def bind(self, *views: Array) -> None:
        self.gamma, self.beta, self.dgamma, self.dbeta, self.mean, self.variance = views
        self.gamma[:] = self.variance[:] = 1

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        self._normal = np.empty((rows, self.n_units), dtype)
        self._out = np.empty((rows, self.n_units), dtype)
        self._ones = np.ones(rows, dtype)
        self.column = np.empty(self.n_units, dtype)
        self.scale = np.empty(self.n_units, dtype)  # 1/√(σ² + ε)

    def resize(self, rows: int) -> None:
        self.normal, self.out, self.ones = self._normal[:rows], self._out[:rows], self._ones[:rows]

    def forward(self, x: Array) -> Array:
        self._set_scale(self.variance)
        np.subtract(x, self.mean, out=self.out)  # keep x: an activation needs its output
        self.scale *= self.gamma
        self.out *= self.scale
        self.out += self.beta
        return self.out

    def forward_train(self, x: Array, _rng: np.random.Generator | None) -> Array:
        rows = len(x)
        if rows < self.min_rows:
            raise ValueError(
                f"batch normalization needs batches of at least {self.min_rows} rows, "
                f"but got {rows}; raise batch_size, or add rows"
            )
        self.ones.dot(x, self.column)
        self.column *= 1 / rows
        np.subtract(x, self.column, out=self.normal)
        self._average(self.mean, self.column, 1)
        np.square(self.normal, out=self.out)
        self.ones.dot(self.out, self.column)
        self.column *= 1 / rows
        self._set_scale(self.column)
        self._average(self.variance, self.column, rows / (rows - 1))
        self.normal *= self.scale
        np.multiply(self.normal, self.gamma, out=self.out)
        self.out += self.beta
        return self.out

    def backward(self, grad: Array) -> Array:
        np.multiply(grad, self.normal, out=self.out)
        self.ones.dot(self.out, self.dgamma)
        self.ones.dot(grad, self.dbeta)
        np.multiply(self.dgamma, 1 / len(grad), out=self.column)
        self.normal *= self.column
        grad -= self.normal
        np.multiply(self.dbeta, 1 / len(grad), out=self.column)
        grad -= self.column
        self.scale *= self.gamma
        grad *= self.scale
        return grad

    def _set_scale(self, variance: Array) -> None:
        np.add(variance, self.epsilon, out=self.scale)
        np.sqrt(self.scale, out=self.scale)
        np.divide(1, self.scale, out=self.scale)

    def _average(self, running: Array, batch: Array, correction: float) -> None:
        """running ← ρ · running + (1−ρ) · correction · batch; overwrites `batch`."""
        running *= self.decay
        batch *= (1 - self.decay) * correction
        running += batch
