"""Summaries for people and programs: a study in a few numbers, one trial, the best trials."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.configurations import (
    HEADINGS,
    best_configurations,
    configuration_record,
    configuration_rows,
)
from hpsearch.analysis.ranking import (
    best_epoch,
    best_of_rounds,
    best_trials,
    count_trials,
    find_trial,
    metric_title,
    no_best,
    trial_record,
)
from hpsearch.analysis.tables import Cell, Column, Table, label_column, parameter_columns
from hpsearch.trials.records import (
    curves_of,
    epochs_trained,
    metric_of,
    own_trials,
    seeds_of,
    slot_of,
    study_file,
    traceback_of,
    validation_of,
)

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.analysis.configurations import Configuration
    from hpsearch.analysis.ranking import Counts


@dataclass(frozen=True)
class StudySummary:
    """A study in a few numbers, as it is at one moment.

    title: the metric, with "(test set)" if the study validates on that. planned: the number of
    trials that the study file asks for, None if that is unknown. best: the best value, or the best
    mean over repeats. no_best: why no trial is the best, "" if one is. file: the study file, None
    if hpsearch did not start the study.
    """

    name: str
    title: str
    metric: str
    validation: str
    planned: int | None
    counts: Counts
    epochs: int
    seeds: int
    best: float | None
    deviation: float | None
    best_configuration: str | None
    best_slot: int | None
    no_best: str
    file: str | None

    @classmethod
    def of(cls, study: Study) -> StudySummary:
        """Return the summary of a study."""
        trials, best, seeds = own_trials(study), best_trials(study, 1), seeds_of(study)
        file = study_file(study)
        planned = tomllib.loads(file or "").get("search", {}).get("trials")
        repeated = best_configurations(study, 1) if seeds > 1 else []
        return cls(
            name=study.study_name,
            title=metric_title(study),
            metric=metric_of(study),
            validation=validation_of(study),
            planned=None if planned is None else planned * seeds,
            counts=count_trials(trials),
            epochs=sum(epochs_trained(trial) for trial in trials),
            seeds=seeds,
            best=repeated[0].mean if repeated else best[0].value if best else None,
            deviation=repeated[0].deviation if repeated else None,
            best_configuration=repeated[0].label if repeated else None,
            best_slot=slot_of(best[0]) if best and not repeated else None,
            no_best=no_best(study),
            file=file,
        )

    def record(self) -> dict[str, Any]:
        """Return the summary as plain data, which `--json` prints."""
        return {
            "study": self.name,
            "metric": self.metric,
            "validation": self.validation,
            "trials": self.planned,
            "complete": self.counts.complete,
            "pruned": self.counts.pruned,
            "failed": self.counts.failed,
            "running": self.counts.running,
            "epochs": self.epochs,
            "seeds": self.seeds,
            "best": self.best,
            "deviation": self.deviation,
            "best_configuration": self.best_configuration,
            "best_slot": self.best_slot,
            "settings": tomllib.loads(self.file or ""),
        }


@dataclass(frozen=True)
class TrialSummary:
    """One trial: its record with the learning curves, and the traceback if it failed.

    titles: the title of each metric of the curves.
    """

    record: dict[str, Any]
    titles: list[str]
    traceback: str

    @classmethod
    def of(cls, study: Study, slot: str) -> TrialSummary:
        """Return the summary of the trial in `slot`; raise StudyError if there is none."""
        trial = find_trial(study, slot)
        record = trial_record(trial, curves=True)
        titles = [metric_title(study, metric) for metric in record["curves"]]
        return cls(record, titles, traceback_of(trial))


@dataclass(frozen=True)
class Leaderboard:
    """The best trials of a study or of its rounds, or the best configurations if it repeats them.

    trials: best first, each with the name of the study that ran it. no_best: why none of them is
    the best, "" if one is.
    """

    title: str
    trials: list[tuple[str, FrozenTrial]]
    configurations: list[Configuration]
    rounds: int = 1
    no_best: str = ""

    @classmethod
    def of(cls, rounds: Sequence[Study], top: int) -> Leaderboard:
        """Return the best `top` of a study, or of all rounds of a search together."""
        title, reasons = metric_title(rounds[0]), [no_best(study) for study in rounds]
        reason = reasons[0] if all(reasons) else ""
        if seeds_of(rounds[0]) > 1:
            return cls(title, [], best_configurations(rounds[0], top), len(rounds), reason)
        best = [(study.study_name, trial) for study, trial in best_of_rounds(rounds, top)]
        return cls(title, best, [], len(rounds), reason)

    def records(self) -> list[dict[str, Any]]:
        """Return the entries as plain data, which `--json` prints."""
        if self.configurations:
            return [configuration_record(each) for each in self.configurations]
        return [{"study": name} | trial_record(trial) for name, trial in self.trials]

    def table(self) -> Table | None:
        """Return the entries as a table, None if no trial is complete yet."""
        if self.configurations:
            rows = configuration_rows(self.configurations, self.title)
            headings = ["configuration", self.title, *HEADINGS]
            return Table(headings, [[Cell(text) for text in row] for row in rows])
        return self._trial_table() if self.trials else None

    def _trial_table(self) -> Table:
        trials = [trial for _, trial in self.trials]
        slots = [(study, slot_of(trial)) for study, trial in self.trials]
        labels = label_column(trials)
        columns: list[Column] = [
            ("trial", [f"{study}#{slot}" if self.rounds > 1 else slot for study, slot in slots]),
            (self.title, [trial.value for trial in trials]),
            ("at epoch", [best_epoch(trial) for trial in trials]),
            ("epochs", [len(curves_of(trial)) for trial in trials]),
            *parameter_columns(trials),
            *labels,
        ]
        return Table.of(columns, text_columns=len(labels))
