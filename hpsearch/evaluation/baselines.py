"""A model beside baselines on the same test rows: paired differences, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from hpsearch.evaluation.bootstrap import interval_of, resampled, score_interval
from hpsearch.trainables.scoring import ALIASES, Predicted, Truth, scores_of
from hpsearch.trials.metrics import higher_is_better

USUAL = ("accuracy", "balanced_accuracy", "f1_micro", "roc_auc", "log_loss", "rmse", "mae", "r2")
NETWORK = "the network"
UNEVEN = 0.8  # share of the largest class above which accuracy says little
GROWING, SURE = 0.3, 0.001  # a rank correlation worth a remark, and its error probability
LEAST_ROWS = 30  # to speak of how errors grow
NORMAL = 1.96  # standard errors that a difference by chance exceeds in 5 % of cases


@dataclass(frozen=True)
class Compared:
    """A model's scores on the test rows; plain data.

    interval: of the metric, 95 % over test rows of this kind. difference: by how much the network
    is better in the metric, and the interval of that, over the same rows; None for the network.
    A value that these rows do not have is None.
    """

    name: str
    scores: Mapping[str, float | None]
    interval: tuple[float | None, ...]
    difference: tuple[float | None, ...] | None = None

    @property
    def verdict(self) -> str:
        """What the network is in comparison: "better", "tied" or "worse"; "" for itself."""
        if self.difference is None or None in self.difference:
            return ""
        _, low, high = cast("tuple[float, float, float]", self.difference)
        return "better" if low > 0 else "worse" if high < 0 else "tied"


@dataclass(frozen=True)
class Comparison:
    """The network and the baselines by one metric. remarks: sentences that a person should read."""

    metric: str
    models: tuple[Compared, ...]
    remarks: tuple[str, ...] = ()

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Comparison:
        """Return the comparison that `as_plain` has made plain data of."""
        models = (
            Compared(
                each["name"],
                each["scores"],
                tuple(each["interval"]),
                each["difference"] and tuple(each["difference"]),
            )
            for each in plain["models"]
        )
        return cls(plain["metric"], tuple(models), tuple(plain["remarks"]))

    def as_plain(self) -> dict[str, Any]:
        """Return the comparison as plain data for JSON, which has no NaN."""
        models = [
            {
                "name": each.name,
                "scores": {name: _known(value) for name, value in each.scores.items()},
                "interval": [_known(end) for end in each.interval],
                "difference": each.difference and [_known(end) for end in each.difference],
            }
            for each in self.models
        ]
        return {"metric": self.metric, "models": models, "remarks": [*self.remarks]}

    @property
    def subject(self) -> str:
        """What the model is called that is compared: "the network", or an estimator's name."""
        return self.models[0].name

    @property
    def baselines(self) -> tuple[Compared, ...]:
        """The models that are not the network."""
        return tuple(model for model in self.models if model.difference is not None)

    def with_verdict(self, verdict: str) -> list[str]:
        """Return the names of the baselines that the network is better, tied or worse than."""
        return [model.name for model in self.baselines if model.verdict == verdict]


def score_name(metric: str, truth: Truth) -> str:
    """Return the score on test rows that is nearest to a study's metric."""
    name = metric.partition("/")[2]
    name = ALIASES.get(name, name)
    if name in truth.known_scores():
        return name
    if truth.multilabel:
        return "hamming_loss"
    return "log_loss" if truth.class_names else "rmse"


