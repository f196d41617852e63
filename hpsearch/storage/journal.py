"""Optuna's journal file, with a lock that a killed process cannot leave behind."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shlex
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

from optuna.storages.journal import JournalFileBackend
from pydantic_core import from_json

from hpsearch.errors import Argument, StorageError
from hpsearch.files import written_whole
from hpsearch.internals import RUNNING_TRIAL_OPERATIONS
from hpsearch.storage.compaction import WRITER, compact
from hpsearch.storage.replayed import Compacted, OutdatedError, ReplayedStorage

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from hpsearch.storage.patience import Patience


JOURNAL_START = b'{"op_code":'
# What Optuna raises where a journal holds something else than entries in their order.
NOT_REPLAYED = (ValueError, KeyError, TypeError, AttributeError, AssertionError)
LOCK_SECONDS = 5.0  # as SQLite waits for its lock
SHORTEST_PAUSE, LONGEST_PAUSE = 0.0002, 0.02  # seconds between two looks at the lock


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
        """Take the lock; raise BlockingIOError if another process holds it for LOCK_SECONDS."""
        try:
            _cut_unfinished_line(self._open_locked())
        except BaseException:
            self.release()
            raise
        return True

    def _open_locked(self) -> int:
        """Open the file and lock it, again if a compacted one has replaced it in the meantime."""
        while True:
            self._file = os.open(self.path, os.O_RDWR)
            _lock(self._file)
            if os.path.samestat(os.fstat(self._file), os.stat(self.path)):
                return self._file
            self.release()

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)  # which releases the lock
            self._file = None


def _lock(file: int) -> None:
    until, pause = time.monotonic() + LOCK_SECONDS, SHORTEST_PAUSE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise BlockingIOError(error.errno, "another process holds its lock") from None
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


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

    on_server = False

    def __init__(self, path: Path, lock: JournalLock) -> None:
        super().__init__(str(path), lock_obj=lock)  # type: ignore[arg-type]
        self.path, self.lock, self.shown = path, lock, str(path)
        self.own: set[int] = set()
        self.lines_read, self._end = 0, 0  # where the last entry ends, in bytes
        self._given: deque[dict[str, Any]] = deque()  # entries that the reader has not asked for
        self._is_current = False  # whether there is no need to look into the file
        self._first = b""  # the first line: each compaction writes another one

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries; raise OutdatedError before that if the file has been compacted.

        What others have appended is read while the lock is held, so that the reader who asks next
        is up to date: an entry that was appended must not be appended again.
        """
        lines = [_as_line(log) for log in logs]
        self.lock.acquire()
        try:
            with self.path.open("r+b") as file:
                self._given.extend(self._entries(file))
                file.seek(0, os.SEEK_END)
                file.writelines(lines)
                file.flush()
                if any(log["op_code"] not in RUNNING_TRIAL_OPERATIONS for log in logs):
                    os.fsync(file.fileno())
        finally:
            self.lock.release()
        for line, log in zip(lines, logs, strict=True):
            self._count(line)
            self._given.append(log)
        self._is_current = True

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Yield the entries from that number on; raise StorageError at a damaged line.

        Raises OutdatedError if another process has compacted the file since. An unfinished last
        line is left alone: another process may be writing it. Optuna would not mind a damaged last
        line until another one follows, and then refuse the whole file.
        """
        if log_number_from < self.lines_read - len(self._given):
            self.lines_read, self._end, self._is_current = 0, 0, False
            self._given.clear()
        while self._given:
            number = self.lines_read - len(self._given)
            entry = self._given.popleft()
            if number >= log_number_from:
                yield entry
        current, self._is_current = self._is_current, False
        if not current:
            with self.path.open("rb") as file:
                for entry in self._entries(file):
                    if self.lines_read > log_number_from:
                        yield entry

    def _entries(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        """Yield the entries of the file that have not been read yet."""
        if self.lines_read and not self._is_in(file):
            raise OutdatedError
        file.seek(self._end)
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._count(line)
            yield self._entry(line)

    def _count(self, line: bytes) -> None:
        if not self.lines_read:
            self._first = line
        self._end += len(line)
        self.lines_read += 1

    def skip_next_read(self, *, if_recent: bool) -> None:
        """Read anyway: a file is near."""

    def flush(self) -> None:
        """Do nothing: a file gets every entry at once."""

    def compact(self, studies: set[int]) -> Compacted:
        """Replace the file by one with an entry for each finished trial of these studies.

        It is written beside the file while others go on, and takes its place while the lock is
        held, together with what they have added.
        """
        lock = JournalLock(self.path)  # another thread may hold that of this object
        before = JournalFile(self.path, lock)
        found = compact(enumerate(before.read_logs(0)), studies)
        after = 0
        lock.acquire()
        try:
            with self.path.open("rb") as old, written_whole(self.path) as new:
                if not before._is_in(old):
                    raise BlockingIOError(errno.EAGAIN, "another process has just compacted it")
                known = os.fstat(old.fileno())
                os.fchmod(new.fileno(), known.st_mode)
                if os.geteuid() == 0:
                    os.fchown(new.fileno(), known.st_uid, known.st_gid)
                for number, line in enumerate(old):
                    kept = line
                    if not number:
                        kept = _as_line(from_json(line) | {"worker_id": f"{WRITER} {uuid4()}"})
                    if number in found.replaced:
                        kept = _as_line(found.replaced[number])
                    elif number < before.lines_read and found.goes(number, from_json(line)):
                        continue
                    new.write(kept)
                    after += 1
                new.flush()
                os.fsync(new.fileno())
        finally:
            lock.release()
        return Compacted(number + 1, after)

    def successor(self) -> JournalFile:
        """Return the same journal, of which nothing has been read."""
        new = JournalFile(self.path, JournalLock(self.path))
        new.own = self.own
        return new

    def _is_in(self, file: BinaryIO) -> bool:
        """Whether what was read is in this file, which may have been compacted since."""
        return os.pread(file.fileno(), len(self._first), 0) == self._first

    def _entry(self, line: bytes) -> dict[str, Any]:
        try:
            entry = from_json(line)  # in a quarter of the time of `json`
        except ValueError as error:
            raise self.damage() from error
        if not isinstance(entry, dict):
            raise self.damage()
        return entry

    def damage(self) -> StorageError:
        """Return what to say when the line that was read last cannot be used."""
        readable = self.lines_read - 1
        if not readable:
            return StorageError(
                f"storage '{self.path}': this file is not an Optuna journal; name another one "
                "with ",
                Argument("storage", "=…"),
            )
        return StorageError(
            f"storage '{self.path}': line {self.lines_read} is damaged; "
            f"`head -n {readable} {shlex.quote(str(self.path))} > mended.journal` keeps the "
            f"{readable} lines before it, which can be read, and ",
            Argument("storage", "=mended.journal"),
            " goes on with them",
        )


def _as_line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def open_journal(path: Path, patience: Patience, *, create: bool = True) -> BaseStorage:
    """Return the storage in a journal; without `create` nothing is written before it is used.

    A reader needs no right to write, and leaves the unfinished last line of a writer alone. Raises
    StorageError.
    """
    if not path.parent.is_dir():
        raise StorageError(f"storage '{path}': there is no folder '{path.parent}'")
    lock = JournalLock(path)
    try:
        backend = JournalFile(path, lock)
        if not _starts_as_a_journal(path):  # before the lock cuts off an unfinished line
            backend.lines_read = 1
            raise backend.damage()
        if create:
            patience.call(lock.acquire)  # also proves that the file can be written
            lock.release()
        return ReplayedStorage(backend)  # type: ignore[abstract]
    except OSError as error:
        raise StorageError(f"storage '{path}': {error.strerror}") from error
    except NOT_REPLAYED as error:
        raise backend.damage() from error


def _starts_as_a_journal(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(len(JOURNAL_START))
    return JOURNAL_START.startswith(start)  # a torn first line may be shorter
