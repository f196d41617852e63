"""Tables as data: texts, and the numbers to sort by."""

import math

import pytest

from hpsearch.analysis.tables import Cell, Table, cell, fixed


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Cell("")),
        (3, Cell("3", 3.0)),
        (0.123456, Cell("0.1235", 0.123456)),
        (math.inf, Cell("inf")),
        (True, Cell("True")),
        ([100, 50], Cell("100-50")),
        ("adam", Cell("adam")),
    ],
)
def test_a_cell_has_the_text_of_a_value_and_its_number(value, expected):
    assert cell(value) == expected


def test_a_score_has_a_fixed_number_of_decimals():
    assert fixed(0.5) == Cell("0.5000", 0.5)
    assert fixed(0.5, "+.2f") == Cell("+0.50", 0.5)
    assert fixed(None) == Cell("")


def test_a_column_of_numbers_and_gaps_is_numeric():
    table = Table.of([("a", [1, None]), ("a", ["x", 2]), ("b", [None, None])], text_columns=1)
    assert (table.headings, table.text_columns) == (["a", "a", "b"], 1)
    assert table.rows[0] == [Cell("1", 1.0), Cell("x"), Cell("")]
    assert [table.numeric(column) for column in range(3)] == [True, False, False]
