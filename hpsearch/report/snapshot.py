"""A study as it is at one moment: a page that takes seconds to make tells of no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import optuna

if TYPE_CHECKING:
    from optuna.study import Study


def snapshot_of(study: Study) -> Study:
    """Return a copy of `study` in memory, of which no trial changes and to which none is added.

    Trials keep their numbers, their times and what they carry; what is written to the copy is lost.
    """
    copy = optuna.create_study(study_name=study.study_name, directions=study.directions)
    for key, value in study.user_attrs.items():
        copy.set_user_attr(key, value)
    copy.add_trials(study.get_trials(deepcopy=False))
    return copy
