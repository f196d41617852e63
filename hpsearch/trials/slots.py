"""Slots: a study of n trials has the slots 0 to n - 1.

A slot is done when a trial with its number is complete or pruned. If a trial ends in another way,
its slot is tried again. A study therefore has exactly its total of trials, however often it is
started, and a random draw that depends only on (seed, slot, purpose) is the same in every start.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from optuna.trial import TrialState

from hpsearch.trials.records import DONE, assigned_slot, is_failed_try

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

MAX_TRIES = 3  # a slot is given up after this many failed trials


def derive_rng(seed: int, slot: int, purpose: str) -> np.random.Generator:
    """Return the generator for one purpose ("weights", "learning_rate") in one slot of a study."""
    return np.random.default_rng([seed, slot, zlib.crc32(purpose.encode())])


@dataclass(frozen=True)
class Slots:
    """The wanted slots of a study by state; each list keeps the order in which they were wanted."""

    todo: list[int]
    done: list[int]
    busy: list[int]  # a trial is running
    given_up: list[int]


def slots_by_state(
    trials: Iterable[FrozenTrial], wanted: Sequence[int], forgiven: Container[int] = ()
) -> Slots:
    """Return the wanted slots by the state of their trials, in linear time.

    A slot is given up after three failed trials. forgiven: the numbers of trials whose failure
    does not count.
    """
    done, busy, failures = set[int](), set[int](), Counter[int]()
    for trial in trials:
        slot = assigned_slot(trial)
        if slot is None:
            continue
        if trial.state in DONE:
            done.add(slot)
        elif trial.state is TrialState.RUNNING:
            busy.add(slot)
        elif is_failed_try(trial) and trial.number not in forgiven:
            failures[slot] += 1
    slots = Slots([], [], [], [])
    for slot in wanted:
        if slot in done:
            slots.done.append(slot)
        elif slot in busy:
            slots.busy.append(slot)
        elif failures[slot] >= MAX_TRIES:
            slots.given_up.append(slot)
        else:
            slots.todo.append(slot)
    return slots
