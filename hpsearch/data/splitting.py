"""Split rows into those to train on, those to validate on, and those that stay sealed.

The table alone decides which rows are test rows: no limit, seed or scale moves a row into or out of
the test set. The other rows are split 80/20.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.files import TABLES, suffix_of
from hpsearch.data.labels import NEEDED_TO_SEAL
from hpsearch.data.options import TableOptions
from hpsearch.data.raw import Indices
from hpsearch.data.sources import read_source
from hpsearch.data.table import Source
from hpsearch.formatting import unknown_name

DRAWS, VALIDATIONS = ("stratified", "first"), ("split", "test")
HELD_OUT = 0.2  # share of all rows for the test part, and of the others for validation
# Any stratified 80/20 split leaves a class of five rows at least one on each side, and a class of
# NEEDED_TO_SEAL rows keeps five after the test part is sealed: ⌈0.8 · 5⌉ < 5 and ⌊0.8 · 7⌋ = 5.
NEEDED_TO_SPLIT = 5
LEAST_ROWS = 10  # for a regression: fewer make no three parts


@dataclass(frozen=True)
class Split:
    """How to draw and split rows, checked: the arguments of `load_dataset`."""

    limit: int | None
    train_limit: int | None
    split_seed: int
    draw: str
    validation: str

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


@dataclass(frozen=True)
class Parts:
    """Row numbers of the raw data; no row is in two parts."""

    train: Indices
    val: Indices
    test: Indices


def check_classes(source: str, raw: Source) -> None:
    """Refuse a class that could be missing from one of the parts, and too few rows."""
    if not raw.class_names:
        if len(raw.y) - raw.n_test < LEAST_ROWS:
            raise ValueError(f"{source}: has {len(raw.y)} rows; at least {LEAST_ROWS} are needed")
        return
    parts, needed = "training, validation and test", NEEDED_TO_SEAL
    if raw.n_test:
        parts, needed = "training and validation", NEEDED_TO_SPLIT
    own = raw.n_test + raw.n_val
    counts = np.bincount(raw.y[: len(raw.y) - own], minlength=len(raw.class_names))
    rarest = counts.argmin()
    if counts[rarest] < needed:
        raise ValueError(
            f"{source}: class {raw.class_names[rarest]!r} has only {counts[rarest]} of the "
            f"{needed} rows it needs to be in the {parts} parts; add rows or leave the class out"
        )


def read_parts(
    source: str,
    *,
    limit: int | None = None,
    train_limit: int | None = None,
    split_seed: int = 0,
    draw: str = "stratified",
    validation: str = "split",
    **table: Any,
) -> tuple[Source, Parts]:
    """Return everything that a source holds, and which rows are in which part.

    `table` are the fields of TableOptions; see `load_dataset` for the others and for the errors.
    """
    how = Split(limit, train_limit, split_seed, draw, validation)
    own = None if validation in VALIDATIONS else validation
    raw = read_source(source, TableOptions(**table, validation=own))
    if validation == "test" and not raw.n_test:
        raise ValueError(
            f"{source}: has no test set of its own to validate on; use validation = 'split'"
        )
    check_classes(source, raw)
    return raw, split(raw, how)


def split(raw: Source, how: Split) -> Parts:
    """Return the parts: seal the test rows, then draw and split the others, stratified."""
    from sklearn.model_selection import train_test_split

    sealed, seed, strata = _sealed_rows(raw), how.split_seed, strata_of(raw)
    rows = _limited(raw, sealed, how)
    test = np.flatnonzero(sealed) if raw.n_test else rows[sealed[rows]]
    rest = rows[~sealed[rows]]
    if how.validation == "test":
        train, val, test = rest, test, test[:0]
    elif raw.n_val:
        train, val = rest, np.arange(len(raw.y) - raw.n_test - raw.n_val, len(raw.y) - raw.n_test)
    else:
        stratify = strata[rest] if raw.class_names else None
        train, val = train_test_split(
            rest, test_size=HELD_OUT, stratify=stratify, random_state=seed
        )
    if how.train_limit is not None:
        needed = np.ones(len(train), np.intp)
        train = train[_draw(strata[train], needed, how.train_limit, seed, "train_limit")]
    return Parts(train, val, test)


def strata_of(raw: Source) -> Indices:
    """Return what rows are drawn in proportion to (n,): their classes, or nothing."""
    return raw.y if raw.class_names else np.zeros(len(raw.y), np.intp)


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
        if not raw.class_names:
            raise ValueError(f"limit: the first {how.limit} rows do not fill every part; raise it")
        name = raw.class_names[strata[short.argmax()] // 2]
        raise ValueError(
            f"limit: among the first {how.limit} rows, class {name!r} has too few to be in every "
            "part; raise it, or leave draw = 'first' out"
        )
    return rows[: how.limit]


def _sealed_rows(raw: Source) -> NDArray[np.bool_]:
    """Return a mask of the test rows: the source's own, or a fifth that no seed changes."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(raw.y))
    if raw.n_test:
        return rows >= len(rows) - raw.n_test
    rest = rows[: len(rows) - raw.n_val]
    stratify = raw.y[rest] if raw.class_names else None
    _, test = train_test_split(rest, test_size=HELD_OUT, stratify=stratify, random_state=0)
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
