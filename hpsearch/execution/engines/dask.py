"""The engine for a Dask cluster: a slot at a time on each of its workers, which may come and go.

Dask only places slots. A scheduler that dies ends the command and loses nothing: the study is in
its storage.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hpsearch.errors import SettingsError, StudyError
from hpsearch.execution.engines.executor import ExecutorEngine
from hpsearch.execution.resources import fits
from hpsearch.storage.open import KEPT

if TYPE_CHECKING:
    from distributed import Client

    from hpsearch.execution.coordinator import Coordinator
    from hpsearch.execution.engines.slot_task import SlotOutcome, Start
    from hpsearch.execution.objective import WorkerObjective
    from hpsearch.execution.worker import WorkerTask

CONNECT_SECONDS = 10
COUNT_SECONDS = 1.0  # from one count of the workers to the next
ALONE_SECONDS = 5.0  # without a worker, until that is said
SAY_SECONDS = 60.0  # and until it is said again

logger = logging.getLogger(__name__)


class DaskEngine(ExecutorEngine):
    """A slot at a time on each worker of the cluster whose scheduler has this address.

    needs: the resources of which a worker must offer as much.
    """

    def __init__(self, address: str, needs: Mapping[str, float] | None = None) -> None:
        if find_spec("distributed") is None:
            raise SettingsError("a cluster needs Dask: pip install 'hpsearch[cluster]'")
        self.address, self.needs = address, dict(needs or {})
        self._client: Client | None = None
        self._there = self._workers = 0  # workers, and those that offer what a trial needs
        self._counted = 0.0
        self._said = time.monotonic() - SAY_SECONDS + ALONE_SECONDS

    def run(self, coordinator: Coordinator, objective: WorkerObjective, task: WorkerTask) -> None:
        """Fill the coordinator's slots on the cluster; see `Engine.run`."""
        with connected(self.address) as client:
            self._client = client
            # A task that has its own results (`pure`) would be run once for equal arguments.
            self.executor = client.get_executor(pure=False, retries=0, resources=self.needs or None)
            super().run(coordinator, objective, task)

    def capacity(self) -> int:
        """Return how many workers there are; say it if there have been none for a while."""
        assert self._client is not None
        now = time.monotonic()
        if now - self._counted > COUNT_SECONDS:
            self._check_scheduler()
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
            self._there = len(workers)
            self._workers = sum(fits(self.needs, each["resources"]) for each in workers)
            self._counted = now
        if self._workers:
            self._said = now - SAY_SECONDS + ALONE_SECONDS
        elif now - self._said > SAY_SECONDS:
            what = " ".join(f"{name}={amount:g}" for name, amount in self.needs.items())
            logger.warning(
                "%s; waiting for one: dask worker %s --nthreads 1%s",
                f"none of the {self._there} workers offers {what}"
                if self._there
                else "no worker has joined the scheduler",
                self.address,
                f' --resources "{what}"' if what else "",
            )
            self._said = now
        return self._workers

    def submit(self, start: Start, slot: int) -> Future[SlotOutcome]:
        """Have a worker of the cluster fill a slot."""
        self._check_scheduler()
        return super().submit(start, slot)

    def has_died(self, error: BaseException) -> bool:
        """Whether a task's error says that its workers died.

        Raises StudyError if it is the scheduler that is gone.
        """
        from distributed.scheduler import KilledWorker

        self._check_scheduler()
        return isinstance(error, KilledWorker) or super().has_died(error)

    def _check_scheduler(self) -> None:
        if self._client is None or self._client.status != "running":
            raise StudyError(f"the scheduler {self.address} is gone; {KEPT}")


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Provide a client of the scheduler at an address; raises StudyError and SettingsError."""
    import dask
    from distributed import Client

    tls: dict[str, Any] = dask.config.get("distributed.comm.tls", {})
    if address.startswith("tls://") and not (
        tls.get("ca-file") and tls.get("client", {}).get("cert")
    ):
        raise SettingsError(
            f"{address} needs certificates: set distributed.comm.tls.ca-file and "
            "distributed.comm.tls.client.cert and key in Dask's configuration"
        )
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="hpsearch")
    except (OSError, TimeoutError) as error:
        raise StudyError(
            f"no scheduler answers at {address}; `dask scheduler` starts one and says where"
        ) from error
    except ValueError as error:
        raise SettingsError(
            f"'{address}' is not the address of a scheduler, such as tcp://host:8786"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_SECONDS)
