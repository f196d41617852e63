"""The [search] table of a study file, and the options of samplers and pruners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from hpsearch.formatting import unknown_name
from hpsearch.settings.names import Direction, Judged, PrunerName, SamplerName
from hpsearch.settings.table import (
    Count,
    Finite,
    NonNegative,
    SettingsTable,
    TableError,
    wrong_value,
)
from hpsearch.trials.metrics import THRESHOLD_SCORES, known_direction

MOST_TRIALS = 1_000_000  # with all repeats
MIN_PEERS = "min_peers"
MANY_TRIALS = 50  # of fewer, halving runs too few to their end to choose from


class NoOptions(SettingsTable):
    """Options of samplers "random" and "grid" and of pruner "none", which take none."""


# The options have the names and meanings of Optuna's own arguments.


class TPEOptions(SettingsTable):
    """Options of sampler "tpe"."""

    n_startup_trials: NonNegative = 10  # random trials before the first model
    n_ei_candidates: Count = 24
    multivariate: bool = True
    group: bool = True  # model together the parameters that occur together
    # Running trials count as bad, so six parallel workers try rates three times as far apart.
    constant_liar: bool = True


class GPOptions(SettingsTable):
    """Options of sampler "gp"."""

    n_startup_trials: Count = 10
    deterministic_objective: bool = False


class QMCOptions(SettingsTable):
    """Options of sampler "qmc"."""

    qmc_type: Literal["sobol", "halton"] = "sobol"
    scramble: bool = True  # without it, every seed begins at the lower corner


class MedianOptions(SettingsTable):
    """Options of pruner "median"."""

    n_startup_trials: NonNegative = 5
    n_warmup_steps: NonNegative | None = None  # None: a tenth of the epochs
    interval_steps: Count = 1
    n_min_trials: Count = 1


class HyperbandOptions(SettingsTable):
    """Options of pruner "hyperband"; the unit of resource is an epoch."""

    min_resource: Count = 1
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    bootstrap_count: NonNegative = 0
    min_peers: NonNegative = 3  # others at a trial's first rung before it passes; 0: as Optuna


class HalvingOptions(HyperbandOptions):
    """Options of pruner "halving"."""

    min_early_stopping_rate: NonNegative = 0


OPTIONS: dict[str, type[SettingsTable]] = {
    "random": NoOptions,
    "tpe": TPEOptions,
    "gp": GPOptions,
    "qmc": QMCOptions,
    "grid": NoOptions,
    "none": NoOptions,
    "median": MedianOptions,
    "halving": HalvingOptions,
    "hyperband": HyperbandOptions,
}
"""Sampler or pruner → its options; their defaults and checks are defined here only."""


def read_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of sampler or pruner `name`, with defaults; raises TableError."""
    schema = OPTIONS[name]
    try:
        return schema(**given).model_dump(exclude_none=True)
    except ValidationError as error:
        wrong = error.errors()[0]
    key = str(wrong["loc"][0])
    if key in schema.model_fields:
        raise TableError(f".{key}: {wrong_value(wrong)}")
    if not schema.model_fields:
        raise TableError(f": '{name}' takes no options, but got {key!r}")
    raise TableError(f": {unknown_name(key, schema.model_fields, f'an option of {name!r}')}")


def _threshold(value: object) -> str | float | None:
    """Return a probability, or the name of a score; raises ValueError."""
    if value is None or (isinstance(value, str) and value in THRESHOLD_SCORES):
        return value
    if isinstance(value, str):
        raise ValueError(unknown_name(value, THRESHOLD_SCORES, "a score to choose a threshold by"))
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1:
        return float(value)
    raise ValueError(f"must be a score, such as 'f1', or between 0 and 1, but got {value!r}")


class SearchSettings(SettingsTable):
    """[search]: how the space is searched and when the study ends."""

    metric: str = "val/accuracy"  # the default for numbers is val/rmse
    # None: as the name of the metric says
    given_direction: Direction | None = Field(default=None, alias="direction")
    metrics: tuple[str, ...] = ()  # tracked besides
    # From which probability on a row is positive, or the score by which that is chosen.
    threshold: Annotated[str | float | None, BeforeValidator(_threshold)] = None
    value: Judged = "best"  # the epoch whose value counts, of those that measured the metric
    sampler: SamplerName = "tpe"
    pruner: PrunerName = "halving"  # the default of MANY_TRIALS; see `_pruner_that_fits`
    trials: Count = 100  # a grid's default: its points + labelled configurations
    seeds: Count = 1  # trials of each configuration; the study has trials × seeds slots
    seed: NonNegative = 0
    first_draw: NonNegative | None = None  # the draw of weights and batches that slot 0 uses
    timeout: Annotated[Finite, Field(gt=0)] | None = None  # seconds, counted anew from each start
    target: Finite | None = None  # the study ends when a trial reaches this value
    patience: Count | None = None  # the study ends after this many trials without improvement
    diagnostics: bool = False  # whether trials record the gradient norm of each layer
    sampler_options: dict[str, Any] = Field(default_factory=dict)
    pruner_options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("metrics", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _bounded(self) -> SearchSettings:
        if self.slots > MOST_TRIALS:
            number = f"{self.trials:,}"
            if self.seeds > 1:
                number += f" with {self.seeds:,} seeds each"
            raise TableError(f".trials: must be at most {MOST_TRIALS:,} in all, but got {number}")
        return self

    @model_validator(mode="after")
    def _pruner_that_fits(self) -> SearchSettings:
        """Choose another pruner than "halving" where that does not fit the rest.

        A mean over repeats that ended early means nothing. A short study and a grid should have
        several trials that ran to their end. Version 0.1, whose default was "median", may have
        written its options without its name.
        """
        if "pruner" not in self.model_fields_set:
            few = self.trials < MANY_TRIALS or self.sampler == "grid"
            named = MedianOptions.model_fields.keys() & self.pruner_options.keys()
            fits = "none" if self.seeds > 1 else "median" if few or named else "halving"
            object.__setattr__(self, "pruner", fits)  # which does not count as given
        return self

    @model_validator(mode="after")
    def _known_options(self) -> SearchSettings:
        for kind in ("sampler", "pruner"):
            try:
                read_options(getattr(self, kind), getattr(self, f"{kind}_options"))
            except TableError as error:
                raise TableError(f".{kind}_options{error}") from None
        return self

    def with_min_peers(self, known: int | None = None) -> SearchSettings:
        """Return these settings with the number of peers for which the pruner waits written down.

        known: the number of the study that continues, None for the default. A pruner without such
        an option stays as it is.
        """
        options = read_options(self.pruner, self.pruner_options)
        if MIN_PEERS not in options:
            return self
        peers = options[MIN_PEERS] if known is None else known
        written = {**self.pruner_options, MIN_PEERS: peers}
        return self.model_copy(update={"pruner_options": written})

    @property
    def slots(self) -> int:
        """The number of trials including repeats; slot n runs repeat n % seeds."""
        return self.trials * self.seeds

    def draw(self, slot: int) -> int:
        """Return the number of the draw of weights and batches that a slot uses.

        The first repeats of all configurations share a draw, the second repeats share the next
        one, and so on, so that differences between configurations do not come from the draw.
        """
        return (self.first_draw or 0) + (slot % self.seeds if self.seeds > 1 else slot)

    @property
    def direction(self) -> Direction:
        """The direction of the metric: as given, else as its name says."""
        return self.given_direction or known_direction(self.metric) or "minimize"
