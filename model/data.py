"""A data set as a network is trained on it: arrays, scaled, in mini-batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.scaling import SCALES, Scaler

__all__ = ["SCALES", "Dataset", "Indices", "Scaler"]

Array = NDArray[np.float32]
Indices = NDArray[np.intp]
Targets = NDArray[Any]  # class indices (n,); or float32 (n, k), several labels or numbers


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a validation part, scaled; the test part stays sealed.

    Features are float32 (n, d), C-contiguous. Labels are class indices (n,); float32 (n, k), of
    which each is 0 or 1; or in a regression float32 numbers (n, k), scaled. Weights of rows are
    float32 (n,) with mean 1 over the training rows. `columns` says how the columns of a table
    became features, as plain data, `scaler` how these were scaled, and `target_scaler` how the
    numbers were.
    """

    name: str  # "digits", "mnist", or the file's stem
    source: str  # where it was read from
    digest: str  # 32 hex digits, of the raw data and not of the file's path
    feature_names: tuple[str, ...]  # a one-hot feature is `column=category`
    class_names: tuple[str, ...]  # sorted, or the names of several labels; () in a regression
    x_train: Array
    y_train: Targets
    x_val: Array
    y_val: Targets
    w_train: Array | None = None  # weights of the rows in training; None: all are 1
    w_val: Array | None = None  # weights of the rows in scores
    columns: tuple[Any, ...] = ()
    scaler: Scaler = field(default_factory=Scaler)
    target_names: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()  # of several labels, what 0 and 1 stand for
    target_scaler: Scaler = field(default_factory=Scaler)
    notes: tuple[str, ...] = ()  # sentences about what the data may not mean

    @property
    def n_features(self) -> int:
        """The number of columns of x_train."""
        return int(self.x_train.shape[1])

    @property
    def n_classes(self) -> int:
        """The number of classes, or of labels; each has training rows. 0 in a regression."""
        return len(self.class_names)

    @property
    def multilabel(self) -> bool:
        """Whether a row has several labels, each 0 or 1."""
        return bool(self.class_names) and self.y_train.ndim == 2

    @property
    def n_outputs(self) -> int:
        """What a network has as outputs: the classes, or the labels or numbers of a row."""
        return self.n_classes or int(self.y_train.shape[1])

    def batches(
        self, batch_size: int, rng: np.random.Generator, *, min_rows: int = 1
    ) -> Iterator[tuple[Array, ...]]:
        """Yield one epoch of shuffled mini-batches; the last may be smaller.

        A batch is (x, y), or (x, y, weights) where rows have weights. If the last has fewer than
        `min_rows` rows, they join the batch before it. The arrays are views of buffers that the
        next batch overwrites: copy what you keep.
        """
        n = len(self.x_train)
        order = rng.permutation(n)
        starts = list(range(0, n, batch_size))
        if len(starts) > 1 and n - starts[-1] < min_rows:
            del starts[-1]
        x_buffer = np.empty((min(batch_size + min_rows - 1, n), self.n_features), np.float32)
        y_buffer = np.empty((len(x_buffer), *self.y_train.shape[1:]), self.y_train.dtype)
        for start, end in pairwise([*starts, n]):
            index = order[start:end]
            x, y = x_buffer[: len(index)], y_buffer[: len(index)]
            # By default take() fills a copy of `out`, in case of an error; mode="clip" does not.
            self.x_train.take(index, axis=0, out=x, mode="clip")
            self.y_train.take(index, axis=0, out=y, mode="clip")
            yield (x, y) if self.w_train is None else (x, y, self.w_train[index])
