"""Lines to draw: the learning curves of several trials as their mean, and how far they spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, zip_longest
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.configurations import Configuration, best_configurations, configurations
from hpsearch.errors import StudyError
from hpsearch.space.ranges import DEPTH, SHAPE, WIDTH, Choices, shape_name
from hpsearch.trials.records import config_of, curves_of, seeds_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.settings.figures import FigureSettings
    from hpsearch.space.ranges import Searched

LONGEST_LABEL = 60  # letters


@dataclass(frozen=True)
class Line:
    """A mean over trials with the lowest and the highest, point by point; x are epochs from 1, or
    iterations where an epoch is so many batches.
    """

    x: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


def line_of(trials: Sequence[FrozenTrial], metric: str, smooth: int = 1) -> Line:
    """Return the line of a metric; where some trials have ended, it is that of the others."""
    curves = [running_mean(curves_of(trial).values[metric], smooth) for trial in trials]
    columns = [[v for v in column if v is not None] for column in zip_longest(*curves)]
    steps = steps_per_epoch(trials) or 1
    return Line(
        [steps * epoch for epoch in range(1, len(columns) + 1)],
        [fmean(column) for column in columns],
        [min(column) for column in columns],
        [max(column) for column in columns],
    )


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """Return at each point the mean of the last `width` values, or of all where they are fewer."""
    sums = [0.0, *accumulate(values)]
    starts = [max(0, end - width) for end in range(len(sums))]
    return [
        (sums[end] - sums[start]) / (end - start) if width > 1 else float(values[end - 1])
        for end, start in enumerate(starts)
        if end
    ]


def steps_per_epoch(trials: Sequence[FrozenTrial]) -> int:
    """Return the batches of an epoch, 0 where it is a pass over the rows for one of the trials."""
    steps = [int(config_of(trial).get("steps_per_epoch", 0)) for trial in trials]
    return steps[0] if steps and all(steps) else 0


def value_of(trial: FrozenTrial, key: str) -> Any:
    """Return what a trial had under a key of the [trial] table, None if it had no such key."""
    config = config_of(trial)
    sizes = config.get(SHAPE, [])
    if key == DEPTH:
        return len(sizes)
    if key == WIDTH:
        return sizes[0] if sizes else None
    value = config.get(key)
    return shape_name(tuple(value)) if isinstance(value, list) else value


def values_of(trials: Sequence[FrozenTrial], key: str, searched: Searched) -> list[Any]:
    """Return the values that trials had under a searched key: as the study file lists them, and
    numbers of a range in their order.
    """
    found = dict.fromkeys(value_of(trial, key) for trial in trials)
    if isinstance(searched, Choices):
        listed = [searched.to_optuna(value) for value in searched.values]
        return [v for v in listed if v in found] + [v for v in found if v not in listed]
    return sorted(found, key=lambda value: (value is None, value))


def drawn_configurations(study: Study, settings: FigureSettings) -> list[Configuration]:
    """Return those a figure names, or all; where they are more than its `top`, the best of them.

    They are in file order. Raises StudyError if none of those that it names has run yet.
    """
    known, top = configurations(study), settings.top
    if settings.labels:
        named = [found for found in known if found.label in settings.labels]
        if not named:
            labels = " and ".join(f"'{label}'" for label in settings.labels)
            raise StudyError(
                f"figure '{settings.name}': study '{study.study_name}' has no trial of {labels} yet"
            )
        return named
    if top is None or len(known) <= top:
        return known
    return sorted(best_configurations(study, top), key=lambda found: found.number)


def short_label(study: Study, found: Configuration) -> str:
    """Return a configuration's label, or where that is long what `hpsearch show` knows it by."""
    if len(found.label) <= LONGEST_LABEL:
        return found.label
    seeds = seeds_of(study)
    first = found.number * seeds
    return f"trials {first} to {first + seeds - 1}" if seeds > 1 else f"trial {first}"
