"""Compare studies: the best value so far against epochs and seconds, and what each study spent.

Studies that differ only in their seeds are repetitions and form one group. Their budgets are equal,
but some may not have finished yet. A study includes all its rounds.
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

BUDGET = ("trials", "timeout", "target", "patience")  # keys of [search] that end a study
SEED, SPLIT = "search.seed", "data.split_seed"  # what differs between repetitions
Cost = Literal["epochs", "seconds"]


@dataclass(frozen=True)
class Band:
    """The best value so far of several studies: median, lowest and highest, at each cost `x`."""

    x: NDArray[np.float64]
    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """A study with its rounds: what it searches, by which method, and its history."""

    name: str
    definition: Mapping[str, str]  # including the budget
    method: tuple[Any, ...]  # sampler, pruner, their options and the number of rounds
    history: History

    def is_repetition_of(self, other: Entry) -> bool:
        """Whether the two searches differ only in their seeds."""
        own, others = (_without(each.definition, SEED, SPLIT) for each in (self, other))
        return self.method == other.method and not differences(others, own)


@dataclass(frozen=True)
class Group:
    """One study, or several repetitions that are shown as one."""

    entries: tuple[Entry, ...]

    @property
    def label(self) -> str:
        """The study's name; for several, the name of the first and how many there are."""
        name, number = self.entries[0].name, len(self.entries)
        return name if number == 1 else f"{name} (median of {number})"

    @property
    def histories(self) -> list[History]:
        """The history of each study."""
        return [entry.history for entry in self.entries]

    @property
    def definition(self) -> dict[str, str]:
        """What all the studies search, their budget, and the splits that they use."""
        splits = sorted({int(entry.definition.get(SPLIT, 0)) for entry in self.entries})
        shared = _without(self.entries[0].definition, SEED)
        return shared | {SPLIT: ", ".join(map(str, splits))}

    def epochs_until(self, target: float) -> tuple[float | None, int]:
        """Return the median number of epochs until `target`, and how many studies never reached it.

        A study that never reached it counts as infinitely many epochs. If the median is infinite,
        it is None.
        """
        needed = [history.epochs_until(target) for history in self.histories]
        middle = median(epochs if reached else math.inf for epochs, reached in needed)
        never = sum(not reached for _, reached in needed)
        return (middle if math.isfinite(middle) else None), never

    def band(self, cost: Cost) -> Band:
        """Return the best so far, from where every study has one; an ended study keeps its best."""
        points = [_points(history, cost) for history in self.histories]
        x = np.unique(np.concatenate(points))
        x = x[x >= max(each[0] for each in points)]
        best = [h.best_after(x) if cost == "epochs" else h.best_within(x) for h in self.histories]
        return Band(x, np.median(best, axis=0), np.min(best, axis=0), np.max(best, axis=0))


@dataclass(frozen=True)
class Comparison:
    """Groups of studies, in the order in which the caller named them.

    `notes` say what makes their values hard to compare: different data, space or budget.
    """

    metric: str  # its title: with "(test set)" if the study validates on that
    maximize: bool
    target: float
    groups: list[Group]
    notes: list[str]

    def as_record(self) -> dict[str, Any]:
        """Return the comparison as plain data, which `--json` prints."""
        return {
            "metric": self.metric,
            "target": self.target,
            "notes": self.notes,
            "groups": [_group_record(group, self.target) for group in self.groups],
        }


def open_searches(storage: BaseStorage, names: Iterable[str]) -> list[list[Study]]:
    """Open each search once, with all its rounds, although several names may belong to it.

    Raises StudyError.
    """
    searches: dict[str, list[Study]] = {}
    for name in names:
        study = load_search(storage, name)
        rounds = rounds_of(storage, study) or [study]
        searches.setdefault(rounds[0].study_name, rounds)
    return list(searches.values())


def compare(
    searches: Sequence[Sequence[Study]], *, target: float | None = None, each: bool = False
) -> Comparison:
    """Compare searches; each is a list of its rounds.

    target: None takes the worst of the studies' best values, which all of them reached. each: do
    not group repetitions. Values count as in `History`: from the epoch that reached them, and also
    in pruned trials and single repeats. Raises StudyError for studies with different metrics, for a
    study that hpsearch did not start, and for one that has no epoch yet.
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
            f"study '{study.study_name}' was not started by hpsearch; compare studies that "
            "`hpsearch study` ran"
        )
    if metric_of(study) != metric:
        raise StudyError(
            f"study '{study.study_name}' has the metric {metric_of(study)} and study "
            f"'{first.study_name}' has {metric}; compare studies with the same metric"
        )
    history = History.of_rounds(rounds, metric)
    if not history.improvements:
        raise StudyError(
            f"study '{study.study_name}' has no finished epoch yet, so there is nothing to compare"
        )
    searches = [study_settings(each).search for each in rounds]
    search = searches[0]
    options = search.sampler_options, search.pruner_options
    method = search.sampler, search.pruner, *options, len(rounds)
    limits = {key: getattr(search, key) for key in BUDGET}
    limits["trials"] = sum(each.trials for each in searches)
    budget = {f"search.{key}": f"{n:.12g}" for key, n in limits.items() if n is not None}
    return Entry(study.study_name, definition_of(study) | budget, method, history)


def _grouped(entries: Sequence[Entry]) -> list[Group]:
    groups: list[list[Entry]] = []
    for entry in entries:
        same = (group for group in groups if entry.is_repetition_of(group[0]))
        known = next(same, None)
        if known is None:
            groups.append([entry])
        else:
            known.append(entry)
    return [Group(tuple(group)) for group in groups]


def _notes(groups: Sequence[Group]) -> list[str]:
    """Describe how the definition of each group differs from that of the first."""
    first, *others = groups
    changed = ((group, differences(first.definition, group.definition)) for group in others)
    return [
        f"from {first.entries[0].name} to {group.entries[0].name}: {'; '.join(changes)}"
        for group, changes in changed
        if changes
    ]


def _without(definition: Mapping[str, str], *keys: str) -> dict[str, str]:
    return {key: text for key, text in definition.items() if key not in keys}


def _points(history: History, cost: Cost) -> NDArray[np.float64]:
    """Return the costs at which a search improved, and the cost at its end."""
    end = history.spent if cost == "epochs" else history.elapsed
    return np.array([*(getattr(each, cost) for each in history.improvements), end], np.float64)


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
