"""Opening a storage: a journal file by its path, or a database by its URL."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from hpsearch.errors import StorageError
from hpsearch.storage.journal import open_journal

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

DEFAULT_STORAGE = "hpsearch.journal"
IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")
HEARTBEAT_SECONDS = 60
KEPT = "finished trials are kept, and the same command continues"  # after a lost storage


def storage_url(given: str | None = None) -> str:
    """Return the URL of the storage: `given`, else HPSEARCH_STORAGE, else the default file."""
    return given or os.environ.get("HPSEARCH_STORAGE") or DEFAULT_STORAGE


def open_storage(url: str, *, create: bool = True) -> BaseStorage:
    """Open `url`: a database (`sqlite:///…`, `postgresql://…`) or the path of a journal file.

    Raises StorageError, which never shows a password; without `create` also where the file does not
    exist.
    """
    if not create and not storage_exists(url):
        raise StorageError(f"storage '{redact(url)}' does not exist; hpsearch study makes one")
    return _open_database(url) if "://" in url else open_journal(Path(url))


def storage_exists(url: str) -> bool:
    """Whether the file of `url` exists; a database server is assumed to."""
    if "://" not in url:
        return Path(url).exists()
    if not url.startswith("sqlite:///"):
        return True
    return Path(make_url(url).database or "").is_file()


def redact(url: str) -> str:
    """Return `url` without its password and query; only the scheme where it cannot be parsed."""
    if "://" not in url:
        return url
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    # An @ cuts the password short, and the rest of it reads as part of the host.
    if parsed is None or (parsed.password and "@" in f"{parsed.host}{parsed.database}"):
        return url.partition("://")[0] + "://***"
    if parsed.password is None and not parsed.query:
        return url
    return parsed.set(query={}).render_as_string(hide_password=True)


@contextmanager
def storage_errors(url: str, *, hint: str = "") -> Iterator[None]:
    """Turn the errors of a storage, such as a full disk or a lost database, into a StorageError.

    hint: what to do about it.
    """
    try:
        yield
    except (OSError, SQLAlchemyError, StorageInternalError, AssertionError) as error:
        cause = _cause(error)
        if not isinstance(cause, (OSError, SQLAlchemyError)):
            raise
        what = getattr(cause, "strerror", None) or getattr(cause, "orig", None) or cause
        sentence = f"storage '{redact(url)}': {' '.join(str(what).split())}"
        raise StorageError(f"{sentence}; {hint}" if hint else sentence) from error


def _cause(error: BaseException | None) -> BaseException | None:
    """Return the storage's own error, which Optuna wraps."""
    if isinstance(error, AssertionError):  # Optuna wrongly assumes that the trial is finished
        error = error.__context__
    return error.__cause__ if isinstance(error, StorageInternalError) else error


def _open_database(url: str) -> BaseStorage:
    if url in IN_MEMORY:
        raise StorageError(f"storage '{url}': a database in memory keeps nothing; name a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are experimental
            return RDBStorage(url, heartbeat_interval=HEARTBEAT_SECONDS)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        # A ValueError complains about the port, and may quote a misplaced password.
        what = "its port is no number" if isinstance(error, ValueError) else error
        raise StorageError(
            f"storage '{redact(url)}': no database of this kind can be opened ({what}); use "
            "sqlite:///FILE, postgresql://… with its driver installed, or the path of a journal"
        ) from None
    except (SQLAlchemyError, RuntimeError) as error:
        what = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StorageError(f"storage '{redact(url)}': cannot be opened: {what}") from None
