"""Which process is at work on what, and whether it still lives."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil

from hpsearch.errors import StudyError

if TYPE_CHECKING:
    from optuna.study import Study

PROCESS = "process"  # user attribute of a trial: who runs it
CLAIM = "hpsearch.parent."  # begins the user attributes of a study that say who runs it
CLAIM_SECONDS = 300.0  # how long a claim from another host holds without being renewed
TRIES = 5


def this_process() -> dict[str, Any]:
    """Return what tells this process from every other: host, pid and time of its start."""
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def is_dead(process: dict[str, Any] | None) -> bool:
    """Whether a process that described itself with `this_process` has ended.

    A zombie is dead. Of a process on another host nothing is known: it counts as alive. A trial
    that does not say whose it is died before its first act.
    """
    if process is None:
        return True
    if process["host"] != socket.gethostname():
        return False
    try:
        found = psutil.Process(process["pid"])
        same = abs(found.create_time() - process["started"]) < 2  # the clock may be set meanwhile
        return not same or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Claim:
    """This process's right to run a study, which no other process has meanwhile.

    Each process writes its claim and then reads all: of two, at least one sees the other, and
    whoever sees another one that holds takes its own back. So never two hold; if both gave way,
    each tries again after a moment of random length.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.key = study, f"{CLAIM}{uuid4().hex}"
        self.claim: dict[str, Any] = {**this_process(), "since": time.time()}

    def take(self) -> None:
        """Raise StudyError, which says who it is, if another process runs the study."""
        for attempt in range(TRIES):
            self.renew()
            other = holder(self.study, but=self.key)
            if other is None:
                return
            self.release()
            if attempt == TRIES - 1 or other["since"] < self.claim["since"] - 1:
                raise _being_run(self.study, other)
            time.sleep(random.uniform(0.05, 0.5))

    def renew(self) -> None:
        """Say that the claim is still meant; processes on other hosts go by that."""
        self.claim["renewed"] = time.time()
        self.study.set_user_attr(self.key, self.claim)

    def release(self) -> None:
        """Let others have the study."""
        self.study.set_user_attr(self.key, None)


@contextmanager
def claimed(study: Study) -> Iterator[Claim]:
    """Hold the study for as long as the block runs; raises StudyError if another process does."""
    claim = Claim(study)
    claim.take()
    try:
        yield claim
    finally:
        claim.release()


def holder(study: Study, *, but: str = "") -> dict[str, Any] | None:
    """Return the claim that holds the study, if one does: that of a process which lives."""
    for key, claim in study.user_attrs.items():
        if key.startswith(CLAIM) and key != but and claim and not _has_lapsed(claim):
            return dict(claim)
    return None


def _being_run(study: Study, claim: dict[str, Any]) -> StudyError:
    since = datetime.fromtimestamp(claim["since"]).strftime("%Y-%m-%d %H:%M:%S")
    who = f"process {claim['pid']} on {claim['host']} since {since}"
    return StudyError(f"study '{study.study_name}' is being run by {who}; stop that first")


def _has_lapsed(claim: dict[str, Any]) -> bool:
    if claim["host"] != socket.gethostname():
        return time.time() - float(claim["renewed"]) > CLAIM_SECONDS
    return is_dead(claim)
