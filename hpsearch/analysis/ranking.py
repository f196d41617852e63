"""What a study has found so far, for a person: counts, the best trials, a page in Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpsearch.errors import StudyError
from hpsearch.space.ranges import field_name
from hpsearch.storage.catalog import rounds_of
from hpsearch.trials.curves import Curves
from hpsearch.trials.slots import DEFINITION, SLOT, own_trials, reason_of, slot_of, was_interrupted

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Counts:
    """How many trials ended how."""

    complete: int
    pruned: int
    failed: int
    interrupted: int
    running: int

    def __str__(self) -> str:
        parts = [f"{self.complete} complete", f"{self.pruned} pruned"]
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
        failed=states.count(TrialState.FAIL) - interrupted,
        interrupted=interrupted,
        running=states.count(TrialState.RUNNING),
    )


def best_trials(study: Study, top: int | None = None) -> list[FrozenTrial]:
    """Return the best `top` completed trials, or all, best first, earlier slots first among equals.

    Trials that an earlier round has run are that round's.
    """
    if len(study.directions) > 1:
        return []  # somebody else's study of several objectives has no best
    return rank(own_trials(study, (TrialState.COMPLETE,)), study.direction)[:top]


def rank(trials: Iterable[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """Return completed trials, best first, earlier slots first among equals."""
    sign = -1 if direction is StudyDirection.MAXIMIZE else 1
    return sorted(trials, key=lambda t: (sign * (t.value or 0.0), slot_of(t)))


def searched_values(trial: FrozenTrial) -> dict[str, Any]:
    """Return the sampled values of a trial as its study file names them."""
    config = trial.user_attrs.get("setup", {}).get("config", {})
    values = {}
    for parameter, value in trial.params.items():
        name = field_name(parameter)
        if name != parameter and name in config:
            values[name] = config[name]
        else:
            values[parameter] = value
    return values


def searched_columns(trials: Iterable[FrozenTrial]) -> list[str]:
    """Return what any of the trials sampled, without epochs: these have a column of their own."""
    names = dict.fromkeys(name for trial in trials for name in searched_values(trial))
    return [name for name in names if name != "epochs"]


def best_epoch(trial: FrozenTrial) -> int | None:
    """Return the epoch with the trial's best value, None if it has no curves."""
    curves = Curves.of(trial)
    return curves.best(trial.user_attrs["setup"]["metric"])[0] if len(curves) else None


def label_of(trial: FrozenTrial) -> str:
    """Return the label of the trial's [[enqueue]] entry, "" if it is none."""
    return str(trial.user_attrs.get("setup", {}).get("label", ""))


def metric_of(study: Study) -> str:
    """Return the metric that the study's value is."""
    return str(study.user_attrs.get(DEFINITION, {}).get("search.metric", "value"))


def validation_of(study: Study) -> str:
    """Return what the study validates on: "split", or the official "test" set."""
    return str(study.user_attrs.get(DEFINITION, {}).get("data.validation", "split"))


def metric_title(study: Study, metric: str | None = None) -> str:
    """Return `metric`, or the study's, as an axis or a column is called.

    It says where the test set validates.
    """
    metric = metric or metric_of(study)
    on_test = validation_of(study) == "test" and metric.startswith("val/")
    return f"{metric} (test set)" if on_test else metric


def find_trial(study: Study, slot: str) -> FrozenTrial:
    """Return the last trial in `slot`, or in somebody else's study the one with that number.

    Raises StudyError.
    """
    trials = own_trials(study)
    trials = [t for t in trials if SLOT in t.user_attrs] or trials  # somebody else's have none
    found = [t for t in trials if slot.isdecimal() and slot_of(t) == int(slot)]
    if not found:
        raise StudyError(f"study '{study.study_name}' has no trial {slot}")
    return found[-1]


def trial_record(trial: FrozenTrial, *, curves: bool = False) -> dict[str, Any]:
    """Return a trial as plain data: what `--json` prints."""
    setup, learned = trial.user_attrs.get("setup", {}), Curves.of(trial)
    return ({"curves": learned.values} if curves else {}) | {
        "slot": trial.user_attrs.get(SLOT),
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value if trial.state is TrialState.COMPLETE else None,
        "epochs": len(learned),
        "best_epoch": best_epoch(trial),
        "params": searched_values(trial),
        "config": setup.get("config"),
        "label": setup.get("label"),
        "reason": reason_of(trial),
    }


def best_of_rounds(studies: Sequence[Study], top: int) -> list[tuple[Study, FrozenTrial]]:
    """Return the best trials of several rounds, best first, each with the study that ran it."""
    found = {id(trial): (study, trial) for study in studies for trial in best_trials(study, top)}
    trials = [trial for _, trial in found.values()]
    if not trials:  # somebody else's study of several objectives has no direction either
        return []
    return [found[id(trial)] for trial in rank(trials, studies[0].direction)[:top]]


def better_round(study: Study) -> str:
    """Return the round of the same search that has the best trial, "" if `study` is as good."""
    best, own = best_of_rounds(rounds_of(study._storage, study), 1), best_trials(study, 1)
    if not best or (own and own[0].value == best[0][1].value):
        return ""
    return best[0][0].study_name


def better_found(study: Study, command: str, *options: str) -> str:
    """Say which round has found better than `study`, and the command for it; "" if none has."""
    name = better_round(study)
    line = shlex.join(["hpsearch", command, name, *options])
    return f"{name} has found better: {line}" if name else ""
