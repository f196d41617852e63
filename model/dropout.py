"""Dropout: a layer that is active only in training."""

import numpy as np
from numpy.typing import DTypeLike

from model.layers import Array, Layer

LEVELS = 2**16  # a mask compares 16 random bits with a threshold: faster than drawing floats
WORDS = 2**12  # drawn at a time, 32 KiB of bits: NumPy cannot draw integers into a given buffer


class Dropout(Layer):
    """Inverted dropout (Srivastava et al., 2014): y = x·m/(1−p), with m = 0 with probability p.

    dx = dy·m/(1−p). At inference y = x, because training divides the kept values by the kept share.
    p = rate, in steps of 1/65536. Buffers: 2 × rows × n_units values, and 2 bytes for each mask
    value.
    """

    def __init__(self, n_units: int, rate: float) -> None:
        self.n_units = n_units
        self.threshold = min(round(rate * LEVELS), LEVELS - 1)
        self.scale = LEVELS / (LEVELS - self.threshold)

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        self._mask = np.empty((rows, self.n_units), dtype)
        self._out = np.empty((rows, self.n_units), dtype)
        self._bits = np.empty(-(-rows * self.n_units // 4), np.uint64)  # 16 bits per value

    def resize(self, rows: int) -> None:
        self.mask, self.out = self._mask[:rows], self._out[:rows]
        n_values = self.mask.size
        self.words = self._bits[: -(-n_values // 4)]
        self.bits = self.words.view(np.uint16)[:n_values].reshape(self.mask.shape)

    def forward(self, x: Array) -> Array:
        return x

    def forward_train(self, x: Array, rng: np.random.Generator | None) -> Array:
        if rng is None:
            raise ValueError("dropout draws its masks at random; pass a generator to backward")
        for start in range(0, len(self.words), WORDS):
            piece = self.words[start : start + WORDS]
            piece[:] = rng.integers(2**64, size=len(piece), dtype=np.uint64)
        np.greater_equal(self.bits, self.threshold, out=self.mask)
        self.mask *= self.scale
        return np.multiply(x, self.mask, out=self.out)  # keep x: an activation needs its output

    def backward(self, grad: Array) -> Array:
        grad *= self.mask
        return grad
