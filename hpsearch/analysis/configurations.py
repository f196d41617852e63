"""The configurations of a study that repeats each over several `seeds`: means and deviations.

With one seed, a configuration is a single trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpsearch.analysis.ranking import best_trials, searched_values
from hpsearch.formatting import format_value
from hpsearch.trials.metrics import common_format
from hpsearch.trials.records import DONE, config_of, label_of, own_trials, seeds_of, slot_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Configuration:
    """One configuration and its finished repeats, in slot order."""

    number: int
    trials: tuple[FrozenTrial, ...]
    seeds: int  # planned repeats

    @property
    def label(self) -> str:
        """Its label, or else its searched values: "batch_norm none, weight_std 0.1"."""
        trial = self.trials[0]
        if label := label_of(trial):
            return label
        values = searched_values(trial).items()
        parts = (f"{name} {format_value(value)}" for name, value in values)
        return ", ".join(parts) or f"configuration {self.number}"

    @property
    def values(self) -> list[float]:
        """The values of the completed repeats."""
        complete = (t for t in self.trials if t.state is TrialState.COMPLETE)
        return [trial.value for trial in complete if trial.value is not None]

    @property
    def mean(self) -> float:
        """The mean of the values; needs at least one."""
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation of the values, None for fewer than two."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def repeats(self) -> str:
        """How many repeats are complete: "3 of 5"."""
        return f"{len(self.values)} of {self.seeds}"


def configurations(study: Study) -> list[Configuration]:
    """Return the configurations that have a finished repeat, in their order."""
    by_number: dict[int, dict[int, FrozenTrial]] = {}
    seeds = seeds_of(study)
    for trial in own_trials(study, DONE):
        by_number.setdefault(slot_of(trial) // seeds, {})[slot_of(trial)] = trial
    return [
        Configuration(number, tuple(trials[slot] for slot in sorted(trials)), seeds)
        for number, trials in sorted(by_number.items())
    ]


def best_configurations(study: Study, top: int | None = None) -> list[Configuration]:
    """Return the `top` configurations with the best means, or all of them, best first.

    A configuration that lacks a repeat comes after all complete ones: the repeat may have diverged
    or not have run yet, and the mean does not show that.
    """
    sign = -1 if study.direction is StudyDirection.MAXIMIZE else 1
    known = [c for c in configurations(study) if c.values]
    known.sort(key=lambda c: (len(c.values) < c.seeds, sign * c.mean, c.number))
    return known[:top]


def best_value(study: Study) -> float | None:
    """Return the best value of a trial, or with repeats the best mean; None before there is one."""
    if seeds_of(study) > 1:
        return next((best.mean for best in best_configurations(study, 1)), None)
    return next((trial.value for trial in best_trials(study, 1)), None)


HEADINGS = ("±", "lowest", "highest", "repeats")  # after the configuration and the metric


def configuration_rows(best: Sequence[Configuration], metric: str) -> list[list[str]]:
    """Return a table row for each configuration: label, mean and the columns of HEADINGS."""
    spec = common_format((value for each in best for value in each.values), metric)
    return [_row(each, spec) for each in best]


def _row(configuration: Configuration, spec: str) -> list[str]:
    values, deviation = configuration.values, configuration.deviation
    spread = "" if deviation is None else f"{deviation:.2g}"
    numbers = [configuration.mean, min(values), max(values)]
    mean, lowest, highest = (f"{number:{spec}}" for number in numbers)
    return [configuration.label, mean, spread, lowest, highest, configuration.repeats]


def configuration_record(configuration: Configuration) -> dict[str, Any]:
    """Return a configuration as plain data, which `--json` prints."""
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
