"""The table of a study's trials: a page of it, filtered and sorted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.history import span_of
from hpsearch.analysis.ranking import best_epoch, metric_title, searched_columns, searched_values
from hpsearch.analysis.tables import Cell, cell
from hpsearch.report.facts import duration, metric_value, state_of
from hpsearch.service.pages.charts import curves_now
from hpsearch.trials.records import (
    client_of,
    label_of,
    metric_of,
    own_trials,
    reason_of,
    slot_of,
)

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

STATES = ("running", "complete", "pruned", "failed", "interrupted")
PAGE = 25  # rows
SOME = 200  # trials that say which parameters have columns


@dataclass(frozen=True)
class Asked:
    """What of the table somebody wants to see. sort: a heading."""

    state: str = ""
    search: str = ""
    sort: str = "trial"
    down: bool = True
    offset: int = 0


@dataclass(frozen=True)
class TrialTable:
    """Rows of the table, and how many there are in all with this filter.

    headings: with whether the column holds numbers. rows: slot, state and cells of each.
    """

    asked: Asked
    headings: list[tuple[str, bool]]
    rows: list[tuple[int, str, list[Cell]]]
    total: int

    @property
    def last(self) -> int:
        """The number of the last row that is shown."""
        return self.asked.offset + len(self.rows)


def trial_table(study: Study, asked: Asked) -> TrialTable:
    """Return the part of the table that is asked for."""
    trials = own_trials(study)
    some = trials if len(trials) <= SOME else [*trials[: SOME // 2], *trials[-SOME // 2 :]]
    columns = _columns(study, some)
    words = asked.search.lower().split()
    found = [
        trial
        for trial in trials
        if asked.state in ("", state_of(trial)) and (not words or _has(trial, words))
    ]
    value = columns.get(asked.sort, columns["trial"])
    keyed = [(value(trial), trial) for trial in found]
    known = [(_orderly(key), trial) for key, trial in keyed if key not in (None, "")]
    known.sort(key=lambda pair: pair[0], reverse=asked.down)
    ordered = [trial for _, trial in known]
    ordered += [trial for key, trial in keyed if key in (None, "")]  # last in both directions
    page = ordered[asked.offset : asked.offset + PAGE]
    cells = {name: [_cell(name, read(trial)) for trial in page] for name, read in columns.items()}
    kept = [n for n, each in cells.items() if n == "trial" or any(c.text for c in each)]
    numeric = [(n, all(c.number is not None for c in cells[n] if c.text)) for n in kept]
    rows = [
        (slot_of(trial), state_of(trial), [cells[name][row] for name in kept])
        for row, trial in enumerate(page)
    ]
    return TrialTable(asked, numeric, rows, len(found))


def _columns(study: Study, some: Sequence[FrozenTrial]) -> dict[str, Callable[[FrozenTrial], Any]]:
    """Return how to read the value of each column from a trial."""
    metric, maximize = metric_of(study), study.directions[0].name == "MAXIMIZE"
    single = len(study.directions) == 1  # the trials of several objectives have no single value
    columns: dict[str, Callable[[FrozenTrial], Any]] = {
        "trial": slot_of,
        "state": state_of,
        metric_title(study): lambda trial: (
            metric_value(trial, metric, maximize=maximize) if single else None
        ),
        "at epoch": best_epoch,
        "epochs": lambda trial: len(curves_now(trial, metric).of(metric)) or None,
        "time": seconds_of,
    }
    for name in searched_columns(some):
        columns.setdefault(name, lambda trial, name=name: searched_values(trial).get(name))  # type: ignore[misc]
    return columns | {"client": client_of, "label": label_of, "why it ended": reason_of}


def seconds_of(trial: FrozenTrial) -> float | None:
    """Return how many seconds a trial took, None if it has not ended."""
    if trial.datetime_complete is None or trial.datetime_start is None:
        return None
    start, end = span_of(trial)
    return (end - start).total_seconds()


def _has(trial: FrozenTrial, words: Sequence[str]) -> bool:
    """Whether a trial has all these words somewhere in its texts."""
    parts = [str(slot_of(trial)), label_of(trial), reason_of(trial) or "", client_of(trial) or ""]
    parts += [f"{name}={value}" for name, value in searched_values(trial).items()]
    text = " ".join(parts).lower()
    return all(word in text for word in words)


def _orderly(value: Any) -> tuple[bool, Any]:
    """Return what sorts values of one column, also where numbers and texts are mixed."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (not is_number, value if is_number else str(value))


def _cell(name: str, value: object) -> Cell:
    if name == "time" and isinstance(value, float):
        return Cell(duration(value), value)
    return cell(value)
