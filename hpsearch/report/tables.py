"""The tables of a report: the best trials or configurations, and all trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpsearch.analysis.configurations import HEADINGS, best_configurations, configuration_rows
from hpsearch.analysis.history import span_of
from hpsearch.analysis.ranking import best_epoch, best_trials
from hpsearch.analysis.tables import Cell, Column, Table, cell, label_column, parameter_columns
from hpsearch.report.facts import Facts, state_of
from hpsearch.trials.records import config_of, curves_of, label_of, reason_of, slot_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def best_trials_table(facts: Facts) -> Table:
    """Return the best trials with their parameters, or the best configurations of repeats."""
    if facts.seeds > 1:
        return _configurations(facts)
    return _trials(facts, best_trials(facts.study, facts.top), all_complete=True)


def all_trials_table(facts: Facts) -> Table:
    """Return all trials: completed ones, pruned ones by their best value, then the others."""
    sign = -1 if facts.maximize else 1
    values = {point.trial.number: point.value for point in facts.points}
    order = {"complete": 0, "pruned": 1}

    def rank_of(trial: FrozenTrial) -> tuple[int, float, int]:
        value = sign * values.get(trial.number, -sign * math.inf)
        return order.get(state_of(trial), 2), value, slot_of(trial)

    return _trials(facts, sorted(facts.trials, key=rank_of), all_complete=False)


def _configurations(facts: Facts) -> Table:
    best = best_configurations(facts.study, facts.top)
    configs = [config_of(each.trials[0]) for each in best]
    # A label does not show what it stands for, so show what the configurations differ in.
    labelled = any(label_of(each.trials[0]) for each in best)
    names = [key for key in configs[0] if any(c.get(key) != configs[0][key] for c in configs)]
    names = names if labelled else []
    rows = []
    for row, values in zip(configuration_rows(best, facts.metric), configs, strict=True):
        texts = [Cell(text, _number(text)) for text in row]
        rows.append([*texts, *(cell(values.get(name)) for name in names)])
    return Table(["configuration", facts.title, *HEADINGS, *names], rows)


def _trials(facts: Facts, trials: Sequence[FrozenTrial], *, all_complete: bool) -> Table:
    """Return a table of trials, without columns on how they ended if all are complete."""
    values = {point.trial.number: point.value for point in facts.points}
    columns: list[Column] = [
        ("trial", [slot_of(trial) for trial in trials]),
        (facts.title, [values.get(trial.number, trial.value) for trial in trials]),
        ("state", [] if all_complete else [state_of(trial) for trial in trials]),
        ("why it ended", [] if all_complete else [reason_of(trial) for trial in trials]),
        ("at epoch", [best_epoch(trial) for trial in trials]),
        ("epochs", [len(curves_of(trial)) or None for trial in trials]),
        ("seconds", [_seconds(trial) for trial in trials]),
    ]
    shown = [(name, column) for name, column in columns if any(map(_is_shown, column))]
    return Table.of([*shown, *parameter_columns(trials), *label_column(trials)])


def _is_shown(value: object) -> bool:
    return value is not None and value != ""


def _seconds(trial: FrozenTrial) -> float | None:
    if not trial.state.is_finished() or trial.datetime_start is None:
        return None
    start, end = span_of(trial)
    return round((end - start).total_seconds(), 3)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