def compare(
    metric: str,
    truth: Truth,
    model: Predicted,
    baselines: Mapping[str, Predicted],
    *,
    subject: str = NETWORK,
) -> tuple[tuple[Compared, ...], float]:
    """Return a model and the baselines by `metric`, and the metric's standard error.

    The error is that of the model over test rows of this kind. subject: what the model is called.
    """
    models = {subject: model, **baselines}
    names = [name for name in USUAL if name in _common_scores(truth, [*models.values()])]
    shown = [metric, *(name for name in names if name != metric)]
    (drawn,) = resampled([metric], truth, list(models.values()))
    sign, own = 1 if higher_is_better(metric) else -1, scores_of([metric], truth, model)[metric]
    compared: list[Compared] = []
    for number, (name, predicted) in enumerate(models.items()):
        scores = scores_of(shown, truth, predicted)
        difference = None
        if number:
            gains = sign * (drawn[0] - drawn[number])
            difference = (sign * (own - scores[metric]), *interval_of(gains))
        interval = score_interval(metric, truth, predicted, drawn[number])
        compared.append(Compared(name, scores, interval, difference))
    return tuple(compared), float(np.nanstd(drawn[0]))


def _common_scores(truth: Truth, models: Sequence[Predicted]) -> list[str]:
    """Return the scores that all models have: some have no probabilities."""
    probabilities = all(model.probabilities is not None for model in models)
    return truth.known_scores(probabilities=probabilities)


def _known(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def remarks(
    metric: str,
    truth: Truth,
    model: Predicted,
    *,
    validated: float | None,
    validation_rows: int,
    error: float,
    one_split: bool = True,
    subject: str = NETWORK,
) -> list[str]:
    """Return what a person should know about scores on test rows.

    metric: a score. validated: its mean over fresh seeds on so many validation rows, None if
    another metric was measured there. error: the standard error on the test rows. one_split:
    whether the search validated on one split. subject: what the model is called.
    """
    found, classes = [], len(truth.class_names)
    if classes:
        found += _never_predicted(truth, model, subject)
    else:
        found += _growing_errors(truth, model)
    if classes and not truth.multilabel:
        share = np.bincount(truth.y, minlength=classes).max() / len(truth.y)
        if metric == "accuracy" and share > UNEVEN:
            found.append(
                f"{share:.0%} of the test rows are of one class, so accuracy says little; "
                "val/roc_auc, val/balanced_accuracy or val/average_precision say more"
            )
    tested = scores_of([metric], truth, model)[metric]
    if validated is None or not validation_rows:
        return found
    # The error on the validation rows, if a row counts as much there as here.
    folds = ", and validation = { folds = 5 } to be less lucky" if one_split else ""
    both = error * np.sqrt(1 + len(truth.y) / validation_rows)
    sign = 1 if higher_is_better(metric) else -1
    if sign * (validated - tested) > NORMAL * both:
        found.append(
            f"{metric} is {validated:.4g} on {validation_rows:,} validation rows and {tested:.4g} "
            "on the test rows, which is more than chance: the best of many trials also suits its "
            f"validation rows by luck. Expect what the test rows say{folds}"
        )
    return found


def _never_predicted(truth: Truth, model: Predicted, subject: str) -> list[str]:
    classes, kinds = len(truth.class_names), ("class", "classes")
    if truth.multilabel:
        rows, predicted, kinds = truth.y.sum(axis=0), model.labels.sum(axis=0), ("label", "labels")
    else:
        rows, predicted = (np.bincount(y, minlength=classes) for y in (truth.y, model.labels))
    missed = np.flatnonzero((rows > 0) & (predicted == 0)).tolist()
    names = [repr(truth.class_names[number]) for number in missed]
    if not names:
        return []
    return [f"{subject} never predicts {kinds[len(names) > 1]} {', '.join(names)}"]


def _growing_errors(truth: Truth, model: Predicted) -> list[str]:
    """Return a sentence if the errors grow with the prediction, by their rank correlation."""
    from scipy import stats

    if len(truth.y) < LEAST_ROWS or truth.y.shape[1] != 1:
        return []
    predicted, errors = model.labels[:, 0], np.abs(model.labels - truth.y)[:, 0]
    found = stats.spearmanr(predicted, errors)
    if not (found.statistic > GROWING and found.pvalue < SURE):
        return []
    more = "; its logarithm may be easier to predict" if truth.y.min() > 0 else ""
    return [
        "errors grow with what is predicted (rank correlation "
        f"{found.statistic:.2f}), so one interval does not fit all rows{more}"
    ]
