"""Split rows into those to train on, those to validate on, and those that stay sealed.

The table alone decides which rows are test rows: no limit, seed or scale moves a row into or out of
the test set. The other rows are split 80/20, or into folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.files import TABLES, suffix_of
from hpsearch.data.labels import NEEDED_TO_SEAL
from hpsearch.data.options import TableOptions
from hpsearch.data.raw import Indices
from hpsearch.data.sources import read_source
from hpsearch.data.splitters import (
    HELD_OUT,
    Chronological,
    Grouped,
    Pair,
    Shuffled,
    Splitter,
    Unshuffled,
)
from hpsearch.data.table import Source, TableData
from hpsearch.formatting import unknown_name

DRAWS, VALIDATIONS = ("stratified", "first"), ("split", "test")
# Any stratified 80/20 split leaves a class of five rows at least one on each side, and a class of
# NEEDED_TO_SEAL rows keeps five after the test part is sealed: ⌈0.8 · 5⌉ < 5 and ⌊0.8 · 7⌋ = 5.
NEEDED_TO_SPLIT = 5
MOST_NAMED = 5  # classes in an error message
LEAST_ROWS = 10  # for a regression: fewer make no three parts


@dataclass(frozen=True)
class Split:
    """How to draw and split rows, checked: the arguments of `load_dataset`.

    folds: how often the rows are divided into training and validation rows, each in turn; 0 for one
    split. repeats: how often all of that is done, each time with other folds.
    """

    limit: int | None
    train_limit: int | None
    split_seed: int
    draw: str
    validation: str
    shuffle: bool
    folds: int = 0
    repeats: int = 1

    def __post_init__(self) -> None:
        for name in ("limit", "train_limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, but got {value}")
        if not 0 <= self.split_seed < 2**32:
            raise ValueError(f"split_seed must be in [0, {2**32 - 1}], but got {self.split_seed}")
        if self.draw not in DRAWS:
            raise ValueError(unknown_name(self.draw, DRAWS, "a draw"))
        if self.validation not in VALIDATIONS and suffix_of(self.validation) not in TABLES:
            raise ValueError(unknown_name(self.validation, VALIDATIONS, "a validation"))

    @classmethod
    def of(cls, validation: str | Mapping[str, int], **how: Any) -> Split:
        """Return what `validation` says, a name or {"folds": 5}; raises ValueError."""
        if isinstance(validation, str):
            return cls(validation=validation, **how)
        folds, repeats = validation.get("folds", 0), validation.get("repeats", 1)
        if folds < 2 or repeats < 1 or not {*validation} <= {"folds", "repeats"}:
            raise ValueError(
                f"validation must be like {{'folds': 5}} or {{'folds': 5, 'repeats': 3}}, but got "
                f"{dict(validation)}"
            )
        return cls(validation="split", folds=folds, repeats=repeats, **how)


@dataclass(frozen=True)
class Parts:
    """Row numbers of the raw data: training and validation rows of each fold, and the test rows.

    A single split is one fold. No test row is in a fold, and no fold has a row on both sides.
    """

    folds: tuple[Pair, ...]
    test: Indices

    @property
    def train(self) -> Indices:
        """The training rows of the only fold, or of the first."""
        return self.folds[0][0]

    @property
    def val(self) -> Indices:
        """The validation rows of the only fold, or of the first."""
        return self.folds[0][1]

    @property
    def rest(self) -> Indices:
        """All rows that are not test rows: those that a final model is trained on."""
        if len(self.folds) == 1:
            return np.concatenate(self.folds[0])
        return np.unique(np.concatenate([rows for fold in self.folds for rows in fold]))

    @property
    def validated(self) -> int:
        """How many different rows are validated on."""
        return len(np.unique(np.concatenate([val for _, val in self.folds])))


def check_classes(source: str, raw: Source, folds: int = 0) -> None:
    """Refuse a class or label that could be missing from one of the parts, and too few rows."""
    if not raw.class_names:
        if len(raw.y) - raw.n_test < LEAST_ROWS:
            raise ValueError(f"{source}: has {len(raw.y)} rows; at least {LEAST_ROWS} are needed")
        return
    to_split = max(folds, NEEDED_TO_SPLIT)
    sealed = next(n for n in count(to_split) if n - ceil(HELD_OUT * n) >= to_split)
    parts, needed = "training, validation and test", max(NEEDED_TO_SEAL, sealed)
    if raw.n_test:
        parts, needed = "training and validation", to_split
    own = raw.n_test + raw.n_val
    y = raw.y[: len(raw.y) - own]
    if raw.task == "multilabel":
        _check_labels(source, raw, y, parts, needed)
        return
    counts = np.bincount(y, minlength=len(raw.class_names))
    rare = [raw.class_names[number] for number in np.flatnonzero(counts < needed)]
    if len(rare) == 1:
        raise ValueError(
            f"{source}: class {rare[0]!r} has only {counts.min()} of the {needed} rows it needs to "
            f"be in the {parts} parts; add rows or leave the class out"
        )
    if rare:
        more = ", …" if len(rare) > MOST_NAMED else ""
        names = ", ".join(map(repr, rare[:MOST_NAMED])) + more
        raise ValueError(
            f"{source}: {len(rare)} of {len(counts)} classes have fewer than the {needed} rows "
            f"that they need to be in the {parts} parts ({names}); add rows or leave these classes "
            "out"
        )


def _check_labels(source: str, raw: Source, y: NDArray[np.intp], parts: str, needed: int) -> None:
    """Refuse labels of which too few rows are yes, or no."""
    counts = np.stack([len(y) - y.sum(axis=0), y.sum(axis=0)])
    rare = np.flatnonzero(counts.min(axis=0) < needed).tolist()
    if not rare:
        return
    listed = []
    for label in rare[:MOST_NAMED]:
        value = int(counts[:, label].argmin())
        word, rows = raw.words[label][value], counts[value, label]
        listed.append(f"{raw.class_names[label]!r} is {word!r} in {rows}")
    more = ", …" if len(rare) > MOST_NAMED else ""
    raise ValueError(
        f"{source}: a target needs {needed} rows of each value to be in the {parts} parts, and "
        f"{', '.join(listed)}{more}; add rows, or leave it out of target"
    )


def read_parts(
    source: str,
    *,
    limit: int | None = None,
    train_limit: int | None = None,
    split_seed: int = 0,
    draw: str = "stratified",
    validation: str | Mapping[str, int] = "split",
    shuffle: bool = True,
    **table: Any,
) -> tuple[Source, Parts]:
    """Return everything that a source holds, and which rows are in which part.

    `table` are the fields of TableOptions; see `load_dataset` for the others and for the errors.
    """
    how = Split.of(
        validation,
        limit=limit,
        train_limit=train_limit,
        split_seed=split_seed,
        draw=draw,
        shuffle=shuffle,
    )
    own = None if how.validation in VALIDATIONS else how.validation
    raw = read_source(source, TableOptions(**table, validation=own))
    if validation == "test" and not raw.n_test:
        raise ValueError(
            f"{source}: has no test set of its own to validate on; use validation = 'split'"
        )
    if how.folds and raw.n_val:
        raise ValueError(f"{source}: has validation rows of its own; leave folds out")
    check_classes(source, raw, how.folds)
    return raw, split(raw, how)


def splitter_of(raw: Source, how: Split) -> Splitter:
    """Return how rows are held out; raises ValueError for what cannot be had together."""
    groups, times = (raw.groups, raw.times) if isinstance(raw, TableData) else (None, None)
    asked = [
        name
        for name, given in (
            ("groups", groups is not None),
            ("time", times is not None),
            ("shuffle = false", not how.shuffle),
        )
        if given
    ]
    if len(asked) > 1:
        raise ValueError(f"{asked[0]} and {asked[1]} cannot be had together; leave one of them out")
    if how.repeats > 1 and asked and groups is None:
        raise ValueError(f"with {asked[0]} folds are always the same; leave repeats out")
    classes = strata_of(raw) if raw.class_names else None
    if isinstance(raw, TableData):
        if groups is not None:
            return Grouped(groups, classes, str(raw.options.groups))
        if times is not None:
            return Chronological(times, str(raw.options.time))
    return Shuffled(classes) if how.shuffle else Unshuffled()


def split(raw: Source, how: Split) -> Parts:
    """Return the parts: seal the test rows, then draw and split the others."""
    splitter = splitter_of(raw, how)
    sealed, seed = _sealed_rows(raw, splitter), how.split_seed
    rows = _limited(raw, sealed, how)
    test = np.flatnonzero(sealed) if raw.n_test else rows[sealed[rows]]
    rest = rows[~sealed[rows]]
    if how.validation == "test":
        folds, test = [(rest, test)], test[:0]
    elif raw.n_val:
        own = np.arange(len(raw.y) - raw.n_test - raw.n_val, len(raw.y) - raw.n_test)
        folds = [(rest, own)]
    elif how.folds:
        seeds = [(seed + repeat) % 2**32 for repeat in range(how.repeats)]
        folds = [fold for each in seeds for fold in splitter.folds(rest, how.folds, each)]
    else:
        folds = [splitter.hold_out(rest, seed)]
    if how.train_limit is not None:
        folds = [(_train_limited(raw, train, how), val) for train, val in folds]
    parts = Parts(tuple(folds), test)
    if raw.task == "multilabel":
        _check_label_parts(raw, parts)
    elif not isinstance(splitter, Shuffled):
        _check_parts(raw, parts)
    return parts


def _train_limited(raw: Source, train: Indices, how: Split) -> Indices:
    """Return as many of the training rows as the limit says, with the classes in proportion."""
    assert how.train_limit is not None
    needed = np.ones(len(train), np.intp)
    strata = strata_of(raw)[train]
    return train[_draw(strata, needed, how.train_limit, how.split_seed, "train_limit")]


def _check_parts(raw: Source, parts: Parts) -> None:
    """Refuse parts without rows, training rows that lack a class, and others of only one."""
    held_out = [("validation", val) for _, val in parts.folds] + [("test", parts.test)]
    if not raw.class_names:
        return
    for train, _ in parts.folds:
        missing = np.flatnonzero(np.bincount(raw.y[train], minlength=len(raw.class_names)) == 0)
        if len(missing):
            raise ValueError(
                f"class {raw.class_names[missing[0]]!r} is in no training row: groups, time or "
                "shuffle = false put all of its rows on one side; leave them out, or the class"
            )
    for part, rows in held_out:
        if len(rows) and len(np.unique(raw.y[rows])) < 2:
            raise ValueError(
                f"a {part} part would hold rows of class {raw.class_names[raw.y[rows[0]]]!r} only: "
                "groups, time or shuffle = false put the others elsewhere; leave them out, or take "
                "fewer folds"
            )


def _check_label_parts(raw: Source, parts: Parts) -> None:
    """Refuse training rows that have a label nowhere, or everywhere."""
    for train, _ in parts.folds:
        rows = raw.y[train].sum(axis=0)
        missing = np.flatnonzero((rows == 0) | (rows == len(train)))
        if len(missing):
            raise ValueError(
                f"target {raw.class_names[missing[0]]!r} has only one value in the training rows; "
                "leave it out of target, or choose another split_seed"
            )


def strata_of(raw: Source) -> Indices:
    """Return what rows are drawn in proportion to (n,): their classes, or nothing of numbers.

    Of several labels it is the rarest that a row has, among those in enough rows to be divided.
    """
    if raw.task == "regression":
        return np.zeros(len(raw.y), np.intp)
    if raw.task == "classification":
        return raw.y
    return _rarest_labels(raw.y, raw.n_val + raw.n_test)


def _rarest_labels(y: NDArray[np.intp], own: int) -> Indices:
    """Return the number of each row's rarest label (n,), from labels (n, k); 0 for none.

    own: how many of the last rows are not divided.
    """
    divided = slice(len(y) - own)
    strata = np.zeros(len(y), np.intp)
    for stratum, label in enumerate(np.argsort(-y.sum(axis=0), kind="stable"), start=1):
        strata[y[:, label] == 1] = stratum  # from the most frequent label to the rarest
    few = np.bincount(strata[divided], minlength=y.shape[1] + 1) < NEEDED_TO_SEAL
    strata[few[strata]] = 0
    if np.count_nonzero(strata[divided] == 0) < NEEDED_TO_SEAL:
        strata[strata == 0] = np.bincount(strata[divided]).argmax()
    return np.unique(strata, return_inverse=True)[1].astype(np.intp)


def _limited(raw: Source, sealed: NDArray[np.bool_], how: Split) -> Indices:
    """Return the rows that are within the limit and in no part of the source's own.

    The sealed rows and the others are drawn in proportion, so that no row changes sides.
    """
    rows = np.arange(len(raw.y) - raw.n_test - raw.n_val)
    if how.limit is None:
        return rows
    strata = 2 * strata_of(raw)[rows] + sealed[rows]
    needed = np.where(sealed[rows], 1, NEEDED_TO_SPLIT)
    if how.draw == "stratified":
        return rows[_draw(strata, needed, how.limit, how.split_seed, "limit")]
    counts = np.bincount(strata[: how.limit], minlength=strata.max() + 1)
    short = counts[strata] < needed
    if short.any():
        if raw.task != "classification":
            raise ValueError(f"limit: the first {how.limit} rows do not fill every part; raise it")
        name = raw.class_names[strata[short.argmax()] // 2]
        raise ValueError(
            f"limit: among the first {how.limit} rows, class {name!r} has too few to be in every "
            "part; raise it, or leave draw = 'first' out"
        )
    return rows[: how.limit]


def _sealed_rows(raw: Source, splitter: Splitter) -> NDArray[np.bool_]:
    """Return a mask of the test rows: the source's own, or a fifth that no seed changes."""
    rows = np.arange(len(raw.y))
    if raw.n_test:
        return rows >= len(rows) - raw.n_test
    _, test = splitter.hold_out(rows[: len(rows) - raw.n_val], 0)
    return np.isin(rows, test)


def _draw(strata: Indices, needed: Indices, size: int, seed: int, option: str) -> Indices:
    """Return `size` of the positions 0 … n−1, ascending, with the strata in proportion.

    A random order gives each position a quantile in its stratum, and the lowest quantiles are
    drawn, so that a smaller draw is part of a larger one. A `size` too small to hold the `needed`
    (n,) positions of each stratum is refused.
    """
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    grouped = shuffled[np.argsort(strata[shuffled], kind="stable")]
    stratum, sizes = strata[grouped], np.bincount(strata)
    rank = np.arange(len(strata)) - (np.cumsum(sizes) - sizes)[stratum]  # 0, 1, … in each stratum
    by_quantile = np.argsort((rank + 0.5) / sizes[stratum], kind="stable")
    complete = rank[by_quantile] + 1 == needed[grouped][by_quantile]
    smallest = int(np.flatnonzero(complete)[-1]) + 1
    if size < smallest:
        raise ValueError(
            f"{option} must be at least {smallest} to hold every class in every part, "
            f"but got {size}"
        )
    return np.sort(grouped[by_quantile[:size]])
