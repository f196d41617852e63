"""The tables and functions of a journal in PostgreSQL, and their version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

VERSION = 1
OUTDATED = "HP001"  # the SQL state with which the functions refuse a reader that is out of date
LOCK_CLASS = 0x6870  # "hp", the first half of the keys of all advisory locks

# Entries are numbered while a lock is held, and the lock is released after they can be seen. So a
# reader that has read up to a number has read all entries before it, which no sequence guarantees.
TABLES = f"""
create table hpsearch_journal (
  id bigint primary key,
  writer uuid not null,
  number bigint not null,    -- counts the entries of this writer: one sent twice is stored once
  op smallint not null,      -- Optuna's operation
  study int,                 -- the id of the study that the entry is about
  trial int,                 -- the id of the trial, unless the entry creates it
  entry text not null,       -- JSON, as Optuna writes it
  unique (writer, number)
);
create table hpsearch_journal_state (
  version int not null,
  compacted bigint not null  -- entries up to this one may have been replaced by fewer
);
insert into hpsearch_journal_state values ({VERSION}, 0);

-- Refuse a reader whose last entry is not there any more, or before the end of what was compacted.
create function hpsearch_journal_check(after bigint, after_writer uuid, after_number bigint)
returns void language plpgsql as $$
begin
  if after > 0 and (
    after < (select compacted from hpsearch_journal_state)
    or not exists (
      select from hpsearch_journal
      where id = after and writer = after_writer and number = after_number
    )
  ) then
    raise exception 'the journal has changed; read it again' using errcode = '{OUTDATED}';
  end if;
end $$;

-- Return the number of the last entry, and then the entries after `after`, `page` at most.
create function hpsearch_journal_read(
  after bigint, after_writer uuid, after_number bigint, page int
)
returns table (r_id bigint, r_writer uuid, r_number bigint, r_entry text)
language plpgsql as $$
begin
  perform hpsearch_journal_check(after, after_writer, after_number);
  return query select coalesce(max(id), 0), null::uuid, null::bigint, null::text
    from hpsearch_journal;
  return query select id, writer, number, entry from hpsearch_journal
    where id > after order by id limit page;
end $$;

-- Append entries that are not there yet. Return the number of the last entry, and then what is new:
-- no more than a socket holds, because a frozen client must not keep the lock. The caller's own
-- entries come without their text.
create function hpsearch_journal_exchange(
  me uuid, numbers bigint[], ops smallint[], studies int[], trials int[], entries text[],
  durable bool, after bigint, after_writer uuid, after_number bigint
)
returns table (r_id bigint, r_writer uuid, r_number bigint, r_entry text)
language plpgsql as $$
declare
  last bigint;
begin
  if not durable then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  perform pg_advisory_xact_lock({LOCK_CLASS}, 'hpsearch_journal'::regclass::oid::int);
  perform hpsearch_journal_check(after, after_writer, after_number);
  select coalesce(max(id), 0) into last from hpsearch_journal;
  insert into hpsearch_journal (id, writer, number, op, study, trial, entry)
    select last + row_number() over (order by x.number), me, x.*
    from unnest(numbers, ops, studies, trials, entries)
      as x (number, op, study, trial, entry)
    where not exists (
      select from hpsearch_journal j where j.writer = me and j.number = x.number
    );
  return query select coalesce(max(id), 0), null::uuid, null::bigint, null::text
    from hpsearch_journal;
  return query
    select id, writer, number, entry from (
      select id, writer, number, shown.entry,
        sum(coalesce(length(shown.entry), 0) + 64) over (order by id) as size
      from (select * from hpsearch_journal where id > after order by id limit 500) j
      cross join lateral (
        select case when j.writer = me and j.number = any(numbers) then null else j.entry end
      ) as shown (entry)
    ) new
    where size < 60000 order by id;
end $$;
"""


def stored_version(connection: Connection[Any]) -> int | None:
    """Return the version of the tables, None if there are none."""
    (found,) = _row(connection, "select to_regclass('hpsearch_journal_state')::text")
    if found is None:
        return None
    (version,) = _row(connection, "select version from hpsearch_journal_state")
    return int(version)


def create_tables(connection: Connection[Any], schema: str) -> int:
    """Make the tables, unless another process has just made them; return their version.

    Processes that do this at the same time wait for each other: `create table if not exists` of two
    at once fails.
    """
    from psycopg import sql

    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s, 0)", [LOCK_CLASS])
        if schema:
            name = sql.Identifier(schema)
            connection.execute(sql.SQL("create schema if not exists {}").format(name))
        version = stored_version(connection)
        if version is None:
            connection.execute(TABLES.encode(), prepare=False)
            version = VERSION
        return version


def _row(connection: Connection[Any], query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode(), prepare=False).fetchone()
    assert row is not None  # an aggregate, or a table with one row
    return tuple(row)
