"""The test-set log: every use of a test set is logged before the set is opened, and is kept.

The log is a study without trials in the same storage. Its entries stay when studies are deleted.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import optuna

from hpsearch.storage.catalog import all_searches, has_study
from hpsearch.trials.records import (
    TEST_SET_LOG,
    definition_of,
    deleted_search,
    logged_uses,
    validation_of,
    write_deleted_search,
    write_use,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study


@dataclass(frozen=True)
class Networks:
    """Which networks use a test set: those that an evaluation trained last."""

    study_id: str
    slot: int  # of the search's trial
    seeds: int  # the number of networks
    epochs: int  # how long each was trained


@dataclass(frozen=True)
class LoggedUse:
    """One use of the test set of the data with `digest`, by the evaluation of a study.

    scores: on the test set; None where the evaluation was interrupted before it had them.
    number: 1 for the first use of this test set, 2 for the second.
    searched_by: a study that used this test set to validate on.
    """

    key: str
    digest: str
    study: str
    study_id: str
    slot: int
    seeds: int
    epochs: int
    time: float  # seconds since 1970
    scores: dict[str, Any] | None = None
    number: int = 0
    searched_by: str = ""

    @property
    def title(self) -> str:
        """How often the test set has been used: "first use", or why scores are optimistic."""
        which = "first use" if self.number == 1 else f"use {self.number}"
        if self.searched_by:
            return f"{which}, after the search '{self.searched_by}' validated on it"
        return which if self.number == 1 else f"{which}, so no longer unseen"

    @property
    def date(self) -> str:
        """Its day in local time: 2026-11-21."""
        return time.strftime("%Y-%m-%d", time.localtime(self.time))

    def is_by(self, networks: Networks) -> bool:
        """Whether exactly these networks used the test set."""
        return Networks(self.study_id, self.slot, self.seeds, self.epochs) == networks


def uses_of(storage: BaseStorage, digest: str) -> list[LoggedUse]:
    """Return all uses of the test set of the data with `digest`, by any study, oldest first."""
    if not has_study(storage, TEST_SET_LOG):
        return []
    uses = [LoggedUse(**table) for table in logged_uses(_log(storage))]
    found = sorted((use for use in uses if use.digest == digest), key=lambda u: (u.time, u.key))
    return [replace(use, number=number) for number, use in enumerate(found, start=1)]


def request_use(
    storage: BaseStorage, digest: str, study: str, networks: Networks, *, again: bool
) -> tuple[LoggedUse | None, str]:
    """Return the use of a test set that `networks` had or may have now, or None and why not.

    The first use needs no permission, an interrupted use continues, and `again` allows another.
    """
    uses = uses_of(storage, digest)
    own = [use for use in uses if use.is_by(networks)]
    if own and (own[-1].scores is None or not again):
        return own[-1], ""
    searched_by = _searched_by(storage, digest)
    if again or not (uses or searched_by):
        use = log_use(storage, digest, study, networks, searched_by)
        if use.number == 1 or again:
            return use, ""
        write_use(_log(storage), use.key, None)  # another process was faster
        uses = uses_of(storage, digest)
    if not uses:
        return None, f"study '{searched_by}' has validated on the test set of these data"
    last = uses[-1]
    times = "once" if len(uses) == 1 else f"{len(uses)} times"
    return None, (
        f"the test set of these data has been used {times}, last on {last.date} by study "
        f"'{last.study}' (trial {last.slot})"
    )


def last_use_by(storage: BaseStorage, digest: str, study_id: str) -> LoggedUse | None:
    """Return the last completed use by networks of a study, None if there is none."""
    own = [use for use in uses_of(storage, digest) if use.study_id == study_id]
    return next((use for use in reversed(own) if use.scores is not None), None)


def log_use(
    storage: BaseStorage, digest: str, study: str, networks: Networks, searched_by: str = ""
) -> LoggedUse:
    """Log a use that is about to happen, and return it with its number."""
    use = LoggedUse(
        key=uuid4().hex,
        digest=digest,
        study=study,
        time=time.time(),
        searched_by=searched_by,
        **asdict(networks),
    )
    write_use(_log(storage), use.key, asdict(use))
    return next(known for known in uses_of(storage, digest) if known.key == use.key)


def complete_use(storage: BaseStorage, use: LoggedUse, scores: dict[str, Any]) -> LoggedUse:
    """Log the scores of a use, and return the use with them."""
    completed = replace(use, scores=scores)
    write_use(_log(storage), use.key, asdict(completed))
    return completed


def log_deleted_search(storage: BaseStorage, study: Study) -> None:
    """Before a study is deleted, log it if it validated on its test set."""
    if validation_of(study) == "test":
        write_deleted_search(_log(storage), definition_of(study)["data.digest"], study.study_name)


def _log(storage: BaseStorage) -> Study:
    return optuna.create_study(storage=storage, study_name=TEST_SET_LOG, load_if_exists=True)


def _searched_by(storage: BaseStorage, digest: str) -> str:
    """Return a study that validated on the test set of these data, "" if there is none."""
    for study in all_searches(storage):
        if validation_of(study) == "test" and definition_of(study)["data.digest"] == digest:
            return study.study_name
    return deleted_search(_log(storage), digest) if has_study(storage, TEST_SET_LOG) else ""
