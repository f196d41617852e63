"""Losses: the loss of each row, from the last layer's outputs and the labels, and its gradient.

A formula gives the loss of one row; the loss of a batch, and so the gradient, is the mean over its
rows, here and everywhere. Hyperparameters are keyword-only arguments named as in TrainConfig.
"""

from abc import ABC, abstractmethod
from math import nan
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from model.layers import Array, Sigmoid
from model.outputs import OUTPUTS, normalized_sigmoids

Labels = NDArray[Any]


class Loss(ABC):
    """A loss of outputs z (rows, n_outputs) and labels y, with its buffers.

    Labels are classes (rows,), several labels (rows, n_outputs) of 0 and 1, or the numbers (rows,
    n_outputs) of a regression. A row's hit is that z_y is the largest output, or that all of its
    labels are right; numbers have none.
    """

    regression = False  # whether labels are numbers
    multilabel = False  # whether a row has several labels, each 0 or 1

    def __init__(self, n_outputs: int) -> None:
        self.n_outputs = n_outputs

    @abstractmethod
    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        """Make the buffers for batches of up to `rows` rows."""

    @abstractmethod
    def resize(self, rows: int) -> None:
        """Point the views at `rows` rows of the buffers."""

    @abstractmethod
    def forward(self, z: Array, y: Labels) -> tuple[float, float]:
        """Return the sum of the rows' losses, and of their hits, NaN of numbers.

        Overwrites z with what `backward` needs.
        """

    @abstractmethod
    def backward(self, outputs: Array) -> Array:
        """Return dL/dz from what `forward` left in z, which may be overwritten."""

    @abstractmethod
    def of_rows(self, z: Array, y: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the loss and the hit of each row (rows,), where rows have weights; z is kept."""

    @abstractmethod
    def predictions(self, z: Array) -> Array:
        """Return what outputs z say, which are overwritten: probabilities, or numbers."""


class ClassLoss(Loss):
    """A loss of classes.

    Buffers: rows × n_classes values, or twice as many for all but the softmax cross-entropy; and
    n_classes² for the rows of the one-hot targets t.
    """

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        self.classes = np.eye(self.n_outputs, dtype=dtype)
        self._targets = np.empty((rows, self.n_outputs), dtype)
        self._predicted = np.empty(rows, np.intp)

    def resize(self, rows: int) -> None:
        self.targets, self.predicted = self._targets[:rows], self._predicted[:rows]

    def forward(self, z: Array, y: Labels) -> tuple[float, float]:
        z.argmax(axis=1, out=self.predicted)
        self.classes.take(y, axis=0, out=self.targets, mode="clip")
        return self._sum(z), int(np.count_nonzero(self.predicted == y))

    def of_rows(self, z: Array, y: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        exact = z.astype(np.float64)
        hits = (exact.argmax(axis=1) == y).astype(np.float64)
        return self._rows(exact, np.eye(self.n_outputs)[y]), hits

    @abstractmethod
    def _rows(self, z: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the loss of each row, from outputs and one-hot targets; z may be overwritten."""

    @abstractmethod
    def _sum(self, z: Array) -> float:
        """Return the sum of the losses and overwrite z; `predicted` and `targets` are ready."""

    def backward(self, outputs: Array) -> Array:
        """Return (p − t) / rows, as for a cross-entropy with its own output function."""
        outputs -= self.targets
        outputs *= 1 / len(outputs)
        return outputs


class SoftmaxCrossEntropy(ClassLoss):
    """L = −log p_y with p = softmax(z); dz = (p − onehot(y)) / rows.

    Exact for any finite z: with s = z − max z, p = eˢ/Σeˢ and L = log Σeˢ − s_y, so nothing
    overflows and no logarithm of zero is taken or clipped.
    """

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        super().allocate(rows, dtype)
        self._row_start = np.arange(rows) * self.n_outputs  # where each row begins in the flat z
        self._index = np.empty(rows, np.intp)
        self._column = np.empty((rows, 1), dtype)
        self._row_ones = np.ones(rows, dtype)
        self.ones = np.ones((self.n_outputs, 1), dtype)

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

    def _rows(self, z: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
        rows: NDArray[np.float64] = np.logaddexp.reduce(z, axis=1) - (z * t).sum(axis=1)
        return rows

    def predictions(self, z: Array) -> Array:
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


class BinaryCrossEntropy(ClassLoss):
    """L = −Σ [t log p + (1−t) log(1−p)] over the outputs, p = σ(z), t = onehot(y).

    dz = (p − t) / rows. Exact for any finite z: L = Σ log(1 + eˢ) with s = −z at the true class
    and s = z elsewhere, so no logarithm of zero is taken or clipped.
    """

    def __init__(self, n_outputs: int) -> None:
        super().__init__(n_outputs)
        self.output = Sigmoid(n_outputs)

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        super().allocate(rows, dtype)
        self._scratch = np.empty((rows, self.n_outputs), dtype)

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

    def _rows(self, z: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
        rows: NDArray[np.float64] = np.logaddexp(0, (1 - 2 * t) * z).sum(axis=1)
        return rows

    def predictions(self, z: Array) -> Array:
        return normalized_sigmoids(z)


class MultilabelCrossEntropy(BinaryCrossEntropy):
    """L = −Σ [t log p + (1−t) log(1−p)] over the labels t, p = σ(z); dz = (p − t) / rows.

    Exact for any finite z, as the binary cross-entropy is. A label counts as 1 where p > ½.
    """

    multilabel = True

    def forward(self, z: Array, y: Labels) -> tuple[float, float]:
        np.copyto(self.targets, y)
        hits = np.count_nonzero(((z > 0) == y).all(axis=1))
        return self._sum(z), int(hits)

    def of_rows(self, z: Array, y: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        exact = z.astype(np.float64)
        hits = ((exact > 0) == y).all(axis=1).astype(np.float64)
        return self._rows(exact, y.astype(np.float64)), hits

    def predictions(self, z: Array) -> Array:
        return self.output.forward(z)


class MeanSquaredError(ClassLoss):
    """L = Σ (a − t)² over the outputs, a = output(z), t = onehot(y); da = 2(a − t) / rows.

    The errors are summed over the outputs of a row; the mean is only over the rows.
    """

    def __init__(self, n_outputs: int, *, output: str) -> None:
        super().__init__(n_outputs)
        self.output = OUTPUTS[output].function(n_outputs)
        self._to_probabilities = OUTPUTS[output].probabilities

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        super().allocate(rows, dtype)
        self._errors = np.empty((rows, self.n_outputs), dtype)

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

    def _rows(self, z: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
        rows: NDArray[np.float64] = np.square(self.output.forward(z) - t).sum(axis=1)
        return rows

    def predictions(self, z: Array) -> Array:
        return self._to_probabilities(z)


class NumberLoss(Loss):
    """A loss ℓ(e) of the errors e = z − y of numbers y, summed over the numbers of a row.

    Buffers: 2 × rows × n_outputs values.
    """

    regression = True

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        self._errors = np.empty((rows, self.n_outputs), dtype)
        self._scratch = np.empty((rows, self.n_outputs), dtype)

    def resize(self, rows: int) -> None:
        self.errors, self.scratch = self._errors[:rows], self._scratch[:rows]

    def forward(self, z: Array, y: Labels) -> tuple[float, float]:
        np.subtract(z, y, out=self.errors)
        return self._sum(self.errors.reshape(-1)), nan

    def of_rows(self, z: Array, y: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        errors = z.astype(np.float64) - y
        return self._losses(errors).sum(axis=1), np.full(len(z), nan)

    @abstractmethod
    def _losses(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ℓ(e) of each error."""

    @abstractmethod
    def _sum(self, errors: Array) -> float:
        """Return Σ ℓ(e) of errors (n,); `scratch` is free."""

    def backward(self, outputs: Array) -> Array:
        self._slope(self.errors)
        self.errors *= 1 / len(outputs)
        return self.errors

    @abstractmethod
    def _slope(self, errors: Array) -> None:
        """e ← ℓ′(e), in place."""

    def predictions(self, z: Array) -> Array:
        return z


class SquaredError(NumberLoss):
    """L = ½ Σ (z − y)², half of it as in scikit-learn; dz = (z − y) / rows."""

    def _losses(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.5 * errors**2

    def _sum(self, errors: Array) -> float:
        return 0.5 * float(errors.dot(errors))

    def _slope(self, errors: Array) -> None:
        """The slope of ½e² is e."""


class AbsoluteError(NumberLoss):
    """L = Σ |z − y|; dz = sign(z − y) / rows."""

    def _losses(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.abs(errors)

    def _sum(self, errors: Array) -> float:
        return float(np.abs(errors, out=self.scratch.reshape(-1)).sum())

    def _slope(self, errors: Array) -> None:
        np.sign(errors, out=errors)


class HuberError(NumberLoss):
    """L = Σ ½e² where |e| ≤ δ, else δ(|e| − ½δ); dz = clip(e, −δ, δ) / rows (Huber, 1964).

    With c = clip(e, −δ, δ) that is Σ c(e − ½c). δ = 1, in standard deviations of the target.
    """

    delta = 1.0

    def _losses(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        clipped = errors.clip(-self.delta, self.delta)
        return clipped * (errors - 0.5 * clipped)

    def _sum(self, errors: Array) -> float:
        clipped = np.clip(errors, -self.delta, self.delta, out=self.scratch.reshape(-1))
        return float(clipped.dot(errors) - 0.5 * clipped.dot(clipped))

    def _slope(self, errors: Array) -> None:
        np.clip(errors, -self.delta, self.delta, out=errors)


LOSSES: dict[str, type[Loss]] = {
    "cross_entropy": SoftmaxCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
    "multilabel_cross_entropy": MultilabelCrossEntropy,
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": HuberError,
}
MULTILABEL = "multilabel_cross_entropy"  # the only loss of several labels
