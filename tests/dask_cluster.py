"""A Dask cluster of processes on this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hpsearch.storage import patience

START_SECONDS = 60
PATIENCE = "TEST_PATIENCE_SECONDS"  # the variable for what is a minute elsewhere
SOON = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s"}  # five minutes by default


@dataclass
class Cluster:
    """A scheduler and workers without nannies, each a process of its own."""

    folder: Path
    scheduler: subprocess.Popen | None = None
    workers: list[subprocess.Popen] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the scheduler listens."""
        return (self.folder / "scheduler").read_text()

    def start(self, workers: int, **environment: str) -> None:
        """Start a scheduler, and so many workers."""
        self.scheduler = self._run("scheduler", **environment)
        until = time.monotonic() + START_SECONDS
        while not (self.folder / "scheduler").is_file():
            assert self.scheduler.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        if workers:
            self.add(workers)

    def add(
        self, workers: int, *, within: Sequence[str] = (), **environment: str
    ) -> list[subprocess.Popen]:
        """Start more workers, and wait until they have joined.

        within: the begin of a command that runs the rest of it.
        """
        role = ("worker", self.address)
        added = [self._run(*role, within=within, **environment) for _ in range(workers)]
        self.workers += added
        self._wait_for_workers()
        return added

    def remove(self, worker: subprocess.Popen) -> None:
        """Kill a worker, and wait until the scheduler knows."""
        worker.kill()
        worker.wait()
        self._wait_for_workers()

    def _wait_for_workers(self) -> None:
        """Wait until the scheduler has all workers that are alive, and no other."""
        from distributed import Client

        until = time.monotonic() + START_SECONDS
        with Client(self.address, set_as_default=False) as client:
            while len(client.scheduler_info(n_workers=-1)["workers"]) != len(self.alive):
                assert time.monotonic() < until
                time.sleep(0.05)

    @property
    def alive(self) -> list[subprocess.Popen]:
        """The workers that have not ended."""
        return [worker for worker in self.workers if worker.poll() is None]

    def _run(self, *role: str, within: Sequence[str] = (), **environment: str) -> subprocess.Popen:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*within, sys.executable, __file__, str(self.folder / "scheduler"), *role],
                cwd=self.folder,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )

    def end(self) -> None:
        """Kill everything."""
        for process in [*self.workers, self.scheduler]:
            if process is not None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                process.wait()


@contextmanager
def started(folder: Path, workers: int = 0, **environment: str) -> Iterator[Cluster]:
    """Provide a cluster, which is killed in the end."""
    found = Cluster(folder)
    try:
        found.start(workers, **environment)
        yield found
    finally:
        found.end()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Two workers that tests must leave alive."""
    with started(tmp_path_factory.mktemp("cluster"), 2) as found:
        yield found


@pytest.fixture
def own_cluster(tmp_path_factory):
    """A cluster without workers, of which a test may kill anything."""
    with started(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def hasty_cluster(tmp_path_factory):
    """The same, whose scheduler soon gives up a worker that is silent."""
    with started(tmp_path_factory.mktemp("cluster"), **SOON) as found:
        yield found


async def _serve(file: str, role: str, address: str = "") -> None:
    from distributed import Scheduler, Worker

    if role == "worker":
        patience.PATIENCE_SECONDS = float(os.environ.get(PATIENCE, patience.PATIENCE_SECONDS))
        worker = await Worker(address, nthreads=1, death_timeout=START_SECONDS, dashboard=False)
        await worker.finished()
        return
    scheduler = await Scheduler(host="127.0.0.1", port=0, dashboard=False)
    Path(f"{file}.part").write_text(scheduler.address)
    Path(f"{file}.part").rename(file)
    await scheduler.finished()


if __name__ == "__main__":
    import asyncio

    asyncio.run(_serve(*sys.argv[1:]))
