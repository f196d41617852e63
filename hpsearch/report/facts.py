"""The data of a report, read once from a study: its trials, their values, the pruned epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from hpsearch.analysis.history import span_of
from hpsearch.analysis.ranking import metric_title, no_best, rank, searched_values
from hpsearch.errors import StudyError
from hpsearch.formatting import format_duration, format_value
from hpsearch.report.charts.axes import ParameterAxis, parameter_axes
from hpsearch.report.charts.base import escaped
from hpsearch.report.view import View
from hpsearch.space.ranges import Range
from hpsearch.trials.records import (
    config_of,
    curves_of,
    epochs_trained,
    label_of,
    metric_of,
    own_trials,
    reason_of,
    seeds_of,
    setup_of,
    slot_of,
    was_interrupted,
)
from hpsearch.trials.snapshot import snapshot_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

DIVERGED = "diverged"  # the first word of the reason if the loss was not finite


@dataclass(frozen=True)
class Point:
    """A trial with a value to draw: its final value, or the best value of a pruned trial."""

    index: int  # of the trial in `Facts.trials`
    trial: FrozenTrial
    value: float

    @property
    def state(self) -> str:
        """The state of the trial, as `state_of` returns it."""
        return state_of(self.trial)


@dataclass(frozen=True)
class Savings:
    """What pruning saved. The seconds are an estimate from each trial's own seconds per epoch."""

    trials: int
    epochs: int
    seconds: float
    diverged: int  # trials that ended early by themselves, which are not counted above


@dataclass(frozen=True)
class Facts:
    """A copy of a study at one moment, and the trials that it ran itself.

    top: how many of the best trials or configurations the report shows.
    """

    study: Study
    trials: Sequence[FrozenTrial]
    top: int

    @classmethod
    def of(cls, study: Study, top: int) -> Facts:
        """Read `study`; raise StudyError if there is nothing to report."""
        if len(study.directions) > 1:
            raise StudyError(
                f"study '{study.study_name}' has {len(study.directions)} objectives; a "
                "report needs a study with one"
            )
        study = snapshot_of(study)
        if reason := no_best(study):
            raise StudyError(f"{reason}, so there is nothing to report")
        return cls(study, own_trials(study), top)

    @cached_property
    def metric(self) -> str:
        """The metric of the study's values, "value" for an objective that is not hpsearch's."""
        setups = (setup.metric for trial in self.trials if (setup := setup_of(trial)))
        known = metric_of(self.study)
        return next(setups, "value") if known == "value" else known

    @cached_property
    def title(self) -> str:
        """The title of the metric, for axes and columns."""
        return metric_title(self.study, self.metric)

    @cached_property
    def maximize(self) -> bool:
        """Whether higher values are better."""
        return self.study.direction.name == "MAXIMIZE"

    @cached_property
    def has_curves(self) -> bool:
        """Whether any trial with a value has learning curves of the metric."""
        return any(curves_of(point.trial).of(self.metric) for point in self.points)

    @cached_property
    def points(self) -> list[Point]:
        """The trials with a value, in the order in which they ended."""
        points = [
            Point(index, trial, value)
            for index, trial in enumerate(self.trials)
            if (value := metric_value(trial, self.metric, maximize=self.maximize)) is not None
        ]
        return sorted(points, key=lambda point: span_of(point.trial)[1])

    @cached_property
    def best(self) -> Point:
        """The best completed trial."""
        complete = {p.trial.number: p for p in self.points if p.state == "complete"}
        ranked = rank((point.trial for point in complete.values()), self.study.direction)
        return complete[ranked[0].number]

    @cached_property
    def view(self) -> View:
        """The part of the metric's axis that charts show until the reader zooms."""
        values = [point.value for point in self.points]
        sound = [point.value for point in self.points if not diverged(point.trial)]
        return View.of(values, maximize=self.maximize, sound=sound)

    @cached_property
    def scale(self) -> ParameterAxis:
        """The part of the metric's axis that `view` shows, as a `ParameterAxis`."""
        view = self.view
        entry = Range(low=float(view.low), high=float(view.high), log=view.log)
        return ParameterAxis(self.title, self.title, entry)

    def share(self, value: float) -> float:
        """Return the position of a value on `scale`, clipped to the range from 0 to 1."""
        return self.scale.share(min(max(value, self.view.low), self.view.high))

    def value_axis(self) -> dict[str, Any]:
        """Return the metric's axis for plotly."""
        return self.view.axis(self.title, self.metric)

    @cached_property
    def axes(self) -> list[ParameterAxis]:
        """An axis for each searched parameter."""
        return parameter_axes(self.trials)

    def varies(self, axis: ParameterAxis) -> bool:
        """Whether trials differ in a parameter, or only some of them have it."""
        return len({axis.coordinate(point.trial) for point in self.points}) > 1

    @cached_property
    def seeds(self) -> int:
        """How many times each configuration is trained."""
        return seeds_of(self.study)

    @cached_property
    def epochs(self) -> int:
        """The number of epochs that all trials ran."""
        return sum(epochs_trained(trial) for trial in self.trials)

    def hover_texts(self) -> list[str]:
        """Return the hover text of each trial, for plotly."""
        return [self._hover_text(trial) for trial in self.trials]

    def _hover_text(self, trial: FrozenTrial) -> str:
        label = f" · {label_of(trial)}" if label_of(trial) else ""
        value = metric_value(trial, self.metric, maximize=self.maximize)
        how = reason_of(trial) or state_of(trial)
        outcome = f"{self.title} {format_value(value)} ({how})" if value is not None else how
        values = searched_values(trial).items()
        lines = [outcome, *(f"{key} {format_value(each)}" for key, each in values)]
        title = f"<b>{escaped(f'{trial_title(trial)}{label}')}</b>"
        return "<br>".join([title, *map(escaped, lines)])


