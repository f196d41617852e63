"""Dropout: a layer that is there in training alone."""

import numpy as np
from numpy.typing import DTypeLike

from model.layers import Array, Layer

LEVELS = 2**16  # a mask compares 16 random bits with a threshold, which is faster than float draws
WORDS = 2**12  # bits are drawn in pieces of 32 KiB, for NumPy cannot write them to a buffer of ours


class Dropout(Layer):
    """Inverted dropout (Srivastava et al., 2014): y = x·m/(1−p), with m = 0 with probability p.

    dx = dy·m/(1−p); in use y = x, because the kept values were scaled by the kept share. p = rate
    counts in steps of 1/65536. Buffers: rows × n_units values twice, and 2 bytes for each.
    """

    def __init__(self, n_units: int, rate: float) -> None:
        self.n_units = n_units
        self.threshold = min(round(rate * LEVELS), LEVELS - 1)
        self.scale = LEVELS / (LEVELS - self.threshold)

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        self._mask = np.empty((rows, self.n_units), dtype)
        self._out = np.empty((rows, self.n_units), dtype)
        self._bits = np.empty(-(-rows * self.n_units // 4), np.uint64)  # 16 bits a value

    def resize(self, rows: int) -> None:
        self.mask, self.out = self._mask[:rows], self._out[:rows]
        n_values = self.mask.size
        self.words = self._bits[: -(-n_values // 4)]
        self.bits = self.words.view(np.uint16)[:n_values].reshape(self.mask.shape)

    def forward(self, x: Array) -> Array:
        return x

    def forward_train(self, x: Array, rng: np.random.Generator | None) -> Array:
        if rng is None:
            raise ValueError("dropout draws its masks at random; hand a generator to backward")
        for start in range(0, len(self.words), WORDS):
            piece = self.words[start : start + WORDS]
            piece[:] = rng.integers(2**64, size=len(piece), dtype=np.uint64)
        np.greater_equal(self.bits, self.threshold, out=self.mask)
        self.mask *= self.scale
        return np.multiply(x, self.mask, out=self.out)  # x stays: an activation needs its output

    def backward(self, grad: Array) -> Array:
        grad *= self.mask
        return grad
