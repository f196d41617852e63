"""The rounds of one search: which studies they are, and which of them has found the best."""

from __future__ import annotations

import shlex
from itertools import count, takewhile
from typing import TYPE_CHECKING

import optuna

from hpsearch.analysis.ranking import best_of_rounds, best_trials
from hpsearch.tracking.tracker import experiment_name

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study


def rounds_of(storage: BaseStorage, study: Study) -> list[Study]:
    """Return all rounds of the search that `study` belongs to, in their order."""
    name, names = experiment_name(study), optuna.get_all_study_names(storage)
    numbered = (f"{name}.r{number}" for number in count(2))
    known = [name, *takewhile(names.__contains__, numbered)]
    rounds = [optuna.load_study(storage=storage, study_name=n) for n in known if n in names]
    return [each for each in rounds if experiment_name(each) == name]


def better_round(study: Study) -> str:
    """Return the round of the same search that has the best trial, "" if `study` is as good."""
    best, own = best_of_rounds(rounds_of(study._storage, study), 1), best_trials(study, 1)
    if not best or (own and own[0].value == best[0][1].value):
        return ""
    return best[0][0].study_name


def better_found(study: Study, command: str, *options: str) -> str:
    """Say which round has found better than `study`, and the command for it; "" if none has."""
    name = better_round(study)
    line = shlex.join(["hpsearch", command, name, *options])
    return f"{name} has found better: {line}" if name else ""
