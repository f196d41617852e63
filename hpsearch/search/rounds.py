"""Rounds: studies one after the other, each around the best trials of the one before it."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from hpsearch.analysis.ranking import rank, searched_values
from hpsearch.errors import Argument, SettingsError, StudyError
from hpsearch.execution.coordinator import RunOptions
from hpsearch.execution.progress import progress_bar
from hpsearch.formatting import format_value
from hpsearch.search.study import Outcome, run, study_name
from hpsearch.settings.names import NEW_NAME, NUMBERED_ROUND, check_name, with_suffix
from hpsearch.settings.study import StudySettings
from hpsearch.space.grid import grid_size
from hpsearch.space.narrowing import MARGIN, Narrowing, narrow
from hpsearch.storage.catalog import has_study, study_settings
from hpsearch.storage.open import open_storage, storage_url
from hpsearch.trials.records import ensure_study_id, first_round_id
from hpsearch.trials.slots import derive_rng

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.execution.coordinator import OnProgress
    from hpsearch.space.space import SearchSpace
    from hpsearch.tracking.tracker import Tracker

LEAST_TOP = 5
ROUNDS = Argument("rounds")


@dataclass(frozen=True)
class NextRound:
    """The settings of the next study, and the trials that they are based on."""

    study: Study
    settings: StudySettings
    narrowing: Narrowing
    best: tuple[FrozenTrial, ...]  # best first
    completed: int  # the number of trials to choose from
    tied: int = 0  # how many other trials are as good as the last of the best

    @property
    def tie(self) -> str:
        """A sentence about how many other trials are as good, "" if none is."""
        if not self.tied:
            return ""
        found = f"{self.settings.search.metric} {format_value(self.best[-1].value)}"
        have = "1 more has" if self.tied == 1 else f"{self.tied} more have"
        top = str(len(self.best) + self.tied)
        everyone = ["hpsearch", "narrow", self.study.study_name, "--top", top]
        return f"{have} {found} too: {shlex.join(everyone)} takes all"

    def as_file(self) -> str:
        """Return the next study file: comments on what changed, then the settings."""
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
    gpus: Sequence[str] = (),
    executor: Executor | None = None,
    cluster: str | None = None,
    margin: float = MARGIN,
    on_progress: OnProgress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    show_progress_bar: bool = False,
) -> list[Outcome]:
    """Run the study NAME, then NAME.r2 around its best, and so on; return an outcome per round.

    `settings.search.trials` is the number of trials of a round; `timeout` limits all rounds
    together, `patience` ends a round. A round that an earlier start began continues in the space
    that it has. Each round draws its own random numbers: its seed follows from that of the round
    before it. `margin` is that of `narrow`. Everything else is as in `run_study`.
    """
    options = RunOptions(
        storage=storage_url(storage),
        tracker=tracker,
        jobs=jobs,
        gpus=gpus,
        executor=executor,
        cluster=cluster,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    with progress_bar() if show_progress_bar else nullcontext(on_progress) as shown:
        options = replace(options, on_progress=shown)
        return run_all(settings, study_name(settings, name), rounds, options, margin=margin)


def run_all(
    settings: StudySettings,
    name: str,
    rounds: int,
    options: RunOptions,
    *,
    margin: float = MARGIN,
) -> list[Outcome]:
    """Run the study called `name` and the rounds after it, as `run_rounds` does."""
    timeout, outcomes = settings.search.timeout, list[Outcome]()
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    if rounds < 1:
        raise SettingsError(ROUNDS, f": must be at least 1, but got {rounds}")
    if rounds > 1:
        check_name(f"{name}.r{rounds}")
        _refuse_fixed(name, settings)
        _refuse_repeats(settings)
    while len(outcomes) < rounds:
        earlier = [outcome.study for outcome in outcomes]
        round_name = f"{name}.r{len(earlier) + 1}" if earlier else name
        if earlier:
            if not earlier[-1].get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
                outcomes[-1] = replace(outcomes[-1], reason="nothing completed")
                break
            space = _begun(round_name, earlier[0], options.storage)
            if space is None:
                space = next_round(earlier[-1], margin=margin).narrowing.space
            settings = _narrowed(settings, space)
        outcomes.append(run(settings, round_name, options, earlier=earlier, deadline=deadline))
        if outcomes[-1].reason not in ("finished", "patience"):
            break
    return outcomes


def _begun(name: str, first: Study, storage: str) -> SearchSpace | None:
    """Return the space of the round called `name`, None if it has not begun.

    Raises StudyError if the study of that name is not a round of this search.
    """
    store = open_storage(storage)
    if not has_study(store, name):
        return None
    found = optuna.load_study(storage=store, study_name=name)
    if not found.get_trials(deepcopy=False):
        return None
    if first_round_id(found) != ensure_study_id(first):
        raise StudyError(
            f"study '{name}' is not a round of this '{first.study_name}'; delete it, or use ",
            NEW_NAME,
            " for a new search",
        )
    return study_settings(found).trial


def _narrowed(settings: StudySettings, space: SearchSpace) -> StudySettings:
    """Return the settings of the next round, which has another seed."""
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

    top: how many of the best completed trials to search around, all if there are fewer; None takes
    a tenth of them, but at least 5.

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
    if numbered := NUMBERED_ROUND.fullmatch(base):
        base, number = numbered[1].removesuffix(f"-{sampler}"), int(numbered[2]) + 1
    return with_suffix(base, f".r{number}")
