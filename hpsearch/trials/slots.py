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
DEFINITION = "definition"  # user attribute of a study: what it searches, as text
ROUND = "round"  # user attribute of a study that is a later round of another
EVALUATES = "evaluates"  # of one that trains another's best again: that one's name and id
EVALUATED = "evaluated"  # of the one that is evaluated: what its last evaluation found
DRAWS, MOST_EPOCHS = 10**3, 10**9  # the seeds of such a study; its slots hold three numbers
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
    slot = slot_of(trial)
    name = Repeat.of(slot).name if EVALUATES in study.user_attrs else f"trial-{slot:04d}"
    return f"{round_prefix(study)}{name}"


def round_prefix(study: Study) -> str:
    """Return what the names of a later round's runs begin with: r2-; nothing of a first one's."""
    number = study.user_attrs.get(ROUND)
    return f"r{number}-" if number else ""


@dataclass(frozen=True)
class Repeat:
    """What a slot of an evaluation's study stands for: a trial of the search, trained again.

    Either as it was, or finally: on the training and the validation rows, for so many `epochs`.
    Such a study is one with DRAWS seeds, of which an evaluation wants the first few.
    """

    trial: int  # the slot of the search's trial
    draw: int  # of weights and batches
    epochs: int = 0  # of a final network

    @classmethod
    def of(cls, slot: int) -> Repeat:
        """Return what `slot` stands for."""
        configuration, draw = divmod(slot, DRAWS)
        trial, epochs = divmod(configuration, MOST_EPOCHS)
        return cls(trial, draw, epochs)

    @property
    def slot(self) -> int:
        """The slot that stands for it."""
        return (self.trial * MOST_EPOCHS + self.epochs) * DRAWS + self.draw

    @property
    def kind(self) -> str:
        """What its run in MLflow is."""
        return "final" if self.epochs else "repeat"

    @property
    def plural(self) -> str:
        """What many of its kind are called."""
        return "final networks" if self.epochs else "trainings"

    @property
    def name(self) -> str:
        """What its run in MLflow is called: repeat-0007-03, final-0007-03."""
        return f"{self.kind}-{self.trial:04d}-{self.draw:02d}"


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
