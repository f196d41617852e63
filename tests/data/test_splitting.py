"""Which rows are trained on, validated on and sealed: folds, groups, time, and unshuffled rows."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hpsearch.data.loading import load_dataset, load_final, load_folds, load_test_set
from hpsearch.data.splitting import read_parts

ROWS = 120


@pytest.fixture
def table(tmp_path):
    """A file with 120 rows of 12 patients over 40 days, and labels of two classes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=ROWS),
            "patient": rng.permutation(np.repeat([f"p{n}" for n in range(12)], 10)),
            "day": rng.permutation(np.repeat(pd.date_range("2024-01-01", periods=40), 3)).astype(
                str
            ),
            "y": rng.choice(["no", "yes"], ROWS),
            "number": rng.normal(size=ROWS),
        }
    )
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return str(path)


def parts_of(table, target="y", **how):
    drop = ["number"] if target == "y" else ["y"]
    return read_parts(table, target=target, drop=drop, **how)


def sides(parts):
    """Each fold's training and validation rows, and the test rows, as sets."""
    return [({*train}, {*val}) for train, val in parts.folds], {*parts.test}


FOLDED = {"folds": 4}
HOWS = {
    "split": {},
    "folds": {"validation": FOLDED},
    "repeated folds": {"validation": FOLDED | {"repeats": 3}},
    "groups": {"groups": "patient"},
    "folds of groups": {"groups": "patient", "validation": FOLDED},
    "repeated folds of groups": {"groups": "patient", "validation": FOLDED | {"repeats": 2}},
    "time": {"time": "day"},
    "folds along time": {"time": "day", "validation": FOLDED},
    "unshuffled": {"shuffle": False},
    "unshuffled folds": {"shuffle": False, "validation": FOLDED},
}


@pytest.mark.parametrize("target", ["y", "number"])
@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS)
def test_no_row_is_on_two_sides_and_none_is_lost(table, how, target):
    raw, parts = parts_of(table, target, **how)
    folds, test = sides(parts)
    for train, val in folds:
        assert train
        assert val
        assert not train & val
        assert not test & (train | val)
    assert {*parts.rest} | test == {*range(ROWS)}
    assert len(parts.rest) + len(parts.test) == len(raw.y) == ROWS
    assert 0.1 * ROWS < len(test) < 0.3 * ROWS


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS)
def test_the_sealed_rows_depend_on_the_table_alone(table, how):
    _, test = sides(parts_of(table, **how)[1])
    others = {"split_seed": 7, "limit": 90, "train_limit": 40}
    for name, value in others.items():
        _, parts = parts_of(table, **how, **{name: value})
        assert {*parts.test} <= test
        assert (name == "limit") == (len(parts.test) < len(test))
        assert not {*parts.rest} & test


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("groups", [{}, {"groups": "patient"}], ids=["rows", "groups"])
def test_each_row_is_validated_on_once_in_each_repeat(table, groups, repeats):
    _, parts = parts_of(table, validation=FOLDED | {"repeats": repeats}, **groups)
    assert len(parts.folds) == 4 * repeats
    counts = np.bincount(np.concatenate([val for _, val in parts.folds]), minlength=ROWS)
    assert set(counts[parts.rest]) == {repeats}
    assert parts.validated == len(parts.rest)
    different = {frozenset(val.tolist()) for _, val in parts.folds}
    assert len(different) > 4 * (repeats - 1)


def test_folds_keep_the_proportions_of_the_classes(table):
    raw, parts = parts_of(table, validation={"folds": 5})
    share = raw.y[parts.rest].mean()
    for _, val in parts.folds:
        assert abs(raw.y[val].sum() - share * len(val)) < 1


@pytest.mark.parametrize("validation", ["split", FOLDED])
def test_a_group_is_on_one_side(table, validation):
    patient = pd.read_csv(table).patient.to_numpy()
    raw, parts = parts_of(table, groups="patient", validation=validation)
    assert "patient" not in raw.prepare(parts.train).feature_names
    for train, val in parts.folds:
        assert not {*patient[train]} & {*patient[val]}
    assert not {*patient[parts.rest]} & {*patient[parts.test]}


@pytest.mark.parametrize("validation", ["split", FOLDED])
def test_validation_is_later_than_training_and_the_test_later_than_both(table, validation):
    day = pd.to_datetime(pd.read_csv(table).day).to_numpy()
    raw, parts = parts_of(table, time="day", validation=validation)
    for train, val in parts.folds:
        assert day[train].max() < day[val].min()
    assert day[parts.rest].max() < day[parts.test].min()
    first, *others = parts.folds
    for train, _ in others:
        assert {*first[0]} < {*train}  # the stretch to train on grows
    assert any("day" in name for name in raw.prepare(parts.train).feature_names)


def test_times_may_be_numbers(tmp_path):
    frame = pd.DataFrame({"t": np.arange(50)[::-1], "a": range(50), "y": np.arange(50) / 7})
    frame.to_csv(tmp_path / "t.csv", index=False)
    _, parts = read_parts(str(tmp_path / "t.csv"), target="y", time="t")
    assert {*parts.test} == {*range(10)}
    assert {*parts.val} == {*range(10, 18)}


