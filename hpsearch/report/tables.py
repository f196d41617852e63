"""The tables of a report: the best, and all trials, as texts and what to sort them by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.configurations import HEADINGS, best_configurations, configuration_rows
from hpsearch.analysis.history import span_of
from hpsearch.analysis.ranking import best_epoch, best_trials, searched_columns, searched_values
from hpsearch.analysis.tables import Cell, Table, cell
from hpsearch.report.facts import Facts, state_of
from hpsearch.trials.records import config_of, curves_of, label_of, reason_of, slot_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def best_table(facts: Facts) -> Table:
    """Return the best trials with their parameters; of repeats the best configurations."""
    if facts.seeds > 1:
        return _configurations(facts)
    return _trials(facts, best_trials(facts.study, facts.top), ended=True)


def trials_table(facts: Facts) -> Table:
    """Return all trials: the best first, then pruned ones by their best, then the others."""
    sign = -1 if facts.maximize else 1
    values = {point.trial.number: point.value for point in facts.points}
    order = {"complete": 0, "pruned": 1}

    def place(trial: FrozenTrial) -> tuple[int, float, int]:
        value = sign * values.get(trial.number, -sign * math.inf)
        return order.get(state_of(trial), 2), value, slot_of(trial)

    return _trials(facts, sorted(facts.trials, key=place), ended=False)


def _configurations(facts: Facts) -> Table:
    best = best_configurations(facts.study, facts.top)
    configs = [config_of(found.trials[0]) for found in best]
    # A label does not say what it stands for: what the configurations differ in does.
    labelled = any(label_of(found.trials[0]) for found in best)
    names = [key for key in configs[0] if any(c.get(key) != configs[0][key] for c in configs)]
    names = names if labelled else []
    rows = []
    for row, values in zip(configuration_rows(best, facts.metric), configs, strict=True):
        texts = [Cell(text, _number(text)) for text in row]
        rows.append([*texts, *(cell(values.get(name)) for name in names)])
    return Table(["configuration", facts.title, *HEADINGS, *names], rows)


def _trials(facts: Facts, trials: Sequence[FrozenTrial], *, ended: bool) -> Table:
    """Return a table of trials; with `ended` of such as all ran to their end."""
    names = [name for name in searched_columns(trials) if name != "epochs"]
    values = {point.trial.number: point.value for point in facts.points}
    columns: dict[str, list[Any]] = {
        "trial": [slot_of(trial) for trial in trials],
        facts.title: [values.get(trial.number, trial.value) for trial in trials],
        "state": [] if ended else [state_of(trial) for trial in trials],
        "why it ended": [] if ended else [reason_of(trial) for trial in trials],
        "at epoch": [best_epoch(trial) for trial in trials],
        "epochs": [len(curves_of(trial)) or None for trial in trials],
        "seconds": [_seconds(trial) for trial in trials],
    }
    found = [searched_values(trial) for trial in trials]
    # A parameter may be called as a column above is.
    params = [(name, [each.get(name) for each in found]) for name in names]
    shown = [(name, column) for name, column in columns.items() if any(map(_is_there, column))]
    labels = [label_of(trial) for trial in trials]
    shown += [*params, *([("label", labels)] if any(labels) else [])]
    rows = [[cell(value) for value in row] for row in zip(*(c for _, c in shown), strict=True)]
    return Table([name for name, _ in shown], rows)


def _is_there(value: object) -> bool:
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
