"""Compaction: the entries of a journal that say the same with one entry a trial.

A finished trial never changes, so all that was said of it fits into the entry that creates it. That
entry keeps its place, because Optuna numbers trials by it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import TrialState, create_trial

from hpsearch.errors import Argument, Command, Sentence, StorageError
from hpsearch.internals import CREATE_STUDY, STUDY_ATTRIBUTES, JournalIndex
from hpsearch.storage.failures import is_storage_error
from hpsearch.storage.patience import PatientStorage, in_a_line
from hpsearch.storage.replayed import Compacted, ReplayedStorage, without_collection

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)
Entry = dict[str, Any]
WRITER = "compaction"
TIMES = ("datetime_start", "datetime_complete")


def compact_studies(storage: BaseStorage, studies: Iterable[Study]) -> Compacted:
    """Compact a journal; raise StorageError where the storage is none.

    Others may use the studies at the same time. What is said of running trials stays as it is.
    """
    replayed = _replayed(storage)
    if replayed is None:
        raise StorageError(
            "only a journal can be compacted, and this storage is none; name one with ",
            Argument("storage", "=…"),
        )
    ids = {storage.get_study_id_from_name(study.study_name) for study in studies}
    if isinstance(storage, PatientStorage):
        return storage.forward(replayed.compact, ids)
    return replayed.compact(ids)


def compact_at_the_end(storage: BaseStorage, study: Study) -> None:
    """Compact a study that has ended, in a journal on a server; if it fails, that is a warning."""
    replayed = _replayed(storage)
    if replayed is None or not replayed.journal.on_server:
        return
    try:
        compact_studies(storage, [study])
    except Exception as error:
        if not (isinstance(error, StorageError) or is_storage_error(error)):
            raise
        command = Command("compact", study.study_name)
        logger.warning(
            "%s",
            Sentence(
                f"study '{study.study_name}' was not compacted: {in_a_line(error)}; `",
                command,
                "` does it later",
            ),
        )


def _replayed(storage: BaseStorage) -> ReplayedStorage | None:
    """Return the storage over a journal, None if this is a storage of another kind."""
    inner = storage.storage if isinstance(storage, PatientStorage) else storage
    return inner if isinstance(inner, ReplayedStorage) else None


@dataclass
class Compaction:
    """What replaces the entries of some studies.

    replaced: the new entry by the number of the entry that creates a finished trial; its other
    entries go. trials: the ids of those trials. superseded: the numbers of entries about a study
    that later ones replace. deleted: the ids of studies that were deleted.
    """

    replaced: dict[int, Entry] = field(default_factory=dict)
    trials: set[int] = field(default_factory=set)
    superseded: set[int] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)

    def goes(self, number: int, entry: Entry) -> bool:
        """Whether an entry is dropped."""
        return (
            number in self.superseded
            or entry.get("trial_id") in self.trials
            or (entry["op_code"] in STUDY_ATTRIBUTES and entry["study_id"] in self.deleted)
        )


class _Recorder(BaseJournalBackend):
    """A journal in memory."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    def append_logs(self, logs: list[Entry]) -> None:
        self.entries += logs

    def read_logs(self, log_number_from: int) -> list[Entry]:
        return self.entries[log_number_from:]


class _Replay(BaseJournalBackend):
    """Gives numbered entries to Optuna, and notes what compaction needs to know of them."""

    def __init__(self, entries: Iterable[tuple[int, Entry]]) -> None:
        self.entries = entries
        self.index = JournalIndex()
        self.first: Entry = {}  # the entry that creates the first study
        self.created: list[int] = []  # the numbers of the entries that create trials, by their ids
        self.times: dict[tuple[int, str], list[str]] = {}
        self.attributes: dict[tuple[int, int, str], int] = {}
        self.superseded: dict[int, int] = {}  # the id of the study, by the number of the entry

    def append_logs(self, logs: list[Entry]) -> None:
        raise AssertionError(f"a journal that is compacted is only read, and not given {logs}")

    def read_logs(self, log_number_from: int) -> Iterator[Entry]:
        if log_number_from:
            return
        for number, entry in self.entries:
            self.first = self.first or (entry if entry["op_code"] == CREATE_STUDY else {})
            trial = self.index.add(entry)
            if trial is not None:
                self.created.append(number)
            self._note(number, entry, entry.get("trial_id", trial))
            yield entry

    def entry_of(self, trial: FrozenTrial, study_id: int) -> Entry:
        """Return the entry that creates a finished trial, as Optuna writes it."""
        recorder = _Recorder([self.first])  # which creates a study
        JournalStorage(recorder).create_new_trial(0, template_trial=trial)
        return recorder.entries[-1] | {"study_id": study_id, "worker_id": WRITER}

    def _note(self, number: int, entry: Entry, trial: int | None) -> None:
        for key in TIMES:
            if trial is not None and entry.get(key) is not None:
                self.times.setdefault((trial, key), []).append(entry[key])
        operation = entry["op_code"]
        if operation in STUDY_ATTRIBUTES and entry["study_id"] in self.index.studies:
            (name,) = entry[STUDY_ATTRIBUTES[operation]]
            place = (operation, entry["study_id"], name)
            if place in self.attributes:
                self.superseded[self.attributes[place]] = entry["study_id"]
            self.attributes[place] = number


def compact(entries: Iterable[tuple[int, Entry]], studies: set[int]) -> Compaction:
    """Return what replaces the entries of these studies, and of those that were deleted.

    entries: all of the journal, with their numbers; of other studies those that create trials are
    enough. studies: their ids.
    """
    replay = _Replay(entries)
    with without_collection():
        storage = JournalStorage(replay)
    ids = studies & replay.index.studies.keys()
    result = Compaction(deleted={*range(replay.index.created)} - replay.index.studies.keys())
    result.superseded = {n for n, study_id in replay.superseded.items() if study_id in ids}
    trials_of: dict[int, list[int]] = {study_id: [] for study_id in ids}
    if not replay.index.study_of:
        return result
    gone = replay.entry_of(create_trial(state=TrialState.FAIL), 0) | {"datetime_start": None}
    del gone["datetime_complete"]
    for trial_id, study_id in enumerate(replay.index.study_of):
        if study_id in ids:
            trials_of[study_id].append(trial_id)
        elif study_id in result.deleted:
            result.trials.add(trial_id)
            result.replaced[replay.created[trial_id]] = gone | {"study_id": study_id}
    for study_id, trial_ids in trials_of.items():
        trials = storage.get_all_trials(study_id, deepcopy=False)
        for trial_id, trial in zip(trial_ids, trials, strict=True):
            if trial.state.is_finished():
                result.trials.add(trial_id)
                entry = replay.entry_of(trial, study_id) | _times(replay, trial_id, trial)
                result.replaced[replay.created[trial_id]] = entry
    return result


def _times(replay: _Replay, trial_id: int, trial: FrozenTrial) -> Entry:
    """Return the times of a trial as they were written.

    Optuna turns them into the local time of this machine, which happens twice when a summer ends.
    """
    found = {}
    for key in TIMES:
        for text in replay.times.get((trial_id, key), ()):
            local = datetime.fromisoformat(text).astimezone().replace(tzinfo=None)
            if local == getattr(trial, key):
                found[key] = text
    return found
