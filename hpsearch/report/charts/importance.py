"""Which parameters mattered, as Optuna measures it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import create_trial

from hpsearch.figures.drawing import COLOURS
from hpsearch.formatting import counted, without_middle
from hpsearch.report.charts.axes import ParameterAxis
from hpsearch.report.charts.base import Chart, Panels, axis, escaped, layout, rounded
from hpsearch.report.facts import Facts

NAME = "importances"
HEADING = "Which parameters mattered"
LONGEST = 48  # letters of a name
LEAST_TRIALS = 30  # what fewer say is chance
BEST = 0.1  # the share of the trials that is compared with all; Optuna's default
FEW = 10  # best trials, of which the reader is told
EVALUATOR = "PED-ANOVA (Watanabe et al., 2023), Optuna's default"


@dataclass(frozen=True)
class Importances:
    """Shares that add up to 1, by Optuna's parameter, greatest first; or why there are none."""

    shares: dict[str, float]
    missing: str = ""
    best: int = 0  # trials in the best tenth, with those that are as good as its worst


def importances_of(facts: Facts) -> Importances:
    """Measure the importances. It draws no random number.

    A pruned trial counts with its best value. Without these, what they had in common would seem
    not to matter: a learning rate that is too low, say, which none of the completed trials has.
    """
    varied = [along.parameter for along in facts.axes if _varied(facts, along)]
    if not varied:
        return Importances({}, "No parameter had different values.")
    if len(facts.points) < LEAST_TRIALS:
        few = f"{counted(len(facts.points), 'trial')} with a value: too few to tell"
        return Importances({}, f"{few}, it takes {LEAST_TRIALS}.")
    best = _best_tenth(facts)
    if best == len(facts.points):
        return Importances({}, _equally_good(facts))
    study = optuna.create_study(direction=facts.study.direction)
    study.add_trials(
        create_trial(value=p.value, params=p.trial.params, distributions=p.trial.distributions)
        for p in facts.points
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Some regimes for parameter", UserWarning)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
        try:
            found = evaluator.evaluate(study, params=varied)
        except (RuntimeError, ValueError) as error:
            return Importances({}, f"Optuna cannot tell: {error}")
    total = sum(found.values())
    if not total > 0:
        return Importances({}, "No parameter made a difference: all importances are 0.")
    ranked = sorted(found.items(), key=lambda pair: -pair[1])
    return Importances({name: value / total for name, value in ranked}, best=best)


def _best_tenth(facts: Facts) -> int:
    """Return how many trials Optuna compares with all of them: those as good as its last too."""
    values = sorted((point.value for point in facts.points), reverse=facts.maximize)
    last = values[math.ceil(BEST * len(values)) - 1]
    return sum(value >= last if facts.maximize else value <= last for value in values)


def _equally_good(facts: Facts) -> str:
    """Say that less than a tenth of the trials are better than the worst."""
    values = [point.value for point in facts.points]
    better = len(values) - values.count(min(values) if facts.maximize else max(values))
    which = f"All but {counted(better, 'trial')}" if better else "All trials"
    return f"{which} are equally good."


def _varied(facts: Facts, along: ParameterAxis) -> bool:
    """Whether trials differ in a parameter, if only in having it."""
    return len({along.coordinate(point.trial) for point in facts.points}) > 1


def importance_panels(facts: Facts, importances: Importances) -> Panels:
    """Return a bar for each parameter, the most important at the top."""
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
    texts = [escaped(without_middle(names[parameter], LONGEST)) for parameter in shares]
    y = axis(tickvals=list(range(len(shares))), ticktext=texts, showgrid=False)
    x = axis("share of the importance", tickformat=".0%", rangemode="tozero")
    drawn = layout(x, y, bargap=0.35, margin={"l": 60, "r": 50, "t": 10, "b": 40})
    chart = Chart(NAME, [bars], drawn, 70 + 26 * len(shares))
    note = (
        f"Measured by {EVALUATOR}: how much a parameter's values among the best tenth differ from "
        "those among all trials, pruned ones with their best value."
    )
    if importances.best < FEW:
        best = counted(importances.best, "trial")
        note += f" The best tenth are {best} here, so a small difference may be chance."
    return Panels(NAME, HEADING, [chart], note)
