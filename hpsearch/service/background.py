"""Work that is too much for a service that has to answer: each in a process of its own."""

from __future__ import annotations

import logging
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpsearch.errors import HpsearchError
from hpsearch.execution.engines.forkserver import start_forkserver
from hpsearch.execution.worker import optuna_logs
from hpsearch.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESSES = 2


class Background:
    """Calls methods of a workspace, each in a fresh process: it reads data, or trains.

    A process has nothing of the one before, such as the module of another user's model, and its
    memory is free when it has ended.
    """

    def __init__(self, workspace: Workspace) -> None:
        tracking = workspace.tracking_store.uri if workspace.tracked else None
        self._arguments = (workspace.storage_url, tracking, workspace.tracked)

    @cached_property
    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(PROCESSES, start_forkserver(), max_tasks_per_child=1)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what `function(workspace, …)` returns, which can be pickled."""
        try:
            return self._pool.submit(_call, self._arguments, function, args, kwargs).result()
        except BrokenProcessPool as error:
            del self._pool
            raise HpsearchError("the process that did this has died; try again") from error

    def close(self) -> None:
        """End the processes."""
        if "_pool" in self.__dict__:
            self._pool.shutdown(cancel_futures=True)


def _call(
    arguments: tuple[str, str | None, bool],
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    storage, tracking, tracked = arguments
    with optuna_logs(logging.WARNING):
        return function(Workspace(storage, tracking, tracked=tracked), *args, **kwargs)
