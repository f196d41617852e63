"""The axes of searched parameters, each on its own scale and with ticks in its own units.

A coordinate is the number that plotly gets: a value as Optuna stores it (1 − x for a key with
`log = "complement"`), or the number of a choice. A share is the position of a coordinate on the
axis, from 0 at the low end to 1 at the high end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpsearch.formatting import shortened, without_middle
from hpsearch.report.charts.base import escaped
from hpsearch.space.ranges import COMPLEMENT, Choices, Range, Searched, field_name
from hpsearch.trials.records import config_of, slot_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

Tick = tuple[float, str]
PADDING = 0.05  # on either side, as a share of the axis
MOST_TICKS = 6
FEW = 12  # a range with fewer values is drawn value by value, like choices
JITTER = 0.24  # width in steps: marks stay close to the tick of their value
# Multiples of either number are spread evenly modulo 1, and the two sequences are independent.
SPREAD_X, SPREAD_Y = (math.sqrt(5) - 1) / 2, math.sqrt(2) - 1
LONGEST_TICK, LONGEST_NAME = 16, 23  # letters


@dataclass(frozen=True)
class ParameterAxis:
    """One searched key: its names in the study file and in Optuna, and its range or choices."""

    name: str
    parameter: str
    entry: Searched

    def coordinate(self, trial: FrozenTrial) -> float | None:
        """Return a trial's coordinate, None if the trial does not have this parameter."""
        if self.parameter not in trial.params:
            return None
        value = trial.params[self.parameter]
        if isinstance(self.entry, Choices):
            return self.entry.values.index(value)
        return float(value)

    @property
    def half(self) -> float:
        """Half the distance between two values, 0 for a dense range."""
        return 0.5 if isinstance(self.entry, Choices) else (self.entry.spacing or 0) / 2

    def ends(self) -> tuple[float, float]:
        """Return the coordinates of both ends, which are half a step beyond the outer values."""
        if isinstance(self.entry, Choices):
            return -self.half, len(self.entry.values) - self.half
        return self._around(self.entry)

    def share(self, coordinate: float) -> float:
        """Return the share of a coordinate."""
        low, high = self._scaled_ends
        return 0.5 if low == high else (self._scaled(coordinate) - low) / (high - low)

    @cached_property
    def _scaled_ends(self) -> tuple[float, float]:
        low, high = self.ends()
        return self._scaled(low), self._scaled(high)

    def at(self, share: float) -> float:
        """Return the coordinate of a share."""
        low, high = self._scaled_ends
        if low == high:
            low, high = low - 0.5, high + 0.5
        scaled = low + share * (high - low)
        return math.exp(scaled) if self.is_log else scaled

    @cached_property
    def values(self) -> list[float]:
        """All possible coordinates if there are only a few, else an empty list."""
        if isinstance(self.entry, Choices):
            return [float(number) for number in range(len(self.entry.values))]
        steps = self.entry.steps_to(self.entry.high) if self.entry.spacing else FEW
        return [self.entry.at_step(step) for step in range(steps + 1)] if steps < FEW else []

    def jitter(self, trial: FrozenTrial, width: float = JITTER, spread: float = SPREAD_X) -> float:
        """Return an offset, so that trials with the same value do not cover each other.

        It follows from the trial's slot. On an axis of more than a few values it is 0.
        """
        if not self.values:
            return 0.0
        return 2 * self.half * width * (slot_of(trial) * spread % 1 - 0.5)

    @property
    def is_log(self) -> bool:
        """Whether plotly draws its coordinates on a logarithmic axis."""
        return isinstance(self.entry, Range) and bool(self.entry.log)

    @property
    def title(self) -> str:
        """The key, and its scale if that is not linear, for plotly.

        A long key loses its middle, because plotly cuts off or drops titles that are too long.
        """
        scale = {True: " (log)", "complement": " (log of 1 − x)"}
        log = self.entry.log if isinstance(self.entry, Range) else False
        return escaped(f"{without_middle(self.name, LONGEST_NAME)}{scale.get(log, '')}")

    def ticks(self) -> list[Tick]:
        """Return a few coordinates, each with a text in the key's own units."""
        if isinstance(self.entry, Choices):
            texts = (str(self.entry.to_optuna(value)) for value in self.entry.values)
            return [(float(n), shortened(text, LONGEST_TICK)) for n, text in enumerate(texts)]
        low, high = sorted(map(self.entry.to_optuna, (self.entry.low, self.entry.high)))
        if low == high:
            values = [low]
        elif self.is_log:
            values = _log_ticks(low, high)
        else:
            values = _linear_ticks(self.entry, low, high)
        return [(value, f"{self.entry.to_optuna(value):.10g}") for value in values]

    def layout(self) -> dict[str, Any]:
        """Return plotly's options for this axis, without its title."""
        ends = [self.at(-PADDING), self.at(1 + PADDING)]
        values, texts = zip(*self.ticks(), strict=True)
        return {
            "type": "log" if self.is_log else "linear",
            "range": [math.log10(end) for end in ends] if self.is_log else ends,
            "tickmode": "array",
            "tickvals": list(values),
            "ticktext": [escaped(text) for text in texts],
        }

    def region(self, narrowed: Searched) -> list[tuple[float, float]]:
        """Return the intervals of coordinates that a narrowed range or narrowed choices keep."""
        if isinstance(narrowed, Range):
            return [self._around(narrowed)]
        kept = {narrowed.to_optuna(value) for value in narrowed.values}
        values = self.entry.values if isinstance(self.entry, Choices) else ()
        return [(n - self.half, n + self.half) for n, value in enumerate(values) if value in kept]

    def _around(self, entry: Range) -> tuple[float, float]:
        return entry.to_optuna(entry.low) - self.half, entry.to_optuna(entry.high) + self.half

    def _scaled(self, coordinate: float) -> float:
        return math.log(coordinate) if self.is_log else coordinate


