"""Studies side by side: the best so far against epochs and seconds, and what each needed.

Studies that differ in nothing but their seeds are repetitions, and stand together as one group;
their budget is the same, though one may not have come to its end. A study's rounds count with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.analysis.history import History
from hpsearch.analysis.ranking import metric_title
from hpsearch.errors import StudyError
from hpsearch.settings.definition import differences
from hpsearch.storage.catalog import load_search, rounds_of, study_settings
from hpsearch.trials.records import definition_of, metric_of

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

BUDGET = ("trials", "timeout", "target", "patience")  # keys of [search]: when a study ends
SEED, SPLIT = "search.seed", "data.split_seed"  # in which repetitions differ
Spent = Literal["epochs", "seconds"]


@dataclass(frozen=True)
class Band:
    """The best so far of several studies: median, lowest and highest; `x` is what was spent."""

    x: NDArray[np.float64]
    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """A study with its rounds: what it searches and how, and how that went."""

    name: str
    definition: Mapping[str, str]  # with its budget
    way: tuple[Any, ...]  # sampler, pruner, their options, and how many rounds
    history: History

    def repeats(self, other: Entry) -> bool:
        """Whether both are the same search but for their seeds."""
        mine, its = (_without(each.definition, SEED, SPLIT) for each in (self, other))
        return self.way == other.way and not differences(its, mine)


@dataclass(frozen=True)
class Group:
    """A study, or several that are repetitions: what is shown as one."""

    entries: tuple[Entry, ...]

    @property
    def label(self) -> str:
        """The study's name, or the first's and how many there are."""
        name, number = self.entries[0].name, len(self.entries)
        return name if number == 1 else f"{name} (median of {number})"

    @property
    def histories(self) -> list[History]:
        """How each of the studies went."""
        return [entry.history for entry in self.entries]

    @property
    def definition(self) -> dict[str, str]:
        """What all of them search, how long, on which splits."""
        splits = sorted({int(entry.definition.get(SPLIT, 0)) for entry in self.entries})
        shared = _without(self.entries[0].definition, SEED)
        return shared | {SPLIT: ", ".join(map(str, splits))}

    def epochs_until(self, target: float) -> tuple[float | None, int]:
        """Return the median of the epochs until `target`, and how many studies never reached it.

        Never is later than all others; the median is None where it is never.
        """
        needed = [history.epochs_until(target) for history in self.histories]
        middle = median(epochs if reached else math.inf for epochs, reached in needed)
        never = sum(not reached for _, reached in needed)
        return (middle if math.isfinite(middle) else None), never

    def band(self, spent: Spent) -> Band:
        """Return the best so far from where all have one; a study that has ended keeps its best."""
        points = [_points(history, spent) for history in self.histories]
        x = np.unique(np.concatenate(points))
        x = x[x >= max(its[0] for its in points)]
        found = [h.best_after(x) if spent == "epochs" else h.best_within(x) for h in self.histories]
        return Band(x, np.median(found, axis=0), np.min(found, axis=0), np.max(found, axis=0))


@dataclass(frozen=True)
class Comparison:
    """Groups side by side, in the order in which they were named.

    `notes` say what makes their values hard to compare: other data, another space or budget.
    """

    metric: str  # as it is called: with "(test set)" where that validates
    maximize: bool
    target: float
    groups: list[Group]
    notes: list[str]

    def as_record(self) -> dict[str, Any]:
        """Return plain data: what `--json` prints."""
        return {
            "metric": self.metric,
            "target": self.target,
            "notes": self.notes,
            "groups": [_group_record(group, self.target) for group in self.groups],
        }


def open_searches(storage: BaseStorage, names: Iterable[str]) -> list[list[Study]]:
    """Open studies, each with all rounds of its search, which is there once; raises StudyError."""
    found: dict[str, list[Study]] = {}
    for name in names:
        study = load_search(storage, name)
        rounds = rounds_of(storage, study) or [study]
        found.setdefault(rounds[0].study_name, rounds)
    return list(found.values())


def compare(
    searches: Sequence[Sequence[Study]], *, target: float | None = None, each: bool = False
) -> Comparison:
    """Compare studies, of which each comes with its rounds.

    target: None is the worst of what the studies found, which all of them reached. each: leave
    repetitions apart. Values count as in `History`: from the epoch that reached them, of pruned
    trials and single repeats too. Raises StudyError for studies of different metrics, one that
    hpsearch did not start, and one that has no epoch yet.
    """
    first = searches[0][0]
    entries = [_entry(rounds, first) for rounds in searches]
    maximize = entries[0].history.maximize
    if target is None:
        target = (min if maximize else max)(entry.history.best for entry in entries)
    groups = [Group((entry,)) for entry in entries] if each else _grouped(entries)
    return Comparison(metric_title(first), maximize, target, groups, _notes(groups))


def _entry(rounds: Sequence[Study], first: Study) -> Entry:
    study, metric = rounds[0], metric_of(first)
    if not definition_of(study):
        raise StudyError(
            f"study '{study.study_name}' was not started by hpsearch; only what `hpsearch study` "
            "has run can be compared"
        )
    if metric_of(study) != metric:
        raise StudyError(
            f"study '{study.study_name}' has the metric {metric_of(study)}, and "
            f"'{first.study_name}' {metric}: their values cannot be compared"
        )
    history = History.of_rounds(rounds, metric)
    if not history.improvements:
        raise StudyError(f"study '{study.study_name}' has no trial with an epoch that has ended")
    searches = [study_settings(each).search for each in rounds]
    search = searches[0]
    options = search.sampler_options, search.pruner_options
    way = search.sampler, search.pruner, *options, len(rounds)
    limits = {key: getattr(search, key) for key in BUDGET}
    limits["trials"] = sum(each.trials for each in searches)
    budget = {f"search.{key}": f"{n:.12g}" for key, n in limits.items() if n is not None}
    return Entry(study.study_name, definition_of(study) | budget, way, history)


def _grouped(entries: Sequence[Entry]) -> list[Group]:
    groups: list[list[Entry]] = []
    for entry in entries:
        its = next((group for group in groups if entry.repeats(group[0])), None)
        if its is None:
            groups.append([entry])
        else:
            its.append(entry)
    return [Group(tuple(group)) for group in groups]


def _notes(groups: Sequence[Group]) -> list[str]:
    """Say of each group how what it searches differs from the first."""
    first, *others = groups
    found = ((group, differences(first.definition, group.definition)) for group in others)
    return [
        f"from {first.entries[0].name} to {group.entries[0].name}: {'; '.join(changes)}"
        for group, changes in found
        if changes
    ]


def _without(definition: Mapping[str, str], *keys: str) -> dict[str, str]:
    return {key: text for key, text in definition.items() if key not in keys}


def _points(history: History, spent: Spent) -> NDArray[np.float64]:
    """Return where a search improved, and where it ended."""
    end = history.spent if spent == "epochs" else history.elapsed
    return np.array([*(getattr(each, spent) for each in history.improvements), end], np.float64)


def _group_record(group: Group, target: float) -> dict[str, Any]:
    epochs, never = group.epochs_until(target)
    best = [history.best for history in group.histories]
    return {
        "label": group.label,
        "best": median(best),
        "lowest": min(best),
        "highest": max(best),
        "epochs_to_target": epochs,
        "never": never,
        "studies": [_entry_record(entry, target) for entry in group.entries],
    }


def _entry_record(entry: Entry, target: float) -> dict[str, Any]:
    history = entry.history
    epochs, reached = history.epochs_until(target)
    return {
        "study": entry.name,
        "trials": history.trials,
        "epochs": history.spent,
        "seconds": history.elapsed,
        "best": history.best,
        "epochs_to_target": epochs if reached else None,
        "improvements": [improvement._asdict() for improvement in history.improvements],
    }
