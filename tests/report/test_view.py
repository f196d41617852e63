"""The part of the metric's axis that charts show first."""

import numpy as np
import pytest

from hpsearch.report.view import View


def test_far_values_are_out_of_view_at_first_and_the_note_says_so():
    values = [0.1, *np.linspace(0.9, 1, 19)]
    view = View.of(values, maximize=True)
    assert view.low > 0.89
    assert view.beyond == sum(value < view.low for value in values) > 0
    assert view.axis("", "val/accuracy")["range"][0] > 0.85
    assert f"the worst {view.beyond} trials are out of view" in str(view)
    assert View.of(list(np.linspace(0, 1, 20)), maximize=True).beyond == 0
    assert View.of([0.1, 5.0, 900.0], maximize=False).log
    diverged = View.of([*np.linspace(0.1, 2, 19), 1e8], maximize=False)
    assert (diverged.log, diverged.high, diverged.beyond) == (True, pytest.approx(1.9, abs=0.01), 2)


@pytest.mark.parametrize(
    ("metric", "value", "low", "high"),
    [("val/accuracy", 0.96, 0.9, 1.01), ("val/loss", 0.0, -0.01, 0.1), ("value", -3.0, -3.2, -2.8)],
)
def test_a_single_value_has_some_room_on_either_side(metric, value, low, high):
    left, right = View.of([value], maximize=True).axis("", metric)["range"]
    assert low < left < value < right < high
