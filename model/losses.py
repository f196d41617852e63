"""Losses: from the last layer's output and the true classes to a loss per row and its gradient.

A row's loss is what the formula says for that row; a batch's loss, and so the gradient, is the
mean over its rows, here and everywhere.
"""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from model.layers import Array

Labels = NDArray[np.intp]


class SoftmaxCrossEntropy:
    """L = −log p_y with p = softmax(z); dz = (p − onehot(y)) / rows.

    Exact for any finite z: with s = z − max z, p = eˢ/Σeˢ and L = log Σeˢ − s_y, so nothing
    overflows and no logarithm of zero is taken or clipped.
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        self._row_start = np.arange(rows) * self.n_classes  # where each row begins in z, flattened
        self._index = np.empty(rows, np.intp)
        self._predicted = np.empty(rows, np.intp)
        self._column = np.empty((rows, 1), dtype)
        self._losses = np.empty(rows, dtype)
        self.ones = np.ones((self.n_classes, 1), dtype)

    def resize(self, rows: int) -> None:
        self.row_start, self.index = self._row_start[:rows], self._index[:rows]
        self.predicted, self.losses = self._predicted[:rows], self._losses[:rows]
        self.column = self._column[:rows]
        self.row = self.column[:, 0]

    def forward(self, z: Array, y: Labels) -> Array:
        """Return the loss of each row (rows,); z becomes the probabilities, in place.

        `predicted` (rows,) holds the most probable class of each row afterwards.
        """
        self._shift(z)
        np.add(self.row_start, y, out=self.index)
        z.reshape(-1).take(self.index, out=self.losses, mode="clip")
        self._normalize(z)
        np.log(self.row, out=self.row)
        return np.subtract(self.row, self.losses, out=self.losses)

    def backward(self, p: Array) -> Array:
        """Turn the probabilities that `forward` left into dL/dz, in place."""
        p.reshape(-1)[self.index] -= 1
        p *= 1 / len(p)
        return p

    def probabilities(self, z: Array) -> Array:
        """Turn outputs z (rows, n_classes) into probabilities, in place."""
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
