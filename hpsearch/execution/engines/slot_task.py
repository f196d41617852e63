"""What a process of an executor does for a study: it fills one slot, and returns the outcome.

Nothing else crosses the executor. That the study stops, and how far a trial is, both stand in the
storage, which a trial reads and writes anyway.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import (
    Argument,
    DataError,
    HpsearchError,
    Interrupted,
    StorageError,
    StudyError,
    TrackingError,
)
from hpsearch.execution.engines.forkserver import ENVIRONMENT
from hpsearch.execution.worker import Worker, threads_and_logs
from hpsearch.storage.open import KEPT, redact, sqlite_file, storage_errors, storage_exists
from hpsearch.trials.records import DONE, assigned_slot, current_start

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.execution.objective import WorkerObjective
    from hpsearch.execution.worker import WorkerTask

LOOK_SECONDS = 0.5  # from one look at whether the study stops to the next


@dataclass(frozen=True)
class Start:
    """A start of a study: what a process needs to open it, the same for all slots.

    key: tells it from other starts; the study names it while its workers may work. folder:
    the working directory, where a process has it. code: the files of a user's own model, by their
    names in its folder. model, data: digests of what a process must load. versions: of hpsearch and
    of what trains, by module.
    """

    key: str
    folder: str
    recipe: Callable[[], WorkerObjective] = field(repr=False)
    task: WorkerTask
    model: str
    data: str
    versions: Mapping[str, str] = field(repr=False)
    code: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class SlotOutcome:
    """What came of a slot.

    trial: the one that ended in it, None if it is to be filled again. tracking_lost: whether the
    tracking store could not be reached. error: why this study cannot be worked on. warnings: what
    the process had to say.
    """

    trial: FrozenTrial | None = None
    tracking_lost: bool = False
    error: HpsearchError | None = None
    warnings: tuple[str, ...] = ()


class StorageChannel:
    """The channel of a trial whose coordinator is only reached through the storage."""

    def __init__(self, study: Study, key: str) -> None:
        self.study, self.key = study, key
        self.trial: FrozenTrial | None = None
        self._looked = time.monotonic()

    def epoch(self, slot: int, epoch: int) -> None:  # noqa: ARG002
        """Raise Interrupted if the study stops, or works for another coordinator now."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        if current_start(self.study) != self.key:
            raise Interrupted
        self._looked = time.monotonic()

    def finished(self, trial: FrozenTrial) -> None:
        """Keep the trial, which is the outcome of the slot."""
        self.trial = trial


_one_at_a_time = threading.Lock()  # random states and thread counts belong to the process
_open: dict[str, Worker] = {}  # the worker of the last start that this process has worked for


def run_slot(start: Start, slot: int) -> SlotOutcome:
    """Fill a slot of a study.

    Errors and warnings are part of the outcome, and name the host: of an error that is raised, Dask
    would log the arguments.
    """
    with _one_at_a_time, _place_of(start), _heard() as warnings:
        where = f"a worker on {socket.gethostname()}, in {os.getcwd()}: "
        try:
            with storage_errors(start.task.storage, hint=KEPT):
                outcome = _filled(_worker(start), start, slot)
        except HpsearchError as error:
            outcome = SlotOutcome(error=type(error)(where, *error.args))
    return replace(outcome, warnings=tuple(f"{where}{warning}" for warning in warnings))


@contextmanager
def _heard() -> Iterator[dict[str, None]]:
    """Yield what hpsearch warns of while the block runs, each once."""
    heard: dict[str, None] = {}
    logger, handler = logging.getLogger("hpsearch"), logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.update({record.getMessage(): None})  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield heard
    finally:
        logger.removeHandler(handler)


def _filled(worker: Worker, start: Start, slot: int) -> SlotOutcome:
    study, tracker = worker.study, worker.task.tracker
    for trial in study.get_trials(deepcopy=False, states=DONE):
        if assigned_slot(trial) == slot:  # by an attempt whose outcome was lost on its way
            return SlotOutcome(trial)
    if current_start(study) != start.key:
        return SlotOutcome()
    channel = StorageChannel(study, start.key)
    with threads_and_logs():
        worker.run(slot, channel)
    return SlotOutcome(channel.trial, tracker is not None and tracker.lost)


def _worker(start: Start) -> Worker:
    """Return this process's worker for a start, opened the first time; raises HpsearchError."""
    if start.key not in _open:
        _open.clear()
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        _open[start.key] = _opened(start)
    return _open[start.key]


def _opened(start: Start) -> Worker:
    _check_versions(start.versions)
    task = start.task
    if not storage_exists(task.storage):
        raise StorageError(
            f"storage '{redact(task.storage)}' is a file that is not there; use a storage that all "
            "hosts share, such as journal+postgresql://…"
        )
    if task.tracker is not None:
        file = sqlite_file(task.tracker.store.uri)
        if file is not None and not file.is_file():
            raise TrackingError(
                f"tracking store '{redact(task.tracker.store.uri)}' is a file that is not there; "
                "use ",
                Argument("tracking_uri", "=http://…"),
                " of a server that all hosts reach",
            )
    objective = start.recipe()
    if objective.model.code != start.model:
        raise StudyError(
            f"{objective.model.name}: is not the code of the study; copy it there, or remove it "
            "there, and it is sent along"
        )
    if objective.model.digest != start.data:
        source = objective.settings.data.source
        raise DataError(f"data.source: {source} is not what the study has begun with")
    return Worker(objective, task, fenced=True)


def _check_versions(versions: Mapping[str, str]) -> None:
    """Raise StudyError if this process has other versions than the coordinator."""
    own = versions_of(versions)
    different = [
        f"{name} {own[name] or 'is missing'} instead of {version}"
        for name, version in versions.items()
        if own[name] != version
    ]
    if different:
        raise StudyError(f"has {', '.join(different)}; install the same versions there")


def versions_of(modules: Iterable[str]) -> dict[str, str]:
    """Return the version of each module, "" if it is not installed or has none."""
    found = dict.fromkeys(modules, "")
    for name in found:
        with suppress(ImportError):
            found[name] = str(getattr(import_module(name), "__version__", ""))
    return found


@contextmanager
def _place_of(start: Start) -> Iterator[None]:
    """Work in the folder of the study, or where this host has none, in one with its code."""
    before, folder = os.getcwd(), Path(start.folder)
    if start.code and not all((folder / name).is_file() for name in start.code):
        folder = _unpacked(start)
    if folder.is_dir():
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _unpacked(start: Start) -> Path:
    """Return a folder with the files of the study's model, which are written once a process."""
    folder = Path(tempfile.gettempdir()) / f"hpsearch-{start.key}-{os.getpid()}"
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        for name, content in start.code.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return folder
