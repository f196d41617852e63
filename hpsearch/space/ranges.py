"""Ranges and choices: how a study file writes what it searches, and how Optuna samples it.

`low high log step choices` mean what they mean in Optuna. Optuna lacks one scale,
`log = "complement"`: uniform in log(1 − x), for values such as momentum whose distance from 1
matters. Optuna samples it as the logarithmic parameter `one_minus_x`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Value = bool | int | float | str | tuple[bool | int | float | str, ...]
Log = bool | Literal["complement"]

# Depth and width describe a shape: `hidden_layers` layers of `hidden_units` units each.
DEPTH, WIDTH, SHAPE = "hidden_layers", "hidden_units", "hidden_layer_sizes"
COMPLEMENT = "one_minus_"
RANGE_KEYS = ("low", "high", "log", "step")

MOST_CHOICES, MOST_LAYERS = 1_000, 1_000

CHOICES = "{ choices = [...] }"  # as a study file writes a list of values


class SpaceError(ValueError):
    """A key of the [trial] table is wrong; the message begins with the key."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included; whole numbers if both are `int`."""

    low: float
    high: float
    log: Log = False
    step: float | None = None

    def parameter(self, name: str) -> str:
        """Return the name of the Optuna parameter for `name`."""
        return f"{COMPLEMENT}{name}" if self.log == "complement" else name

    def suggest(self, trial: BaseTrial, name: str) -> float:
        """Return the value of `name` that `trial` samples."""
        parameter = self.parameter(name)
        if self.log == "complement":
            ends = self.to_optuna(self.high), self.to_optuna(self.low)
            value = _complement(trial.suggest_float(parameter, *ends, log=True))
            return min(max(value, self.low), self.high)
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = int(self.step or 1)
            return trial.suggest_int(parameter, self.low, self.high, step=step, log=bool(self.log))
        log = bool(self.log)
        return trial.suggest_float(parameter, self.low, self.high, step=self.step, log=log)

    def to_optuna(self, value: Any) -> float:
        """Return what Optuna samples for `value`."""
        return _complement(value) if self.log == "complement" else value

    @property
    def spacing(self) -> float | None:
        """The distance between the values that may be sampled, None for real numbers."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        return self.step or (1 if whole else None)

    def steps_to(self, value: float) -> int:
        """Return the number of steps from the low end to `value`, rounded."""
        return round((value - self.low) / (self.spacing or 1))

    def at_step(self, number: int) -> float:
        """Return the value `number` steps above the low end, as a person would write it.

        That is 0.3, although 0.1 + 2 * 0.1 is 0.30000000000000004.
        """
        step = self.spacing or 1
        if isinstance(self.low, int):
            return self.low + number * int(step)
        return float(Decimal(str(self.low)) + number * Decimal(str(step)))

    def __contains__(self, value: Any) -> bool:
        if value < self.low or value > self.high:
            return False
        steps = float((value - self.low) / self.step) if self.step else 0.0
        return abs(steps - round(steps)) < 1e-8

    def as_table(self) -> dict[str, Any]:
        """Return the range as a study file writes it."""
        table: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            table["log"] = self.log
        if self.step is not None:
            table["step"] = self.step
        return table

    def __str__(self) -> str:
        scale = {True: " (log)", "complement": " (log of 1 - x)", False: ""}[self.log]
        return f"{self.low}..{self.high}{f' step {self.step}' if self.step else ''}{scale}"


@dataclass(frozen=True)
class Choices:
    """Several values, one of which is sampled."""

    values: tuple[Value, ...]

    def parameter(self, name: str) -> str:
        """Return `name`: Optuna samples choices under the name of their key."""
        return name

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        """Return the value of `name` that `trial` samples."""
        options = {self.to_optuna(value): value for value in self.values}
        return options[trial.suggest_categorical(name, list(options))]

    def to_optuna(self, value: Any) -> Any:
        """Return `value`; for the shape of a network, its text."""
        return shape_name(value) if isinstance(value, tuple) else value

    def __contains__(self, value: Any) -> bool:
        return any(value == known for known in self.values)

    def as_table(self) -> dict[str, Any]:
        """Return the choices as a study file writes them."""
        return {"choices": [as_toml(value) for value in self.values]}

    def __str__(self) -> str:
        return "one of " + ", ".join(str(self.to_optuna(value)) for value in self.values)


Searched = Range | Choices


@runtime_checkable
class Keys(Protocol):
    """What a [trial] table may have; a model with fixed hyperparameters knows all of it."""

    @property
    def defaults(self) -> Mapping[str, Value]:
        """The values of the keys that a table leaves out."""

    def check(self, key: str, value: object) -> Value:
        """Return `value` as a configuration holds it under `key`; raises SpaceError."""

    def kind(self, key: str, low: object, high: object) -> type[int] | type[float] | None:
        """Return of which type the numbers of a range are, None if its values are no numbers.

        Raises SpaceError if there is no such key.
        """

    def check_together(self, entries: Mapping[str, Value | Searched]) -> None:
        """Raise SpaceError for keys or values that exclude each other."""

    def check_entry(self, entry: Mapping[str, Value], known: Collection[str]) -> None:
        """Raise SpaceError if a labelled configuration does not fit the keys of the table."""

    def build(self, values: Mapping[str, Any]) -> Any:
        """Return the configuration that a trial trains."""

    def as_dict(self, config: Any) -> dict[str, Any]:
        """Return a configuration as plain data, of which `build` makes the same one."""


def field_name(parameter: str) -> str:
    """Return the study file's name for Optuna's `parameter`."""
    return parameter.removeprefix(COMPLEMENT)


def _complement(value: float) -> float:
    """Return 1 − value without the rounding noise of binary fractions: 1 − 0.999 is 0.001."""
    return round(1 - value, 15) or 1 - value


def shape_name(values: tuple[bool | int | float | str, ...]) -> str:
    """Return a list, such as hidden layer sizes, as Optuna and MLflow show it: "178-46", "none"."""
    return "-".join(str(value) for value in values) or "none"


def as_toml(value: Value) -> bool | float | str | list[bool | int | float | str]:
    """Return `value` as a study file writes it: a shape is a list."""
    return list(value) if isinstance(value, tuple) else value


def read_searched(key: str, table: Mapping[str, Any], keys: Keys) -> Searched:
    """Return the range or choices that `table` declares for `key`; raises SpaceError."""
    if "choices" not in table:
        return _read_range(key, table, keys)
    keys.kind(key, None, None)  # refuses a key that is not known
    if len(table) > 1:
        other = next(name for name in table if name != "choices")
        raise SpaceError(key, f"choices cannot be combined with '{other}'")
    return _read_choices(key, table["choices"], keys)


def _read_choices(key: str, choices: Any, keys: Keys) -> Choices:
    if not isinstance(choices, list) or not choices:
        raise SpaceError(key, f"choices must be a list of values, but got {choices!r}")
    if len(choices) > MOST_CHOICES:
        raise SpaceError(
            key, f"must have at most {MOST_CHOICES:,} choices, but got {len(choices):,}"
        )
    values = tuple(keys.check(key, choice) for choice in choices)
    times = Counter(values)
    if len(times) < len(values):
        raise SpaceError(key, f"choices name {times.most_common(1)[0][0]!r} twice")
    names = [shape_name(value) if isinstance(value, tuple) else value for value in values]
    if len(set(names)) < len(names):
        raise SpaceError(key, f"choices name {Counter(names).most_common(1)[0][0]!r} twice")
    return Choices(values)


def _read_range(key: str, table: Mapping[str, Any], keys: Keys) -> Range:
    kind = keys.kind(key, table.get("low"), table.get("high"))
    unknown = [name for name in table if name not in RANGE_KEYS]
    if unknown:
        values = isinstance(table[unknown[0]], list)
        right = (
            f"a list of values is {CHOICES}" if values else f"a range has {', '.join(RANGE_KEYS)}"
        )
        raise SpaceError(key, f"unknown key '{unknown[0]}'; {right}")
    if kind is None:
        raise SpaceError(key, f"is not a number; search it with {CHOICES}")
    if "low" not in table or "high" not in table:
        raise SpaceError(key, "a range needs both low and high")
    low, high = (kind(keys.check(key, table[end])) for end in ("low", "high"))  # type: ignore[arg-type]
    found = Range(low=low, high=high, log=table.get("log", False), step=table.get("step"))
    _check_range(key, found, kind)
    return found


def _check_range(key: str, found: Range, kind: type[int] | type[float]) -> None:
    """Raise SpaceError for a range that cannot be sampled as declared."""
    low, high, log, step = found.low, found.high, found.log, found.step
    if low > high:
        raise SpaceError(key, f"low {low} is above high {high}")
    if low == high:
        raise SpaceError(key, f"low and high are both {low}; write {key} = {low} to fix it")
    if not isinstance(log, bool) and log != "complement":
        raise SpaceError(key, f'log must be true, false or "complement", but got {log!r}')
    if log is True and low <= 0:
        raise SpaceError(key, f"a log range starts above 0, but low is {low}")
    if log == "complement" and (kind is int or high >= 1):
        raise SpaceError(key, f'log = "complement" is for values below 1, but high is {high}')
    if step is not None:
        _check_step(key, found, step, kind)


def _check_step(key: str, found: Range, step: object, kind: type[int] | type[float]) -> None:
    if found.log:
        raise SpaceError(key, "log and step cannot be combined")
    fits = isinstance(step, (int, kind)) and not isinstance(step, bool)
    if not fits or not 0 < step < math.inf:  # type: ignore[operator]
        what = "a whole number of at least 1" if kind is int else "a number above 0"
        raise SpaceError(key, f"step must be {what}, but got {step!r}")
    try:
        reached = found.high in found
    except OverflowError:  # too many steps for a float
        reached = False
    if not reached:
        ends = f"high {found.high} is not reached from low {found.low}"
        raise SpaceError(key, f"{ends} in steps of {step}")
