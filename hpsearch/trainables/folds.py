"""Models of several folds, trained in lockstep: an epoch of all of them is one epoch of a trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from hpsearch.trials.checkpoints import Save

SPREAD = "_std"  # how the name of a metric's standard deviation over the folds ends


class EpochEnd(NamedTuple):
    """The arguments of `OnEpochEnd`."""

    metrics: Mapping[str, float]
    gradient_norms: Sequence[float] = ()
    save: Save | None = None


def in_lockstep(folds: Sequence[Iterator[EpochEnd]]) -> Iterator[EpochEnd]:
    """Train the models of all folds by an epoch, and yield what they have on average; and so on.

    Closes the generators at the end. An epoch has no `save`: there is no single model.
    """
    try:
        for ends in zip(*folds, strict=True):
            norms = [end.gradient_norms for end in ends]
            yield EpochEnd(
                means([end.metrics for end in ends]),
                np.mean(norms, axis=0).tolist() if norms[0] else (),
            )
    finally:
        for fold in folds:
            close = getattr(fold, "close", None)
            if close is not None:
                close()


def means(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric, and the spread of those on validation rows.

    The spread is the sample standard deviation over the folds. A value that is not finite in one
    fold is not finite on average.
    """
    names = [*folds[0]]
    values = np.array([[fold[name] for name in names] for fold in folds])
    with np.errstate(all="ignore"):  # of values that are not finite
        found = dict(zip(names, values.mean(axis=0).tolist(), strict=True))
        spreads = dict(zip(names, values.std(axis=0, ddof=1).tolist(), strict=True))
    of_validation = {n: spread for n, spread in spreads.items() if n.startswith("val/")}
    return found | {f"{name}{SPREAD}": spread for name, spread in of_validation.items()}


def stopped_early(
    epochs: Iterator[EpochEnd], metric: str, *, maximize: bool, patience: int
) -> Iterator[EpochEnd]:
    """Yield epochs until `patience` of them have followed the best one; see `EarlyStopping`."""
    best, best_epoch = -np.inf, 0
    for number, end in enumerate(epochs, start=1):
        yield end
        value = end.metrics[metric] if maximize else -end.metrics[metric]
        if value > best:
            best, best_epoch = value, number
        if number - best_epoch >= patience:
            return
