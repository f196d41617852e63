"""Waiting for a storage that stumbles: a server that restarts, a locked file, a full disk."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from optuna.exceptions import UpdateFinishedTrialError

from hpsearch.internals import ForwardingStorage
from hpsearch.storage.failures import cause_of, may_pass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, TrialState

PATIENCE_SECONDS = 60.0  # how long a storage is waited for, from its first failure
SILENT_SECONDS = 1.0  # what lasts no longer is not worth a word
CALM_SECONDS = 20.0  # after so long without a failure the next one begins a new minute
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two tries

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Patience:
    """Tries an operation of one storage again while its failure may pass, for up to a minute.

    The minute begins when the storage begins to fail, whichever operation and thread meets it
    first, and goes on while it fails now and then: a disk that is nearly full still takes short
    entries. When it is over, each operation is tried once.

    name: the storage, as it may be shown. passes: whether a failure is worth another try.
    """

    def __init__(self, name: str, passes: Callable[[BaseException], bool] = may_pass) -> None:
        self.name, self.passes = name, passes
        self._failing_since = self._failed_at = -math.inf
        self._told = self._waiting = False

    def call(self, operation: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return what `operation` returns; raise what it raises when waiting is of no use."""
        began, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                result = operation(*args, **kwargs)
            except Exception as error:
                if not self.passes(error) or self._failing_for(began) > PATIENCE_SECONDS:
                    raise
                self._tell(error)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if self._waiting:
                    self._waiting = False
                    logger.warning("storage '%s': is back", self.name)
                return result

    def _failing_for(self, began: float) -> float:
        """Note the failure of an operation that began at `began`; return how long this goes on."""
        now = time.monotonic()
        if now - self._failed_at > CALM_SECONDS:
            self._failing_since, self._told = began, False
        self._failed_at = now
        return now - self._failing_since

    def _tell(self, error: BaseException) -> None:
        if not self._told and self._failed_at - self._failing_since > SILENT_SECONDS:
            self._told = self._waiting = True
            text = "storage '%s': %s; trying again for up to %.0f s"
            logger.warning(text, self.name, in_a_line(error), PATIENCE_SECONDS)


def in_a_line(error: BaseException | None) -> str:
    """Return what a storage says about a failure, as one line."""
    cause = cause_of(error)
    server = getattr(getattr(cause, "diag", None), "message_primary", None)  # without the context
    what = server or getattr(cause, "strerror", None) or getattr(cause, "orig", None) or cause
    return " ".join(str(what).split())


class PatientStorage(ForwardingStorage):
    """A storage of Optuna whose operations wait for it while it stumbles, as `Patience` does.

    An operation whose answer was lost has been done, and is done again. For all but two that makes
    no difference: a new trial is looked for, and so is the end of one.
    """

    def __init__(self, storage: BaseStorage, patience: Patience) -> None:
        super().__init__(storage)
        self.patience = patience

    def forward(self, operation: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call an operation of the storage, and again while it stumbles."""
        return self.patience.call(operation, *args, **kwargs)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial, as Optuna's storages do; a template says which process runs it."""
        tries = 0

        def create() -> int:
            nonlocal tries
            tries += 1
            if tries > 1 and template_trial is not None:
                for trial in self.storage.get_all_trials(study_id, deepcopy=False):
                    if _is_as_created(trial, template_trial):  # the answer to a try was lost
                        number = trial.number
                        return self.storage.get_trial_id_from_study_id_trial_number(
                            study_id, number
                        )
            return self.storage.create_new_trial(study_id, template_trial)

        return self.patience.call(create)

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


def _is_as_created(trial: FrozenTrial, template: FrozenTrial) -> bool:
    """Whether a trial was created from this template, and nothing was said of it since."""
    return all(
        getattr(trial, name) == getattr(template, name)
        for name in ("state", "user_attrs", "system_attrs", "params", "intermediate_values")
    )
