"""The rows of the list, and their sparklines."""

from datetime import datetime, timedelta

import optuna
import pytest
from optuna.trial import create_trial

from hpsearch.service.pages.overview import HEIGHT, POINTS, WIDTH, Overview, Pace, sparkline

START = datetime(2026, 1, 1, 12)


def read(points):
    return [tuple(map(float, pair.split(","))) for pair in points.split()]


def test_a_sparkline_spans_its_box_from_the_lowest_to_the_highest():
    points = read(sparkline([1.0, 2.0, 5.0]))
    assert points == [(2, HEIGHT - 2), (WIDTH / 2, pytest.approx(15.5)), (WIDTH - 2, 2)]
    assert sparkline([1.0]) == ""
    assert {y for _, y in read(sparkline([3.0, 3.0, 3.0]))} == {HEIGHT - 2}


def test_a_long_sparkline_has_few_points_and_both_ends():
    points = read(sparkline([*map(float, range(5_000))]))
    assert len(points) == POINTS + 1
    assert (points[0], points[-1]) == ((2, HEIGHT - 2), (WIDTH - 2, 2))


def test_the_pace_of_a_study_is_that_of_its_trials():
    study = optuna.create_study(direction="maximize")
    assert Pace.of(study) == Pace(None, None, "")
    for number, value in enumerate([0.5, 0.9, 0.7]):
        trial = create_trial(value=value)
        trial.datetime_start = START + timedelta(seconds=number)
        trial.datetime_complete = START + timedelta(seconds=10 - number)  # the last ends first
        study.add_trial(trial)
    pace = Pace.of(study)
    assert pace.began == START.timestamp()
    assert pace.ended == START.timestamp() + 10
    assert [y for _, y in read(pace.spark)] == [HEIGHT - 2, 2, 2]  # 0.7, and then 0.9


def test_rows_are_read_again_only_if_trials_have_changed(service, monkeypatch):
    overview = Overview(service)
    (row,) = overview.rows(service.states())
    monkeypatch.setattr(Pace, "of", None)
    assert overview.rows(service.states())[0].pace is row.pace
    assert row.when == row.pace.ended
