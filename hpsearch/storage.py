"""Where Optuna keeps a study: a journal file with a lock of ours, or a database by URL."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from hpsearch.errors import StorageError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

DEFAULT_STORAGE = "hpsearch.journal"
HEARTBEAT_SECONDS = 60


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
    """Return `url` as it may be shown: without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True) if "://" in url else url
    except ArgumentError:
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"


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


def _open_journal(path: Path) -> BaseStorage:
    if not path.parent.is_dir():
        raise StorageError(f"storage '{path}': there is no folder '{path.parent}'")
    lock = JournalLock(path)
    try:
        backend = JournalFileBackend(str(path), lock_obj=lock)  # type: ignore[arg-type]
        lock.acquire()  # also proves that the file can be written
        lock.release()
        return JournalStorage(backend)
    except OSError as error:
        raise StorageError(f"storage '{path}': {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"storage '{path}': this file is no Optuna journal; name another with --storage"
        ) from error


def _open_database(url: str) -> BaseStorage:
    try:
        return RDBStorage(url, heartbeat_interval=HEARTBEAT_SECONDS)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise StorageError(
            f"storage '{redact(url)}': no database of this kind can be opened ({error}); use "
            "sqlite:///FILE, postgresql://… with its driver installed, or the path of a journal"
        ) from None
    except (SQLAlchemyError, RuntimeError) as error:
        what = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StorageError(f"storage '{redact(url)}': cannot be opened: {what}") from None
