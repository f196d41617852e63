"""Labels of every kind become classes, features become numbers, and the rest is refused."""

import re
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.columns import Numbers, Words, encode
from hpsearch.data.early import build_raw_data
from hpsearch.data.labels import encode_labels
from hpsearch.data.table import check_column, check_names


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


@pytest.mark.parametrize(
    ("labels", "names", "indices"),
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        (np.array([2, 1, 2], np.uint8), ("1", "2"), [1, 0, 1]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        ([2.0, -1.0, 2.0], ("-1", "2"), [1, 0, 1]),
        ([0.5, 0.25, 0.5], ("0.25", "0.5"), [1, 0, 1]),
        ([b"yes", b"no", b"yes"], ("no", "yes"), [1, 0, 1]),
        (np.array([b"yes", b"no", b"yes"]), ("no", "yes"), [1, 0, 1]),
        (np.array(["yes", "no", "yes"]), ("no", "yes"), [1, 0, 1]),
        (pd.Categorical(["b", "a", "b"], ["unused", "b", "a"]), ("a", "b"), [1, 0, 1]),
        (pd.Categorical([10, 9, 10]), ("9", "10"), [1, 0, 1]),
        (pd.array([10, 9, 10], dtype="Int64"), ("9", "10"), [1, 0, 1]),
        (pd.Series([1, "a", 1], dtype=object), ("1", "a"), [0, 1, 0]),
    ],
)
def test_labels_of_any_type_become_class_indices(labels, names, indices):
    y, class_names = encode_labels(labels, "target 'y'")

    assert y.dtype == np.intp
    assert y.tolist() == indices
    assert class_names == names
    assert {type(name) for name in class_names} == {str}


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b", None],
        ["a", "b", ""],
        ["a", "b", "  "],
        [0.0, 1.0, np.nan],
        pd.Categorical(["a", "b", None]),
        pd.array([0, 1, None], dtype="Int64"),
    ],
)
def test_a_missing_label_is_refused_and_its_row_named(labels):
    sentence = "target 'y' has no value in row 3 (empty or nan); fill it in or drop the row"
    with pytest.raises(ValueError, match=exactly(sentence)):
        encode_labels(labels, "target 'y'")


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["a", "a"], "target 'y' is 'a' in every row; at least two classes are needed"),
        ([1.0, 1.0], "target 'y' is '1' in every row; at least two classes are needed"),
        ([1.0, -np.inf], "target 'y' is infinite in row 2; it must hold classes"),
        (["2024-01-31", "2024-02-01"], "target 'y' holds dates; it must hold classes"),
        (pd.to_datetime(["2024-01-31"]), "target 'y' holds dates; it must hold classes"),
        (
            np.arange(311) + 0.5,
            "target 'y' has 311 different fractional values, which are no classes; "
            'use task = "regression"',
        ),
    ],
)
def test_labels_that_are_not_classes_are_refused(labels, sentence):
    with pytest.raises(ValueError, match=exactly(sentence)):
        encode_labels(labels, "target 'y'")


def test_columns_become_numbers_in_the_order_of_the_table():
    frame = pd.DataFrame(
        {
            "size": [1.5, 2.5, 3.5],
            "colour": ["red", "blue", "red"],
            "label": [0, 1, 1],
            "new": [True, False, True],
            "count": pd.array([7, 8, 9], dtype="Int64"),
            "grade": pd.Categorical([3, 1, 3], [1, 2, 3]),
            "code": [b"x", b"x", b"y"],
        }
    )
    raw = build_raw_data(frame, "label")

    assert raw.feature_names == (
        *("size", "colour=blue", "colour=red", "new", "count"),
        *("grade=1", "grade=3", "code=x", "code=y"),
    )
    assert raw.x.tolist() == [
        [1.5, 0, 1, 1, 7, 0, 1, 1, 0],
        [2.5, 1, 0, 0, 8, 1, 0, 1, 0],
        [3.5, 0, 1, 1, 9, 0, 1, 0, 1],
    ]
    assert raw.y.tolist() == [0, 1, 1]
    assert raw.class_names == ("0", "1")


def test_an_unknown_category_is_all_zeros():
    columns = [Words("colour", ("blue", "red")), Numbers("size")]
    frame = pd.DataFrame({"size": [2.0, 3.0], "colour": ["green", "red"], "more": ["?", "?"]})

    assert encode(frame, columns).tolist() == [[0, 0, 2], [0, 1, 3]]


def test_text_in_a_column_of_numbers_is_refused():
    sentence = "column 'size' must hold numbers, not 'big' in row 2"
    with pytest.raises(ValueError, match=exactly(sentence)):
        encode(pd.DataFrame({"size": ["1.5", "big"]}), [Numbers("size")])


MISSING = "(empty or nan); fill it in or drop the row"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([True, True, None], f"has no value in row 3 {MISSING}"),
        ([False, np.nan, True], f"has no value in row 2 {MISSING}"),
        (["True", "False", " "], f"has no value in row 3 {MISSING}"),
        ([True, "maybe", False], "must hold numbers, not 'maybe' in row 2"),
        (["True", "False", "maybe"], "must hold numbers, not 'maybe' in row 3"),
    ],
)
def test_a_cell_that_is_neither_true_nor_false_is_named(values, sentence):
    with pytest.raises(ValueError, match=exactly(f"column 'member' {sentence}")):
        encode(pd.DataFrame({"member": values}), [Numbers("member")])


