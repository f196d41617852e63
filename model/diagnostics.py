"""Diagnostics: how activations and gradients change from layer to layer."""

from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.data import Dataset
from model.layers import Array
from model.network import EVALUATION_ROWS, Network

BINS = 30


class Histogram(NamedTuple):
    """A histogram of values from the smallest to the largest, in bins of equal width.

    Only finite values count; if there are none, the mean and the deviation are NaN.
    """

    counts: NDArray[np.intp]  # (BINS,)
    edges: NDArray[np.float64]  # (BINS + 1,)
    mean: float
    std: float

    @classmethod
    def of(cls, values: Array) -> "Histogram":
        """Return the histogram of `values`, an array of any shape."""
        finite = values[np.isfinite(values)].astype(np.float64)
        mean, std = (finite.mean(), finite.std()) if len(finite) else (nan, nan)
        return cls(*np.histogram(finite, BINS), float(mean), float(std))


@dataclass(frozen=True, slots=True, eq=False)
class Diagnostics:
    """The activations and gradients of one epoch, as the texts plot them.

    activations: for each hidden layer, a histogram of its activation function's outputs after the
    epoch, over the first 1,000 validation rows (training rows if there are no validation rows).
    gradient_norms: for each linear layer, input side first, the mean over the epoch's batches of
    the Frobenius norm ‖dL/dW‖, with the penalty's gradient included.
    """

    activations: tuple[Histogram, ...]
    gradient_norms: tuple[float, ...]


class Recorder:
    """Records the diagnostics of one epoch of `network`."""

    def __init__(self, network: Network, data: Dataset) -> None:
        rows = data.x_val if len(data.x_val) else data.x_train
        self.network, self.rows = network, rows[:EVALUATION_ROWS]
        self.norms: list[list[float]] = []

    def note_gradients(self) -> None:
        """Record the gradient norms of a batch, before the optimizer overwrites the gradients."""
        self.norms.append([float(np.linalg.norm(linear.dw)) for linear in self.network.linears])

    def diagnostics(self) -> Diagnostics:
        """Return the recorded gradient norms and the current activations."""
        activations = tuple(map(Histogram.of, self.network.activations(self.rows)))
        return Diagnostics(activations, tuple(np.mean(self.norms, axis=0).tolist()))
