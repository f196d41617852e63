"""Losses: from the last layer's output and the true classes to a loss per row and its gradient.

A row's loss is what the formula says for that row; a batch's loss, and so the gradient, is the
mean over its rows, here and everywhere. What a loss needs beyond the number of classes it takes as
keyword-only arguments named as in TrainConfig.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import DTypeLike, NDArray

from model.layers import Array, Sigmoid
from model.outputs import OUTPUTS, normalized_sigmoids

Labels = NDArray[np.intp]


class Loss(ABC):
    """A loss of outputs z (rows, n_classes) and classes y (rows,), with its buffers.

    Buffers: a few values a row, and rows × n_classes for all but the softmax cross-entropy.
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        """Make the buffers for batches of up to `rows` rows."""
        self._row_start = np.arange(rows) * self.n_classes  # where each row begins in z, flattened
        self._index = np.empty(rows, np.intp)
        self._predicted = np.empty(rows, np.intp)
        self._losses = np.empty(rows, dtype)

    def resize(self, rows: int) -> None:
        """Point the views at `rows` rows of the buffers."""
        self.row_start, self.index = self._row_start[:rows], self._index[:rows]
        self.predicted, self.losses = self._predicted[:rows], self._losses[:rows]

    @abstractmethod
    def forward(self, z: Array, y: Labels) -> Array:
        """Return the loss of each row (rows,); z becomes what `backward` needs, in place.

        `predicted` (rows,) holds the class of the largest output of each row afterwards.
        """

    def backward(self, outputs: Array) -> Array:
        """Return dL/dz from what `forward` left in z, which may be overwritten.

        (p − t) / rows, as here, is what a cross-entropy comes to with the output made for it.
        """
        outputs.reshape(-1)[self.index] -= 1
        outputs *= 1 / len(outputs)
        return outputs

    @abstractmethod
    def probabilities(self, z: Array) -> Array:
        """Turn outputs z (rows, n_classes) into probabilities, in place."""


class SoftmaxCrossEntropy(Loss):
    """L = −log p_y with p = softmax(z); dz = (p − onehot(y)) / rows.

    Exact for any finite z: with s = z − max z, p = eˢ/Σeˢ and L = log Σeˢ − s_y, so nothing
    overflows and no logarithm of zero is taken or clipped.
    """

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        super().allocate(rows, dtype)
        self._column = np.empty((rows, 1), dtype)
        self.ones = np.ones((self.n_classes, 1), dtype)

    def resize(self, rows: int) -> None:
        super().resize(rows)
        self.column = self._column[:rows]
        self.row = self.column[:, 0]

    def forward(self, z: Array, y: Labels) -> Array:
        self._shift(z)
        np.add(self.row_start, y, out=self.index)
        z.reshape(-1).take(self.index, out=self.losses, mode="clip")
        self._normalize(z)
        np.log(self.row, out=self.row)
        return np.subtract(self.row, self.losses, out=self.losses)

    def probabilities(self, z: Array) -> Array:
        self._shift(z)
        self._normalize(z)
        return z

    def _shift(self, z: Array) -> None:
        """z ← z − max z; argmax and a gather are several times faster here than a maximum."""
        z.argmax(axis=1, out=self.predicted)
        np.add(self.row_start, self.predicted, out=self.index)
        z.reshape(-1).take(self.index, out=self.row, mode="clip")
        z -= self.column

    def _normalize(self, z: Array) -> None:
        """z ← eᶻ/Σeᶻ; the sums stay in `row`."""
        np.exp(z, out=z)
        z.dot(self.ones, self.column)
        z /= self.column


class BinaryCrossEntropy(Loss):
    """L = −Σ [t log p + (1−t) log(1−p)] over the outputs, p = σ(z), t = onehot(y).

    dz = (p − t) / rows. Exact for any finite z: L = Σ log(1 + eˢ) with s = −z at the true class
    and s = z elsewhere, so no logarithm of zero is taken or clipped.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__(n_classes)
        self.output = Sigmoid(n_classes)

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        super().allocate(rows, dtype)
        self._scratch = np.empty((rows, self.n_classes), dtype)

    def resize(self, rows: int) -> None:
        super().resize(rows)
        self.scratch = self._scratch[:rows]

    def forward(self, z: Array, y: Labels) -> Array:
        z.argmax(axis=1, out=self.predicted)
        np.add(self.row_start, y, out=self.index)
        np.copyto(self.scratch, z)
        self.scratch.reshape(-1)[self.index] *= -1
        np.logaddexp(self.scratch, 0, out=self.scratch)
        self.output.forward(z)
        return np.add.reduce(self.scratch, axis=1, out=self.losses)

    def probabilities(self, z: Array) -> Array:
        return normalized_sigmoids(z)


class MeanSquaredError(Loss):
    """L = Σ (a − t)² over the outputs, a = output(z), t = onehot(y); da = 2(a − t) / rows.

    Summed over the outputs of a row, not averaged: the mean is the one over the rows.
    """

    def __init__(self, n_classes: int, *, output: str) -> None:
        super().__init__(n_classes)
        self.output = OUTPUTS[output].function(n_classes)
        self._to_probabilities = OUTPUTS[output].probabilities

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        super().allocate(rows, dtype)
        self._errors = np.empty((rows, self.n_classes), dtype)

    def resize(self, rows: int) -> None:
        super().resize(rows)
        self.errors = self._errors[:rows]

    def forward(self, z: Array, y: Labels) -> Array:
        z.argmax(axis=1, out=self.predicted)
        np.add(self.row_start, y, out=self.index)
        np.copyto(self.errors, self.output.forward(z))
        self.errors.reshape(-1)[self.index] -= 1
        return np.einsum("ij,ij->i", self.errors, self.errors, out=self.losses)

    def backward(self, outputs: Array) -> Array:
        self.errors *= 2 / len(outputs)
        return self.output.backward(self.errors)

    def probabilities(self, z: Array) -> Array:
        return self._to_probabilities(z)


LOSSES: dict[str, type[Loss]] = {
    "cross_entropy": SoftmaxCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
}
