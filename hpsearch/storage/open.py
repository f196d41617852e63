"""Where Optuna keeps a study: a journal file with a lock of ours, or a database by URL."""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from hpsearch.errors import StorageError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

DEFAULT_STORAGE = "hpsearch.journal"
JOURNAL_START = b'{"op_code":'
IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")
HEARTBEAT_SECONDS = 60
OF_RUNNING_TRIALS = {
    JournalOperation.CREATE_TRIAL,
    JournalOperation.SET_TRIAL_PARAM,
    JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
    JournalOperation.SET_TRIAL_USER_ATTR,
    JournalOperation.SET_TRIAL_SYSTEM_ATTR,
}


def storage_url(given: str | None = None) -> str:
    """Return where studies are kept: as given, or HPSEARCH_STORAGE, or the default file."""
    return given or os.environ.get("HPSEARCH_STORAGE") or DEFAULT_STORAGE


def open_storage(url: str, *, create: bool = True) -> BaseStorage:
    """Open `url`: a database (`sqlite:///…`, `postgresql://…`) or the path of a journal file.

    Raises StorageError, in which a password never appears; without `create`, also for a file that
    does not exist.
    """
    if not create and not storage_exists(url):
        raise StorageError(f"storage '{redact(url)}' does not exist; hpsearch study makes one")
    return _open_database(url) if "://" in url else _open_journal(Path(url))


def storage_exists(url: str) -> bool:
    """Whether the file of `url` is there; a database server is taken to be."""
    if "://" not in url:
        return Path(url).exists()
    if not url.startswith("sqlite:///"):
        return True
    return Path(make_url(url).database or "").is_file()


def redact(url: str) -> str:
    """Return `url` as it may be shown: without password and query; if it is odd, its scheme."""
    if "://" not in url:
        return url
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    # An @ in the password cuts it short, and what is left of it reads as part of the host.
    if parsed is None or (parsed.password and "@" in f"{parsed.host}{parsed.database}"):
        return url.partition("://")[0] + "://***"
    if parsed.password is None and not parsed.query:
        return url
    return parsed.set(query={}).render_as_string(hide_password=True)


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what a storage throws at work, a full disk or a lost database, into a StorageError."""
    try:
        yield
    except (OSError, SQLAlchemyError, StorageInternalError, AssertionError) as error:
        cause = _cause(error)
        if not isinstance(cause, (OSError, SQLAlchemyError)):
            raise
        what = getattr(cause, "strerror", None) or getattr(cause, "orig", None) or cause
        raise StorageError(
            f"storage '{redact(url)}': {what}; what was finished is kept, and the same command "
            "goes on"
        ) from error


def _cause(error: BaseException | None) -> BaseException | None:
    """Return what the storage said, beneath what Optuna made of it."""
    if isinstance(error, AssertionError):  # that the trial is finished by now: it is not
        error = error.__context__
    return error.__cause__ if isinstance(error, StorageInternalError) else error


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


def _open_database(url: str) -> BaseStorage:
    if url in IN_MEMORY:
        raise StorageError(f"storage '{url}': a database in memory keeps nothing; name a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # so it calls heartbeats
            return RDBStorage(url, heartbeat_interval=HEARTBEAT_SECONDS)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        # A ValueError is about a port that is no number, and may quote a misplaced password.
        what = "its port is no number" if isinstance(error, ValueError) else error
        raise StorageError(
            f"storage '{redact(url)}': no database of this kind can be opened ({what}); use "
            "sqlite:///FILE, postgresql://… with its driver installed, or the path of a journal"
        ) from None
    except (SQLAlchemyError, RuntimeError) as error:
        what = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StorageError(f"storage '{redact(url)}': cannot be opened: {what}") from None
