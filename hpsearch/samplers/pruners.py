"""Pruners by name, their resource bounds taken from the number of epochs."""

from collections.abc import Callable, Mapping
from typing import Any

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)

from hpsearch.settings.search import read_options


def none(epochs: int) -> BasePruner:  # noqa: ARG001
    """Let every trial run to its end."""
    return NopPruner()


def median(epochs: int, *, n_warmup_steps: int | None = None, **options: Any) -> BasePruner:
    """Stop a trial whose best so far is below the median of earlier trials at the same epoch.

    The first five trials run to their end, and no trial is judged in its first tenth.
    """
    tenth = max(1, epochs // 10)
    return MedianPruner(
        n_warmup_steps=tenth if n_warmup_steps is None else n_warmup_steps, **options
    )


def halving(epochs: int, **options: Any) -> BasePruner:  # noqa: ARG001
    """Keep the best third of the trials at 1, 3, 9, … epochs (Li et al., 2020, ASHA)."""
    return SuccessiveHalvingPruner(**options)


def hyperband(epochs: int, **options: Any) -> BasePruner:
    """Run several halvings side by side, bold ones and patient ones (Li et al., 2018).

    `epochs` is the most that any trial may take; a shorter one ends before the later rungs.
    """
    return HyperbandPruner(max_resource=epochs, **options)


PRUNERS: dict[str, Callable[..., BasePruner]] = {
    "none": none,
    "median": median,
    "halving": halving,
    "hyperband": hyperband,
}


def build_pruner(name: str, epochs: int, options: Mapping[str, Any] | None = None) -> BasePruner:
    """Return the pruner called `name` for trials of at most `epochs` epochs.

    options: what differs from the defaults in `search_settings`.
    """
    return PRUNERS[name](epochs, **read_options(name, options or {}))
