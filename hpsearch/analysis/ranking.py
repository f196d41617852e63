"""Counts of trials by state, the best trials of a study or of its rounds, and a trial as data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpsearch.errors import Command, Sentence, UnknownStudyError
from hpsearch.space.ranges import field_name
from hpsearch.trials.records import (
    assigned_slot,
    config_of,
    curves_of,
    has_diverged,
    label_of,
    metric_of,
    own_trials,
    reason_of,
    resumed_after,
    setup_of,
    slot_of,
    validation_of,
    was_interrupted,
)

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Counts:
    """How many trials are in each state."""

    complete: int
    pruned: int
    diverged: int  # of the pruned
    failed: int
    interrupted: int
    running: int

    def __str__(self) -> str:
        diverged = f" ({self.diverged} diverged)" if self.diverged else ""
        parts = [f"{self.complete} complete", f"{self.pruned} pruned{diverged}"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.interrupted} interrupted"] if self.interrupted else []
        parts += [f"{self.running} running"] if self.running else []
        return ", ".join(parts)


def count_trials(trials: Sequence[FrozenTrial]) -> Counts:
    """Count `trials` by their state."""
    states = [trial.state for trial in trials]
    interrupted = sum(was_interrupted(trial) for trial in trials)
    return Counts(
        complete=states.count(TrialState.COMPLETE),
        pruned=states.count(TrialState.PRUNED),
        diverged=sum(has_diverged(trial) for trial in trials),
        failed=states.count(TrialState.FAIL) - interrupted,
        interrupted=interrupted,
        running=states.count(TrialState.RUNNING),
    )


def best_trials(study: Study, top: int | None = None) -> list[FrozenTrial]:
    """Return the best `top` completed trials, or all: best first, then in the order of their slots.

    Trials that were copied from an earlier round are left out. A study with several objectives has
    no best trials.
    """
    if len(study.directions) > 1:
        return []
    return rank(own_trials(study, (TrialState.COMPLETE,)), study.direction)[:top]


def no_best(study: Study) -> str:
    """Say why no trial of `study` is the best of it, "" if one is."""
    name, objectives = study.study_name, len(study.directions)
    if objectives > 1:
        return f"study '{name}' has {objectives} objectives and no single best trial"
    trials = own_trials(study, (TrialState.COMPLETE,))
    if not trials:
        return f"study '{name}' has no completed trial yet"
    finite = any(trial.value is not None and math.isfinite(trial.value) for trial in trials)
    return "" if finite else f"study '{name}' has completed trials, but no finite value"


def rank(trials: Iterable[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """Return completed trials, best first; equal ones in the order of their slots."""
    sign = -1 if direction is StudyDirection.MAXIMIZE else 1
    return sorted(trials, key=lambda t: (sign * (t.value or 0.0), slot_of(t)))


def searched_values(trial: FrozenTrial) -> dict[str, Any]:
    """Return the sampled values of a trial by the names that the study file uses."""
    config = config_of(trial)
    values = {}
    for parameter, value in trial.params.items():
        name = field_name(parameter)
        if name != parameter and name in config:
            values[name] = config[name]
        else:
            values[parameter] = value
    return values


def searched_columns(trials: Iterable[FrozenTrial]) -> list[str]:
    """Return the names of sampled values for the columns of a table.

    Epochs are left out, because tables have a column of their own for them.
    """
    names = dict.fromkeys(name for trial in trials for name in searched_values(trial))
    return [name for name in names if name != "epochs"]


def best_epoch(trial: FrozenTrial) -> int | None:
    """Return the epoch with the trial's value, None if the trial has no curves."""
    setup = setup_of(trial)
    judged = setup.judged(curves_of(trial)) if setup else None
    return None if judged is None else judged[0]


def metric_title(study: Study, metric: str | None = None) -> str:
    """Return the title of `metric`, or of the study's metric, for an axis or a column.

    If the study validates on the test set, the title says so.
    """
    metric = metric or metric_of(study)
    on_test = validation_of(study) == "test" and metric.startswith("val/")
    return f"{metric} (test set)" if on_test else metric


def find_trial(study: Study, slot: str) -> FrozenTrial:
    """Return the last trial in `slot`; raise StudyError if there is none.

    In a study that hpsearch does not run, trials have no slots and `slot` is a trial number.
    """
    trials = own_trials(study)
    trials = [trial for trial in trials if assigned_slot(trial) is not None] or trials
    matching = [t for t in trials if slot.isdecimal() and slot_of(t) == int(slot)]
    if not matching:
        raise UnknownStudyError(f"study '{study.study_name}' has no trial {slot}")
    return matching[-1]


def trial_record(trial: FrozenTrial, *, curves: bool = False) -> dict[str, Any]:
    """Return a trial as plain data, which `--json` prints."""
    trial_curves, resumed = curves_of(trial), resumed_after(trial)
    also = {"resumed_after": resumed} if resumed else {}
    return ({"curves": trial_curves.values} if curves else {}) | {
        "slot": assigned_slot(trial),
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": _single_value(trial) if trial.state is TrialState.COMPLETE else None,
        "epochs": len(trial_curves),
        "best_epoch": best_epoch(trial),
        "params": searched_values(trial),
        "config": config_of(trial) or None,
        "label": label_of(trial) or None,
        "reason": reason_of(trial),
        **also,
    }


def _single_value(trial: FrozenTrial) -> float | None:
    """Return the value of a completed trial, None if it has one for each of several objectives."""
    return trial.value if len(trial.values) == 1 else None


def best_of_rounds(studies: Sequence[Study], top: int) -> list[tuple[Study, FrozenTrial]]:
    """Return the best `top` trials of several rounds, best first, each with its study."""
    ran_by = {id(trial): (study, trial) for study in studies for trial in best_trials(study, top)}
    trials = [trial for _, trial in ran_by.values()]
    if not trials:  # a study with several objectives has no single direction either
        return []
    return [ran_by[id(trial)] for trial in rank(trials, studies[0].direction)[:top]]


def better_round(rounds: Sequence[Study], study: Study) -> str:
    """Return the name of the round with the best trial of all, "" if `study` is as good."""
    best, own = best_of_rounds(rounds, 1), best_trials(study, 1)
    if not best or (own and own[0].value == best[0][1].value):
        return ""
    return best[0][0].study_name


def better_found(rounds: Sequence[Study], study: Study, command: str, *options: str) -> str:
    """Return a sentence that names the better round and a command for it, "" if none is better."""
    name = better_round(rounds, study)
    line = Command(command, name, *options)
    return Sentence(f"{name} is better: ", line) if name else ""
