"""The list of studies: a row for each, with its progress and a sparkline of the best so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from hpsearch.errors import UnknownStudyError
from hpsearch.trials.records import own_trials

if TYPE_CHECKING:
    from optuna.study import Study

    from hpsearch.service.service import Service, StudyState

STATES = (  # in the order of the filter
    "running",
    "starting",
    "queued",
    "stopping",
    "stopped",
    "finished",
    "failed",
    "idle",
    "deleting",
)
WIDTH, HEIGHT = 96, 22  # of a sparkline, in pixels
POINTS = 48


@dataclass(frozen=True)
class Pace:
    """When the first trial of a study began, when its last one ended, and its best values so far.

    Moments are in seconds since 1970; None: there is no such trial.
    """

    began: float | None
    ended: float | None
    spark: str

    @classmethod
    def of(cls, study: Study) -> Pace:
        """Read the trials of a study."""
        trials = own_trials(study)
        began = [each.datetime_start for each in trials if each.datetime_start is not None]
        ended = [
            (each.datetime_complete, each) for each in trials if each.datetime_complete is not None
        ]
        ended.sort(key=lambda pair: pair[0])
        values = [
            each.value
            for _, each in ended
            if each.state is TrialState.COMPLETE
            and len(each.values) == 1
            and each.value is not None
            and math.isfinite(each.value)
        ]
        better = max if study.directions[0].name == "MAXIMIZE" else min
        return cls(
            min(began).timestamp() if began else None,
            ended[-1][0].timestamp() if ended else None,
            sparkline([*accumulate(values, better)]),
        )


@dataclass(frozen=True)
class Row:
    """A study in the list."""

    state: StudyState
    pace: Pace

    @property
    def name(self) -> str:
        """The study's name."""
        return self.state.summary.name

    @property
    def when(self) -> float | None:
        """When the study was last worked on, or wanted if nobody has begun yet."""
        wish = self.state.wish
        return self.pace.ended or self.pace.began or (None if wish is None else wish.since)


class Overview:
    """The rows of a service's studies."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._paces: dict[str, tuple[object, Pace]] = {}

    def rows(self, states: Sequence[StudyState], search: str = "", state: str = "") -> list[Row]:
        """Return rows of the studies with this text in their names and this state, newest first."""
        rows = [
            Row(each, self.pace(each))
            for each in states
            if search.lower() in each.summary.name.lower() and state in ("", each.state)
        ]
        return sorted(rows, key=_order)

    def pace(self, state: StudyState) -> Pace:
        """Return the pace of a study, read anew only if trials have begun or ended since."""
        summary, since = state.summary, None if state.wish is None else state.wish.since
        name, version = summary.name, (summary.counts, summary.epochs, summary.best, since)
        known = self._paces.get(name)
        if known is None or known[0] != version:
            try:
                known = version, Pace.of(self.service.study(name))
            except UnknownStudyError:  # deleted a moment ago
                return Pace(None, None, "")
            self._paces[name] = known
        return known[1]


def _order(row: Row) -> tuple[float, str]:
    wish = row.state.wish
    newest = row.pace.began or (math.inf if wish is None else wish.since)
    return -newest, row.name


def sparkline(values: Sequence[float]) -> str:
    """Return the points of an SVG polyline of WIDTH × HEIGHT; "" if there are fewer than two."""
    if len(values) < 2:
        return ""
    step = (len(values) - 1) / min(POINTS, len(values) - 1)
    chosen = [values[round(n * step)] for n in range(min(POINTS, len(values) - 1) + 1)]
    low, high = min(chosen), max(chosen)
    across, up = (WIDTH - 4) / (len(chosen) - 1), (HEIGHT - 4) / ((high - low) or 1.0)
    return " ".join(
        f"{2 + n * across:.1f},{HEIGHT - 2 - (value - low) * up:.1f}"
        for n, value in enumerate(chosen)
    )
