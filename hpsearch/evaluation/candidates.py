"""The candidates of an evaluation: the best of a search, over fresh seeds, and their ties."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isclose, sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.configurations import best_configurations
from hpsearch.analysis.ranking import best_trials, no_best
from hpsearch.errors import StudyError
from hpsearch.evaluation.bootstrap import CONFIDENCE, Interval
from hpsearch.trials.records import config_of, seeds_of, setup_of, slot_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class SearchResult:
    """A configuration of a search: its trial, or the first of its repeats, and its value there."""

    trial: FrozenTrial
    value: float

    @property
    def slot(self) -> int:
        """The trial's slot."""
        return slot_of(self.trial)

    @property
    def key(self) -> str:
        """The configuration as text, the same for trials that trained the same."""
        return configuration_key(self.trial)


def configuration_key(trial: FrozenTrial) -> str:
    """Return a trial's configuration as text, the same for trials that trained the same."""
    setup, config = setup_of(trial), config_of(trial)
    if setup is None or not setup.model:
        from hpsearch.trainables.network import trained_config  # imports the training core

        config = trained_config(trial).as_dict()  # also the fields that an earlier version lacked
    return json.dumps(config, sort_keys=True)


def best_results(study: Study, top: int, also: Container[int] = ()) -> list[SearchResult]:
    """Return the best `top` configurations of `study`, and those of the slots in `also`.

    The best comes first, and no two are equal: a slot in `also` stands for all trials with its
    configuration, with the best value of them. Raises StudyError if no trial is complete.
    """
    if seeds_of(study) > 1:
        repeated = best_configurations(study)
        results = [SearchResult(each.trials[0], each.mean) for each in repeated]
    else:
        results = [SearchResult(trial, trial.value or 0.0) for trial in best_trials(study)]
    if not results:
        raise StudyError(no_best(study))
    different: dict[str, SearchResult] = {}
    for result in results:
        wanted = result.slot in also
        if not wanted and len(different) >= top:
            continue
        twin = different.setdefault(result.key, result)
        if wanted and twin.slot not in also:
            different[result.key] = replace(result, value=twin.value)
    return list(different.values())


def count_equals(study: Study, known: Container[int]) -> int:
    """Return how many configurations have the best value of `study` and no slot in `known`."""
    results = best_results(study, len(study.get_trials(deepcopy=False)), known)
    return sum(each.value == results[0].value and each.slot not in known for each in results)


@dataclass(frozen=True)
class Candidate:
    """A configuration of a search, and its values when it was trained again.

    slot: of its trial, or of the first of its repeats. search_value: its value in the search.
    values: its values over fresh draws of weights and batches, None where training diverged.
    """

    slot: int
    label: str
    params: dict[str, Any]
    search_value: float
    values: tuple[float | None, ...]
    maximize: bool

    @cached_property
    def known(self) -> list[float]:
        """The values of the draws that did not diverge."""
        return [value for value in self.values if value is not None]

    @property
    def diverged(self) -> int:
        """How many draws diverged."""
        return len(self.values) - len(self.known)

    @property
    def mean(self) -> float | None:
        """The mean of the known values, None if there is none."""
        return fmean(self.known) if self.known else None

    @property
    def deviation(self) -> float | None:
        """Their sample standard deviation, None for fewer than two."""
        return stdev(self.known) if len(self.known) > 1 else None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of their mean by Student's t, None for fewer than two.

        It is cut at the bounds of the metric: an accuracy lies in [0, 1], a loss is at least 0.
        """
        interval = mean_interval(self.known)
        if interval is None:
            return None
        low, high = interval
        return max(low, 0.0), min(high, 1.0) if self.maximize else high

    @property
    def luck(self) -> float | None:
        """By how much the search's value is better than the mean; negative if it is worse."""
        if self.mean is None:
            return None
        if self.maximize:
            return self.search_value - self.mean
        return self.mean - self.search_value


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval of the mean of `values` by Student's t, None for fewer than two.

    It is the sample mean ± t · s / √n, with the t of n − 1 degrees of freedom (Student, 1908).
    """
    if len(values) < 2:
        return None
    from scipy import stats  # takes a second to import, and not every command needs intervals

    mean, n = fmean(values), len(values)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * stdev(values) / sqrt(n)
    return mean - half, mean + half


def by_mean(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates by their mean, best first; those that ever diverged come last.

    The mean of a candidate that diverged leaves out what went wrong.
    """

    def key(candidate: Candidate) -> tuple[int, float]:
        sign = -1 if candidate.maximize else 1
        return candidate.diverged, sign * (candidate.mean or 0.0)

    return sorted(candidates, key=key)


def is_tied(first: Candidate, other: Candidate, comparisons: int = 1) -> bool:
    """Whether `other` cannot be told apart from `first`.

    That is so where the interval of the mean of their differences contains 0, at 95 % for all
    `comparisons` together (Bonferroni). Both began each draw with the same random numbers, so
    differences are compared, draw by draw, and not means. Where all differences are equal, as those
    of accuracies on few rows may be, their deviation is no help: then as many of them have to
    agree as the sign test requires. A candidate that diverged more often is never tied.
    """
    if other.diverged > first.diverged:
        return False
    pairs = zip(first.values, other.values, strict=True)
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    error = (1 - CONFIDENCE) / comparisons
    interval = mean_interval(differences, 1 - error)
    if interval is None:
        return False
    low, high = interval
    if isclose(low, high, abs_tol=1e-12) and 2 ** (1 - len(differences)) > error:
        return True
    return low <= 0 <= high or isclose(low, 0, abs_tol=1e-12) or isclose(high, 0, abs_tol=1e-12)
