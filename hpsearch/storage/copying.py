"""Copying studies from one storage to another, of any kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import optuna

from hpsearch.errors import StudyError
from hpsearch.storage.catalog import find_evaluation, has_study, load_study, rounds_of
from hpsearch.storage.leases import leased
from hpsearch.trials.records import is_search, leases_of, write_lease

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study


def copy_studies(
    source: BaseStorage, target: BaseStorage, names: Sequence[str], *, shown: str
) -> Iterator[Study]:
    """Yield each study of `target` that is now there, with all that it has in `source`.

    names: with their rounds and evaluations; none is all studies. shown: the name of `target`.
    Nothing is copied if one of the studies exists there, or if a process runs one of them. A study
    that cannot be copied to its end is removed again. Raises StudyError.
    """
    studies = _studies(source, names)
    for study in studies:
        if has_study(target, study.study_name):
            raise StudyError(
                f"storage '{shown}' has a study '{study.study_name}' already; delete one of the "
                "two, or name the studies to copy"
            )
    with ExitStack() as leases:
        for study in studies:
            leases.enter_context(leased(source, study))
        for study in studies:
            yield _copy(source, target, study.study_name)


def snapshot(source: BaseStorage, target: BaseStorage, names: Sequence[str]) -> None:
    """Copy studies as they are at this moment, also those that run.

    names: as of `copy_studies`. target: an empty storage. Raises StudyError.
    """
    for study in _studies(source, names):
        _copy(source, target, study.study_name)


def _studies(storage: BaseStorage, names: Sequence[str]) -> list[Study]:
    """Return the studies to copy; without names all of them, and the log of test sets."""
    if not names:
        every = sorted(optuna.get_all_study_names(storage))
        return [optuna.load_study(storage=storage, study_name=name) for name in every]
    found: dict[str, Study] = {}
    for name in names:
        study = load_study(storage, name)
        studies = rounds_of(storage, study) if is_search(study) else [study]
        studies = studies or [study]
        evaluations = (find_evaluation(storage, each) for each in studies if is_search(each))
        studies += [each for each in evaluations if each is not None]
        found |= {each.study_name: each for each in studies}
    return [*found.values()]


def _copy(source: BaseStorage, target: BaseStorage, name: str) -> Study:
    try:
        optuna.copy_study(from_study_name=name, from_storage=source, to_storage=target)
        study = optuna.load_study(study_name=name, storage=target)
        for key in leases_of(study):
            write_lease(study, key, None)  # it is the lease on the original
    except BaseException:
        if has_study(target, name):
            optuna.delete_study(study_name=name, storage=target)
        raise
    return study
