"""Work that is too much for a service that has to answer: each in a process of its own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from hpsearch.errors import HpsearchError
from hpsearch.execution.engines.forkserver import hidden_main, start_forkserver
from hpsearch.execution.worker import optuna_logs
from hpsearch.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

PROCESSES = 2

logger = logging.getLogger(__name__)


class Background:
    """Calls methods of a workspace, each in a fresh process: it reads data, or trains.

    A process has nothing of the one before, such as the module of another user's model, its memory
    is free when it has ended, and none outlives the service.
    """

    def __init__(self, workspace: Workspace) -> None:
        tracking = workspace.tracking_uri if workspace.tracked else None
        self._arguments = (workspace.storage_url, tracking, workspace.tracked)
        self._free = threading.BoundedSemaphore(PROCESSES)
        self._starting = threading.Lock()  # `hidden_main` is for one at a time
        self._running: set[BaseProcess] = set()

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what `function(workspace, …)` returns, which can be pickled.

        Raises what it raises, HpsearchError also if its process has died.
        """
        context = start_forkserver()
        with self._free:
            here, there = context.Pipe(duplex=False)
            task = (self._arguments, function, args, kwargs)
            process = context.Process(target=_answer, args=(there, *task), daemon=True)
            with self._starting, hidden_main():
                process.start()
            there.close()
            self._running.add(process)
            try:
                done, result = here.recv()
            except EOFError:
                raise HpsearchError("the process that did this has died; try again") from None
            finally:
                here.close()
                process.join()
                self._running.discard(process)
        if not done:
            raise result
        return result

    def close(self) -> None:
        """End what runs."""
        for process in [*self._running]:
            process.kill()


def _answer(
    there: Connection,
    arguments: tuple[str, str | None, bool],
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Call a function, and send whether that went well, and its result or its error."""
    storage, tracking, tracked = arguments
    try:
        with optuna_logs(logging.WARNING):
            result = function(Workspace(storage, tracking, tracked=tracked), *args, **kwargs)
        there.send((True, result))
    except HpsearchError as error:
        there.send((False, error))
    except Exception as error:
        logger.exception("work for the service failed")
        there.send((False, RuntimeError(f"{type(error).__name__}: {error}")))