def test_numbers_are_read_from_any_column_type():
    columns = [Numbers("member"), Numbers("size")]
    frame = pd.DataFrame({"member": [True, False], "size": pd.Categorical([2, 1])})
    assert encode(frame.astype({"member": object}), columns).tolist() == [[1, 2], [0, 1]]


def test_twenty_words_are_encoded_and_twenty_one_are_refused():
    label = [0, 1] * 11
    words = [f"w{number}" for number in range(20)]
    raw = build_raw_data(pd.DataFrame({"word": [*words, "w0", "w1"], "y": label}), "y")
    assert raw.x.shape == (22, 20)
    assert raw.x.sum(axis=1).tolist() == [1.0] * 22

    sentence = (
        "column 'word' is text ('w0' in row 1) with 21 different values, "
        "and at most 20 can be encoded; drop it or turn it into numbers"
    )
    with pytest.raises(ValueError, match=exactly(sentence)):
        build_raw_data(pd.DataFrame({"word": [*words, "w20", "w1"], "y": label}), "y")


def test_the_one_word_that_spoils_a_column_of_numbers_is_named():
    values = [str(number) for number in range(30)]
    values[6] = "12,5"
    frame = pd.DataFrame({"b": values, "y": [0, 1] * 15})

    with pytest.raises(ValueError, match=r"^column 'b' is text \('12,5' in row 7\) with 30 "):
        build_raw_data(frame, "y")


def test_many_words_that_all_read_as_numbers_are_refused_too():
    frame = pd.DataFrame({"b": [str(number) for number in range(30)], "y": [0, 1] * 15})

    with pytest.raises(ValueError, match=r"^column 'b' is text \('0' in row 1\) with 30 "):
        build_raw_data(frame, "y")


@pytest.mark.parametrize(
    "values",
    [
        pd.to_datetime(["2024-01-31", "2024-02-01"]),
        pd.to_datetime(["2024-01-31", "2024-02-01"], utc=True),
        pd.to_timedelta([1, 2], unit="s"),
        [date(2024, 1, 31), date(2024, 2, 1)],
        ["2024-01-31", "2024-02-01"],
        ["2024-01-31 10:00", None],
        ["31.1.2024", "1.2.2024"],
        ["1/31/24", "2/1/24"],
    ],
)
def test_dates_are_refused_and_their_column_named(values):
    sentence = "column 'when' holds dates; drop it or turn it into numbers"
    with pytest.raises(ValueError, match=exactly(sentence)):
        build_raw_data(pd.DataFrame({"when": values, "y": [0, 1]}), "y")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([[1], [2]], "column 'b' holds list values, not numbers or text"),
        ([Decimal(1), Decimal(2)], "column 'b' holds Decimal values, not numbers or text"),
        ([1j, 2j], "column 'b' holds complex values, not numbers or text"),
        (
            [1.0, None],
            "column 'b' has no value in row 2 (empty or nan); fill it in or drop the row",
        ),
        (
            pd.array([1, None], dtype="Int64"),
            "column 'b' has no value in row 2 (empty or nan); fill it in or drop the row",
        ),
        (
            ["a", " "],
            "column 'b' has no value in row 2 (empty or nan); fill it in or drop the row",
        ),
        (
            [True, None],
            "column 'b' has no value in row 2 (empty or nan); fill it in or drop the row",
        ),
        ([1.0, -np.inf], "column 'b' is -inf in row 2; features must be finite and within float32"),
        ([1.0, 1e300], "column 'b' is 1e+300 in row 2; features must be finite and within float32"),
    ],
)
def test_features_that_are_not_numbers_are_refused(values, sentence):
    with pytest.raises(ValueError, match=exactly(sentence)):
        build_raw_data(pd.DataFrame({"a": [1, 2], "b": values, "y": [0, 1]}), "y")


def test_a_constant_feature_is_not_an_error():
    raw = build_raw_data(pd.DataFrame({"a": [3, 3], "b": ["c", "c"], "y": [0, 1]}), "y")

    assert raw.x.tolist() == [[3, 1], [3, 1]]


def test_a_table_of_only_labels_is_refused():
    sentence = "has no column but the target 'y'; features are needed as well"
    with pytest.raises(ValueError, match=exactly(sentence)):
        build_raw_data(pd.DataFrame({"y": [0, 1]}), "y")


def test_a_table_without_rows_is_refused():
    with pytest.raises(ValueError, match=exactly("has column names but no rows")):
        build_raw_data(pd.DataFrame({"x": [], "y": []}), "y")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a", "b", "a"], "2 columns are named 'a'; rename them or keep one"),
    ],
)
def test_names_must_not_be_repeated(names, sentence):
    with pytest.raises(ValueError, match=exactly(sentence)):
        check_names(names)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (None, "target must name the column of the labels (size, label)"),
        ("labl", "'labl' is not a column; did you mean 'label'? (size, label)"),
        ("price", "'price' is not a column (size, label)"),
    ],
)
def test_the_target_must_be_a_column(target, sentence):
    with pytest.raises(ValueError, match=exactly(sentence)):
        check_column(target, ["size", "label"])


def test_a_long_list_of_columns_is_cut_but_searched_to_its_end():
    names = [*(f"c{number}" for number in range(784)), "label"]
    with pytest.raises(ValueError, match=r"^'price' is not a column \(c0, c1, .*, c19, …\)$"):
        check_column("price", names)
    with pytest.raises(ValueError, match=r"did you mean 'label'\? \(label, c0, .*, c19, …\)$"):
        check_column("labl", names)
