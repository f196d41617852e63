"""Optuna's journal in a table of PostgreSQL, which any number of machines can share.

One call of a function in the database appends what this process has to say, and returns what others
have said since. What a process says of a trial that it runs itself is applied here at once and is
written a moment later, together with what follows: a trial of twenty reports needs four calls.
Optuna's own tables need about thirty.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakSet

from optuna.storages.journal import BaseJournalBackend
from pydantic_core import from_json

from hpsearch.errors import Command, StorageError
from hpsearch.internals import (
    CREATE_STUDY,
    DELETE_STUDY,
    WRITE_BEHIND_OPERATIONS,
    JournalIndex,
)
from hpsearch.storage.patience import Patience, in_a_line
from hpsearch.storage.postgres_compaction import compact_journal
from hpsearch.storage.postgres_entries import as_text, entry_of
from hpsearch.storage.postgres_schema import OUTDATED, VERSION, create_tables, stored_version
from hpsearch.storage.replayed import Compacted, OutdatedError, ReplayedStorage
from hpsearch.trials.records import BULKY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection


SCHEME, SCHEMA = "journal+postgresql://", "schema="  # how a URL begins, and an option of ours
BEHIND_SECONDS = 0.2  # how long an entry of this process's own running trial may wait
SETTLED_SECONDS = 10.0  # PostgreSQL writes to the disk what did not wait for it in under a second
PLACE = (
    "%s::bigint, %s::uuid, %s::bigint, %s::bigint, %s::uuid, %s::int"  # see PostgresJournal._place
)
PAGE = 2000  # entries that are read at a time
SETTINGS = {  # of a connection: a lock or a statement that takes longer than this has gone wrong
    "default_transaction_isolation": "read committed",
    "lock_timeout": "15s",
    "statement_timeout": "60s",
}
CONNECTION = {  # a host that does not answer is noticed in 20 seconds instead of two hours
    "application_name": "hpsearch",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
}

_READ = (  # what a forked process goes on with: what was read before the fork
    *("_index", "_given", "_base", "_last", "_read_at", "_retired"),
    *("_position", "_position_writer", "_position_number", "_compactions"),
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """Where a journal is. shown: its URL as it may be shown. schema: "" is the server's default."""

    shown: str
    connection: str = field(repr=False)  # has the password
    schema: str = ""


def parse_address(url: str, shown: str) -> Address:
    """Return the address in a URL; raise StorageError, which shows no more of it than `shown`."""
    _check_installed(shown)
    from urllib.parse import unquote

    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    base, _, query = url.removeprefix("journal+").partition("?")
    options = query.split("&") if query else []
    schemas = [option for option in options if option.startswith(SCHEMA)]
    rest = "&".join(option for option in options if not option.startswith(SCHEMA))
    schema = unquote(schemas[-1].removeprefix(SCHEMA)) if schemas else ""
    try:
        known = conninfo_to_dict(f"{base}?{rest}" if rest else base)
        if not str(known.get("port", "0")).replace(",", "").isdecimal():
            raise ProgrammingError("the port is no number")
        return Address(shown, make_conninfo("", **{**CONNECTION, **known}), schema)
    except ProgrammingError:
        raise StorageError(
            f"storage '{shown}': this address cannot be read; write "
            f"{SCHEME}USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS, and special characters as %40"
        ) from None  # libpq's own words may quote the password


def _check_installed(shown: str) -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise StorageError(
            f"storage '{shown}': this needs psycopg, which cannot be imported ({error}); "
            "`pip install 'hpsearch[postgres]'` installs it"
        ) from None


@dataclass(slots=True)
class _Entry:
    """An entry of this process. ahead: it was applied here before it was written."""

    number: int
    log: dict[str, Any]
    study: int | None
    trial: int | None
    ahead: bool
    sent: float = 0.0

    @property
    def is_bulky(self) -> bool:
        """Whether workers of other trials can do without it."""
        return self.trial is not None and not BULKY.isdisjoint(self.log.get("user_attr", ()))

    @property
    def may_be_lost(self) -> bool:
        """Whether a crash of the server may lose it: the trial would only be run again."""
        return self.log["op_code"] in WRITE_BEHIND_OPERATIONS


