"""A real PostgreSQL for tests: Debian's binaries, in a temporary folder, on a free port."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

DEBIAN = Path("/usr/lib/postgresql")
OPTIONS = "-c listen_addresses=127.0.0.1 -c max_connections=200 -c log_min_messages=panic"


class CannotStartError(Exception):
    """There is no PostgreSQL to start; the message says why."""


class PostgresServer:
    """A server that tests may restart and crash."""

    def __init__(self, programs: Path, folder: Path, user: list[str]) -> None:
        self.programs, self.folder, self.user = programs, folder, user
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._schemas = (f"test_{number}" for number in count(1))

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs, which refuse to be root."""
        command = [*self.user, str(self.programs / program), "-D", str(self.folder / "data")]
        result = subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if result.returncode:
            raise CannotStartError(f"{program}: {result.stderr.strip()}")

    def start(self) -> None:
        options = f"{OPTIONS} -k {self.folder} -p {self.port}"
        self.run("pg_ctl", "start", "-w", "-o", options, "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop it; "immediate" is a crash, which loses what did not wait for the disk."""
        self.run("pg_ctl", "stop", "-w", "-m", mode)

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    @property
    def address(self) -> str:
        return f"postgresql://postgres:secret@127.0.0.1:{self.port}/postgres"

    def url(self, **options: str) -> str:
        """The URL of an empty journal, which has a schema of its own."""
        known = {"schema": next(self._schemas), **options}
        query = "&".join(f"{key}={value}" for key, value in known.items())
        return f"journal+{self.address}?{query}"

    def execute(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a query of the test's own; return its rows."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []


def _programs() -> Path:
    if found := shutil.which("initdb"):
        return Path(found).parent
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise CannotStartError("no PostgreSQL: apt install postgresql")
    return versions[-1].parent


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server while the block runs; raise CannotStartError."""
    programs, user = _programs(), list[str]()
    folder = Path(tempfile.mkdtemp(prefix="hp-pg-", dir="/tmp"))  # a socket's path is short
    try:
        if os.geteuid() == 0:
            try:
                account = pwd.getpwnam("postgres")
            except KeyError:
                raise CannotStartError("PostgreSQL refuses to be root, no user postgres") from None
            os.chown(folder, account.pw_uid, account.pw_gid)
            user = ["runuser", "-u", "postgres", "--"]
        server = PostgresServer(programs, folder, user)
        server.run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL; skipped where there is none to start."""
    try:
        with postgres_server() as server:
            yield server
    except CannotStartError as error:
        pytest.skip(str(error))
