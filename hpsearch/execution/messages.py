"""What a worker process and its coordinator send each other: plain dataclasses, to be pickled.

A worker in the coordinator's own process sends nothing: it calls the coordinator through `Channel`
in `worker.py`, where a new message usually begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpsearch.errors import HpsearchError


@dataclass(frozen=True)
class SlotWanted:
    """A worker has nothing to do."""


@dataclass(frozen=True)
class EpochEnded:
    """A trial has trained its epoch number `epoch`, counted from 1."""

    slot: int
    epoch: int


@dataclass(frozen=True)
class TrialEnded:
    """A trial has ended, in whatever state."""

    trial: FrozenTrial
    tracking_lost: bool  # the worker could not reach the tracking store


@dataclass(frozen=True)
class LogEntry:
    """A worker has something to log."""

    level: int
    text: str


@dataclass(frozen=True)
class WorkerFailed:
    """A worker cannot continue, and neither can the study."""

    error: HpsearchError


@dataclass(frozen=True)
class SlotAssigned:
    """The worker fills this slot next."""

    slot: int


@dataclass(frozen=True)
class NothingLeft:
    """There is no slot left; the worker ends."""


@dataclass(frozen=True)
class StopRequested:
    """The worker stops its trial after the current epoch, and ends."""


FromWorker: TypeAlias = "SlotWanted | EpochEnded | TrialEnded | LogEntry | WorkerFailed"
ToWorker: TypeAlias = "SlotAssigned | NothingLeft | StopRequested"


def unknown(message: object) -> TypeError:
    """Return the error for a message that the receiver does not know, a bug in hpsearch."""
    return TypeError(f"unknown message {message!r}; worker and coordinator have to know it")
