"""[search]: how a space is searched and for how long, and the options of samplers and pruners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from hpsearch.settings.names import Metric, PrunerName, SamplerName
from model.names import unknown_name

Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Table(BaseModel):
    """A table of a study file: known keys only, each of its very type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NoOptions(Table):
    """What "random", "grid" and "none" take."""


# The names, and their meaning, are those of Optuna's own arguments.


class TPEOptions(Table):
    """Options of sampler "tpe"."""

    n_startup_trials: CountOrNone = 10  # drawn at random before it learns
    n_ei_candidates: Count = 24
    multivariate: bool = True
    group: bool = True  # parameters that are asked for together are modelled together
    # Running trials count as bad: six workers at once then try rates three times as far apart.
    constant_liar: bool = True


class GPOptions(Table):
    """Options of sampler "gp"."""

    n_startup_trials: Count = 10
    deterministic_objective: bool = False


class QMCOptions(Table):
    """Options of sampler "qmc"."""

    qmc_type: Literal["sobol", "halton"] = "sobol"
    scramble: bool = True  # without it the first point is the lower corner, whatever the seed


class MedianOptions(Table):
    """Options of pruner "median"."""

    n_startup_trials: CountOrNone = 5
    n_warmup_steps: CountOrNone | None = None  # a tenth of the epochs
    interval_steps: Count = 1
    n_min_trials: Count = 1


class HyperbandOptions(Table):
    """Options of pruner "hyperband"; a resource is an epoch."""

    min_resource: Count = 1
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    bootstrap_count: CountOrNone = 0


class HalvingOptions(HyperbandOptions):
    """Options of pruner "halving"."""

    min_early_stopping_rate: CountOrNone = 0


OPTIONS: dict[str, type[Table]] = {
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
"""Sampler or pruner → what it takes; defaults and checks stand here and nowhere else."""


class OptionError(ValueError):
    """What is wrong with an option, and with which."""


def read_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of the sampler or pruner called `name`; raises OptionError."""
    taken = OPTIONS[name]
    try:
        return taken(**given).model_dump(exclude_none=True)
    except ValidationError as error:
        wrong = error.errors()[0]
    key = str(wrong["loc"][0])
    if key in taken.model_fields:
        raise OptionError(f".{key}: {wrong_value(wrong)}")
    if not taken.model_fields:
        raise OptionError(f": '{name}' takes no options, but got {key!r}")
    raise OptionError(f": {unknown_name(key, taken.model_fields, f'an option of {name!r}')}")


class SearchSettings(Table):
    """[search]: how the space is searched, and for how long."""

    metric: Metric = "val/accuracy"
    sampler: SamplerName = "tpe"
    pruner: PrunerName = "median"  # "none" where configurations are repeated
    trials: Count = 100  # of a grid: as many as it has points, and labelled configurations
    seeds: Count = 1  # how often each configuration is repeated: trials are so many times as many
    seed: Annotated[int, Field(ge=0)] = 0
    first_draw: CountOrNone | None = None  # the draw of weights and batches that slot 0 has
    timeout: Annotated[Finite, Field(gt=0)] | None = None  # seconds, from each start
    target: Finite | None = None  # a value of the metric that is good enough
    patience: Count | None = None  # so many trials without a better one
    diagnostics: bool = False  # whether trials keep the norms of their gradients, layer by layer
    sampler_options: dict[str, Any] = {}
    pruner_options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _whole_repeats(cls, given: Any) -> Any:
        """A mean over repeats that were ended early would say nothing."""
        repeats = isinstance(given, Mapping) and given.get("seeds", 1) not in (0, 1)
        return {"pruner": "none", **given} if repeats else given

    @model_validator(mode="after")
    def _known_options(self) -> SearchSettings:
        for kind in ("sampler", "pruner"):
            try:
                read_options(getattr(self, kind), getattr(self, f"{kind}_options"))
            except OptionError as error:
                raise OptionError(f".{kind}_options{error}") from None
        return self

    @property
    def slots(self) -> int:
        """The trials of the study, repeats and all; slot n has repeat n % seeds."""
        return self.trials * self.seeds

    def draw(self, slot: int) -> int:
        """Return the number of the draw of weights and batches that a slot has.

        The first repeats of all configurations draw alike, then the second ones, and so on: what
        differs between two of them is what they differ in, not luck.
        """
        return (self.first_draw or 0) + (slot % self.seeds if self.seeds > 1 else slot)

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Accuracy goes up, loss goes down."""
        return "maximize" if self.metric.endswith("accuracy") else "minimize"


WANTED = {
    "model_type": "a table",
    "dict_type": "a table",
    "tuple_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "float_type": "a number",
    "finite_number": "a finite number",
}


def wrong_value(error: ErrorDetails) -> str:
    """Say what a value must be, of which pydantic says that it is not."""
    match error["type"]:
        case "greater_than_equal":
            wanted = f"at least {error['ctx']['ge']}"
        case "greater_than":
            wanted = f"above {error['ctx']['gt']:g}"
        case "literal_error":
            wanted = error["ctx"]["expected"]
        case other:
            wanted = WANTED.get(other, "a whole number")
    return f"must be {wanted}, but got {error['input']!r}"