def test_unshuffled_rows_stay_in_order():
    _, parts = read_parts("diabetes", shuffle=False)
    assert [*parts.train, *parts.val, *parts.test] == [*range(442)]
    _, parts = read_parts("diabetes", shuffle=False, validation={"folds": 2})
    (_, first), (_, second) = parts.folds
    assert [*first, *second, *parts.test] == [*range(442)]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_equal_times_stay_together(tmp_path_factory, data):
    times = data.draw(st.lists(st.integers(0, 9), min_size=20, max_size=60))
    path = tmp_path_factory.mktemp("times") / "t.csv"
    pd.DataFrame({"t": times, "a": range(len(times)), "y": np.linspace(0, 1, len(times))}).to_csv(
        path, index=False
    )
    times, how = np.array(times), {"time": "t", "validation": {"folds": 2}}
    try:
        _, parts = read_parts(str(path), target="y", **how)
    except ValueError:  # there are too few different times
        assume(False)
    for train, val in parts.folds:
        assert times[train].max() < times[val].min()
    assert times[parts.rest].max() < times[parts.test].min()


def test_each_fold_is_fitted_on_its_own_training_rows(table):
    how = {"target": "y", "drop": ["number", "patient", "day"], "validation": {"folds": 3}}
    a = pd.read_csv(table).a.to_numpy()
    _, parts = read_parts(table, **how)
    for data, (train, val) in zip(load_folds(table, **how), parts.folds, strict=True):
        mean, deviation = a[train].mean(), a[train].std()
        assert np.allclose(data.x_train[:, 0], (a[train] - mean) / deviation, atol=1e-6)
        assert np.allclose(data.x_val[:, 0], (a[val] - mean) / deviation, atol=1e-6)
    final, (x_test, y_test) = load_final(table, **how), load_test_set(table, **how)
    mean, deviation = a[parts.rest].mean(), a[parts.rest].std()
    assert np.allclose(final.x_train[:, 0], (a[parts.rest] - mean) / deviation, atol=1e-6)
    assert np.allclose(x_test[:, 0], (a[parts.test] - mean) / deviation, atol=1e-6)
    assert (len(final.x_val), len(y_test)) == (0, len(parts.test))


def test_what_a_fold_learns_does_not_depend_on_other_rows(tmp_path, table):
    """Cells of validation and test rows are spoiled, and nothing of the training rows changes."""
    frame = pd.read_csv(table, dtype=str)
    how = {"target": "y", "drop": ["number"], "validation": {"folds": 3}}
    _, parts = read_parts(table, **how)
    for rows in (parts.folds[1][1], parts.test):
        frame.loc[rows, "a"] = "1e9"
        frame.loc[rows, "patient"] = "spoiled"
    spoiled = tmp_path / "spoiled.csv"
    frame.to_csv(spoiled, index=False)
    clean, other = load_folds(table, **how)[1], load_folds(str(spoiled), **how)[1]
    assert clean.columns == other.columns
    assert np.array_equal(clean.x_train, other.x_train)
    assert not np.array_equal(clean.x_val, other.x_val)


def test_folds_are_several_data_sets(table):
    with pytest.raises(ValueError, match=r"folds are several data sets; use load_folds"):
        load_dataset(table, target="y", validation={"folds": 3})


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"groups": "no"}, "'no' is not a column"),
        ({"groups": "y"}, "column 'y' is the target, and can be nothing else"),
        (
            {"time": "patient"},
            "time: column 'patient' holds 'p1' in row 1, which is no date and no number",
        ),
        ({"groups": "patient", "time": "day"}, "groups and time cannot be had together"),
        ({"time": "day", "shuffle": False}, "time and shuffle = false cannot be had together"),
        (
            {"time": "day", "validation": {"folds": 2, "repeats": 2}},
            "with time folds are always the same; leave repeats out",
        ),
        (
            {"groups": "patient", "validation": {"folds": 11}},
            "groups: 90 rows have 9 different 'patient', too few for 11 folds",
        ),
        ({"validation": {"folds": 1}}, "validation must be like {'folds': 5}"),
        ({"validation": {"fold": 5}}, "validation must be like {'folds': 5}"),
        (
            {"validation": {"folds": 60}},
            "2 of 2 classes have fewer than the 75 rows that they need to be in the training, "
            "validation and test parts ('no', 'yes'); add rows or leave these classes out",
        ),
    ],
)
def test_what_cannot_be_split_is_one_sentence(table, how, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as raised:
        parts_of(table, **how)
    assert "\n" not in str(raised.value)


def test_a_group_or_a_time_that_is_empty_is_refused(tmp_path):
    frame = pd.DataFrame({"g": ["a", None] * 10, "t": [1.0, None] * 10, "x": range(20)})
    frame["y"] = np.linspace(0, 1, 20)
    frame.to_csv(tmp_path / "t.csv", index=False)
    for key, column in (("groups", "g"), ("time", "t")):
        with pytest.raises(ValueError, match=rf"{key}: column '{column}' has no value in row 2"):
            read_parts(str(tmp_path / "t.csv"), target="y", **{key: column})


def test_a_class_that_only_some_groups_have_is_refused(tmp_path):
    """All rows of one class are in one group, so that no split has it on both sides."""
    frame = pd.DataFrame({"g": np.repeat([*"abcdefgh"], 10), "x": range(80)})
    frame["y"] = np.where(frame.g == "c", "rare", np.where(frame.x % 2, "one", "two"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"class 'rare' is in no training row"):
        read_parts(str(tmp_path / "t.csv"), target="y", groups="g", validation={"folds": 4})


def test_sources_without_column_names_have_no_groups():
    with pytest.raises(ValueError, match=r"digits: has no columns with names; leave drop, id, gr"):
        read_parts("digits", groups="pixel_0_0")


def test_validation_rows_of_its_own_are_no_folds(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_val=x, y_val=y)
    with pytest.raises(ValueError, match=r"has validation rows of its own; leave folds out"):
        read_parts(str(tmp_path / "d.npz"), validation={"folds": 3})
