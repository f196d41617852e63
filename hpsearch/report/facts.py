"""What a report says, read once from a study: its own trials, their values, what pruning saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from hpsearch.analysis.history import span_of
from hpsearch.analysis.ranking import best_trials, metric_title, rank, searched_values
from hpsearch.errors import StudyError
from hpsearch.formatting import format_duration, format_value
from hpsearch.report.charts.axes import ParameterAxis, parameter_axes
from hpsearch.report.charts.base import escaped
from hpsearch.report.view import View
from hpsearch.space.ranges import Range
from hpsearch.trials.curves import METRICS
from hpsearch.trials.records import (
    config_of,
    copy_attributes,
    curves_of,
    label_of,
    metric_of,
    own_trials,
    reason_of,
    seeds_of,
    setup_of,
    slot_of,
    was_interrupted,
)

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

DIVERGED = "diverged"  # begins the reason of a trial that no pruner has ended


@dataclass(frozen=True)
class Point:
    """A trial that has a value to draw: the one it ended with, or of a pruned one its best."""

    place: int  # among the trials of the facts
    trial: FrozenTrial
    value: float

    @property
    def state(self) -> str:
        """How it ended."""
        return state_of(self.trial)


@dataclass(frozen=True)
class Saved:
    """What pruned trials did not run. Seconds are an estimate, from each trial's own pace."""

    trials: int
    epochs: int
    seconds: float
    diverged: int  # trials that ended early without a pruner, and are not counted here


@dataclass(frozen=True)
class Facts:
    """A study as its report reads it, at one time, and the trials that it ran itself."""

    study: Study
    trials: Sequence[FrozenTrial]
    top: int

    @classmethod
    def of(cls, study: Study, top: int) -> Facts:
        """Read `study`; raises StudyError where there is nothing to report."""
        if len(study.directions) > 1:
            raise StudyError(
                f"study '{study.study_name}' has {len(study.directions)} objectives; a report is "
                "of one"
            )
        study = snapshot_of(study)
        if not any(math.isfinite(trial.value or 0.0) for trial in best_trials(study, None)):
            raise StudyError(
                f"study '{study.study_name}' has no completed trial yet, so there is nothing to "
                "report"
            )
        return cls(study, own_trials(study), top)

    @cached_property
    def metric(self) -> str:
        """The metric of the study's value; "value" of an objective that is not hpsearch's."""
        setups = (setup.metric for trial in self.trials if (setup := setup_of(trial)))
        known = metric_of(self.study)
        return known if known in METRICS else next(setups, "value")

    @cached_property
    def title(self) -> str:
        """The metric, as axes and columns call it."""
        return metric_title(self.study, self.metric)

    @cached_property
    def maximize(self) -> bool:
        """Whether more is better."""
        return self.study.direction.name == "MAXIMIZE"

    @cached_property
    def has_curves(self) -> bool:
        """Whether any trial that is drawn has learning curves of the metric."""
        return self.metric in METRICS and any(len(curves_of(p.trial)) for p in self.points)

    @cached_property
    def points(self) -> list[Point]:
        """The trials to draw, in the order in which they ended."""
        found = [
            Point(place, trial, value)
            for place, trial in enumerate(self.trials)
            if (value := metric_value(trial, self.metric, maximize=self.maximize)) is not None
        ]
        return sorted(found, key=lambda point: span_of(point.trial)[1])

    @cached_property
    def best(self) -> Point:
        """The best of them that ran to its end."""
        complete = {p.trial.number: p for p in self.points if p.state == "complete"}
        ranked = rank((point.trial for point in complete.values()), self.study.direction)
        return complete[ranked[0].number]

    @cached_property
    def view(self) -> View:
        """The part of the metric's axis that charts show at first."""
        values = [point.value for point in self.points]
        sound = [point.value for point in self.points if not diverged(point.trial)]
        return View.of(values, maximize=self.maximize, sound=sound)

    @cached_property
    def scale(self) -> ParameterAxis:
        """What of the metric's axis charts show at first, as the axis of a parameter."""
        view = self.view
        entry = Range(low=float(view.low), high=float(view.high), log=view.log)
        return ParameterAxis(self.title, self.title, entry)

    def share(self, value: float) -> float:
        """Return where a value is on this scale, from 0 to 1; one beyond it is at its end."""
        return self.scale.share(min(max(value, self.view.low), self.view.high))

    def value_axis(self) -> dict[str, Any]:
        """Return the metric's axis, for plotly."""
        return self.view.axis(self.title, self.metric)

    @cached_property
    def axes(self) -> list[ParameterAxis]:
        """The axes of what was searched."""
        return parameter_axes(self.trials)

    @cached_property
    def seeds(self) -> int:
        """How often each configuration is repeated."""
        return seeds_of(self.study)

    @cached_property
    def epochs(self) -> int:
        """Epochs that its trials ran."""
        return sum(len(curves_of(trial)) for trial in self.trials)

    def names(self) -> list[str]:
        """Return for each trial what hovering says of it, for plotly."""
        return [self._name(trial) for trial in self.trials]

    def _name(self, trial: FrozenTrial) -> str:
        label = f" · {label_of(trial)}" if label_of(trial) else ""
        value = metric_value(trial, self.metric, maximize=self.maximize)
        how = reason_of(trial) or state_of(trial)
        found = f"{self.title} {format_value(value)} ({how})" if value is not None else how
        values = searched_values(trial).items()
        lines = [found, *(f"{key} {format_value(each)}" for key, each in values)]
        return "<br>".join([f"<b>{escaped(f'{title_of(trial)}{label}')}</b>", *map(escaped, lines)])


