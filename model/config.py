"""TrainConfig: everything that defines one training run, except its data and its seed."""

import inspect
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from math import inf
from numbers import Integral, Real
from typing import Any

from model.batch_norm import BatchNorm
from model.initializers import INITIALIZERS
from model.layers import ACTIVATIONS
from model.losses import LOSSES
from model.names import unknown_name
from model.optimizers import OPTIMIZERS
from model.outputs import OUTPUTS
from model.schedules import SCHEDULES

Check = Callable[[object], Any]
SMALL_BATCH = "batch_size must be at least 2 with batch normalization: one row has no variance"


def _number(default: float, interval: str) -> Any:
    """Return a float field limited to `interval`, in mathematical notation: "[0, 1)"."""
    low, high = (float(end) for end in interval[1:-1].split(","))

    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ValueError(f"must be a number in {interval}, but got {value!r}")
        try:
            number = float(value)
        except OverflowError:
            number = inf
        above = number >= low if interval[0] == "[" else number > low
        below = number <= high if interval[-1] == "]" else number < high
        if not (above and below):
            raise ValueError(f"must be in {interval}, but got {value}")
        return number

    return field(default=default, metadata={"check": check})


def _count(default: int, at_least: int = 1) -> Any:
    """Return a field for a whole number of at least `at_least`."""
    check = partial(_check_count, at_least=at_least)
    return field(default=default, metadata={"check": check})


def _check_count(value: object, at_least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:
        raise ValueError(f"must be a whole number of at least {at_least}, but got {value!r}")
    return int(value)


def _name(default: str, known: Collection[str], what: str) -> Any:
    """Return a field for a name in `known`; `what` describes it in errors."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError(unknown_name(value, known, what))
        return str(value)

    return field(default=default, metadata={"check": check})


def _check_sizes(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list of layer sizes like [100, 50], but got {value!r}")
    try:
        return tuple(_check_count(size) for size in value)
    except ValueError:
        raise ValueError(f"must hold whole numbers of at least 1, but got {value!r}") from None


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of one training run, checked: each is a number, a name or a tuple of sizes.

    `hidden_layer_sizes` lists the number of units in each hidden layer; `()` is softmax regression.
    A `batch_size` above the number of rows means one batch of all rows. `batch_norm` sets on which
    side of each activation batches are normalized ("none", "before", "after"); a last batch of one
    row cannot be normalized and joins the batch before it. `weight_decay` is λ in the penalty
    ½λ‖W‖² on weights, not on biases, γ or β. Hyperparameters that the chosen functions do not take
    (`momentum` with "adam", `final_learning_rate` with "constant") have no effect.

    Raises ValueError ("dropout must be in [0, 1), but got 1.2") for a value out of its domain.
    """

    epochs: int = _count(20)
    batch_size: int = _count(100)
    steps_per_epoch: int = _count(0, at_least=0)  # batches; 0: one pass over all rows
    hidden_layer_sizes: tuple[int, ...] = field(default=(100,), metadata={"check": _check_sizes})
    activation: str = _name("relu", ACTIVATIONS, "an activation")
    leaky_slope: float = _number(0.01, "[0, 1)")  # slope of "leaky_relu" below zero
    initializer: str = _name("auto", ["auto", *INITIALIZERS], "an initializer")
    weight_std: float = _number(0.01, "(0, inf)")  # the standard deviation of "normal"
    weight_constant: float = _number(0.1, "(-inf, inf)")  # every weight of "constant"
    bias_std: float = _number(0.0, "[0, inf)")  # the standard deviation of biases; 0: start at 0
    batch_norm: str = _name("none", ["none", "before", "after"], "a batch_norm")
    batch_norm_decay: float = _number(0.9, "[0, 1)")  # of the running averages, per batch
    batch_norm_epsilon: float = _number(1e-5, "(0, inf)")  # added to the variance
    dropout: float = _number(0.0, "[0, 1)")  # the share of each hidden layer's units to drop
    loss: str = _name("cross_entropy", LOSSES, "a loss")
    output: str = _name("softmax", OUTPUTS, "an output")  # only for "mean_squared_error"
    optimizer: str = _name("momentum", OPTIMIZERS, "an optimizer")
    learning_rate: float = _number(0.01, "(0, inf)")
    schedule: str = _name("constant", SCHEDULES, "a schedule")
    final_learning_rate: float = _number(1e-4, "(0, inf)")  # of the last epoch
    step_epochs: int = _count(10)  # "step" multiplies by step_factor after this many
    step_factor: float = _number(0.5, "(0, 1]")
    plateau_patience: int = _count(5)  # epochs without a new minimum of the validation loss
    plateau_factor: float = _number(0.5, "(0, 1]")
    momentum: float = _number(0.9, "[0, 1)")
    rho: float = _number(0.9, "[0, 1)")
    beta1: float = _number(0.9, "[0, 1)")
    beta2: float = _number(0.999, "[0, 1)")
    weight_decay: float = _number(0.0, "[0, inf)")
    early_stopping: int = _count(0, at_least=0)  # epochs without a better result; 0: off

    def __post_init__(self) -> None:
        for name in CHECKS:
            try:
                value = CHECKS[name](getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name} {error}" if _continues(error) else str(error)) from None
            object.__setattr__(self, name, value)  # NumPy scalars become plain Python
        if self.batch_norm != "none" and self.batch_size < BatchNorm.min_rows:
            raise ValueError(SMALL_BATCH)

    @property
    def needs_validation(self) -> str:
        """What needs validation rows during training, or "" if nothing does."""
        if self.early_stopping:
            return "early stopping"
        return "schedule 'plateau'" if self.schedule == "plateau" else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as values for JSON; `TrainConfig(**d)` restores the config."""
        return asdict(self) | {"hidden_layer_sizes": list(self.hidden_layer_sizes)}

    def arguments_for(self, function: Callable[..., object]) -> dict[str, Any]:
        """Return the fields that `function` takes as keyword-only arguments.

        A new optimizer or initializer names its hyperparameters there and needs no other wiring.
        """
        parameters = inspect.signature(function).parameters.values()
        return {p.name: getattr(self, p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}


CHECKS: dict[str, Check] = {f.name: f.metadata["check"] for f in fields(TrainConfig)}
"""Field name → function that returns the checked value or raises ValueError."""

FIELD_TYPES: dict[str, type] = {f.name: type(f.default) for f in fields(TrainConfig)}
"""Field name → int, float, str or tuple."""


def _continues(error: ValueError) -> bool:
    """Return whether the message continues the field's name ("must be …")."""
    return str(error).startswith("must")
