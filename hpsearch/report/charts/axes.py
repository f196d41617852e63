"""Axes of what was searched: each on its own scale, numbered in its own units.

A coordinate is what plotly is given: a value as Optuna holds it, which of `log = "complement"` is
1 − x, or the number of a choice. A share is where that is on the axis, from 0 at the low end to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpsearch.formatting import shortened, without_middle
from hpsearch.report.charts.base import escaped
from hpsearch.space.ranges import COMPLEMENT, Choices, Range, Searched, field_name
from hpsearch.trials.records import config_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

Tick = tuple[float, str]
PADDING = 0.05  # of the axis, on either side
MOST_TICKS = 6
FEW = 12  # values of a range, that are told apart one by one
LONGEST_TICK, LONGEST_NAME = 16, 23  # letters


@dataclass(frozen=True)
class ParameterAxis:
    """One searched key: its name in the study file, Optuna's name for it, and what it may be."""

    name: str
    parameter: str
    entry: Searched

    def coordinate(self, trial: FrozenTrial) -> float | None:
        """Return where a trial is, None if it did not have this parameter."""
        if self.parameter not in trial.params:
            return None
        value = trial.params[self.parameter]
        if isinstance(self.entry, Choices):
            return self.entry.values.index(value)
        return float(value)

    @property
    def half(self) -> float:
        """Half a step, by which what is drawn of a value goes to either side; 0 of dense ones."""
        return 0.5 if isinstance(self.entry, Choices) else (self.entry.spacing or 0) / 2

    def ends(self) -> tuple[float, float]:
        """Return the coordinates of the low and the high end, past the outer values if stepped."""
        if isinstance(self.entry, Choices):
            return -self.half, len(self.entry.values) - self.half
        return self._around(self.entry)

    def share(self, coordinate: float) -> float:
        """Return where a coordinate is between the ends."""
        low, high = (self._scaled(end) for end in self.ends())
        return 0.5 if low == high else (self._scaled(coordinate) - low) / (high - low)

    def at(self, share: float) -> float:
        """Return the coordinate at a share: the other way round."""
        low, high = (self._scaled(end) for end in self.ends())
        if low == high:
            low, high = low - 0.5, high + 0.5
        place = low + share * (high - low)
        return math.exp(place) if self.is_log else place

    def values(self) -> list[float]:
        """Return the coordinates there can be, where these are few; none where they are dense."""
        if isinstance(self.entry, Choices):
            return [float(place) for place in range(len(self.entry.values))]
        steps = self.entry.steps_to(self.entry.high) if self.entry.spacing else FEW
        return [self.entry.at_step(step) for step in range(steps + 1)] if steps < FEW else []

    @property
    def is_log(self) -> bool:
        """Whether plotly draws its coordinates on a logarithmic axis."""
        return isinstance(self.entry, Range) and bool(self.entry.log)

    @property
    def title(self) -> str:
        """The key, for plotly, and its scale where that is not linear.

        One that is too long for its place plotly cuts, or leaves out.
        """
        scale = {True: " (log)", "complement": " (log of 1 − x)"}
        log = self.entry.log if isinstance(self.entry, Range) else False
        return escaped(f"{without_middle(self.name, LONGEST_NAME)}{scale.get(log, '')}")

    def ticks(self) -> list[Tick]:
        """Return a few coordinates with their texts, in the key's own units."""
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
        """Return what plotly is to know of this axis, beside its title."""
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
        """Return the intervals of coordinates that a narrower range or choices leave."""
        if isinstance(narrowed, Range):
            return [self._around(narrowed)]
        kept = {narrowed.to_optuna(value) for value in narrowed.values}
        values = self.entry.values if isinstance(self.entry, Choices) else ()
        return [(n - self.half, n + self.half) for n, value in enumerate(values) if value in kept]

    def _around(self, found: Range) -> tuple[float, float]:
        return found.to_optuna(found.low) - self.half, found.to_optuna(found.high) + self.half

    def _scaled(self, coordinate: float) -> float:
        return math.log(coordinate) if self.is_log else coordinate


def parameter_axes(trials: Sequence[FrozenTrial]) -> list[ParameterAxis]:
    """Return an axis for each parameter that any of the trials has, in the order of the first.

    Where trials searched different ranges, it spans them all.
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
                entries[parameter] = entry if known is None else _joined(known, entry)
    return [
        ParameterAxis(field_name(name) if name in complements else name, name, entry)
        for name, entry in entries.items()
    ]


def _entry(distribution: BaseDistribution, *, complement: bool) -> Searched:
    """Return Optuna's distribution as a study file has it."""
    if isinstance(distribution, CategoricalDistribution):
        return Choices(tuple(distribution.choices))  # type: ignore[arg-type]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    found = Range(low=distribution.low, high=distribution.high, log=distribution.log)
    if complement:
        whole = replace(found, log="complement")
        return replace(whole, low=whole.to_optuna(found.high), high=whole.to_optuna(found.low))
    step = distribution.step
    return found if distribution.log or step in (None, 1) else replace(found, step=step)


def _joined(one: Searched, other: Searched) -> Searched:
    """Return what holds both."""
    if isinstance(one, Choices) and isinstance(other, Choices):
        return Choices(tuple(dict.fromkeys(one.values + other.values)))
    if isinstance(one, Range) and isinstance(other, Range):
        low, high = min(one.low, other.low), max(one.high, other.high)
        return replace(one, low=low, high=high, step=one.step if one.step == other.step else None)
    return one


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, with what is between them where these are few."""
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
