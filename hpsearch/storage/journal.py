"""Optuna's journal file, with a lock that a killed process cannot leave behind."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from hpsearch.errors import Argument, StorageError
from hpsearch.internals import RUNNING_TRIAL_OPERATIONS

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


JOURNAL_START = b'{"op_code":'


class JournalLock:
    """Optuna's lock protocol by `flock` on the journal file itself.

    The kernel releases the lock when its holder dies, even by SIGKILL. Optuna's own lock is a file,
    which a killed process leaves behind and which stalls the next start for 30 seconds. The holder
    of the lock is the only writer, so an unfinished last line comes from a killed process or a full
    disk: it is cut off. Optuna would append to it and could never read the file again.
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
            os.close(self._file)  # which releases the lock
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
    """Optuna's journal, which waits for the disk when a trial ends and not at each report.

    What was written survives a kill of its process. A power failure may lose entries of a running
    trial, which would be run again anyway, but none of a finished trial.
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
                if any(log["op_code"] not in RUNNING_TRIAL_OPERATIONS for log in logs):
                    os.fsync(file.fileno())
        finally:
            self.lock.release()


def open_journal(path: Path) -> BaseStorage:
    if not path.parent.is_dir():
        raise StorageError(f"storage '{path}': there is no folder '{path.parent}'")
    lock = JournalLock(path)
    try:
        _refuse_other_files(path)  # before the lock cuts off an unfinished line
        backend = JournalFile(path, lock)
        lock.acquire()  # also proves that the file can be written
        lock.release()
        return JournalStorage(backend)
    except OSError as error:
        raise StorageError(f"storage '{path}': {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise StorageError(
            f"storage '{path}': this file is not an Optuna journal; name another one with ",
            Argument("storage", "=…"),
        ) from error


def _refuse_other_files(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(len(JOURNAL_START))
        if not JOURNAL_START.startswith(start):  # a torn first line may be shorter
            raise ValueError("does not start as a journal does")