def trial_title(trial: FrozenTrial) -> str:
    """Return the title of a trial: "trial 7"."""
    return f"trial {slot_of(trial)}"


def state_of(trial: FrozenTrial) -> str:
    """Return "complete", "pruned", "failed", "interrupted" or "running"."""
    if trial.state is TrialState.FAIL:
        return "interrupted" if was_interrupted(trial) else "failed"
    known = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    return known.get(trial.state, "running")


def diverged(trial: FrozenTrial) -> bool:
    """Whether a trial ended because its loss was not finite, not because a pruner ended it."""
    return str(reason_of(trial)).startswith(DIVERGED)


def metric_value(trial: FrozenTrial, metric: str, *, maximize: bool) -> float | None:
    """Return a completed trial's value or a pruned trial's best value, None for any other trial."""
    values: list[float] = []
    if trial.state is TrialState.COMPLETE and trial.value is not None:
        values = [trial.value]
    elif trial.state is TrialState.PRUNED:
        curve = [value for value in curves_of(trial).of(metric) if value is not None]
        setup = setup_of(trial)
        if setup is not None and setup.value == "last":
            curve = curve[-1:]
        values = curve or list(trial.intermediate_values.values())
    values = [value for value in values if math.isfinite(value)]
    return (max if maximize else min)(values) if values else None


def saved_by_pruning(trials: Sequence[FrozenTrial]) -> Savings:
    """Return how many planned epochs the pruned trials did not run."""
    pruned = epochs = by_themselves = 0
    seconds = 0.0
    for trial in trials:
        ran, planned = len(curves_of(trial)), int(config_of(trial).get("epochs", 0))
        if trial.state is not TrialState.PRUNED or not planned:
            continue
        if diverged(trial):
            by_themselves += 1
            continue
        pruned, epochs = pruned + 1, epochs + planned - ran
        seconds += (planned - ran) * seconds_per_epoch(trial)
    return Savings(pruned, epochs, seconds, by_themselves)


def seconds_per_epoch(trial: FrozenTrial) -> float:
    """Return a trial's mean seconds per epoch.

    The first epoch, which includes the time to start, only counts if it is the only one.
    """
    times = curves_of(trial).times
    if len(times) > 1:
        return (times[-1] - times[0]) / 1000 / (len(times) - 1)
    start = trial.datetime_start
    if not times or start is None:
        return 0.0
    return max(0.0, times[0] / 1000 - start.timestamp())


def duration(seconds: float) -> str:
    """Return a duration like "6.5 s" or "1:05 min", with tenths below ten seconds."""
    return f"{seconds:.1f} s" if seconds < 10 else format_duration(seconds)
