import numpy as np
import pandas as pd
import pytest

from hpsearch.data.columns import Numbers, Words, as_plain
from hpsearch.data.rows import encode_rows, features_of, unknown_categories

COLUMNS = Numbers("size"), Words("colour", ("blue", "red"))
ROWS = pd.DataFrame({"more": [0, 0], "colour": ["red", "blue"], "size": [2.5, 3]}, index=[7, 8])
FEATURES = [[2.5, 0, 1], [3, 1, 0]]


def test_columns_are_found_by_name():
    np.testing.assert_array_equal(encode_rows(ROWS, COLUMNS), FEATURES)
    np.testing.assert_array_equal(features_of(ROWS, as_plain(COLUMNS)), FEATURES)


@pytest.mark.parametrize("x", [np.ones((2, 3)), [[1, 2, 3]]])
def test_data_without_names_is_returned_unchanged(x):
    assert features_of(x, as_plain(COLUMNS)) is x


def test_numbered_columns_do_not_count_as_names():
    rows = pd.DataFrame(FEATURES)
    assert features_of(rows, as_plain(COLUMNS)) is rows
    named = rows.set_axis(["size", "colour_blue", "colour_red"], axis=1)
    with pytest.raises(
        ValueError, match=r"'colour', .*; pass features that are already encoded as an array"
    ):
        features_of(named, as_plain(COLUMNS))


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_numbers_and_booleans_are_read_from_any_backend(backend):
    rows = pd.DataFrame({"size": [True, False], "colour": ["red", "blue"]})
    expected = [[1, 0, 1], [0, 1, 0]]
    for frame in (rows, rows.convert_dtypes(dtype_backend=backend)):
        np.testing.assert_array_equal(encode_rows(frame, COLUMNS), expected)


def test_without_columns_a_table_is_returned_unchanged():
    assert features_of(ROWS, ()) is ROWS


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (ROWS[["size"]], "has no column 'colour', which the network was trained on"),
        (ROWS[["more"]], r"has no column 'size' \(and 1 more\), which"),
        (ROWS[:0], "has column names but no rows"),
        (ROWS[["size", "size", "colour"]], "2 columns are named 'size'"),
        (
            ROWS.set_axis(pd.MultiIndex.from_product([ROWS.columns, ["z"]]), axis=1),
            "has names of several levels",
        ),
        (ROWS.assign(size=["2", "big"]), "column 'size' must hold numbers, not 'big' in row 2"),
        (ROWS.assign(colour=["red", None]), "column 'colour' has no value in row 2"),
    ],
)
def test_errors_say_what_is_wrong(rows, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        encode_rows(rows, COLUMNS)
    with pytest.raises(ValueError, match=f"^X: {sentence}"):
        features_of(rows, as_plain(COLUMNS))


def test_unused_columns_may_occur_twice():
    rows = ROWS[["more", "more", "size", "colour"]]
    np.testing.assert_array_equal(encode_rows(rows, COLUMNS), FEATURES)


def test_one_unknown_word_is_named_per_column():
    rows = ROWS.assign(colour=["green", "grey"])
    (sentence,) = unknown_categories(rows, COLUMNS)
    assert sentence.startswith("column 'colour' holds 'green' in row 1, which training did not")
    with pytest.warns(UserWarning, match="X: column 'colour' holds 'green'"):
        np.testing.assert_array_equal(features_of(rows, as_plain(COLUMNS))[:, 1:], 0)