def title_of(trial: FrozenTrial) -> str:
    """Return what a trial is called: trial 7."""
    return f"trial {slot_of(trial)}"


def state_of(trial: FrozenTrial) -> str:
    """Return how a trial ended, or that it has not."""
    if trial.state is TrialState.FAIL:
        return "interrupted" if was_interrupted(trial) else "failed"
    known = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    return known.get(trial.state, "running")


def diverged(trial: FrozenTrial) -> bool:
    """Whether a trial ended because its loss was not finite, and not by a pruner."""
    return str(reason_of(trial)).startswith(DIVERGED)


def metric_value(trial: FrozenTrial, metric: str, *, maximize: bool) -> float | None:
    """Return the value of a completed trial, or the best that a pruned one had; None of others."""
    values: list[float] = []
    if trial.state is TrialState.COMPLETE and trial.value is not None:
        values = [trial.value]
    elif trial.state is TrialState.PRUNED:
        curves = curves_of(trial).values.get(metric) or trial.intermediate_values.values()
        values = list(curves)
    values = [value for value in values if math.isfinite(value)]
    return (max if maximize else min)(values) if values else None


def saved_by_pruning(trials: Sequence[FrozenTrial]) -> Saved:
    """Return what the trials that a pruner ended did not run of the epochs that they were to."""
    count = epochs = by_themselves = 0
    seconds = 0.0
    for trial in trials:
        ran, planned = len(curves_of(trial)), int(config_of(trial).get("epochs", 0))
        if trial.state is not TrialState.PRUNED or not planned:
            continue
        if diverged(trial):
            by_themselves += 1
            continue
        count, epochs = count + 1, epochs + planned - ran
        seconds += (planned - ran) * seconds_per_epoch(trial)
    return Saved(count, epochs, seconds, by_themselves)


def seconds_per_epoch(trial: FrozenTrial) -> float:
    """Return a trial's pace, without what it took to begin where there are epochs to compare."""
    times = curves_of(trial).times
    if len(times) > 1:
        return (times[-1] - times[0]) / 1000 / (len(times) - 1)
    start = trial.datetime_start
    if not times or start is None:
        return 0.0
    return max(0.0, times[0] / 1000 - start.timestamp())


def duration(seconds: float) -> str:
    """Return seconds as a person says them, tenths too where there are few."""
    return f"{seconds:.1f} s" if seconds < 10 else format_duration(seconds)


def snapshot_of(study: Study) -> Study:
    """Return a copy of `study` in memory, of which no trial changes and to which none is added.

    Trials keep their numbers, their times and what they carry; what is written to the copy is lost.
    """
    copy = optuna.create_study(study_name=study.study_name, directions=study.directions)
    copy_attributes(study, copy)
    copy.add_trials(study.get_trials(deepcopy=False))
    return copy
