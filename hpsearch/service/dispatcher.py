"""The dispatcher: it starts the studies that are wanted, each as a process of its own.

What is wanted is written on the studies in their storage, and who runs a study is its lease. So the
dispatcher knows nothing that it could lose: when the service is killed, its studies go on, and the
next service finds them.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil

from hpsearch.errors import BusyError, HpsearchError, StorageError
from hpsearch.search.queue import ask_to_stop
from hpsearch.service.child import BUSY
from hpsearch.service.holders import Holders
from hpsearch.storage.catalog import all_searches
from hpsearch.storage.leases import is_local
from hpsearch.trials.records import is_for_clients, wish_of, write_wish

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from hpsearch.trials.records import ProcessId, Wish
    from hpsearch.workspace import Workspace

TICK_SECONDS = 0.5
MOST_DEATHS = 3  # of the processes of a study in a row, before it is given up
STOP_SECONDS = 20.0  # how long processes may take to end their epochs when the service ends
CHILD = "hpsearch.service.child"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunPlan:
    """How the studies run, and how much each may ask for.

    at_once: how many run at a time. jobs: the most trials of each at a time. most_trials: of a
    study. most_studies: that wait or run, of one token.
    """

    at_once: int = 1
    jobs: int = 1
    cluster: str | None = None
    most_trials: int = 100_000
    most_studies: int = 100

    def arguments(self, name: str, *, tracked: bool) -> list[str]:
        """Return the arguments of the process of a study."""
        cluster = [] if self.cluster is None else ["--cluster", self.cluster]
        untracked = [] if tracked else ["--untracked"]
        return ["-m", CHILD, name, "--jobs", str(self.jobs), *cluster, *untracked]


class Dispatcher:
    """A thread that brings about what is wanted of the studies in a storage.

    serve: makes a study that clients train, and that is wanted to run, ready for them. delete:
    deletes a study that nobody runs.
    """

    def __init__(
        self,
        workspace: Workspace,
        storage: BaseStorage,
        plan: RunPlan,
        *,
        serve: Callable[[Study], None],
        delete: Callable[[str], None],
    ) -> None:
        self.workspace, self.storage, self.plan = workspace, storage, plan
        self.serve, self.delete = serve, delete
        self.holders = Holders(storage)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._adopted = set[str]()  # the names of studies whose processes run already
        self._deaths = Counter[str]()
        self._wake, self._ending = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look at once: something else is wanted."""
        self._wake.set()

    def is_starting(self, name: str) -> bool:
        """Whether the process of a study has been started, and may not hold its lease yet."""
        return name in self._children

    def end(self) -> None:
        """End the thread, and interrupt the studies that it has started; they stay wanted."""
        self._ending = True
        self._wake.set()
        self._thread.join()
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
        for study in all_searches(self.storage):  # those that an earlier service has started
            if self._runs_as_a_child(study):
                ask_to_stop(self.storage, study)

    def _run(self) -> None:
        said = ""
        while not self._ending:
            try:
                self.tick()
                said = ""
            except HpsearchError as error:
                if str(error) != said:
                    said = str(error)
                    logger.warning("%s; the service tries again", said)
            except Exception:  # the next look may go better, and the service has to live
                logger.exception("the dispatcher failed; it tries again")
            self._wake.wait(TICK_SECONDS)
            self._wake.clear()
        self.storage.remove_session()

    def tick(self) -> None:
        """Look once at what is wanted, and begin it."""
        wished = [(study, wish) for study in all_searches(self.storage) if (wish := wish_of(study))]
        self._reap({study.study_name: study for study, _ in wished})
        self._adopted = {study.study_name for study, _ in wished if self._runs_as_a_child(study)}
        for study, wish in sorted(wished, key=_order):
            try:
                self._bring_about(study, wish)
            except BusyError:
                pass  # another service was faster
            except StorageError:
                raise
            except HpsearchError as error:
                write_wish(study, replace(wish, want="failed", said=str(error)))

    def _bring_about(self, study: Study, wish: Wish) -> None:
        """Begin what is wanted of one study, if it can begin now."""
        name = study.study_name
        if wish.want == "delete" and name not in self._children:
            if self.holders.of(study) is None:
                self.delete(name)
        elif wish.want == "run" and wish.task == "search" and is_for_clients(study):
            self.serve(study)
        elif wish.want == "run" and self._has_room(name) and self.holders.of(study) is None:
            self._children[name] = self._started(name)

    def _has_room(self, name: str) -> bool:
        running = self._adopted | self._children.keys()
        return name not in running and len(running) < self.plan.at_once

    def _runs_as_a_child(self, study: Study) -> bool:
        """Whether a dispatcher, this one or an earlier one, has started what runs a study."""
        holder = self.holders.of(study)
        return holder is not None and _is_child(holder.process)

    def _started(self, name: str) -> subprocess.Popen[bytes]:
        """Start the process of a study, in a session of its own: Ctrl-C is for the service."""
        environment = {
            **os.environ,
            "HPSEARCH_STORAGE": self.workspace.storage_url,
            "MLFLOW_TRACKING_URI": self.workspace.tracking_uri,
            "HPSEARCH_URL": self.workspace.page,
        }
        arguments = self.plan.arguments(name, tracked=self.workspace.tracked)
        return subprocess.Popen(
            [sys.executable, "-P", *arguments],  # a file here may have the name of a package
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _reap(self, studies: dict[str, Study]) -> None:
        """Note which processes have ended; give up a study whose processes die again and again."""
        for name, child in [*self._children.items()]:
            code = child.poll()
            if code is None:
                continue
            del self._children[name]
            died = code not in (0, 1, BUSY, 130, 143)
            self._deaths[name] = self._deaths[name] + 1 if died else 0
            study = studies.get(name)
            if study is None or self._deaths[name] < MOST_DEATHS:
                continue
            self._deaths[name] = 0
            wish = wish_of(study)
            if wish is not None and wish.want == "run":
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                said = f"its process died {MOST_DEATHS} times, the last time with {how}"
                write_wish(study, replace(wish, want="failed", said=said))


def _order(wished: tuple[Study, Wish]) -> tuple[int, float]:
    return -wished[1].priority, wished[1].since


def _is_child(process: ProcessId) -> bool:
    """Whether a process of this machine was started by a dispatcher."""
    if not is_local(process):
        return False
    try:
        return CHILD in psutil.Process(process.pid).cmdline()
    except psutil.Error:
        return False
