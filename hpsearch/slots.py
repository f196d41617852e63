"""Slots: a study of n trials has the slots 0 to n − 1, and budget, resume and randomness hang on
them.

A slot is done when a trial that carries its number is complete or pruned; whatever else became of
a trial, its slot is done again. So a study has exactly its total however often it is started, and
a random draw that depends on (seed, slot, purpose) alone is the same in every start.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import BaseTrial, FrozenTrial

SLOT = "slot"  # user attribute of a trial
CARRIED = "carried"  # of one that an earlier round has run: where, digits-tpe#7
ROUND = "round"  # user attribute of a study that is a later round of another
DONE = (TrialState.COMPLETE, TrialState.PRUNED)  # states of a trial whose slot is done
TRIES = 3


def slot_of(trial: BaseTrial | FrozenTrial) -> int:
    """Return the trial's slot; in somebody else's study its number stands in for it."""
    return int(trial.user_attrs.get(SLOT, trial.number))


def own_trials(study: Study, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
    """Return the trials that the study ran itself, none that an earlier round did."""
    trials = study.get_trials(deepcopy=False, states=states)
    return [trial for trial in trials if CARRIED not in trial.user_attrs]


def run_name(study: Study, trial: FrozenTrial) -> str:
    """Return what the trial is called among all of its experiment: trial-0007, r2-trial-0007."""
    return f"{round_prefix(study)}trial-{slot_of(trial):04d}"


def round_prefix(study: Study) -> str:
    """Return what the names of a later round's runs begin with: r2-; nothing of a first one's."""
    number = study.user_attrs.get(ROUND)
    return f"r{number}-" if number else ""


def was_interrupted(trial: FrozenTrial) -> bool:
    """Whether somebody asked the trial to stop, which is not failing."""
    return trial.state is TrialState.FAIL and bool(trial.user_attrs.get("interrupted"))


def reason_of(trial: FrozenTrial) -> str | None:
    """Return why a trial ended before its time, if it did and if it is known."""
    interrupted = trial.user_attrs.get("interrupted")
    return "interrupted" if interrupted else trial.user_attrs.get("reason")


def derive_rng(seed: int, slot: int, purpose: str) -> np.random.Generator:
    """Return the generator of one purpose ("weights", "learning_rate") in one slot of a study."""
    return np.random.default_rng([seed, slot, zlib.crc32(purpose.encode())])


@dataclass(frozen=True)
class Slots:
    """Which slots of a study are done, still to do, at work in another process, or given up."""

    todo: list[int]
    done: list[int]
    busy: list[int]
    given_up: list[int]


def count_slots(trials: Iterable[FrozenTrial], wanted: Sequence[int]) -> Slots:
    """Sort the slots that are wanted by what became of their trials.

    A slot whose trials failed three times is given up; being interrupted is not failing.
    """
    done, busy, failures = set(), set(), Counter[int]()
    for trial in trials:
        slot = trial.user_attrs.get(SLOT)
        if slot is None:
            continue
        if trial.state in DONE:
            done.add(slot)
        elif trial.state is TrialState.RUNNING:
            busy.add(slot)
        elif not was_interrupted(trial):
            failures[slot] += 1
    left = [slot for slot in wanted if slot not in done | busy]
    return Slots(
        todo=[slot for slot in left if failures[slot] < TRIES],
        done=[slot for slot in wanted if slot in done],
        busy=[slot for slot in wanted if slot in busy - done],
        given_up=[slot for slot in left if failures[slot] >= TRIES],
    )
