"""What an exception of a storage means: whether it is the storage's, and whether it may pass."""

from __future__ import annotations

import errno
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from optuna.exceptions import StorageInternalError

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, or what a user or a process may have
LOCKED = errno.EAGAIN
STORAGE_ERRNOS = (*FULL, LOCKED, errno.EIO, errno.EROFS)
SQLITE_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
SQLITE_PASSING = (*SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
# Classes and codes of the SQL standard and PostgreSQL: a lost connection, a transaction that was
# rolled back, too few resources (which is also a full disk), a lock, an administrator, a standby.
PASSING_SQL_STATES = ("08", "40", "53", "55P03", "57P", "58", "25006")


def cause_of(error: BaseException | None) -> BaseException | None:
    """Return the storage's own error, which Optuna wraps."""
    if isinstance(error, AssertionError):  # Optuna wrongly assumes that the trial is finished
        error = error.__context__
    return error.__cause__ if isinstance(error, StorageInternalError) else error


def is_storage_error(error: BaseException) -> bool:
    """Whether an exception is one of a storage: a full disk, a lost database."""
    cause = cause_of(error)
    if isinstance(cause, OSError):
        return cause.errno in STORAGE_ERRNOS
    sql, driver = _sqlalchemy(), _psycopg()
    return (sql is not None and isinstance(cause, sql.SQLAlchemyError)) or (
        driver is not None and isinstance(cause, driver.Error)
    )


def is_locked(error: BaseException) -> bool:
    """Whether another process holds the lock of the file."""
    cause = cause_of(error)
    if isinstance(cause, OSError):
        return cause.errno == LOCKED
    sql = _sqlalchemy()
    return sql is not None and isinstance(cause, sql.DBAPIError) and _code(cause) in SQLITE_BUSY


def may_pass(error: BaseException) -> bool:
    """Whether the same operation may succeed later, without anybody changing anything in hpsearch.

    A server that restarts, a cut connection, a locked file and a full disk may pass; a missing
    right or table does not.
    """
    cause = cause_of(error)
    if isinstance(cause, OSError):
        return cause.errno in (*FULL, LOCKED, errno.EIO)
    driver = _psycopg()
    if driver is not None and isinstance(cause, driver.Error):
        lost = (driver.OperationalError, driver.InterfaceError)
        return _passes(cause.sqlstate, otherwise=isinstance(cause, lost))
    sql = _sqlalchemy()
    if sql is None or not isinstance(cause, sql.DBAPIError):
        return False
    if (code := _code(cause)) is not None:
        return code in SQLITE_PASSING
    state = getattr(cause.orig, "sqlstate", None) or getattr(cause.orig, "pgcode", None)
    lost = (sql.OperationalError, sql.InterfaceError)
    return _passes(state, otherwise=cause.connection_invalidated or isinstance(cause, lost))


def _passes(state: str | None, *, otherwise: bool) -> bool:
    """Whether an SQL state may pass; `otherwise` if the error has none."""
    return otherwise if state is None else state.startswith(PASSING_SQL_STATES)


def _sqlalchemy() -> Any:
    """Return SQLAlchemy's exceptions, None while nothing has imported it: then it raised none."""
    return sys.modules.get("sqlalchemy.exc")


def _psycopg() -> Any:
    """Return psycopg, None while nothing has imported it: then it raised no exception."""
    return sys.modules.get("psycopg")


def _code(error: DBAPIError) -> int | None:
    """Return the primary code of an error of SQLite, None if it is not one of SQLite."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