def parameter_axes(trials: Sequence[FrozenTrial]) -> list[ParameterAxis]:
    """Return an axis for each parameter of any trial, in the order in which they first appear.

    If trials searched different ranges, the axis spans all of them.
    """
    entries: dict[str, Searched] = {}
    complements = {
        parameter
        for trial in trials
        for parameter in trial.params
        if parameter.startswith(COMPLEMENT) and field_name(parameter) in config_of(trial)
    }
    for trial in trials:
        for parameter, distribution in trial.distributions.items():
            entry = _entry(distribution, complement=parameter in complements)
            known = entries.get(parameter)
            if known != entry:
                entries[parameter] = entry if known is None else _union(known, entry)
    return [
        ParameterAxis(field_name(name) if name in complements else name, name, entry)
        for name, entry in entries.items()
    ]


def _entry(distribution: BaseDistribution, *, complement: bool) -> Searched:
    """Return the range or choices that an Optuna distribution stands for."""
    if isinstance(distribution, CategoricalDistribution):
        return Choices(tuple(distribution.choices))  # type: ignore[arg-type]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    entry = Range(low=distribution.low, high=distribution.high, log=distribution.log)
    if complement:
        swapped = replace(entry, log="complement")
        low, high = swapped.to_optuna(entry.high), swapped.to_optuna(entry.low)
        return replace(swapped, low=low, high=high)
    step = distribution.step
    return entry if distribution.log or step in (None, 1) else replace(entry, step=step)


def _union(one: Searched, other: Searched) -> Searched:
    """Return the range or choices that include both."""
    if isinstance(one, Choices) and isinstance(other, Choices):
        return Choices(tuple(dict.fromkeys(one.values + other.values)))
    if isinstance(one, Range) and isinstance(other, Range):
        low, high = min(one.low, other.low), max(one.high, other.high)
        return replace(one, low=low, high=high, step=one.step if one.step == other.step else None)
    return one


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, and 2 and 5 times these if there are only a few."""
    parts = (1,) if high >= 100 * low else (1, 2, 5)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [float(f"{part}e{power}") for power in powers for part in parts]
    inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    while len(inside) > MOST_TICKS:
        inside = inside[::2]
    return inside if len(inside) > 1 else [low, high]


def _linear_ticks(entry: Range, low: float, high: float) -> list[float]:
    steps = entry.steps_to(high) if entry.spacing else MOST_TICKS
    if steps < MOST_TICKS:
        return [entry.at_step(number) for number in range(steps + 1)]
    locator = MaxNLocator(nbins=MOST_TICKS - 1, steps=[1, 2, 5, 10], integer=entry.spacing == 1)
    return [float(v) for v in locator.tick_values(low, high) if low <= v <= high]
