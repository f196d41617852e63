"""Diagnostics: how signals and gradients fare from layer to layer."""

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
    """How values are distributed between the smallest and the largest, in bins of one width.

    Only finite values count; if there are none, the mean and the deviation are NaN.
    """

    counts: NDArray[np.intp]  # (BINS,)
    edges: NDArray[np.float64]  # (BINS + 1,)
    mean: float
    std: float

    @classmethod
    def of(cls, values: Array) -> "Histogram":
        """Count `values`, of any shape."""
        finite = values[np.isfinite(values)].astype(np.float64)
        mean, std = (finite.mean(), finite.std()) if len(finite) else (nan, nan)
        return cls(*np.histogram(finite, BINS), float(mean), float(std))


@dataclass(frozen=True, slots=True, eq=False)
class Diagnostics:
    """What an epoch looked like from inside, as the texts plot it.

    activations: a histogram for each hidden layer of what its activation function puts out, after
    the epoch, for the first 1,000 validation rows (training rows, where there are none).
    gradient_norms: for each linear layer, input side first, the mean over the epoch's batches of
    Frobenius's norm ‖dL/dW‖, the penalty's part included.
    """

    activations: tuple[Histogram, ...]
    gradient_norms: tuple[float, ...]


class Recorder:
    """Takes the diagnostics of one epoch of `network`."""

    def __init__(self, network: Network, data: Dataset) -> None:
        rows = data.x_val if len(data.x_val) else data.x_train
        self.network, self.rows = network, rows[:EVALUATION_ROWS]
        self.norms: list[list[float]] = []

    def note_gradients(self) -> None:
        """Read the gradients of a batch, which the optimizer will spend."""
        self.norms.append([float(np.linalg.norm(linear.dw)) for linear in self.network.linears])

    def diagnostics(self) -> Diagnostics:
        """Return what was noted, and the activations as they are now."""
        activations = tuple(map(Histogram.of, self.network.activations(self.rows)))
        return Diagnostics(activations, tuple(np.mean(self.norms, axis=0).tolist()))
