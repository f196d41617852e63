"""The figures and tables of an evaluation stay within bounds, however many classes there are."""

import io

import numpy as np
import pytest

from hpsearch.cli.evaluate import MOST_CLASSES, _class_table
from hpsearch.evaluation.candidates import Candidate
from hpsearch.evaluation.record import Evaluation
from hpsearch.evaluation.scores import score
from hpsearch.figures.evaluation import draw_candidates, draw_confusion
from hpsearch.report.evaluation import MOST_CLASSES as MOST_IN_THE_REPORT
from hpsearch.report.evaluation import class_table


@pytest.fixture(scope="module")
def many_classes():
    """The scores of 1,000 classes, one row each; class 7 is taken for class 8."""
    probabilities = np.eye(1000)
    probabilities[7] = probabilities[8]
    return score(np.arange(1000), probabilities.argmax(axis=1), 1000)


def evaluation(candidates=1, classes=1000):
    names = tuple(f"class {number}" for number in range(classes))
    each = [Candidate(n, "", {}, 0.9, (0.8, 0.9), True) for n in range(candidates)]
    return Evaluation("s", "val/accuracy", 2, tuple(each), names)


def test_the_confusion_of_many_classes_fits_on_a_page(many_classes):
    figure = draw_confusion(evaluation(), many_classes)
    width, height = figure.get_size_inches()
    assert max(width, height) < 20
    figure.savefig(io.BytesIO(), format="png")


def test_the_rows_of_many_candidates_fit_on_a_page():
    assert draw_candidates(evaluation(candidates=500)).get_size_inches()[1] < 20


def test_tables_of_many_classes_have_the_worst(many_classes, monkeypatch):
    page = class_table(evaluation().class_names, many_classes)
    assert len(page.rows) == MOST_IN_THE_REPORT
    assert [row[0].text for row in page.rows[:3]] == ["class 7", "class 8", "class 0"]
    monkeypatch.setattr(Evaluation, "test_scores", lambda *_: many_classes)
    table = _class_table(evaluation())
    assert table.row_count == MOST_CLASSES
    assert [str(cell) for cell in table.columns[0].cells][:3] == ["class 7", "class 8", "class 0"]
