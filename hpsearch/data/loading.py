"""Data sets for the built-in network, split and scaled; the test part stays sealed.

The table alone decides which rows are test rows: no limit, seed or scale moves a row into or out of
the test set. The search sees only the other rows, split 80/20. What columns become and how they are
scaled is fitted on their training part only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hpsearch.data.columns import as_plain
from hpsearch.data.raw import Indices, Prepared
from hpsearch.data.sources import naming, source_name
from hpsearch.data.splitting import Parts, read_parts
from hpsearch.data.table import Source
from hpsearch.formatting import unknown_name
from model.data import Array, Dataset, Targets
from model.scaling import SCALES, Scaler


def load_dataset(source: str, *, scale: str = "standardize", **how: Any) -> Dataset:
    """Return the training and validation parts of `source`, scaled.

    `source` is a name in `SOURCES`, openml:NAME, or a file (see `FILES`). `scale` is a name in
    SCALES. Everything else is given to `read_parts`, by name:

    `limit` draws that many rows before the split and `train_limit` that many training rows after
    it, both stratified; a limit above the number of rows has no effect. With `draw` "first",
    `limit` takes the first rows of the source instead. `validation` is "split", a file with the
    validation rows, or "test"; "test" validates on the source's own test set, trains on all other
    rows, and leaves nothing sealed. `target` and the other fields of TableOptions say what the
    columns of a table are.

    Raises ValueError with a one-sentence message, or the OSError of a file that cannot be opened.
    """
    loaded = _load(source, scale, how)
    raw, parts, prepared = loaded.raw, loaded.parts, loaded.prepared
    notes = (*raw.notes, *prepared.notes)
    return Dataset(
        name=source_name(source),
        source=source,
        digest=raw.digest,
        feature_names=prepared.feature_names,
        class_names=raw.class_names,
        x_train=loaded.scaler(prepared.x_train),
        y_train=loaded.targets(parts.train),
        x_val=loaded.scaler(prepared.features(parts.val)),
        y_val=loaded.targets(parts.val),
        columns=as_plain(prepared.columns),
        scaler=loaded.scaler,
        target_names=raw.target_names,
        target_scaler=loaded.target_scaler,
        notes=tuple(f"{source}: {sentence}" for sentence in notes),
    )


def load_test_set(
    source: str, *, scale: str = "standardize", **how: Any
) -> tuple[Array, NDArray[Any]]:
    """Return x and y of the sealed part that belongs to `load_dataset` with the same arguments.

    y holds class indices (n,), or numbers (n, k) in their own units. A source's own test set is
    complete whatever the limit. With `validation` "test" it is not sealed, so this raises
    ValueError.
    """
    loaded = _load(source, scale, how)
    if how.get("validation") == "test":
        raise ValueError(f"{source}: its test set is used for validation, so it is not unseen")
    test = loaded.parts.test
    return loaded.scaler(loaded.prepared.features(test)), loaded.raw.y[test]


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What both loaders need, so that they cannot disagree about a row or a scale."""

    raw: Source
    parts: Parts
    prepared: Prepared
    scaler: Scaler
    target_scaler: Scaler

    def targets(self, rows: Indices) -> Targets:
        """Return class indices, or the scaled numbers of a regression."""
        y = self.raw.y[rows]
        return y if self.raw.class_names else self.target_scaler(y)


def _load(source: str, scale: str, how: dict[str, Any]) -> _Loaded:
    if scale not in SCALES:
        raise ValueError(unknown_name(scale, SCALES, "a scale"))
    raw, parts = read_parts(source, **how)
    with naming(source):
        prepared = raw.prepare(parts.train)
    numbers = not raw.class_names
    targets = SCALES["standardize"](raw.y[parts.train]) if numbers else Scaler()
    return _Loaded(raw, parts, prepared, SCALES[scale](prepared.x_train), targets)
