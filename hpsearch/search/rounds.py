"""Rounds: the study that comes after a study, around the best that it found."""

from __future__ import annotations

import math
import re
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from hpsearch.analysis.ranking import rank, searched_values
from hpsearch.errors import SettingsError, StudyError
from hpsearch.formatting import format_value
from hpsearch.search.study import FIRST, Outcome, run_study, study_name
from hpsearch.settings.names import check_name, with_suffix
from hpsearch.settings.study import StudySettings
from hpsearch.space.grid import grid_size
from hpsearch.space.narrowing import MARGIN, Narrowing, narrow
from hpsearch.storage.catalog import study_settings
from hpsearch.storage.open import open_storage, storage_url
from hpsearch.tracking.tracker import study_id
from hpsearch.trials.slots import derive_rng

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.execution.coordinator import OnProgress
    from hpsearch.space.space import SearchSpace
    from hpsearch.tracking.tracker import Tracker

LEAST_TOP = 5
NUMBERED = re.compile(r"(.+)\.r([0-9]+)")  # digits.r2 is the second round of digits


@dataclass(frozen=True)
class NextRound:
    """The settings of the next study, and what they come from."""

    study: Study
    settings: StudySettings
    narrowing: Narrowing
    best: tuple[FrozenTrial, ...]  # best first
    completed: int  # how many trials the best are the best of
    tied: int = 0  # how many others have the value of the last of them

    @property
    def tie(self) -> str:
        """Say that others are as good, "" where none is."""
        if not self.tied:
            return ""
        found = f"{self.settings.search.metric} {format_value(self.best[-1].value)}"
        have = "1 more has" if self.tied == 1 else f"{self.tied} more have"
        top = str(len(self.best) + self.tied)
        everyone = ["hpsearch", "narrow", self.study.study_name, "--top", top]
        return f"{have} {found} too: {shlex.join(everyone)} takes all"

    def as_file(self) -> str:
        """Return the next study's file: what changed, as comments, then the settings."""
        origin = [self._origin(), self.tie] if self.tie else [self._origin()]
        comments = [*origin, "", *self._table(), ""]
        comments += [*map(str, self.narrowing.crowded), ""] if self.narrowing.crowded else []
        comments += [f"hpsearch study FILE starts it as {study_name(self.settings)}"]
        lines = [f"# {line}".rstrip() for line in comments]
        return "\n".join([*lines, "", self.settings.to_toml()])

    def _origin(self) -> str:
        values = [format_value(trial.value) for trial in self.best]
        found = values[0] if len(set(values)) == 1 else f"{values[-1]} to {values[0]}"
        which = f"the best {len(values)} of {self.completed} completed trials"
        return f"{self.study.study_name} around {which} ({self.settings.search.metric} {found})"

    def _table(self) -> list[str]:
        old, new = self.narrowing.before.searched, self.narrowing.space.searched
        rows = [("", "before", "now"), *((key, str(old[key]), str(new[key])) for key in old)]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return [f"{key:{widths[0]}}  {was:{widths[1]}}  {now}" for key, was, now in rows]