class PostgresJournal(BaseJournalBackend):
    """The journal of Optuna in one table.

    study: the name of the study whose worker reads the journal; it does without other studies and
    without the bulky attributes of others' trials. None reads everything.
    own: the ids of the trials that this process runs; what is said of them is written behind.
    """

    on_server = True

    def __init__(self, address: Address, patience: Patience, study: str | None = None) -> None:
        self.address, self.patience, self.shown = address, patience, address.shown
        self.study = study
        self.statements = 0  # sent to the server
        self._start()

    def _start(self) -> None:
        self.own: set[int] = set()
        self._process = os.getpid()
        self._mutex = threading.RLock()
        self._connection: Connection[Any] | None = None
        self._writer, self._count = uuid4(), 0
        self._unsent: list[_Entry] = []
        self._unsettled: list[_Entry] = []  # sent, but perhaps not on the server's disk yet
        self._since = 0.0  # when the oldest unsent entry was appended
        self._timer: threading.Timer | None = None
        self._skip = threading.local()
        self._retired = False
        self._study_id: int | None = None
        self._position, self._last = 0, 0  # the last row that was read, and that there is
        self._position_writer, self._position_number = self._writer, 0
        self._compactions = 0
        self._read_at = 0.0
        self._index = JournalIndex()
        self._given: deque[dict[str, Any]] = deque()  # to be read; the first has number _base
        self._base = 0
        _journals.add(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "patience": self.patience, "study": self.study}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def successor(self) -> PostgresJournal:
        """Return a journal that has read nothing, and retire this one: it is out of date.

        The same process goes on in it. What it has written and may be lost is written again.
        """
        new = PostgresJournal(self.address, self.patience, self.study)
        with self._mutex:
            self._retired = True
            new.own, new.statements = self.own, self.statements
            new._connection, new._writer, new._count = (
                self._connection,
                self._writer,
                self._count,
            )
            new._unsent = [*self._unsettled, *self._unsent]
            for entry in new._unsent:
                entry.ahead = False
            self._connection, self._unsent, self._unsettled = None, [], []
        return new

    # Writing ---------------------------------------------------------------------------------

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries, those of own running trials within BEHIND_SECONDS."""
        self._check()
        with self._mutex:
            entries = [self._entry(log) for log in logs]
            if not self._unsent:
                self._since = time.monotonic()
            self._unsent += entries
            self._given.extend(entry.log for entry in entries if entry.ahead)
            late = time.monotonic() - self._since > BEHIND_SECONDS
            if late or not all(entry.ahead for entry in self._unsent):
                try:
                    self.patience.call(self._send)
                except BaseException:  # the caller may say the same again
                    self._drop(entries)
                    raise
            else:
                self._send_later()
            self._skip.next_read = True

    def _drop(self, entries: list[_Entry]) -> None:
        numbers = {entry.number for entry in entries}
        logs = {id(entry.log) for entry in entries}
        self._unsent = [entry for entry in self._unsent if entry.number not in numbers]
        self._given = deque(log for log in self._given if id(log) not in logs)

    def flush(self) -> None:
        """Write what waits to be written."""
        with self._mutex:
            if self._unsent and self._process == os.getpid():
                self._send()

    def close(self) -> None:
        """Write what waits to be written, and leave the server."""
        try:
            self.flush()
        finally:
            self._disconnect()

    def _entry(self, log: dict[str, Any]) -> _Entry:
        self._count += 1
        trial, study = log.get("trial_id"), log.get("study_id")
        if trial is not None and trial < len(self._index.study_of):
            study = self._index.study_of[trial]
        ahead = trial in self.own and log["op_code"] in WRITE_BEHIND_OPERATIONS
        return _Entry(self._count, log, study, trial, ahead)

    def _send(self) -> None:
        """Append what is unsent, in one call, which also returns what is new."""
        batch = self._unsent
        durable = not all(entry.may_be_lost for entry in batch)
        parameters = (
            [entry.number for entry in batch],
            [int(entry.log["op_code"]) for entry in batch],
            [entry.study for entry in batch],
            [entry.trial for entry in batch],
            [entry.is_bulky for entry in batch],
            [as_text(entry.log) for entry in batch],
            durable,
        )
        statement = (
            "select * from hpsearch_journal_exchange(%s::bigint[], %s::smallint[], %s::int[], "
            f"%s::int[], %s::bool[], %s::text[], %s::bool, {PLACE})"
        )
        while True:
            rows = self._execute(statement, (*parameters, *self._place()))
            self._take(rows, {entry.number: entry for entry in batch})
            if rows[0][1] is not None:  # it was appended
                break
            while self._position < self._last:
                self._read_page()
        now = time.monotonic()
        for entry in batch:
            entry.sent = now
        kept = [] if durable else [*self._unsettled, *batch]
        self._unsettled = [entry for entry in kept if now - entry.sent < SETTLED_SECONDS]
        self._unsent = []

    def _send_later(self) -> None:
        """Write what is unsent when nothing else does in the meantime."""
        if self._timer is None:
            self._timer = threading.Timer(BEHIND_SECONDS, self._send_by_timer)
            self._timer.daemon = True
            self._timer.start()

    def _send_by_timer(self) -> None:
        with self._mutex:
            self._timer = None
            try:
                if time.monotonic() - self._since > BEHIND_SECONDS / 2:
                    self.flush()
            except (_psycopg_error(), OutdatedError, OSError):
                # The next operation meets the failure too, and waits or says it.
                logger.debug("entries were not written yet", exc_info=True)
            if self._unsent:
                self._send_later()

    # Reading ---------------------------------------------------------------------------------

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the entries from that number on: what this process has read or written itself.

        Raises OutdatedError when they have to be read again from the start.
        """
        self._check()
        with self._mutex:
            while self._base < log_number_from:
                self._given.popleft()
                self._base += 1
            if not self._is_current():
                self.patience.call(self._send if self._unsent else self._read_page)
        while True:
            while self._given:
                yield self._given[0]
                self._given.popleft()
                self._base += 1
            if self._position >= self._last:
                return
            with self._mutex:
                self.patience.call(self._read_page)

    def skip_next_read(self, *, if_recent: bool) -> None:
        """Let this thread's next read take what is known.

        if_recent: only if that is not older than BEHIND_SECONDS.
        """
        recent = time.monotonic() - self._read_at < BEHIND_SECONDS
        self._skip.next_read = recent or not if_recent

    def _is_current(self) -> bool:
        """Whether there is no need to ask the server: appending has just brought what is new.

        While this process reports on its own trial, it sees others' with the same delay.
        """
        skip, self._skip.next_read = getattr(self._skip, "next_read", False), False
        if not self._read_at:
            return False
        return skip or bool(self._unsent and time.monotonic() - self._read_at < BEHIND_SECONDS)

    def _read_page(self) -> None:
        statement = f"select * from hpsearch_journal_read({PLACE}, %s::int)"
        self._take(self._execute(statement, (*self._place(), PAGE)), {})

    def _place(self) -> tuple[Any, ...]:
        """Return how far this process has read, as the functions of the database take it."""
        writer, number = self._position_writer, self._position_number
        mine = self._mine()
        return self._position, writer, number, self._compactions, self._writer, mine

    def _mine(self) -> int | None:
        """Return the id of the study whose worker this is, None if there is none."""
        if self.study is None or self._study_id is not None:
            return self._study_id
        query = "select entry from hpsearch_journal where op = any(%s) order by id"
        index = JournalIndex()
        for (text,) in self._execute(query, ([CREATE_STUDY, DELETE_STUDY],)):
            index.add(from_json(text))
        ids = (study_id for study_id, name in index.studies.items() if name == self.study)
        self._study_id = next(ids, None)
        return self._study_id

    def _take(self, rows: Sequence[tuple[Any, ...]], batch: dict[int, _Entry]) -> None:
        """Give rows to the reader, except those that it has been given before they were written.

        The first row says how many there are, and how often the journal was compacted.
        """
        self._last, _, self._compactions, *_ = rows[0]
        for id_, writer, number, study, text, details in rows[1:]:
            self._position, self._position_writer, self._position_number = id_, writer, number
            mine = batch.get(number) if writer == self._writer else None
            if mine is not None:
                log = mine.log
            elif text is not None or study is not None:
                log = entry_of(text, details, study)
            else:
                continue  # a worker does not need it
            self._index.add(log)
            if mine is None or not mine.ahead:
                self._given.append(log)
        self._read_at = time.monotonic()

    # Compaction ------------------------------------------------------------------------------

    def compact(self, studies: set[int]) -> Compacted:
        """Replace the entries of the finished trials of these studies by one each."""
        self.flush()
        connection = connect(self.address)
        try:
            return compact_journal(connection, studies)
        finally:
            connection.close()

    # The connection --------------------------------------------------------------------------

    def _execute(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        import psycopg

        connection = self._connect()
        self.statements += 1
        try:
            with connection.cursor(binary=True) as cursor:
                return cursor.execute(statement, parameters).fetchall()
        except psycopg.Error as error:
            if error.sqlstate == OUTDATED:
                raise OutdatedError from error
            if error.sqlstate is None or connection.broken:
                connection.close()
            raise

    def _connect(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self.address)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = getattr(self, "_connection", None), None
        if connection is not None and self._process == os.getpid():
            connection.close()

    __del__ = _disconnect

    def _check(self) -> None:
        """Raise OutdatedError if another journal has replaced this one.

        A forked process connects anew, as another writer; its parent writes its own entries.
        """
        if self._process != os.getpid():
            known = {name: getattr(self, name) for name in _READ}
            self._start()
            self.__dict__.update(known)
        if self._retired:
            raise OutdatedError


_journals: WeakSet[PostgresJournal] = WeakSet()


@atexit.register
def _flush_all() -> None:
    """Write what waits when the interpreter ends; only the parts of running trials can be lost."""
    for journal in list(_journals):
        try:
            journal.close()
        except Exception as error:
            logger.warning("storage '%s': %s", journal.address.shown, error)


def _psycopg_error() -> type[Exception]:
    import psycopg

    return psycopg.Error


def connect(address: Address) -> Connection[Any]:
    """Return a connection on which each statement is a transaction."""
    import psycopg

    connection = psycopg.connect(address.connection, autocommit=True)
    connection.prepare_threshold = 0
    settings = [f"set_config('{name}', '{value}', false)" for name, value in SETTINGS.items()]
    if address.schema:
        settings.append("set_config('search_path', quote_ident(%s), false)")
    names = [address.schema] if address.schema else None
    connection.execute(f"select {', '.join(settings)}".encode(), names, prepare=False)
    return connection


@contextmanager
def _sentences(address: Address) -> Iterator[None]:
    """Turn the errors of a database that cannot be opened into a StorageError."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        what = in_a_line(error)
        raise StorageError(f"storage '{address.shown}': cannot be opened: {what}") from None


def open_postgres(
    address: Address,
    opening: Patience,
    working: Patience,
    *,
    create: bool = True,
    study: str | None = None,
) -> ReplayedStorage:
    """Return the storage at `address`; raise StorageError.

    opening, working: how long it is waited for while it is opened, and later. create: make the
    tables if they are missing. study: the one whose worker this is, see `PostgresJournal`.
    """
    with _sentences(address):
        opening.call(_check_tables, address, create=create)
        return opening.call(ReplayedStorage, PostgresJournal(address, working, study))


def _check_tables(address: Address, *, create: bool) -> None:
    connection = connect(address)
    try:
        version = stored_version(connection)
        if version is None and not create:
            raise StorageError(
                f"storage '{address.shown}': this database has no studies yet; ",
                Command("study"),
                " makes the tables",
            )
        if version is None:
            version = create_tables(connection, address.schema)
        if version > VERSION:
            raise StorageError(
                f"storage '{address.shown}': its tables have version {version}, and this hpsearch "
                f"knows version {VERSION}; `pip install --upgrade hpsearch` gets a newer one"
            )
    finally:
        connection.close()
