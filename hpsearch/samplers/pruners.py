"""The pruners by name, with bounds that follow from the number of epochs of a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)

from hpsearch.samplers.halving import WHOLE_EVERY, HalvingPruner, bracket_shares
from hpsearch.settings.search import read_options

if TYPE_CHECKING:
    from hpsearch.settings.study import StudySettings


def none(epochs: int, trials: int) -> BasePruner:  # noqa: ARG001
    """Return a pruner that lets every trial run to its end."""
    return NopPruner()


def median(
    epochs: int,
    trials: int,  # noqa: ARG001
    *,
    n_warmup_steps: int | None = None,
    **options: Any,
) -> BasePruner:
    """Return a pruner that stops trials worse than the median of earlier ones at the same epoch.

    It compares a trial's best value so far. By default the first five trials run to their end, and
    no trial is stopped in its first tenth.
    """
    tenth = max(1, epochs // 10)
    return MedianPruner(
        n_warmup_steps=tenth if n_warmup_steps is None else n_warmup_steps, **options
    )


def halving(
    epochs: int,  # noqa: ARG001
    trials: int,
    *,
    min_peers: int,
    min_resource: int,
    reduction_factor: int,
    min_early_stopping_rate: int,
    bootstrap_count: int,
) -> BasePruner:
    """Return a pruner that keeps the best third at 1, 3, 9, … epochs (ASHA: Li et al., 2020).

    min_peers: see `HalvingPruner`. With 0 it is Optuna's own, which version 0.1 used.
    """
    if not min_peers:
        return SuccessiveHalvingPruner(
            min_resource, reduction_factor, min_early_stopping_rate, bootstrap_count
        )
    return HalvingPruner(
        first=min_resource * reduction_factor**min_early_stopping_rate,
        factor=reduction_factor,
        min_peers=min_peers,
        bootstrap_count=bootstrap_count,
        whole_every=min(WHOLE_EVERY, trials),
    )


def hyperband(
    epochs: int,
    trials: int,
    *,
    min_peers: int,
    min_resource: int,
    reduction_factor: int,
    bootstrap_count: int,
) -> BasePruner:
    """Return a pruner that runs several halvings with different first rungs (Li et al., 2018).

    `epochs` is the largest number that a trial may run; a shorter trial ends before the later
    rungs. min_peers: as in `halving`.
    """
    if not min_peers:
        return HyperbandPruner(min_resource, epochs, reduction_factor, bootstrap_count)
    return HalvingPruner(
        first=min_resource,
        factor=reduction_factor,
        min_peers=min_peers,
        bootstrap_count=bootstrap_count,
        shares=bracket_shares(min_resource, reduction_factor, epochs),
        whole_every=min(WHOLE_EVERY, trials),
    )


PRUNERS: dict[str, Callable[..., BasePruner]] = {
    "none": none,
    "median": median,
    "halving": halving,
    "hyperband": hyperband,
}


def build_pruner(
    name: str,
    epochs: int,
    options: Mapping[str, Any] | None = None,
    *,
    trials: int = WHOLE_EVERY,
) -> BasePruner:
    """Return the pruner called `name` for trials of at most `epochs` epochs.

    options: those that differ from the defaults in `hpsearch.settings.search`. trials: how many the
    study is to have.
    """
    return PRUNERS[name](epochs, trials, **read_options(name, options or {}))


def pruner_of(settings: StudySettings) -> BasePruner:
    """Return the pruner of a study."""
    search = settings.search
    return build_pruner(
        search.pruner, settings.max_epochs, search.pruner_options, trials=search.slots
    )
