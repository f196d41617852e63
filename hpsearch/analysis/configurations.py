"""The configurations of a study whose `seeds` repeat each of them: means, and how far they spread.

With one seed a configuration is a trial, and all of this holds as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpsearch.analysis.ranking import best_trials, searched_values
from hpsearch.formatting import common_format, format_value
from hpsearch.trials.records import DONE, config_of, label_of, own_trials, seeds_of, slot_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Configuration:
    """One configuration and its repeats that are done, in their order."""

    number: int
    trials: tuple[FrozenTrial, ...]
    seeds: int  # repeats there are to be

    @property
    def label(self) -> str:
        """Its label, or what was searched: "batch_norm none, weight_std 0.1"."""
        trial = self.trials[0]
        if label := label_of(trial):
            return label
        values = searched_values(trial).items()
        parts = (f"{name} {format_value(value)}" for name, value in values)
        return ", ".join(parts) or f"configuration {self.number}"

    @property
    def values(self) -> list[float]:
        """The values of the repeats that ran to their end."""
        complete = (t for t in self.trials if t.state is TrialState.COMPLETE)
        return [trial.value for trial in complete if trial.value is not None]

    @property
    def mean(self) -> float:
        """The mean of the values; there has to be one."""
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the values (of a sample), None of less than two."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def repeats(self) -> str:
        """How many of its repeats ran to their end: "3 of 5"."""
        return f"{len(self.values)} of {self.seeds}"


def configurations(study: Study) -> list[Configuration]:
    """Return the configurations of which a repeat is done, in their order."""
    found: dict[int, dict[int, FrozenTrial]] = {}
    seeds = seeds_of(study)
    for trial in own_trials(study, DONE):
        found.setdefault(slot_of(trial) // seeds, {})[slot_of(trial)] = trial
    return [
        Configuration(number, tuple(trials[slot] for slot in sorted(trials)), seeds)
        for number, trials in sorted(found.items())
    ]


def best_configurations(study: Study, top: int | None = None) -> list[Configuration]:
    """Return the best `top` by their mean, or all, best first.

    One that lacks a repeat, which diverged perhaps or has not run yet, comes after those that have
    all of theirs: its mean leaves out what may have gone wrong.
    """
    sign = -1 if study.direction is StudyDirection.MAXIMIZE else 1
    known = [c for c in configurations(study) if c.values]
    known.sort(key=lambda c: (len(c.values) < c.seeds, sign * c.mean, c.number))
    return known[:top]


def best_value(study: Study) -> float | None:
    """Return the best value of a trial, or the best mean of a configuration, if there is one."""
    if seeds_of(study) > 1:
        return next((found.mean for found in best_configurations(study, 1)), None)
    return next((trial.value for trial in best_trials(study, 1)), None)


HEADINGS = ("±", "lowest", "highest", "repeats")  # after the configuration and the metric


def configuration_rows(best: Sequence[Configuration], metric: str) -> list[list[str]]:
    """Return configurations with their means and what HEADINGS say, for a table."""
    how = common_format((value for found in best for value in found.values), metric)
    return [_row(found, how) for found in best]


def _row(configuration: Configuration, how: str) -> list[str]:
    values, deviation = configuration.values, configuration.deviation
    spread = "" if deviation is None else f"{deviation:.2g}"
    numbers = [configuration.mean, min(values), max(values)]
    mean, lowest, highest = (f"{number:{how}}" for number in numbers)
    return [configuration.label, mean, spread, lowest, highest, configuration.repeats]


def configuration_record(configuration: Configuration) -> dict[str, Any]:
    """Return a configuration as plain data: what `--json` prints."""
    trials, values = configuration.trials, configuration.values
    return {
        "configuration": configuration.number,
        "label": configuration.label,
        "mean": configuration.mean if values else None,
        "deviation": configuration.deviation,
        "values": values,
        "slots": [slot_of(trial) for trial in trials],
        "pruned": len(trials) - len(values),
        "params": searched_values(trials[0]),
        "config": config_of(trials[0]) or None,
    }
