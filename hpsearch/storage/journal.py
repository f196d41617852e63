"""TODO."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation

from hpsearch.errors import StorageError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


JOURNAL_START = b'{"op_code":'
OF_RUNNING_TRIALS = {
    JournalOperation.CREATE_TRIAL,
    JournalOperation.SET_TRIAL_PARAM,
    JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
    JournalOperation.SET_TRIAL_USER_ATTR,
    JournalOperation.SET_TRIAL_SYSTEM_ATTR,
}


class JournalLock:
    """Optuna's lock protocol over `flock`, on the journal file itself.

    The kernel releases it when its holder dies, however it dies; Optuna's own lock is a file that
    stays behind and stalls the next start for 30 seconds. And because whoever holds the lock is
    the only writer, an unfinished last line is the remains of a death or a full disk: it is cut,
    where Optuna would append to it and never read the file again.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        self._file = os.open(self.path, os.O_RDWR)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            _cut_unfinished_line(self._file)
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)  # and with it goes the lock
            self._file = None


def _cut_unfinished_line(file: int) -> None:
    size = end = os.lseek(file, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 4096)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)


class JournalFile(JournalFileBackend):
    """Optuna's journal, which waits for the disk at the end of a trial and not at each report.

    A line that was written outlives its process. An outage of the machine may take what was said
    of a running trial, which is done again anyway; of a finished one it takes nothing.
    """

    def __init__(self, path: Path, lock: JournalLock) -> None:
        super().__init__(str(path), lock_obj=lock)  # type: ignore[arg-type]
        self.path, self.lock = path, lock

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self.lock.acquire()
        try:
            with self.path.open("ab") as file:
                file.write(lines.encode())
                file.flush()
                if any(log["op_code"] not in OF_RUNNING_TRIALS for log in logs):
                    os.fsync(file.fileno())
        finally:
            self.lock.release()


def _open_journal(path: Path) -> BaseStorage:
    if not path.parent.is_dir():
        raise StorageError(f"storage '{path}': there is no folder '{path.parent}'")
    lock = JournalLock(path)
    try:
        _refuse_other_files(path)  # before the lock cuts what it takes for an unfinished line
        backend = JournalFile(path, lock)
        lock.acquire()  # also proves that the file can be written
        lock.release()
        return JournalStorage(backend)
    except OSError as error:
        raise StorageError(f"storage '{path}': {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise StorageError(
            f"storage '{path}': this file is no Optuna journal; name another with --storage"
        ) from error


def _refuse_other_files(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(len(JOURNAL_START))
        if not JOURNAL_START.startswith(start):  # of a torn first line there may be less
            raise ValueError("does not start as a journal does")
