"""The verdict on a search's best: what they come to over fresh seeds, and how sure that is."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isclose, sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.configurations import best_configurations, seeds_of
from hpsearch.analysis.ranking import best_trials
from hpsearch.errors import StudyError
from hpsearch.trainables.network import trained_config
from hpsearch.trials.slots import slot_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from model.config import TrainConfig


CONFIDENCE = 0.95
Interval = tuple[float, float]


@dataclass(frozen=True)
class Candidate:
    """A configuration of a search, and what it came to when it was trained again.

    slot: that of its trial; of repeats in the search, of the first.
    found: its value in the search.
    values: its values over fresh draws of weights and batches, None where it diverged.
    """

    slot: int
    label: str
    params: dict[str, Any]
    found: float
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
        """The mean of the known values."""
        return fmean(self.known) if self.known else None

    @property
    def deviation(self) -> float | None:
        """Their standard deviation (of a sample), None of less than two."""
        return stdev(self.known) if len(self.known) > 1 else None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of their mean by Student's t, None of less than two.

        It ends where the metric does: an accuracy is between 0 and 1, a loss is not below 0.
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
        return self.found - self.mean if self.maximize else self.mean - self.found


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval of the mean of `values` by Student's t, None of less than two.

    A sample mean ± t · s / √n, with the t of n − 1 degrees of freedom (Student, 1908).
    """
    if len(values) < 2:
        return None
    from scipy import stats  # takes a second, and not every command asks for intervals

    mean, n = fmean(values), len(values)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * stdev(values) / sqrt(n)
    return mean - half, mean + half


def by_mean(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates, best mean first; those that diverged at times come after the others.

    The mean of such a one leaves out what went wrong.
    """

    def key(candidate: Candidate) -> tuple[int, float]:
        sign = -1 if candidate.maximize else 1
        return candidate.diverged, sign * (candidate.mean or 0.0)

    return sorted(candidates, key=key)


def is_tied(first: Candidate, other: Candidate, comparisons: int = 1) -> bool:
    """Whether `other` cannot be told apart from `first`: the interval of the mean of their
    differences holds 0, at 95 % for so many comparisons together (Bonferroni).

    Draw for draw both began with the same random numbers, so the differences are compared, not
    the means. Where all are the same, as accuracies on a few rows may be, their deviation says
    nothing: then so many have to agree as the sign test asks for. One that diverged at times is
    another matter.
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


@dataclass(frozen=True)
class Found:
    """What the search has found: a configuration, by its trial, and what it was worth there."""

    trial: FrozenTrial
    value: float

    @property
    def slot(self) -> int:
        """The trial's slot; of one that the search repeats, the first."""
        return slot_of(self.trial)

    @property
    def config(self) -> TrainConfig:
        """What was trained."""
        return trained_config(self.trial)


def equals_of_best(study: Study, known: Container[int]) -> int:
    """Return how many have the best value of `study`, without the slots in `known`."""
    found = best_found(study, len(study.get_trials(deepcopy=False)), known)
    return sum(each.value == found[0].value and each.slot not in known for each in found)


def best_found(study: Study, top: int, also: Container[int] = ()) -> list[Found]:
    """Return the best `top` configurations of `study` and those of the slots in `also`.

    The best comes first, and no two are alike: where others have the configuration of a slot in
    `also`, it stands for them, with the best value. Raises StudyError.
    """
    if seeds_of(study) > 1:
        repeated = best_configurations(study)
        best = [Found(each.trials[0], each.mean) for each in repeated]
    else:
        best = [Found(t, t.value or 0.0) for t in best_trials(study)]
    if not best:
        raise StudyError(f"study '{study.study_name}' has no completed trial yet")
    different: dict[str, Found] = {}
    for found in best:
        wanted = found.slot in also
        if not wanted and len(different) >= top:
            continue
        key = json.dumps(found.config.as_dict())
        twin = different.setdefault(key, found)
        if wanted and twin.slot not in also:
            different[key] = replace(found, value=twin.value)
    return list(different.values())
