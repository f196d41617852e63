"""Looks at test sets: each is noted before the test set is opened, and none is forgotten.

They are kept in the storage, in a study without trials, and outlive the studies that looked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import optuna

from hpsearch.trials.slots import DEFINITION, EVALUATES

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.study._frozen import FrozenStudy

LOOKS = "hpsearch.test-set-looks"  # the study that keeps them
PREFIX = "look."  # begins its user attributes, one a look
SEARCHED = "searched."  # begins those that name a deleted study which validated on a test set
AGAIN = "--again looks once more"


@dataclass(frozen=True)
class Look:
    """One look at the test set of the data with `digest`, by the evaluation of a study.

    slot, seeds, epochs: the trial whose final networks looked, how many, and trained how long.
    scores: what was seen; None of a look that was interrupted.
    number: the how-manieth look at this test set. searched_by: a study that has validated on it.
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
        """How fresh the test set was: the first look."""
        worn = self.number > 1 or self.searched_by
        which = "the first look" if self.number == 1 else f"look {self.number}"
        by = f" by the search '{self.searched_by}'" if self.searched_by else ""
        return f"{which}: it is worn{by}" if worn else which

    @property
    def date(self) -> str:
        """Its day, here: 2026-11-21."""
        return time.strftime("%Y-%m-%d", time.localtime(self.time))

    def is_of(self, study_id: str, slot: int, seeds: int, epochs: int) -> bool:
        """Whether it was at the test set with these very networks."""
        mine = self.study_id, self.slot, self.seeds, self.epochs
        return mine == (study_id, slot, seeds, epochs)


def is_search(study: Study | FrozenStudy) -> bool:
    """Whether a study searches, and does not keep what an evaluation has trained or seen."""
    return study.study_name != LOOKS and EVALUATES not in study.user_attrs


def looks_at(storage: BaseStorage, digest: str) -> list[Look]:
    """Return all looks at the test set of the data with `digest`, by whatever study, in order."""
    if LOOKS not in optuna.get_all_study_names(storage):
        return []
    kept = optuna.load_study(storage=storage, study_name=LOOKS).user_attrs
    noted = [Look(**value) for key, value in kept.items() if key.startswith(PREFIX) and value]
    found = sorted((n for n in noted if n.digest == digest), key=lambda n: (n.time, n.key))
    return [replace(look, number=n) for n, look in enumerate(found, start=1)]


def may_look(
    storage: BaseStorage, digest: str, study: str, about: Mapping[str, Any], *, again: bool
) -> tuple[Look | None, str]:
    """Return the look at a test set that certain networks have had or may have now, or why none.

    about: their study_id, slot, seeds and epochs. One look is free; one that was interrupted goes
    on, and `again` makes another.
    """
    looks = looks_at(storage, digest)
    mine = [look for look in looks if look.is_of(**about)]
    if mine and (mine[-1].scores is None or not again):
        return mine[-1], ""
    searched_by = _searched_by(storage, digest)
    if again or not (looks or searched_by):
        look = note_look(storage, digest=digest, study=study, searched_by=searched_by, **about)
        if look.number == 1 or again:
            return look, ""
        _withdraw(storage, look)  # somebody else was faster
        looks = looks_at(storage, digest)
    if not looks:
        return None, f"study '{searched_by}' has validated on the test set of these data; {AGAIN}"
    last = looks[-1]
    times = "once" if len(looks) == 1 else f"{len(looks)} times"
    return None, (
        f"the test set of these data was looked at {times} before, last on {last.date} by study "
        f"'{last.study}' (trial {last.slot}); {AGAIN}"
    )


def last_look_of(storage: BaseStorage, digest: str, study_id: str) -> Look | None:
    """Return the last look that networks of a study have had, None if it never came to an end."""
    mine = [look for look in looks_at(storage, digest) if look.study_id == study_id]
    return next((look for look in reversed(mine) if look.scores is not None), None)


def _searched_by(storage: BaseStorage, digest: str) -> str:
    """Return a study that validates on the test set of these data, "" if there is none."""
    for study in storage.get_all_studies():
        known = study.user_attrs.get(DEFINITION, {})
        same = known.get("data.digest") == digest and EVALUATES not in study.user_attrs
        if same and known.get("data.validation") == "test":
            return study.study_name
    if LOOKS not in optuna.get_all_study_names(storage):
        return ""
    ledger = optuna.load_study(storage=storage, study_name=LOOKS)
    return str(ledger.user_attrs.get(f"{SEARCHED}{digest}", ""))


def remember_search(storage: BaseStorage, study: Study) -> None:
    """Note of a study that will be deleted whether it has validated on its data's test set."""
    known = study.user_attrs.get(DEFINITION, {})
    if known.get("data.validation") == "test":
        ledger = optuna.create_study(storage=storage, study_name=LOOKS, load_if_exists=True)
        ledger.set_user_attr(f"{SEARCHED}{known['data.digest']}", study.study_name)


def note_look(storage: BaseStorage, **about: Any) -> Look:
    """Note that the test set is about to be looked at; `about` is what a Look says of itself."""
    optuna.create_study(storage=storage, study_name=LOOKS, load_if_exists=True)
    look = Look(key=uuid4().hex, time=time.time(), **about)
    _keep(storage, look)
    return next(known for known in looks_at(storage, look.digest) if known.key == look.key)


def complete_look(storage: BaseStorage, look: Look, scores: dict[str, Any]) -> Look:
    """Write down what was seen."""
    seen = replace(look, scores=scores)
    _keep(storage, seen)
    return seen


def _withdraw(storage: BaseStorage, look: Look) -> None:
    """Take back a look that did not happen."""
    ledger = optuna.load_study(storage=storage, study_name=LOOKS)
    ledger.set_user_attr(PREFIX + look.key, None)


def _keep(storage: BaseStorage, look: Look) -> None:
    ledger = optuna.load_study(storage=storage, study_name=LOOKS)
    ledger.set_user_attr(PREFIX + look.key, asdict(look))
