"""`hpsearch look`: what a study would make of its data, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.giveaways import giveaways
from hpsearch.data.kinds import Kind
from hpsearch.data.sources import data_errors, naming
from hpsearch.data.splitting import read_parts
from hpsearch.data.table import TableData

if TYPE_CHECKING:
    from hpsearch.data.raw import Prepared
    from hpsearch.data.splitting import Parts
    from hpsearch.data.table import Source
    from hpsearch.settings.data import DataSettings


@dataclass(frozen=True)
class Target:
    """A column to predict: the rows of each class or value, or the range of its numbers."""

    name: str
    classes: dict[str, int]
    low: float = 0.0
    middle: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Look:
    """What a table is taken for.

    task: "classification", "multilabel" or "regression". rows: those with a label. parts: how many
    each part has, of folds the first one. folds: how many there are in all, 1 for a single split.
    columns: what each column of the table is taken for; () where all are numbers already. features:
    how many the network gets. notes: what may not be meant.
    """

    source: str
    task: str
    targets: tuple[Target, ...]
    rows: int
    parts: dict[str, int]
    folds: int
    columns: tuple[Kind, ...]
    features: int
    widths: dict[str, int]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return the look as plain data, for JSON."""
        return {
            "source": self.source,
            "task": self.task,
            "targets": [_target_record(target) for target in self.targets],
            "rows": self.parts,
            "folds": self.folds,
            "features": self.features,
            "columns": [
                {
                    "name": kind.name,
                    "kind": kind.kind,
                    "used": kind.used,
                    "features": self.widths.get(kind.name, 0),
                    "missing": kind.missing,
                    "values": kind.values,
                }
                for kind in self.columns
            ],
            "notes": list(self.notes),
        }


def _target_record(target: Target) -> dict[str, Any]:
    if target.classes:
        return {"name": target.name, "classes": target.classes}
    return {"name": target.name, "low": target.low, "median": target.middle, "high": target.high}


def look_at(data: DataSettings, *, suspicions: bool = True) -> Look:
    """Return what a study would make of its data; raises DataError.

    suspicions: whether the notes name columns that give the target away, which takes a while.
    """
    with data_errors():
        raw, parts = read_parts(**data.parts())
        with naming(data.source):
            prepared = raw.prepare(parts.train)
    found = _suspicions(raw, parts, prepared) if suspicions else ()
    kinds = raw.kinds(parts.train) if isinstance(raw, TableData) else []
    widths = {column.name: len(column.feature_names) for column in prepared.columns}
    return Look(
        source=data.source,
        task=raw.task,
        targets=tuple(_targets(raw)),
        rows=len(parts.rest) + len(parts.test),
        folds=len(parts.folds),
        parts={"train": len(parts.train), "validation": len(parts.val), "test": len(parts.test)},
        columns=tuple(kinds),
        features=len(prepared.feature_names),
        widths=widths,
        notes=(*raw.notes, *prepared.notes, *found),
    )


def _suspicions(raw: Source, parts: Parts, prepared: Prepared) -> Sequence[str]:
    if not isinstance(raw, TableData):
        return ()
    names = prepared.feature_names
    return [*giveaways(prepared.x_train, names, raw.y[parts.train], raw.class_names)]


def _targets(raw: Source) -> list[Target]:
    names = raw.target_names or ("target",)
    if raw.task == "multilabel":
        ones = raw.y.sum(axis=0).tolist()
        return [
            Target(name, {no: len(raw.y) - rows, yes: rows})
            for name, (no, yes), rows in zip(names, raw.words, ones, strict=True)
        ]
    if raw.class_names:
        counts = np.bincount(raw.y, minlength=len(raw.class_names)).tolist()
        return [Target(names[0], dict(zip(raw.class_names, counts, strict=True)))]
    return [
        Target(name, {}, float(column.min()), float(np.median(column)), float(column.max()))
        for name, column in zip(names, raw.y.T, strict=True)
    ]
