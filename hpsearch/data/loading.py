"""Data sets for the built-in network, split and scaled; the test part stays sealed.

The table alone decides which rows are test rows: no limit, seed or scale moves a row into or out of
the test set. The search sees only the other rows, split 80/20 or into folds. What columns become
and how they are scaled is fitted on their training part only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.columns import as_plain
from hpsearch.data.raw import Indices, Prepared
from hpsearch.data.sources import naming, source_name
from hpsearch.data.splitting import Parts, read_parts
from hpsearch.data.table import Source
from hpsearch.data.weights import ClassWeight, check_class_weight, training_weights
from hpsearch.formatting import unknown_name
from model.data import Array, Dataset
from model.scaling import SCALES, Scaler


def load_dataset(
    source: str,
    *,
    scale: str = "standardize",
    class_weight: ClassWeight | None = None,
    **how: Any,
) -> Dataset:
    """Return the training and validation parts of `source`, scaled.

    `source` is a name in `SOURCES`, openml:NAME, or a file (see `FILES`). `scale` is a name in
    SCALES. `class_weight` is "balanced", or how much rows of a class count in training, by its
    name: {"yes": 5}. Everything else is given to `read_parts`, by name:

    `limit` draws that many rows before the split and `train_limit` that many training rows after
    it, both stratified; a limit above the number of rows has no effect. With `draw` "first",
    `limit` takes the first rows of the source instead. `validation` is "split", a file with the
    validation rows, or "test"; "test" validates on the source's own test set, trains on all other
    rows, and leaves nothing sealed. `shuffle=False` holds out the last rows. `target` and the other
    fields of TableOptions say what the columns of a table are; `groups` and `time` also say which
    rows are held out, and `weight` how much each row counts, in training and in scores.

    Raises ValueError with a one-sentence message, or the OSError of a file that cannot be opened.
    """
    loaded = _Source.read(source, scale, class_weight, how)
    if len(loaded.parts.folds) > 1:
        raise ValueError(f"{source}: folds are several data sets; use load_folds")
    return loaded.dataset(loaded.parts.train, loaded.parts.val)


def load_folds(
    source: str,
    *,
    scale: str = "standardize",
    class_weight: ClassWeight | None = None,
    **how: Any,
) -> tuple[Dataset, ...]:
    """Return the training and validation rows of each fold; see `load_dataset`.

    With `validation={"folds": 5}` the rows outside of the test part are divided five times, so that
    each is a validation row once; with {"folds": 5, "repeats": 3} that is done three times. Along
    `time` each fold validates on the rows after its training rows. What columns become and how they
    are scaled is fitted on the training rows of each fold. A single split is one fold.
    """
    loaded = _Source.read(source, scale, class_weight, how)
    return tuple(loaded.dataset(train, val) for train, val in loaded.parts.folds)


def load_final(
    source: str,
    *,
    scale: str = "standardize",
    class_weight: ClassWeight | None = None,
    **how: Any,
) -> Dataset:
    """Return what a final network is trained on: all rows but the test rows, none to validate on.

    What columns become is fitted on all of them; but on the training rows where there is a single
    split. The arguments and the errors are those of `load_dataset`.
    """
    loaded = _Source.read(source, scale, class_weight, how)
    parts = loaded.parts
    if len(parts.folds) > 1:
        return loaded.dataset(parts.rest, parts.rest[:0])
    together = with_validation_rows(loaded.dataset(parts.train, parts.val))
    return replace(together, w_train=loaded.weights(parts.rest), w_val=None)


def with_validation_rows(data: Dataset) -> Dataset:
    """Return the data with the validation rows among the training rows, and none left over.

    The rows have no weights: those of classes depend on which rows are trained on.
    """
    return replace(
        data,
        x_train=np.concatenate([data.x_train, data.x_val]),
        y_train=np.concatenate([data.y_train, data.y_val]),
        x_val=data.x_val[:0],
        y_val=data.y_val[:0],
        w_train=None,
        w_val=None,
    )


class TestRows(NamedTuple):
    """The sealed part: x (n, d), y as the data set has it but in its own units, and weights."""

    x: Array
    y: NDArray[Any]
    weights: NDArray[np.float64] | None


def load_test_rows(
    source: str,
    *,
    scale: str = "standardize",
    class_weight: ClassWeight | None = None,
    **how: Any,
) -> TestRows:
    """Return the sealed part, as a final network takes it; see `load_final` and `load_test_set`."""
    loaded = _Source.read(source, scale, class_weight, how)
    if how.get("validation") == "test":
        raise ValueError(f"{source}: its test set is used for validation, so it is not unseen")
    parts, raw = loaded.parts, loaded.raw
    fitted = loaded.fitted(parts.rest if len(parts.folds) > 1 else parts.train)
    weights = None if raw.weights is None else raw.weights[parts.test]
    x = fitted.scaler(fitted.prepared.features(parts.test))
    return TestRows(x, raw.y[parts.test], weights)


def load_test_set(source: str, **how: Any) -> tuple[Array, NDArray[Any]]:
    """Return x and y of the sealed part that belongs to `load_dataset` with the same arguments.

    y holds class indices (n,), several labels (n, k), or numbers (n, k) in their own units. A
    source's own test set is complete whatever the limit. With `validation` "test" it is not sealed,
    so this raises ValueError.
    """
    x, y, _ = load_test_rows(source, **how)
    return x, y


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What is fitted on training rows: features, their scale, and that of the targets."""

    prepared: Prepared
    scaler: Scaler
    target_scaler: Scaler


