"""The region that `narrow` would choose, in the charts and on the page."""

import pytest

from hpsearch.report.charts.parameters import slice_panels
from hpsearch.report.facts import Facts
from hpsearch.report.page import report_page
from hpsearch.report.region import region_of
from hpsearch.search.rounds import next_round
from hpsearch.search.study import run_study
from hpsearch.space.ranges import Choices


def test_the_page_has_the_note_of_narrow_on_ties(make_settings, tmp_path):
    rows = "".join(f"{10 * (-1) ** n},{'ab'[n % 2]}\n" for n in range(100))
    (tmp_path / "easy.csv").write_text(f"x,y\n{rows}")
    settings = make_settings(
        data={"source": str(tmp_path / "easy.csv"), "target": "y", "limit": None},
        search={"trials": 8, "pruner": "none"},
        trial={"epochs": 20},
    )
    study = run_study(settings, storage=str(tmp_path / "j")).study
    assert next_round(study).tied == 3
    text = "3 more have val/accuracy 1 too: hpsearch narrow tiny-random --top 8 takes all"
    assert text in report_page(study)


def test_the_charts_and_the_page_show_the_region_of_narrow(study):
    facts, narrowed = Facts.of(study, 5), next_round(study).narrowing.space.searched
    region = region_of(facts)
    charts = {c.name: c for c in slice_panels(facts, region).charts}
    for number, axis in enumerate(facts.axes):
        shapes = charts[f"slices-{number}"].layout["shapes"]
        intervals = [(shape["x0"], shape["x1"]) for shape in shapes]
        entry = narrowed[axis.name]
        if isinstance(entry, Choices):
            kept = [["relu", "tanh"].index(value) for value in entry.values]
            assert intervals == [(n - 0.5, n + 0.5) for n in kept]
        else:
            low, high = entry.low, entry.high
            complement = axis.name == "momentum"
            assert intervals[0] == pytest.approx((1 - low, 1 - high) if complement else (low, high))
    rows = {key: (before, then) for key, before, then in region.rows()}
    assert rows["momentum"][1] == str(narrowed["momentum"])
    assert f"<td>{narrowed['momentum']}</td>" in report_page(study)


def test_the_page_says_why_there_is_no_region(make_trial, make_study):
    facts = Facts.of(make_study(make_trial(0, [0.5], params={"width": 10})), 5)
    region = region_of(facts)
    assert "was not started by hpsearch" in region.missing
    assert slice_panels(facts, region).charts[0].layout["shapes"] == []
    assert "There is no region to draw: study &#39;s&#39; was not started" in report_page(
        facts.study
    )
