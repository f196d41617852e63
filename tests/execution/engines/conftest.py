"""A Dask cluster of processes on this machine."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_SECONDS = 60
WORKER_SECONDS = "6s"  # after which a silent worker is given up; five minutes by default


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

    def start(self, workers: int) -> None:
        """Start a scheduler, and so many workers."""
        self.scheduler = self._run("scheduler")
        if workers:
            self.add(workers)

    def add(self, workers: int, **environment: str) -> list[subprocess.Popen]:
        """Start more workers, and wait until they have joined."""
        from distributed import Client

        added = [self._run("worker", **environment) for _ in range(workers)]
        self.workers += added
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(len(self.alive), timeout=START_SECONDS)
        return added

    @property
    def alive(self) -> list[subprocess.Popen]:
        """The workers that have not ended."""
        return [worker for worker in self.workers if worker.poll() is None]

    def _run(self, what: str, **environment: str) -> subprocess.Popen:
        arguments = ["worker", self.address] if what == "worker" else ["scheduler"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, __file__, str(self.folder / "scheduler"), *arguments],
                cwd=self.folder,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + START_SECONDS
        while what != "worker" and not (self.folder / "scheduler").is_file():
            assert process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        return process

    def end(self) -> None:
        """Kill everything."""
        for process in [*self.workers, self.scheduler]:
            if process is not None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                process.wait()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Two workers that tests must leave alive."""
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    found.start(2)
    yield found
    found.end()


@pytest.fixture
def own_cluster(tmp_path_factory):
    """A cluster without workers, of which a test may kill anything."""
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    found.start(0)
    yield found
    found.end()


async def _serve(file: str, role: str, address: str = "") -> None:
    import dask
    from distributed import Scheduler, Worker

    dask.config.set({"distributed.admin.tick.limit": "1h"})  # this machine may be busy
    dask.config.set({"distributed.scheduler.worker-ttl": WORKER_SECONDS})
    if role == "worker":
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
