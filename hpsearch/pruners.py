"""Pruners by name, their resource bounds taken from the number of epochs."""

from collections.abc import Callable

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)


def none(epochs: int) -> BasePruner:  # noqa: ARG001
    """Let every trial run to its end."""
    return NopPruner()


def median(epochs: int) -> BasePruner:
    """Stop a trial whose best so far is below the median of earlier trials at the same epoch.

    The first five trials run to their end, and no trial is judged in its first tenth.
    """
    return MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 10))


def halving(epochs: int) -> BasePruner:  # noqa: ARG001
    """Keep the best third of the trials at 1, 3, 9, … epochs (Li et al., 2020, ASHA)."""
    return SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)


def hyperband(epochs: int) -> BasePruner:
    """Run several halvings side by side, bold ones and patient ones (Li et al., 2018)."""
    return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)


PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "none": none,
    "median": median,
    "halving": halving,
    "hyperband": hyperband,
}


def build_pruner(name: str, epochs: int) -> BasePruner:
    """Return the pruner called `name` for trials of at most `epochs` epochs."""
    return PRUNERS[name](epochs)
