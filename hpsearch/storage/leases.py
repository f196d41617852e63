"""Leases: which process runs a study, and whether that process is still alive."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import psutil

from hpsearch.errors import StudyError
from hpsearch.trials.records import (
    LeaseRecord,
    ProcessId,
    leases_of,
    new_lease_key,
    write_lease,
)

if TYPE_CHECKING:
    from optuna.study import Study

LEASE_SECONDS = 300.0  # how long a lease from another host holds without being renewed
LEASE_TRIES = 5
SAME_START_SECONDS = 2.0  # the clock may be set while a process runs


def this_process() -> ProcessId:
    """Return the id of this process."""
    process = psutil.Process()
    return ProcessId(socket.gethostname(), process.pid, process.create_time())


def is_dead(process: ProcessId | None) -> bool:
    """Whether a process has ended; None stands for a trial that does not name one.

    A zombie counts as dead. Nothing is known about a process on another host: it counts as alive.
    A trial without a process died before its worker's first act.
    """
    if process is None:
        return True
    if process.host != socket.gethostname():
        return False
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < SAME_START_SECONDS
        return not same or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Lease:
    """The right of this process to run a study, which one process has at a time.

    Each process writes its lease and then reads all leases. Of two processes at least one sees the
    other, and a process that sees another valid lease releases its own. So two never hold the study
    together. When both have released theirs, each tries again after a random time.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.key = study, new_lease_key()
        self.record = LeaseRecord(this_process(), since=time.time())

    def acquire(self) -> None:
        """Take the lease; raise StudyError, which names the process, if another one holds it."""
        for attempt in range(LEASE_TRIES):
            self.renew()
            other = holder(self.study, ignore=self.key)
            if other is None:
                return
            self.release()
            if attempt == LEASE_TRIES - 1 or other.since < self.record.since - 1:
                raise _is_being_run(self.study, other)
            time.sleep(random.uniform(0.05, 0.5))

    def renew(self) -> None:
        """Show that the holder is alive; processes on other hosts rely on that."""
        self.record = replace(self.record, renewed=time.time())
        write_lease(self.study, self.key, self.record)

    def release(self) -> None:
        """Let other processes have the study."""
        write_lease(self.study, self.key, None)


@contextmanager
def leased(study: Study) -> Iterator[Lease]:
    """Hold a lease on the study while the block runs; raise StudyError if it is being run."""
    lease = Lease(study)
    lease.acquire()
    try:
        yield lease
    finally:
        lease.release()


def holder(study: Study, *, ignore: str = "") -> LeaseRecord | None:
    """Return a valid lease on the study other than the one with the key `ignore`, None if free."""
    leases = leases_of(study).items()
    return next((lease for key, lease in leases if key != ignore and _is_valid(lease)), None)


def _is_valid(lease: LeaseRecord) -> bool:
    if lease.process.host != socket.gethostname():
        return time.time() - lease.renewed <= LEASE_SECONDS
    return not is_dead(lease.process)


def _is_being_run(study: Study, lease: LeaseRecord) -> StudyError:
    since = datetime.fromtimestamp(lease.since).strftime("%Y-%m-%d %H:%M:%S")
    who = f"process {lease.process.pid} on {lease.process.host} since {since}"
    return StudyError(f"study '{study.study_name}' is being run by {who}; stop that first")
