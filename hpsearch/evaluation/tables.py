"""The tables of an evaluation: the candidates over fresh seeds, and the scores on the test set."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import TYPE_CHECKING

from hpsearch.analysis.tables import Cell, Table, cell, fixed
from hpsearch.evaluation.baselines import NETWORK
from hpsearch.evaluation.scores import SCORES, Scores
from hpsearch.trials.metrics import common_format

MOST_LABELS = 100  # rows of a table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpsearch.evaluation.baselines import Compared
    from hpsearch.evaluation.on_test_rows import OnTestRows
    from hpsearch.evaluation.record import Evaluation


def candidate_table(evaluation: Evaluation) -> Table:
    """Return the candidates, best mean first, with their results and their parameters."""
    candidates, how = evaluation.candidates, evaluation.score_format
    names = list(dict.fromkeys(key for each in candidates for key in each.params))
    headings = ["trial", evaluation.metric, "±", "95 % interval"]
    headings += [evaluation.in_the_search, "luck", "verdict"]
    labels = ["label"] if any(each.label for each in candidates) else []
    rows = [
        [
            cell(each.slot),
            fixed(each.mean, how),
            fixed(each.deviation, ".2g"),
            _interval(each.interval, how),
            fixed(each.search_value, how),
            fixed(each.luck, f"+{how}"),
            Cell(evaluation.verdict(each)),
            *(Cell(each.label) for _ in labels),
            *(cell(each.params.get(name)) for name in names),
        ]
        for each in candidates
    ]
    return Table([*headings, *labels, *names], rows)


def score_table(evaluation: Evaluation) -> Table | None:
    """Return the test scores of one network, of the mean of all, and of the ensemble.

    None if the test set has not been used.
    """
    if evaluation.tested is not None:
        return _tested_table(evaluation.tested, evaluation)
    if evaluation.model_scores:
        return _model_table(evaluation.model_scores)
    network, ensemble = (evaluation.test_scores(which) for which in ("network", "ensemble"))
    if evaluation.test_use is None or network is None or ensemble is None:
        return None
    each = (evaluation.test_use.scores or {})["networks"]
    number = len(each["accuracy"])
    rows = [_score_row("one network", network), _score_row(f"ensemble of {number}", ensemble)]
    if number > 1:
        means = [_mean(each[name]) for name in SCORES]
        rows.insert(1, [Cell(f"mean of {number}"), *means, Cell("")])
    return Table(["", *SCORES.values(), "95 % interval of the accuracy"], rows)


def label_table(evaluation: Evaluation) -> Table | None:
    """Return how well each of several labels is predicted, None if there are not several.

    Of very many there are those that are recognized worst.
    """
    found = evaluation.tested
    if found is None or not found.labels:
        return None
    labels = [*found.labels]
    if len(labels) > MOST_LABELS:
        labels = sorted(labels, key=lambda each: each.f1)[:MOST_LABELS]
    rows = [
        [Cell(each.name), cell(each.rows), *map(fixed, (each.precision, each.recall, each.f1))]
        for each in labels
    ]
    return Table(["label", "rows", "precision", "recall", "F1"], rows)


def _tested_table(tested: OnTestRows, evaluation: Evaluation) -> Table:
    """Return a row for each score: of the first model, the mean of all, and their ensemble."""
    headings, rows = ["", f"one {_kind(evaluation)}", "95 % interval"], []
    number = max(len(each.each) for each in tested.shown)
    together = any(each.together is not None for each in tested.shown)
    headings += [f"mean of {number}"] * (number > 1)
    headings += [f"ensemble of {number}"] * (number > 1 and together)
    for each in tested.shown:
        known = [value for value in (each.first, each.together, *each.each) if value is not None]
        how = common_format(known, each.name)
        row = [Cell(each.name), fixed(each.first, how), _interval(each.interval, how)]
        row.append(_mean([value for value in each.each if value is not None], how))
        row.append(fixed(each.together, how))
        rows.append(row[: len(headings)])
    if tested.calibration is not None:
        rest = [Cell("") for _ in headings[2:]]
        rows.append([Cell("calibration error"), fixed(tested.calibration.error), *rest])
    return Table(headings, rows)


def _kind(evaluation: Evaluation) -> str:
    """Return what is tested, in a word: "network" or "model"."""
    found = evaluation.comparison
    return "network" if found is None or found.subject == NETWORK else "model"


def baseline_table(evaluation: Evaluation) -> Table | None:
    """Return the network beside baselines on the same test rows, None if there are none."""
    found = evaluation.comparison
    if found is None or not found.baselines:
        return None
    names = [*found.models[0].scores]  # the metric comes first
    formats = {
        name: common_format([each.scores[name] or 0.0 for each in found.models], name)
        for name in names
    }
    how = formats[found.metric]
    rows = [
        [
            Cell(each.name),
            fixed(each.scores[found.metric], how),
            Cell(each.verdict),
            _difference(each, how),
            _interval(each.interval, how),
            *(fixed(each.scores[name], formats[name]) for name in names[1:]),
        ]
        for each in found.models
    ]
    headings = ["", found.metric, f"{_kind(evaluation)} is", "by", "95 % interval", *names[1:]]
    return Table(headings, rows)


def _difference(model: Compared, how: str) -> Cell:
    if model.difference is None:
        return Cell("")
    mean, low, high = model.difference
    if mean is None or low is None or high is None:
        return Cell("")
    return Cell(f"{mean:+{how}} ({low:+{how}} to {high:+{how}})", mean)


def _model_table(scores: Mapping[str, Sequence[float]]) -> Table:
    """Return a row for each score of a user's own model: of the first one, and the mean of all."""
    rows = []
    for name, values in scores.items():
        how = common_format(values, name)
        spread = f"{stdev(values):.2g}" if len(values) > 1 else ""
        rows.append([Cell(name), fixed(values[0], how), fixed(fmean(values), how), Cell(spread)])
    most = max(map(len, scores.values()))
    return Table(["", "one model", f"mean of {most}", "±"], rows)


def _score_row(title: str, scores: Scores) -> list[Cell]:
    values = (fixed(getattr(scores, name)) for name in SCORES)
    return [Cell(title), *values, _interval(scores.accuracy_interval)]


def _mean(values: Sequence[float], how: str = ".4f") -> Cell:
    if len(values) < 2:
        return Cell("")
    mean = fmean(values)
    return Cell(f"{mean:{how}} ± {stdev(values):.2g}", mean)


def _interval(interval: Sequence[float | None] | None, how: str = ".4f") -> Cell:
    if interval is None:
        return Cell("")
    low, high = interval
    if low is None or high is None:
        return Cell("")
    return Cell(f"{low:{how}} to {high:{how}}", low)
