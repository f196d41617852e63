"""Compacting a journal in PostgreSQL, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hpsearch.errors import StorageError
from hpsearch.internals import CREATE_STUDY, CREATE_TRIAL, DELETE_STUDY, STUDY_ATTRIBUTES
from hpsearch.storage.compaction import Compaction, Entry, compact
from hpsearch.storage.postgres_entries import as_text, entry_of
from hpsearch.storage.postgres_schema import LOCK, first_row
from hpsearch.storage.replayed import Compacted
from hpsearch.trials.records import BULKY

if TYPE_CHECKING:
    from psycopg import Connection

PAGE = 5000  # entries that are read or written at a time
TRIES = 5
TIMEOUT = "10min"  # of a statement: a million entries take a minute


def compact_journal(connection: Connection[Any], studies: set[int]) -> Compacted:
    """Replace the entries of the finished trials of these studies, by their ids, by one each.

    None of them can change in the meantime, so others are locked out only while they are replaced.
    A reader who was in the middle of them reads the journal again.
    """
    connection.execute(f"set statement_timeout = '{TIMEOUT}'".encode())
    for _ in range(TRIES):
        compactions = _compactions(connection)
        before, last = first_row(
            connection, "select count(*), coalesce(max(id), 0) from hpsearch_journal"
        )
        found = compact(_entries(connection, studies, last), studies)
        with connection.transaction():
            connection.execute(f"select {LOCK}".encode())
            if _compactions(connection) == compactions:
                _replace(connection, found, last)
                break
    else:
        raise StorageError("other processes compact this journal again and again; try it later")
    connection.execute(b"vacuum (analyze) hpsearch_journal", prepare=False)
    (after,) = first_row(connection, "select count(*) from hpsearch_journal")
    return Compacted(before, after)


def _compactions(connection: Connection[Any]) -> int:
    (number,) = first_row(connection, "select compactions from hpsearch_journal_state")
    return int(number)


def _entries(
    connection: Connection[Any], studies: set[int], last: int
) -> Iterator[tuple[int, Entry]]:
    """Yield the entries up to `last`; of other studies only what their trials' ids depend on."""
    query = (
        "select id, study, case when op <> %s or study = any(%s) then entry end, details "
        "from hpsearch_journal where id > %s and id <= %s and (study = any(%s) or op = any(%s)) "
        "order by id limit %s"
    )
    chosen, needed = list(studies), [int(CREATE_STUDY), int(DELETE_STUDY), int(CREATE_TRIAL)]
    position = 0
    while True:
        parameters = (needed[-1], chosen, position, last, chosen, needed, PAGE)
        rows = connection.execute(query.encode(), parameters, binary=True).fetchall()
        for position, study, text, details in rows:
            yield position, entry_of(text, details, study)
        if len(rows) < PAGE:
            return


def _split(entry: Entry) -> tuple[str, str | None]:
    """Return an entry as text, and apart from it what workers do not need of others' trials."""
    attributes = entry["user_attrs"]
    bulky = {key: value for key, value in attributes.items() if key in BULKY}
    rest = {key: value for key, value in attributes.items() if key not in BULKY}
    return as_text({**entry, "user_attrs": rest}), as_text(bulky) if bulky else None


def _replace(connection: Connection[Any], found: Compaction, last: int) -> None:
    """Replace and delete entries up to `last`, which stays: readers ask whether it is there."""
    replaced = [(number, *_split(entry)) for number, entry in found.replaced.items()]
    for start in range(0, len(replaced), PAGE):
        columns = zip(*replaced[start : start + PAGE], strict=True)
        connection.execute(
            b"update hpsearch_journal j set entry = new.entry, details = new.details "
            b"from unnest(%s::bigint[], %s::text[], %s::text[]) as new (id, entry, details) "
            b"where j.id = new.id and (j.entry, j.details) is distinct from "
            b"(new.entry, new.details)",
            [list(column) for column in columns],
        )
    connection.execute(
        b"delete from hpsearch_journal where id < %s and (trial = any(%s) or id = any(%s) "
        b"or (op = any(%s) and study = any(%s)))",
        (
            last,
            list(found.trials),
            list(found.superseded),
            [int(operation) for operation in STUDY_ATTRIBUTES],
            list(found.deleted),
        ),
    )
    connection.execute(
        b"update hpsearch_journal_state set compactions = compactions + 1, "
        b"compacted = greatest(compacted, %s)",
        [last],
    )
