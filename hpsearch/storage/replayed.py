"""A storage over a journal that may be compacted, or lose its end, while processes read it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from optuna.storages import JournalStorage
from optuna.trial import TrialState

from hpsearch.errors import StorageError
from hpsearch.internals import ForwardingStorage

if TYPE_CHECKING:
    from datetime import datetime

    from optuna.trial import FrozenTrial


class OutdatedError(Exception):
    """What this process has read is not in the journal any more: it has to read it again.

    The journal was compacted, or its server crashed and has lost what did not wait for the disk.
    """


@dataclass(frozen=True)
class Compacted:
    """How many entries a journal had, and how many it has now."""

    before: int
    after: int


class Journal(Protocol):
    """A journal of Optuna that says when it has to be read again.

    shown: its name, as it may be shown. on_server: whether it is more than a file of its readers.
    own: the ids of the trials that this process runs.
    """

    shown: str
    on_server: bool
    own: set[int]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries; raise OutdatedError."""

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the entries from that number on; raise OutdatedError."""

    def skip_next_read(self, *, if_recent: bool) -> None:
        """Let this thread's next read take what is known, or only if that is recent."""

    def flush(self) -> None:
        """Append what was kept back."""

    def compact(self, studies: set[int]) -> Compacted:
        """Say the same with fewer entries: one for each finished trial of these studies."""

    def successor(self) -> Journal:
        """Return a journal that has read nothing; this one is used no more."""


class ReplayedStorage(ForwardingStorage):
    """Optuna's storage over a journal, which it reads again from the start when it has to.

    Studies and trials keep their ids: compaction keeps them, and the creation of a study or a trial
    waits for the disk. So whoever uses the storage notices nothing.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._own: dict[int, datetime | None] = {}  # when own running trials were started
        self._ended: int | None = None  # the trial that this process has ended last
        self._rereading = threading.Lock()
        super().__init__(self._replayed())

    def __getstate__(self) -> dict[str, Any]:
        return {"journal": self.journal}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["journal"])  # type: ignore[misc]

    def forward(self, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call an operation of Optuna's storage, again after the journal has been read again."""
        while True:
            try:
                return operation(*args, **kwargs)
            except OutdatedError:
                self._read_again(operation.__self__)  # type: ignore[attr-defined]
                operation = getattr(self.storage, operation.__name__)

    def flush(self) -> None:
        """Append what the journal keeps back."""
        try:
            self.journal.flush()
        except OutdatedError:
            self._read_again(self.storage)

    def compact(self, studies: set[int]) -> Compacted:
        """Compact the journal, see `Journal`."""
        while True:
            try:
                return self.journal.compact(studies)
            except OutdatedError:  # another process has just done it
                self._read_again(self.storage)

    def _read_again(self, outdated: object) -> None:
        with self._rereading:
            if self.storage is outdated:  # or another thread has done it
                self.journal = self.journal.successor()
                self.storage = self._replayed()

    def _replayed(self) -> JournalStorage:
        """Return Optuna's storage over all of the journal."""
        while True:
            try:
                with without_collection():
                    storage = JournalStorage(self.journal)  # type: ignore[arg-type]
                self._check_own_trials(storage)
            except OutdatedError:
                self.journal = self.journal.successor()
            else:
                return storage

    def _check_own_trials(self, storage: JournalStorage) -> None:
        """Raise StorageError if a trial that this process runs is not there or is another one."""
        for trial_id, start in self._own.items():
            try:
                same = storage.get_trial(trial_id).datetime_start == start
            except KeyError:
                same = False
            if not same:
                raise StorageError(
                    f"storage '{self.journal.shown}': a trial is gone that had been confirmed, "
                    "as after a return to an old backup; start the command again"
                )

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial, as Optuna's storages do."""
        trial_id: int = self.forward(self.storage.create_new_trial, study_id, template_trial)
        if template_trial is None or template_trial.state is TrialState.RUNNING:
            self._begin(trial_id)
        return trial_id

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set the state, as Optuna's storages do."""
        done: bool = self.forward(self.storage.set_trial_state_values, trial_id, state, values)
        if state is TrialState.RUNNING and done:
            self._begin(trial_id)
        elif state.is_finished():
            self._own.pop(trial_id, None)
            self.journal.own.discard(trial_id)
            self._ended = trial_id
        return done

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial; of one that this process runs itself, what it knows is enough."""
        if trial_id == self._ended or trial_id in self.journal.own:
            self.journal.skip_next_read(if_recent=trial_id != self._ended)
        trial: FrozenTrial = self.forward(self.storage.get_trial, trial_id)
        return trial

    def _begin(self, trial_id: int) -> None:
        self.journal.own.add(trial_id)
        self._own[trial_id] = self.get_trial(trial_id).datetime_start


@contextmanager
def without_collection() -> Iterator[None]:
    """Pause the search for circular garbage: of the many objects of a journal, all are kept."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
