"""Data sets, split and scaled for training; the test part stays sealed.

The table alone decides which rows are test rows: no limit, seed or scale moves a row into or out of
the test set. The search sees only the other rows, split 80/20, and the scaler is fitted on their
training part only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from model.columns import Column, RawData
from model.names import unknown_name
from model.scaling import SCALES, Scaler
from model.sources import read_source, source_name
from model.splitting import Indices, Parts, Split, check_classes, split

__all__ = ["SCALES", "Dataset", "Scaler", "load_dataset", "load_test_set"]

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a validation part, scaled; the test part stays sealed.

    Features are float32 (n, d), C-contiguous; labels are class indices (n,). `columns` and `scaler`
    are plain data that turn the rows of another table into the same features.
    """

    name: str  # "digits", "mnist", or the file's stem
    source: str  # as passed to load_dataset
    digest: str  # 32 hex digits, of the raw data and not of the file's path
    feature_names: tuple[str, ...]  # a one-hot feature is `column=category`
    class_names: tuple[str, ...]  # in the sorted order of the labels
    x_train: Array
    y_train: Indices
    x_val: Array
    y_val: Indices
    columns: tuple[Column, ...] = ()
    scaler: Scaler = field(default_factory=Scaler)
    notes: tuple[str, ...] = ()  # sentences about what the data may not mean

    @property
    def n_features(self) -> int:
        """The number of columns of x_train."""
        return int(self.x_train.shape[1])

    @property
    def n_classes(self) -> int:
        """The number of classes; each has training rows."""
        return len(self.class_names)

    def batches(
        self, batch_size: int, rng: np.random.Generator, *, min_rows: int = 1
    ) -> Iterator[tuple[Array, Indices]]:
        """Yield one epoch of shuffled mini-batches (x, y); the last may be smaller.

        If the last has fewer than `min_rows` rows, they join the batch before it. Both arrays are
        views of buffers that the next batch overwrites: copy what you keep.
        """
        n = len(self.x_train)
        order = rng.permutation(n)
        starts = list(range(0, n, batch_size))
        if len(starts) > 1 and n - starts[-1] < min_rows:
            del starts[-1]
        x_buffer = np.empty((min(batch_size + min_rows - 1, n), self.n_features), np.float32)
        y_buffer = np.empty(len(x_buffer), np.intp)
        for start, end in pairwise([*starts, n]):
            index = order[start:end]
            x, y = x_buffer[: len(index)], y_buffer[: len(index)]
            # By default take() fills a copy of `out`, in case of an error; mode="clip" does not.
            self.x_train.take(index, axis=0, out=x, mode="clip")
            self.y_train.take(index, out=y, mode="clip")
            yield x, y


def load_dataset(
    source: str,
    *,
    target: str | None = None,
    limit: int | None = None,
    train_limit: int | None = None,
    scale: str = "standardize",
    split_seed: int = 0,
    draw: str = "stratified",
    validation: str = "split",
) -> Dataset:
    """Return the training and validation parts of `source`, scaled.

    `source` is a name in `model.sources.SOURCES`, openml:NAME, or a .csv, .parquet or .npz file;
    `target` is the label column of a table. `limit` draws that many rows before the split and
    `train_limit` that many training rows after it, both stratified; a limit above the number of
    rows has no effect. With `draw` "first", `limit` takes the first rows of the source instead.
    `scale` is a name in SCALES. `validation` is "split" or "test"; "test" validates on the source's
    own test set, trains on all other rows, and leaves nothing sealed.
    Raises ValueError with a one-sentence message, or the OSError of a file that cannot be opened.
    """
    how = Split(limit, train_limit, split_seed, draw, validation)
    raw, parts, scaler = _load(source, target, scale, how)
    return Dataset(
        name=source_name(source),
        source=source,
        digest=_digest(raw),
        feature_names=raw.feature_names,
        class_names=raw.class_names,
        x_train=scaler(raw.x[parts.train]),
        y_train=raw.y[parts.train],
        x_val=scaler(raw.x[parts.val]),
        y_val=raw.y[parts.val],
        columns=raw.columns,
        scaler=scaler,
        notes=tuple(f"{source}: {sentence}" for sentence in raw.notes),
    )


def load_test_set(
    source: str,
    *,
    target: str | None = None,
    limit: int | None = None,
    train_limit: int | None = None,
    scale: str = "standardize",
    split_seed: int = 0,
    draw: str = "stratified",
    validation: str = "split",
) -> tuple[Array, Indices]:
    """Return x and y of the sealed part that belongs to `load_dataset` with the same arguments.

    A source's own test set is complete whatever the limit. With `validation` "test" it is not
    sealed, so this raises ValueError.
    """
    how = Split(limit, train_limit, split_seed, draw, validation)
    raw, parts, scaler = _load(source, target, scale, how)
    if validation == "test":
        raise ValueError(f"{source}: its test set is used for validation, so it is not unseen")
    return scaler(raw.x[parts.test]), raw.y[parts.test]


def _load(source: str, target: str | None, scale: str, how: Split) -> tuple[RawData, Parts, Scaler]:
    """Return what both loaders need, so that they cannot disagree about a row or a scale."""
    if scale not in SCALES:
        raise ValueError(unknown_name(scale, SCALES, "a scale"))
    raw = read_source(source, target)
    if how.validation == "test" and not raw.n_test:
        raise ValueError(
            f"{source}: has no test set of its own to validate on; use validation = 'split'"
        )
    check_classes(source, raw)
    parts = split(raw, how)
    return raw, parts, SCALES[scale](raw.x[parts.train])


def _digest(raw: RawData) -> str:
    """Return the SHA-256 of the raw data, shortened to 32 hex digits."""
    class_names = raw.early_names or raw.class_names
    facts = (raw.x.shape, raw.x.dtype.str, raw.n_test, raw.feature_names, class_names)
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(np.ascontiguousarray(raw.x).data)
    digest.update(raw.y.astype("<i8").data)
    return digest.hexdigest()[:32]
