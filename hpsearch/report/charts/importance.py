"""The importance of each parameter, as Optuna measures it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from hpsearch.figures.drawing import COLOURS
from hpsearch.formatting import counted, without_middle
from hpsearch.report.charts.base import Chart, Panels, escaped, layout, plot_axis, rounded
from hpsearch.report.facts import Facts, Point
from hpsearch.trials.snapshot import study_with

NAME = "importances"
HEADING = "Which parameters mattered"
LONGEST_NAME = 48  # letters
LEAST_TRIALS = 30  # with fewer, importances are mostly chance
BEST = 0.1  # this share of the trials is compared with all of them; Optuna's default
FEW = 10  # with fewer trials in the best tenth, the note warns about chance
EVALUATOR = "PED-ANOVA (Watanabe et al., 2023), Optuna's default"


@dataclass(frozen=True)
class Importances:
    """The importances of the parameters, or in `missing` the reason why there are none.

    shares: by Optuna's parameter name, largest first; they add up to 1. best: how many
    trials are in the best tenth, including all that are as good as its last.
    """

    shares: dict[str, float]
    missing: str = ""
    best: int = 0


def importances_of(facts: Facts) -> Importances:
    """Return the importances; they are deterministic.

    A pruned trial counts with its best value. Without pruned trials, whatever got them pruned would
    seem unimportant: for example a learning rate so low that no completed trial has it.
    """
    varied = [axis.parameter for axis in facts.axes if facts.varies(axis)]
    if not varied:
        return Importances({}, "No parameter had different values.")
    if len(facts.points) < LEAST_TRIALS:
        needed = f"Importances need at least {LEAST_TRIALS} trials with a value"
        return Importances({}, f"{needed}; this study has {len(facts.points)}.")
    best = _best_tenth(facts)
    if best == len(facts.points):
        return Importances({}, _equally_good(facts))
    trials = [_as_complete(number, point) for number, point in enumerate(facts.points)]
    study = study_with(trials, facts.study.direction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Some regimes for parameter", UserWarning)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
        try:
            measured = evaluator.evaluate(study, params=varied)
        except (RuntimeError, ValueError) as error:
            return Importances({}, f"Optuna cannot measure them: {error}")
    total = sum(measured.values())
    if not total > 0:
        return Importances({}, "No parameter made a difference: all importances are 0.")
    ranked = sorted(measured.items(), key=lambda pair: -pair[1])
    return Importances({name: value / total for name, value in ranked}, best=best)


def _as_complete(number: int, point: Point) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.COMPLETE,
        value=point.value,
        params=point.trial.params,
        distributions=point.trial.distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        datetime_start=None,
        datetime_complete=None,
    )


def _best_tenth(facts: Facts) -> int:
    """Return how many trials are in the best tenth or as good as the last trial in it."""
    values = sorted((point.value for point in facts.points), reverse=facts.maximize)
    last = values[math.ceil(BEST * len(values)) - 1]
    return sum(value >= last if facts.maximize else value <= last for value in values)


def _equally_good(facts: Facts) -> str:
    """Return a sentence that fewer than a tenth of the trials beat the worst one."""
    values = [point.value for point in facts.points]
    better = len(values) - values.count(min(values) if facts.maximize else max(values))
    subject = f"All but {counted(better, 'trial')}" if better else "All trials"
    return f"{subject} are equally good."


def importance_panels(facts: Facts, importances: Importances) -> Panels:
    """Return a bar for each parameter, with the most important at the top."""
    if importances.missing:
        return Panels(NAME, HEADING, missing=importances.missing)
    names = {axis.parameter: axis.name for axis in facts.axes}
    shares = dict(reversed(importances.shares.items()))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": rounded(shares.values()),
        "y": list(range(len(shares))),
        "text": [f"{share:.0%}" for share in shares.values()],
        "textposition": "outside",
        "cliponaxis": False,
        "hoverinfo": "skip",
        "marker": {"color": COLOURS[0]},
    }
    texts = [escaped(without_middle(names[parameter], LONGEST_NAME)) for parameter in shares]
    y = plot_axis(tickvals=list(range(len(shares))), ticktext=texts, showgrid=False)
    x = plot_axis("share of the importance", tickformat=".0%", rangemode="tozero")
    drawn = layout(x, y, bargap=0.35, margin={"l": 60, "r": 50, "t": 10, "b": 40})
    chart = Chart(NAME, [bars], drawn, 70 + 26 * len(shares))
    note = (
        f"Measured by {EVALUATOR}: how much a parameter's values in the best tenth of the trials "
        "differ from those in all trials. Pruned trials count with their best value."
    )
    if importances.best < FEW:
        best = counted(importances.best, "trial")
        note += f" The best tenth has only {best} here, so a small difference may be chance."
    return Panels(NAME, HEADING, [chart], note)
