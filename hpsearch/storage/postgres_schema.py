"""The tables and functions of a journal in PostgreSQL, and their version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpsearch.internals import CREATE_STUDY, CREATE_TRIAL, DELETE_STUDY

if TYPE_CHECKING:
    from psycopg import Connection

VERSION = 1
OUTDATED = "HP001"  # the SQL state with which the functions refuse a reader that is out of date
LOCK_CLASS = 0x6870  # "hp", the first half of the keys of all advisory locks
LOCK = f"pg_advisory_xact_lock({LOCK_CLASS}, 'hpsearch_journal'::regclass::oid::int)"  # to write

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
  bulky bool not null,       -- what workers of the study do not need of each other's trials
  entry text not null,       -- JSON, as Optuna writes it
  details text,              -- JSON: the bulky attributes of a trial whose entry was compacted
  unique (writer, number)
);
create table hpsearch_journal_state (
  version int not null,
  compactions bigint not null,
  compacted bigint not null  -- entries up to this one may have been replaced by fewer
);
insert into hpsearch_journal_state values ({VERSION}, 0, 0);

-- Return how often the journal was compacted. Refuse a reader whose last entry is not there any
-- more, and one who is in the middle of what was compacted since it knew of `known_compactions`.
create function hpsearch_journal_check(
  after bigint, after_writer uuid, after_number bigint, known_compactions bigint
)
returns bigint language plpgsql stable as $$
declare
  state hpsearch_journal_state;
begin
  select * into strict state from hpsearch_journal_state;
  if after > 0 and (
    (state.compactions <> known_compactions and after < state.compacted)
    or not exists (
      select from hpsearch_journal
      where id = after and writer = after_writer and number = after_number
    )
  ) then
    raise exception 'the journal has changed; read it again' using errcode = '{OUTDATED}';
  end if;
  return state.compactions;
end $$;

-- Return an entry if `me` needs it, who is a worker of the study `mine`; null: who reads all.
create function hpsearch_journal_shown(j hpsearch_journal, me uuid, mine int)
returns text language sql stable as $$
  select case
    when mine is null or j.writer = me or j.op in ({CREATE_STUDY}, {DELETE_STUDY}) then j.entry
    when j.study = mine and not j.bulky then j.entry
  end
$$;

-- Return the number of the last entry and that of compactions, and then what `me` needs of the next
-- `page_size` entries after `after`, and the last of them in any case. An entry that creates a
-- trial of another study comes without its text, and with that study. All is of one moment.
create function hpsearch_journal_read(
  after bigint, after_writer uuid, after_number bigint, known_compactions bigint,
  me uuid, mine int, page_size int
)
returns table (
  r_id bigint, r_writer uuid, r_number bigint, r_study int, r_entry text, r_details text
)
language plpgsql stable as $$
declare
  compactions bigint;
begin
  compactions := hpsearch_journal_check(after, after_writer, after_number, known_compactions);
  return query select coalesce(max(id), 0), null::uuid, compactions, null::int, null, null
    from hpsearch_journal;
  return query
    with page as (select * from hpsearch_journal where id > after order by id limit page_size)
    select id, writer, number, case when op = {CREATE_TRIAL} then study end, shown,
      case when mine is null or writer = me then details end
    from page cross join lateral (select hpsearch_journal_shown(page, me, mine)) s (shown)
    where shown is not null or op = {CREATE_TRIAL} or id = (select max(id) from page)
    order by id;
end $$;

-- Append entries that are not there yet, and return what is new, after a row as that of
-- `hpsearch_journal_read`. The entries of this call come without their text. If there is more new
-- than a socket holds, append nothing and return that row alone: the caller reads first, and calls
-- again. So a client that freezes does not keep the lock, and who has appended need not read more.
create function hpsearch_journal_exchange(
  numbers bigint[], ops smallint[], studies int[], trials int[], bulky bool[], entries text[],
  durable bool,
  after bigint, after_writer uuid, after_number bigint, known_compactions bigint,
  me uuid, mine int
)
returns table (
  r_id bigint, r_writer uuid, r_number bigint, r_study int, r_entry text, r_details text
)
language plpgsql as $$
declare
  last bigint;
  compactions bigint;
begin
  if not durable then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  perform {LOCK};
  compactions := hpsearch_journal_check(after, after_writer, after_number, known_compactions);
  select coalesce(max(id), 0) into last from hpsearch_journal;
  if exists (
    select from (
      select row_number() over (order by id) as row, sum(length(entry)) over (order by id) as size
      from (
        select id, entry from hpsearch_journal
        where id > after and not (writer = me and number = any(numbers)) order by id limit 501
      ) j
    ) new where row > 500 or size > 60000
  ) then
    return query select last, null::uuid, compactions, null::int, null, null;
    return;
  end if;
  insert into hpsearch_journal (id, writer, number, op, study, trial, bulky, entry)
    select last + row_number() over (order by x.number), me, x.*
    from unnest(numbers, ops, studies, trials, bulky, entries)
      as x (number, op, study, trial, bulky, entry)
    where not exists (
      select from hpsearch_journal j where j.writer = me and j.number = x.number
    );
  return query select coalesce(max(id), 0), me, compactions, null::int, null, null
    from hpsearch_journal;
  return query
    select id, writer, number, case when op = {CREATE_TRIAL} then study end,
      case when not (writer = me and number = any(numbers)) then shown end,
      case when mine is null or writer = me then details end
    from hpsearch_journal j
      cross join lateral (select hpsearch_journal_shown(j, me, mine)) s (shown)
    where id > after order by id;
end $$;
"""


def stored_version(connection: Connection[Any]) -> int | None:
    """Return the version of the tables, None if there are none."""
    (found,) = first_row(connection, "select to_regclass('hpsearch_journal_state')::text")
    if found is None:
        return None
    (version,) = first_row(connection, "select version from hpsearch_journal_state")
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


def first_row(connection: Connection[Any], query: str) -> tuple[Any, ...]:
    """Return the first row of a query that has one."""
    row = connection.execute(query.encode(), prepare=False).fetchone()
    assert row is not None
    return tuple(row)
