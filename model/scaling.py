"""Scales: each is fitted on the training rows only and then applied to every part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK_ROWS = 1024  # computing in float64 block by block avoids a float64 copy of all rows


@dataclass(frozen=True, eq=False)
class Scaler:
    """scaled = (raw − shift) · factor, with a number for each column or one for all.

    Plain data: save `shift` and `factor`, of shape (d,) or (), and build the scaler from them
    again.
    """

    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))
    factor: NDArray[np.float64] = field(default_factory=lambda: np.ones(()))

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Return the scaled rows, C-contiguous, of raw rows (n, d) of any real dtype."""
        scaled = np.empty(x.shape, np.float32)
        for rows in _blocks(len(x)):
            scaled[rows] = (x[rows] - self.shift) * self.factor
        return scaled

    def inverse(self, scaled: NDArray[Any]) -> NDArray[np.float64]:
        """Return the raw rows (n, d) of scaled ones; a factor of 0 gives the shift."""
        return scaled * self.width + self.shift

    @property
    def width(self) -> NDArray[np.float64]:
        """1 / factor, and 0 where the factor is 0: what one scaled unit is in raw ones."""
        return np.divide(1.0, self.factor, out=np.zeros_like(self.factor), where=self.factor != 0)


def standardize(x_train: NDArray[Any]) -> Scaler:
    """Scale each column to mean 0 and deviation 1; one that is constant in x_train becomes 0."""
    mean, deviation = _moments(x_train)
    deviation[x_train.min(axis=0) == x_train.max(axis=0)] = 0.0  # exactly, without a rounding error
    return Scaler(mean, _inverse(deviation))


def divide_by_largest(x_train: NDArray[Any]) -> Scaler:
    """Divide all values by the largest absolute value of x_train."""
    largest = max(abs(float(x_train.min())), abs(float(x_train.max())))
    return Scaler(factor=_inverse(largest))


def standardize_globally(x_train: NDArray[Any]) -> Scaler:
    """Scale all values together to mean 0 and deviation 1, which keeps their proportions."""
    means, deviations = _moments(x_train)
    mean = means.mean()
    # The law of total variance: the mean of the variances plus the variance of the means.
    variance = np.mean(deviations**2 + (means - mean) ** 2)
    return Scaler(np.asarray(mean), _inverse(np.sqrt(variance)))


def leave(_: NDArray[Any]) -> Scaler:
    """Leave the values as they are."""
    return Scaler()


SCALES: dict[str, Callable[[NDArray[Any]], Scaler]] = {
    "standardize": standardize,
    "unit": divide_by_largest,
    "global": standardize_globally,
    "none": leave,
}


def _moments(x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the standard deviation of each column, (d,) each."""
    mean = x.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for rows in _blocks(len(x)):
        squares += np.square(x[rows] - mean).sum(axis=0)
    return mean, np.sqrt(squares / len(x))


def _inverse(deviation: ArrayLike) -> NDArray[np.float64]:
    """Return 1 / deviation, and 0 where the deviation is 0."""
    divisor = np.asarray(deviation, np.float64)
    return np.divide(1.0, divisor, out=np.zeros_like(divisor), where=divisor > 0)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK_ROWS) for start in range(0, n, BLOCK_ROWS))