def run_rounds(
    settings: StudySettings,
    rounds: int,
    *,
    name: str | None = None,
    storage: str | None = None,
    tracker: Tracker | None = None,
    jobs: int = 1,
    margin: float = MARGIN,
    on_progress: OnProgress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Run the study NAME, then NAME.r2 around its best, and so on; return what became of each.

    `settings.search.trials` are those of a round; `timeout` holds for all of them, `patience` ends
    a round. A round that was begun by an earlier start goes on in the space that it has. Each
    draws numbers of its own: its seed follows from that of the round before it. `margin` is that
    of `narrow`. Otherwise as `run_study`.
    """
    base, timeout, outcomes = study_name(settings, name), settings.search.timeout, list[Outcome]()
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    if rounds > 1:
        check_name(f"{base}.r{rounds}")
        _refuse_fixed(base, settings)
        _refuse_repeats(settings)
    while len(outcomes) < rounds:
        earlier = [outcome.study for outcome in outcomes]
        name = f"{base}.r{len(earlier) + 1}" if earlier else base
        if earlier:
            if not earlier[-1].get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
                outcomes[-1] = replace(outcomes[-1], reason="nothing completed")
                break
            space = _begun(name, earlier[0], storage_url(storage))
            if space is None:
                space = next_round(earlier[-1], margin=margin).narrowing.space
            settings = _narrowed(settings, space)
        outcome = run_study(
            settings,
            name=name,
            storage=storage,
            tracker=tracker,
            jobs=jobs,
            earlier=earlier,
            deadline=deadline,
            on_progress=on_progress,
            should_stop=should_stop,
        )
        outcomes.append(outcome)
        if outcome.reason not in ("finished", "patience"):
            break
    return outcomes


def _begun(name: str, first: Study, storage: str) -> SearchSpace | None:
    """Return what the round called `name` searches, None if it has not begun.

    Raises StudyError for a study of that name which is no round of this search.
    """
    store = open_storage(storage)
    if name not in optuna.get_all_study_names(store):
        return None
    found = optuna.load_study(storage=store, study_name=name)
    if not found.get_trials(deepcopy=False):
        return None
    if found.user_attrs.get(FIRST) != study_id(first):
        raise StudyError(
            f"study '{name}' is no round of this '{first.study_name}'; delete it, or use --name "
            "for a new search"
        )
    return study_settings(found).trial


def _narrowed(settings: StudySettings, space: SearchSpace) -> StudySettings:
    """Return the settings of the next round, which draws other numbers."""
    search = {"seed": int(derive_rng(settings.search.seed, 0, "next round").integers(2**31))}
    if settings.search.sampler == "grid":
        search["trials"] = min(settings.search.trials, grid_size(space))
    figures = [each.as_table() for each in settings.figure if not each.labels]
    return settings.replace(trial=space.as_table(), search=search, enqueue=[], figure=figures)


def _refuse_repeats(settings: StudySettings) -> None:
    if settings.search.seeds > 1:
        raise SettingsError(
            f"search.seeds: is {settings.search.seeds}, but rounds narrow ranges around single "
            "trials; use seeds = 1 or one round"
        )


def _refuse_fixed(name: str, settings: StudySettings) -> None:
    if not settings.trial.searched:
        raise StudyError(
            f"study '{name}' searches nothing: its [trial] has no range and no choices"
        )


def next_round(
    study: Study, *, top: int | None = None, margin: float = MARGIN, widen: bool = False
) -> NextRound:
    """Return what to search after `study`: the same, in a space narrowed as `narrow` does it.

    top: how many of the best completed trials to keep around; None takes a tenth of them, and at
    least 5. All there are, if they are fewer.

    Labelled configurations belong to the first round and are left out, and so are figures that
    name them. Raises StudyError for a study that hpsearch did not start, that searches nothing, or
    that has no completed trial; SettingsError for one that repeats its configurations.
    """
    settings = study_settings(study)
    _refuse_fixed(study.study_name, settings)
    _refuse_repeats(settings)
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    completed = len(trials)  # with those of earlier rounds
    if not completed:
        raise StudyError(
            f"study '{study.study_name}' has no completed trial yet; narrow it when it has some"
        )
    top = max(LEAST_TOP, completed // 10) if top is None else top
    ranked = rank(trials, study.direction)
    best, others = ranked[:top], ranked[top:]
    tied = sum(trial.value == best[-1].value for trial in others)
    values = [searched_values(trial) for trial in best]
    narrowing = narrow(settings.trial, values, margin=margin, widen=widen)
    following = _narrowed(settings, narrowing.space)
    following = following.replace(name=next_name(study.study_name, settings.search.sampler))
    return NextRound(study, following, narrowing, tuple(best), completed, tied)


def next_name(name: str, sampler: str) -> str:
    """Return the `name` in the file of the round after the study called `name`.

    digits-tpe is followed by digits.r2, which becomes the study digits.r2-tpe, and that by
    digits.r3.
    """
    base, number = name.removesuffix(f"-{sampler}"), 2
    if numbered := NUMBERED.fullmatch(base):
        base, number = numbered[1].removesuffix(f"-{sampler}"), int(numbered[2]) + 1
    return with_suffix(base, f".r{number}")
