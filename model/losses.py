"""Losses: the loss of each row, from the last layer's outputs and the classes, and its gradient.

A formula gives the loss of one row; the loss of a batch, and so the gradient, is the mean over its
rows, here and everywhere. Hyperparameters are keyword-only arguments named as in TrainConfig.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import DTypeLike, NDArray

from model.layers import Array, Sigmoid
from model.outputs import OUTPUTS, normalized_sigmoids

Labels = NDArray[np.intp]


class Loss(ABC):
    """A loss of outputs z (rows, n_classes) and classes y (rows,), with its buffers.

    Buffers: rows × n_classes values, or twice as many for all but the softmax cross-entropy; and
    n_classes² for the rows of the one-hot targets t.
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        """Make the buffers for batches of up to `rows` rows."""
        self.classes = np.eye(self.n_classes, dtype=dtype)
        self._targets = np.empty((rows, self.n_classes), dtype)
        self._predicted = np.empty(rows, np.intp)

    def resize(self, rows: int) -> None:
        """Point the views at `rows` rows of the buffers."""
        self.targets, self.predicted = self._targets[:rows], self._predicted[:rows]

    def forward(self, z: Array, y: Labels) -> tuple[float, int]:
        """Return the sum of the rows' losses, and the number of rows where z_y is the largest.

        Overwrites z with what `backward` needs.
        """
        z.argmax(axis=1, out=self.predicted)
        self.classes.take(y, axis=0, out=self.targets, mode="clip")
        return self._sum(z), int(np.count_nonzero(self.predicted == y))

    @abstractmethod
    def _sum(self, z: Array) -> float:
        """Return the sum of the losses and overwrite z; `predicted` and `targets` are ready."""

    def backward(self, outputs: Array) -> Array:
        """Return dL/dz from what `forward` left in z, which may be overwritten.

        This is (p − t) / rows for a cross-entropy with the output function that belongs to it.
        """
        outputs -= self.targets
        outputs *= 1 / len(outputs)
        return outputs

    @abstractmethod
    def probabilities(self, z: Array) -> Array:
        """Return the probabilities of outputs z (rows, n_classes), which are overwritten."""


class SoftmaxCrossEntropy(Loss):
    """L = −log p_y with p = softmax(z); dz = (p − onehot(y)) / rows.

    Exact for any finite z: with s = z − max z, p = eˢ/Σeˢ and L = log Σeˢ − s_y, so nothing
    overflows and no logarithm of zero is taken or clipped.
    """

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        super().allocate(rows, dtype)
        self._row_start = np.arange(rows) * self.n_classes  # where each row begins in the flat z
        self._index = np.empty(rows, np.intp)
        self._column = np.empty((rows, 1), dtype)
        self._row_ones = np.ones(rows, dtype)
        self.ones = np.ones((self.n_classes, 1), dtype)

    def resize(self, rows: int) -> None:
        super().resize(rows)
        self.row_start, self.index = self._row_start[:rows], self._index[:rows]
        self.column, self.row_ones = self._column[:rows], self._row_ones[:rows]
        self.row = self.column[:, 0]

    def _sum(self, z: Array) -> float:
        self._shift(z)
        of_the_classes = z.reshape(-1).dot(self.targets.reshape(-1))  # Σ s_y
        self._normalize(z)
        return float(np.log(self.row, out=self.row).dot(self.row_ones) - of_the_classes)

    def probabilities(self, z: Array) -> Array:
        z.argmax(axis=1, out=self.predicted)
        self._shift(z)
        self._normalize(z)
        return z

    def _shift(self, z: Array) -> None:
        """z ← z − max z; argmax and a gather are several times faster here than a maximum."""
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

    def _sum(self, z: Array) -> float:
        np.multiply(self.targets, -2, out=self.scratch)
        self.scratch += 1  # −1 at the true class, 1 elsewhere
        self.scratch *= z
        np.logaddexp(self.scratch, 0, out=self.scratch)
        self.output.forward(z)
        return float(self.scratch.sum())

    def probabilities(self, z: Array) -> Array:
        return normalized_sigmoids(z)


class MeanSquaredError(Loss):
    """L = Σ (a − t)² over the outputs, a = output(z), t = onehot(y); da = 2(a − t) / rows.

    The errors are summed over the outputs of a row; the mean is only over the rows.
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

    def _sum(self, z: Array) -> float:
        np.subtract(self.output.forward(z), self.targets, out=self.errors)
        errors = self.errors.reshape(-1)
        return float(errors.dot(errors))

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
