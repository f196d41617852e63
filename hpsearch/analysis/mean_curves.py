"""Mean learning curves of several trials, and which configurations a figure draws."""

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
class MeanCurve:
    """The mean, lowest and highest value of several trials at each point.

    x: the epochs from 1, or the iterations if an epoch is a fixed number of batches.
    """

    x: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


def mean_curve(trials: Sequence[FrozenTrial], metric: str, smooth: int = 1) -> MeanCurve:
    """Return the mean curve of a metric; each point is the mean of the trials that got that far."""
    curves = [running_mean(curves_of(trial).of(metric), smooth) for trial in trials]
    columns = [[v for v in column if v is not None] for column in zip_longest(*curves)]
    steps = steps_per_epoch(trials) or 1
    measured = [(steps * epoch, column) for epoch, column in enumerate(columns, 1) if column]
    return MeanCurve(
        [x for x, _ in measured],
        [fmean(column) for _, column in measured],
        [min(column) for _, column in measured],
        [max(column) for _, column in measured],
    )


def running_mean(values: Sequence[float | None], width: int) -> list[float | None]:
    """Return the mean of the last `width` values at each point, or of all if there are fewer.

    Values that were not measured do not count; a mean of none is None.
    """
    if width == 1:
        return [None if value is None else float(value) for value in values]
    sums = [0.0, *accumulate(value or 0.0 for value in values)]
    counts = [0, *accumulate(value is not None for value in values)]
    means: list[float | None] = []
    for end in range(1, len(sums)):
        start = max(0, end - width)
        count = counts[end] - counts[start]
        means.append((sums[end] - sums[start]) / count if count else None)
    return means


def steps_per_epoch(trials: Sequence[FrozenTrial]) -> int:
    """Return how many batches an epoch has, 0 if an epoch of any trial is a pass over all rows."""
    steps = [int(config_of(trial).get("steps_per_epoch", 0)) for trial in trials]
    return steps[0] if steps and all(steps) else 0


def config_value(trial: FrozenTrial, key: str) -> Any:
    """Return the value that a trial has for a key of the [trial] table, None if it has none."""
    config = config_of(trial)
    sizes = config.get(SHAPE, [])
    if key == DEPTH:
        return len(sizes)
    if key == WIDTH:
        return sizes[0] if sizes else None
    value = config.get(key)
    return shape_name(tuple(value)) if isinstance(value, list) else value


def config_values(trials: Sequence[FrozenTrial], key: str, searched: Searched) -> list[Any]:
    """Return the different values that trials have for a searched key.

    Choices are in the order of the study file, numbers of a range in ascending order.
    """
    values = dict.fromkeys(config_value(trial, key) for trial in trials)
    if isinstance(searched, Choices):
        listed = [searched.to_optuna(value) for value in searched.values]
        return [v for v in listed if v in values] + [v for v in values if v not in listed]
    return sorted(values, key=lambda value: (value is None, value))


def drawn_configurations(study: Study, settings: FigureSettings) -> list[Configuration]:
    """Return the configurations that a figure shows, in the order of the study file.

    These are the ones with the figure's labels, or else all, or the best `top` of them. Raises
    StudyError if the figure has labels and no configuration with one of them has run yet.
    """
    known, top = configurations(study), settings.top
    if settings.labels:
        named = [each for each in known if each.label in settings.labels]
        if not named:
            labels = " and ".join(f"'{label}'" for label in settings.labels)
            raise StudyError(
                f"figure '{settings.name}': study '{study.study_name}' has no trial of {labels} yet"
            )
        return named
    if top is None or len(known) <= top:
        return known
    return sorted(best_configurations(study, top), key=lambda each: each.number)


def short_label(study: Study, configuration: Configuration) -> str:
    """Return a configuration's label, or its slots if that is too long for a legend."""
    if len(configuration.label) <= LONGEST_LABEL:
        return configuration.label
    seeds = seeds_of(study)
    first = configuration.number * seeds
    return f"trials {first} to {first + seeds - 1}" if seeds > 1 else f"trial {first}"