@dataclass(frozen=True, eq=False)
class _Source:
    """What the loaders need, so that they cannot disagree about a row or a scale."""

    source: str
    scale: str
    class_weight: ClassWeight | None
    raw: Source
    parts: Parts

    @classmethod
    def read(
        cls, source: str, scale: str, class_weight: ClassWeight | None, how: dict[str, Any]
    ) -> _Source:
        if scale not in SCALES:
            raise ValueError(unknown_name(scale, SCALES, "a scale"))
        raw, parts = read_parts(source, **how)
        with naming(source):
            check_class_weight(class_weight, raw)
        return cls(source, scale, class_weight, raw, parts)

    def fitted(self, train: Indices) -> _Fitted:
        with naming(self.source):
            prepared = self.raw.prepare(train)
        numbers = not self.raw.class_names
        targets = SCALES["standardize"](self.raw.y[train]) if numbers else Scaler()
        return _Fitted(prepared, SCALES[self.scale](prepared.x_train), targets)

    def weights(self, train: Indices) -> NDArray[np.float32] | None:
        """Return how much each training row counts, None if all alike."""
        with naming(self.source):
            weights = training_weights(self.raw, train, self.class_weight)
        return None if weights is None else weights.astype(np.float32)

    def dataset(self, train: Indices, val: Indices) -> Dataset:
        """Return training and validation rows, with features fitted on the training rows."""
        fitted, raw = self.fitted(train), self.raw
        prepared, scaler = fitted.prepared, fitted.scaler
        w_val = None if raw.weights is None else raw.weights[val].astype(np.float32)
        y_train, y_val = raw.y[train], raw.y[val]
        if not raw.class_names:
            y_train, y_val = fitted.target_scaler(y_train), fitted.target_scaler(y_val)
        elif raw.task == "multilabel":
            y_train, y_val = y_train.astype(np.float32), y_val.astype(np.float32)
        notes = (*raw.notes, *prepared.notes)
        return Dataset(
            name=source_name(self.source),
            source=self.source,
            digest=raw.digest,
            feature_names=prepared.feature_names,
            class_names=raw.class_names,
            x_train=scaler(prepared.x_train),
            y_train=y_train,
            x_val=scaler(prepared.features(val)),
            y_val=y_val,
            w_train=self.weights(train),
            w_val=w_val,
            columns=as_plain(prepared.columns),
            scaler=scaler,
            target_names=raw.target_names,
            words=raw.words,
            target_scaler=fitted.target_scaler,
            notes=tuple(f"{self.source}: {sentence}" for sentence in notes),
        )
