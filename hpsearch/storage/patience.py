"""Waiting for a storage that stumbles: a server that restarts, a locked file, a full disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from optuna.exceptions import UpdateFinishedTrialError

from hpsearch.internals import ForwardingStorage
from hpsearch.storage.failures import cause_of, may_pass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.storages import BaseStorage
    from optuna.trial import TrialState

PATIENCE_SECONDS = 60.0  # how long a storage is waited for, from its first failure
SILENT_SECONDS = 1.0  # what lasts no longer is not worth a word
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two tries

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Patience:
    """Tries an operation of one storage again while its failure may pass, for up to a minute.

    The minute begins when the storage begins to fail, whichever operation and thread meets it
    first. When it is over, each operation is tried once, until one succeeds.

    name: the storage, as it may be shown. passes: whether a failure is worth another try.
    """

    def __init__(self, name: str, passes: Callable[[BaseException], bool] = may_pass) -> None:
        self.name, self.passes = name, passes
        self._failing_since: float | None = None
        self._told = False

    def call(self, operation: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return what `operation` returns; raise what it raises when waiting is of no use."""
        began, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                result = operation(*args, **kwargs)
            except Exception as error:
                if not self.passes(error):
                    raise
                self._failing_since = self._failing_since or began
                waited = time.monotonic() - self._failing_since
                if waited > PATIENCE_SECONDS:
                    raise
                if waited > SILENT_SECONDS:
                    self._tell(error)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if self._failing_since is not None:
                    self._recovered()
                return result

    def _tell(self, error: BaseException) -> None:
        if not self._told:
            self._told = True
            text = "storage '%s': %s; trying again for up to %.0f s"
            logger.warning(text, self.name, in_a_line(error), PATIENCE_SECONDS)

    def _recovered(self) -> None:
        self._failing_since = None
        if self._told:
            self._told = False
            logger.warning("storage '%s': is back", self.name)


def in_a_line(error: BaseException | None) -> str:
    """Return what a storage says about a failure, as one line."""
    cause = cause_of(error)
    what = getattr(cause, "strerror", None) or getattr(cause, "orig", None) or cause
    return " ".join(str(what).split())


class PatientStorage(ForwardingStorage):
    """A storage of Optuna whose operations wait for it while it stumbles, as `Patience` does.

    An operation whose answer was lost has been done, and is done again. For all but two that makes
    no difference. A new trial of which nobody knows has no process, so it is closed as one whose
    worker died.
    """

    def __init__(self, storage: BaseStorage, patience: Patience) -> None:
        super().__init__(storage)
        self.patience = patience

    def forward(self, operation: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call an operation of the storage, and again while it stumbles."""
        return self.patience.call(operation, *args, **kwargs)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set the state, as Optuna's storages do."""
        tries = 0

        def set_state() -> bool:
            nonlocal tries
            tries += 1
            try:
                return self.storage.set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if tries > 1 and self.storage.get_trial(trial_id).state is state:
                    return True  # the answer to an earlier try was lost
                raise

        return self.patience.call(set_state)

    def record_heartbeat(self, trial_id: int) -> None:
        """Record that the trial is alive; one that is missed does not matter."""
        try:
            if self.heart is not None:
                self.heart.record_heartbeat(trial_id)
        except Exception as error:
            if not may_pass(error):
                raise
            logger.debug("a heartbeat was not recorded", exc_info=True)
