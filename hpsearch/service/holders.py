"""Which process runs a study, as somebody sees it who looks again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hpsearch.storage.catalog import find_evaluation
from hpsearch.storage.leases import WATCH_SECONDS, is_dead, is_local
from hpsearch.trials.records import leases_of

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from hpsearch.trials.records import LeaseRecord


class Holders:
    """Watches the leases on studies. One that is not renewed for WATCH_SECONDS has no holder.

    Clocks of two machines are never compared: what counts is when this process saw a lease change.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self.storage = storage
        self._seen: dict[str, tuple[float, float]] = {}  # by token: renewed, and when it was seen

    def of(self, study: Study) -> LeaseRecord | None:
        """Return the lease of whoever runs or evaluates the study, None if nobody does."""
        evaluation = find_evaluation(self.storage, study)
        for each in (study, evaluation):
            for lease in leases_of(each).values() if each is not None else ():
                if self._is_valid(lease):
                    return lease
        return None

    def _is_valid(self, lease: LeaseRecord) -> bool:
        if is_local(lease.process):
            return not is_dead(lease.process)
        now = time.monotonic()
        renewed, since = self._seen.get(lease.token, (None, now))
        if renewed != lease.renewed:
            self._seen[lease.token] = (lease.renewed, now)
            return True
        return now - since < WATCH_SECONDS
