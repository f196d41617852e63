"""The samplers by name; each derives its random draws from the study's seed and the slot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from optuna.samplers import BaseSampler, PartialFixedSampler, TPESampler

from hpsearch.errors import SettingsError
from hpsearch.samplers.gp import PrunedGPSampler
from hpsearch.samplers.slot import (
    SlotGridSampler,
    SlotQMCSampler,
    SlotRandomSampler,
    SlotSampler,
    experimental,
)
from hpsearch.settings.names import REPEATING
from hpsearch.settings.search import read_options
from hpsearch.space.space import SearchSpace

if TYPE_CHECKING:
    from hpsearch.settings.study import StudySettings


def _tpe(*, multivariate: bool, group: bool, **options: Any) -> TPESampler:
    """Return Optuna's TPE (Bergstra et al., 2011; Falkner et al., 2018).

    With `group`, the parameters of each branch of a conditional space are modelled together.
    Without it, only the parameters that all trials have in common are, and the others are sampled
    independently. A space without branches is one group, so there both are the same. Finding the
    groups takes 4 ms for the 2,000th trial.
    """
    return TPESampler(multivariate=multivariate, group=group and multivariate, **options)


SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
    "random": lambda seed, *_, seeds: SlotRandomSampler(seed, seeds),
    "tpe": lambda seed, *_, **options: SlotSampler(seed, "tpe", partial(_tpe, **options)),
    "gp": lambda seed, *_, **options: SlotSampler(seed, "gp", partial(PrunedGPSampler, **options)),
    "qmc": SlotQMCSampler,
    "grid": SlotGridSampler,
}


def build_sampler(
    name: str,
    seed: int,
    options: Mapping[str, Any] | None = None,
    *,
    space: SearchSpace | None = None,
    first: int = 0,
    seeds: int = 1,
) -> BaseSampler:
    """Return the sampler called `name`, whose draws depend on `seed` and a trial's slot.

    options: those that differ from the defaults in `hpsearch.settings.search`. space: the declared
    space, which "grid" needs. first: the number of the first configuration that is not labelled.
    seeds: how many slots share a configuration, for samplers that can repeat one. Raises
    SettingsError.
    """
    check_sampler(name)
    own = read_options(name, options or {}) | ({"seeds": seeds} if name in REPEATING else {})
    return SAMPLERS[name](seed, space or SearchSpace(), first, **own)


def sampler_of(settings: StudySettings) -> BaseSampler:
    """Return the sampler of a study; raises SettingsError."""
    search = settings.search
    return build_sampler(
        search.sampler,
        search.seed,
        search.sampler_options,
        space=settings.trial,
        first=len(settings.enqueue),
        seeds=search.seeds,
    )


def check_sampler(name: str) -> None:
    """Raise SettingsError if the sampler needs a package that is not installed."""
    if name == "gp" and find_spec("torch") is None:
        raise SettingsError(
            "search.sampler: 'gp' needs torch, which is not installed; pip install 'hpsearch[gp]'"
        )


def fix_parameters(sampler: BaseSampler, parameters: Mapping[str, Any]) -> BaseSampler:
    """Return `sampler` with fixed values for some parameters, as in a labelled configuration."""
    if not parameters:
        return sampler
    with experimental():
        return PartialFixedSampler(dict(parameters), sampler)
