"""Leases: which process runs a study, and whether that process is still alive."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from hpsearch.errors import BusyError, StudyError
from hpsearch.trials.records import (
    LeaseRecord,
    ProcessId,
    lease_key,
    leases_of,
    stop_request,
    taken_over_by,
    write_lease,
    write_taken_over,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

RENEW_SECONDS = 10.0  # how often a holder renews its lease
STOP_SECONDS = 1.0  # how often it looks whether it is asked to stop
WATCH_SECONDS = 45.0  # a lease on another machine that is not renewed for this long has no holder
WATCH_SECONDS_0_1 = 300.0  # version 0.1 renews between epochs only
POLL_SECONDS = 0.5
LEASE_TRIES = 5
SAME_START_SECONDS = 2.0  # the clock may be set while a process runs

logger = logging.getLogger(__name__)


@cache
def this_machine() -> str:
    """Return what tells the processes of this machine from others that have the same ids.

    That is the boot of the machine and the namespace of its process ids, which a container has of
    its own. Hosts can share a name.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux: no namespaces
        return f"{uuid.getnode():012x}"


def this_process() -> ProcessId:
    """Return the id of this process."""
    process = psutil.Process()
    return ProcessId(socket.gethostname(), process.pid, process.create_time(), this_machine())


def is_local(process: ProcessId) -> bool:
    """Whether a process runs or ran on this machine; version 0.1 recorded only the host's name."""
    if process.machine:
        return process.machine == this_machine()
    return process.host == socket.gethostname()


def is_dead(process: ProcessId | None) -> bool:
    """Whether a process has ended; None stands for a trial that does not name one.

    A zombie counts as dead. Nothing is known about a process on another machine: it counts as
    alive. A trial without a process is one of version 0.1, whose worker died before its first act.
    """
    if process is None:
        return True
    if not is_local(process):
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
    other, and a process that sees another valid lease releases its own. So two never take the study
    together. When both have released theirs, each tries again after a random time.

    Clocks of two machines are never compared: a lease on another machine is valid if it is renewed
    while this process watches it. One that is not is removed, and its holder, which may only have
    been frozen, finds at its next look that it has lost the study.

    lost: who has taken the study over, as a StudyError; None while this process holds it.
    stop_requested: whether another process has asked this one to stop.
    """

    def __init__(self, storage: BaseStorage, study: Study) -> None:
        token = uuid.uuid4().hex
        self.storage, self.study, self.key = storage, study, lease_key(token)
        self.record = LeaseRecord(this_process(), since=time.time(), token=token)
        self.lost: StudyError | None = None
        self.stop_requested = False
        self._earlier_stop = stop_request(study)
        self._first_seen: dict[str, float] = {}  # when other leases had been renewed
        self._ended = threading.Event()

    def acquire(self) -> None:
        """Take the lease; raise StudyError, which names the process, if another one holds it."""
        for _ in range(LEASE_TRIES):
            if other := self._holder():
                raise _is_being_run(self.study, other)
            self._write()
            others = leases_of(self.study)
            mine = others.pop(self.key, None)
            if self._is_mine(mine) and all(is_dead(each.process) for each in others.values()):
                return
            self.release()
            time.sleep(random.uniform(0.05, 0.5))
        raise BusyError(
            f"study '{self.study.study_name}' is being started by several processes; try again"
        )

    def look(self) -> bool:
        """Return whether this process still holds the study, and set `lost` if it does not.

        Two processes can both believe that they do if one was renewed at the moment when the other
        removed it. Both see that the other goes on, and the one with the smaller key stops.
        """
        leases = leases_of(self.study)
        holds = self._is_mine(leases.get(self.key))
        if holds:
            del leases[self.key]
        rivals = (
            lease
            for key, lease in leases.items()
            if self._first_seen.setdefault(key, lease.renewed) != lease.renewed and key > self.key
        )
        taker = next(rivals, None)
        if not holds and taker is None:
            taker = next(iter(leases.values()), None)
        if not holds or taker is not None:
            by = taken_over_by(self.study, self.record) if taker is None else taker.process
            self.lost = _is_taken_over(self.study, by)
        return self.lost is None

    def keep_renewed(self) -> None:
        """Renew the lease until it is released or lost, and look for requests to stop.

        A thread runs this, so that no epoch is too long for it.
        """
        due = time.monotonic() + RENEW_SECONDS
        while not self._ended.wait(min(STOP_SECONDS, RENEW_SECONDS)):
            try:
                self.stop_requested = stop_request(self.study) != self._earlier_stop
                if time.monotonic() < due:
                    continue
                if not self.look():
                    break
                self._write()
            except Exception:  # the trials meet the same storage, and say what is wrong with it
                logger.debug("the lease was not renewed", exc_info=True)
            due = time.monotonic() + RENEW_SECONDS
        self.storage.remove_session()

    def release(self) -> None:
        """Let other processes have the study."""
        write_lease(self.study, self.key, None)

    def end(self, renewal: threading.Thread) -> None:
        """Stop renewing, and release the lease unless it is lost."""
        self._ended.set()
        renewal.join()
        if self.lost is None:
            self.release()

    def _is_mine(self, lease: LeaseRecord | None) -> bool:
        return lease is not None and lease.token == self.record.token

    def _write(self) -> None:
        renewed = max(time.time(), self.record.renewed + 1e-3)  # it changes, whatever the clock
        self.record = replace(self.record, renewed=renewed)
        write_lease(self.study, self.key, self.record)

    def _holder(self) -> LeaseRecord | None:
        """Return another valid lease on the study; remove the leases that have no holder."""
        for key, lease in leases_of(self.study).items():
            if self._is_mine(lease):
                continue
            if is_local(lease.process):
                alive = not is_dead(lease.process)
            else:
                alive = self._is_renewed(key, lease)
                if not alive:  # it may only be frozen, and is to find who has the study
                    write_taken_over(self.study, lease, self.record.process)
            if alive:
                return lease
            write_lease(self.study, key, None)
        return None

    def _is_renewed(self, key: str, lease: LeaseRecord) -> bool:
        """Watch a lease on another machine; return whether its holder renews it."""
        seconds = WATCH_SECONDS if lease.process.machine else WATCH_SECONDS_0_1
        logger.warning(
            "study '%s' was being run by %s; checking for up to %.0f s whether it still is",
            self.study.study_name,
            _named(lease.process),
            seconds,
        )
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(POLL_SECONDS)
            now = leases_of(self.study).get(key)
            if now is None or now.renewed != lease.renewed:
                return now is not None
        return False


@contextmanager
def leased(storage: BaseStorage, study: Study) -> Iterator[Lease]:
    """Hold a lease on the study while the block runs; raise StudyError if it is being run."""
    lease = Lease(storage, study)
    lease.acquire()
    renewal = threading.Thread(target=lease.keep_renewed, name="lease", daemon=True)
    renewal.start()
    try:
        yield lease
    finally:
        lease.end(renewal)


def _named(process: ProcessId) -> str:
    return f"process {process.pid} on {process.host}"


def _is_being_run(study: Study, lease: LeaseRecord) -> BusyError:
    since = datetime.fromtimestamp(lease.since).strftime("%Y-%m-%d %H:%M:%S")
    return BusyError(
        f"study '{study.study_name}' is being run by {_named(lease.process)} since {since}; stop "
        "that first"
    )


def _is_taken_over(study: Study, by: ProcessId | None) -> StudyError:
    who = "another process" if by is None else _named(by)
    return StudyError(
        f"study '{study.study_name}' was taken over by {who}, which had not seen this process for "
        f"{WATCH_SECONDS:.0f} s; what was finished here is kept"
    )
