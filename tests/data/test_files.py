"""Files of every kind are read, and an error says in one sentence what is wrong."""

import re
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from hpsearch.data.arrays import read_arrays
from hpsearch.data.files import read_frame
from hpsearch.data.options import TableOptions
from hpsearch.data.sources import read_source


def read_table(path, target):
    """Read a table as version 0.1 did; errors are without the file's name."""
    try:
        return read_source(str(path), TableOptions(target=target, reading=1))
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{path}: ")) from error


X = np.arange(8.0).reshape(4, 2)
Y = np.array([0, 1, 0, 1])


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


@pytest.fixture
def csv(tmp_path):
    """Write text or bytes as data.csv; return its path."""

    def write(content):
        path = tmp_path / "data.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def npz(tmp_path):
    """Write arrays as data.npz; return its path."""

    def write(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


def test_a_csv_table(csv):
    raw = read_table(csv("size,colour,label\n1,red,cat\n2.5,blue,dog\n"), "label")

    assert raw.x.tolist() == [[1, 0, 1], [2.5, 1, 0]]
    assert raw.y.tolist() == [0, 1]
    assert raw.feature_names == ("size", "colour=blue", "colour=red")
    assert raw.class_names == ("cat", "dog")
    assert raw.n_test == 0


def test_byte_order_mark_quotes_blank_lines_and_windows_line_ends_are_read(csv):
    raw = read_table(csv('\ufeff"a, b",y\r\n\r\n1,"x\ny"\r\n2,z\r\n'), "y")

    assert raw.feature_names == ("a, b",)
    assert raw.class_names == ("x\ny", "z")


def test_a_parquet_table_is_the_csv_table(csv, tmp_path):
    path = csv("size,colour,label\n1,red,cat\n2.5,blue,dog\n")
    pd.read_csv(path).to_parquet(tmp_path / "data.parquet")

    from_csv = read_table(path, "label")
    from_parquet = read_table(tmp_path / "data.parquet", "label")

    np.testing.assert_array_equal(from_parquet.x, from_csv.x)
    assert from_parquet.columns == from_csv.columns
    assert from_parquet.class_names == from_csv.class_names


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty; a table with column names and rows is needed"),
        ("\n\n", "is empty; a table with column names and rows is needed"),
        ("a,y\n", "has column names but no rows"),
        ("y\n1\n2\n", "has no column but the target 'y'; features are needed as well"),
        ("a,b\n1,2\n", "'y' is not a column (a, b)"),
        ("a,y\n1,2\n3,4,5\n", "row 2 has 3 fields, but the header has 2"),
        ("a,y\n1,2,\n3,4,\n", "row 1 has 3 fields, but the header has 2"),
        (
            "a,y\n1,2\n3\n",
            "target 'y' has no value in row 2 (empty or nan); fill it in or drop the row",
        ),
        (
            "a,y\n1,2\n,3\n",
            "column 'a' has no value in row 2 (empty or nan); fill it in or drop the row",
        ),
        (
            "a,y\n1,2\ninf,3\n",
            "column 'a' is inf in row 2; features must be finite and within float32",
        ),
        ("a,y\n1,2\n2,2\n", "target 'y' is '2' in every row; at least two classes are needed"),
        (b"a,y\n1,\x002\n", "holds bytes that are no text, so it is no table of text"),
        (
            'a,y\n1,"2\n',
            "is not a readable table (Error tokenizing data. C error: "
            "EOF inside string starting at row 1)",
        ),
    ],
)  # fmt: skip
def test_errors_in_a_csv_table(csv, content, sentence):
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_table(csv(content), "y")


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_latin_1_is_read_and_pointed_out(csv, encoding):
    rows = "1,2\n" * 300_000 + ("1,café\n" if encoding == "cp1252" else "1,caf\xe9\x81\n")
    table = read_frame(csv(("a,y\n" + rows).encode("latin-1")), labels=["y"])
    assert table.frame["y"].iloc[-1].startswith("café")
    (note,) = table.notes
    assert note.startswith("line 300002 is not UTF-8 (byte 0xe9), so the file is read as Latin-1")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_byte_order_mark_names_the_encoding(csv, encoding):
    table = read_frame(csv("größe,y\n1,2\n".encode(encoding)))
    assert list(table.frame.columns) == ["größe", "y"]
    assert table.notes == ()


def test_a_field_too_long_for_a_table_is_an_error(csv):
    with pytest.raises(ValueError, match=r"^is not a readable table \(field larger than"):
        read_frame(csv("a" * 200_000 + ",y\n1,2\n"))


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "none.npz"])
def test_a_missing_file_is_pythons_own_error(tmp_path, name):
    read = read_arrays if name.endswith("npz") else read_table
    with pytest.raises(FileNotFoundError, match=name):
        read(tmp_path / name, TableOptions() if read is read_arrays else "y")


def test_chosen_columns_stay_text(csv):
    frame = read_frame(csv("a,b\n01,02\n"), text=["a", "absent"]).frame
    assert frame.iloc[0].tolist() == ["01", 2]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["1", "01", "1", "01"], ("01", "1")),
        (["100", "1E2", "9", "100"], ("9", "100", "1E2")),
        (["010", "9", "010", "9"], ("9", "010")),
        (["1.0", "2.0", "10.0", "2.0"], ("1.0", "2.0", "10.0")),
        (["TRUE", "false", "TRUE", "false"], ("false", "TRUE")),
        (["NA", "None", "null", "nan"], ("NA", "None", "nan", "null")),
        (["1", "x", "01", "x"], ("01", "1", "x")),
        ([f"{10**20}", f"{10**20 + 1}", "7", "7"], (f"{10**20}", f"{10**20 + 1}", "7")),
    ],
)
def test_classes_of_a_csv_table_are_called_as_they_are_written(csv, labels, names):
    raw = read_table(csv("a,y\n" + "".join(f"0,{label}\n" for label in labels)), "y")

    assert raw.class_names == names
    assert [names[label] for label in raw.y] == labels


@pytest.mark.parametrize("word", ["NA", "None", "n/a", "NaN"])
def test_a_word_for_nothing_is_a_category_in_every_format(csv, tmp_path, word):
    path = csv(f"a,y\nred,0\n{word},1\nred,1\n")
    pd.DataFrame({"a": ["red", word, "red"], "y": [0, 1, 1]}).to_parquet(tmp_path / "t.parquet")

    for raw in (read_table(path, "y"), read_table(tmp_path / "t.parquet", "y")):
        assert raw.feature_names == tuple(f"a={name}" for name in sorted(["red", word]))


@pytest.mark.parametrize("rows", ["1,\n2,b\n", '1,""\n2,b\n', "1\n2,b\n", "1,  \n2,b\n"])
def test_an_empty_cell_is_missing(csv, rows):
    with pytest.raises(ValueError, match="target 'y' has no value in row 1"):
        read_table(csv("a,y\n" + rows), "y")


def test_a_word_among_numbers_is_named(csv):
    cells = "".join(f"{number},{number % 2}\n" for number in range(30))
    with pytest.raises(ValueError, match=r"column 'a' is text \('nan' in row 31\)"):
        read_table(csv(f"a,y\n{cells}nan,0\n"), "y")


def test_decimals_and_huge_integers_are_numbers(csv, tmp_path):
    numbers = [10**20, -(10**21), 7]
    frame = pd.DataFrame({"a": [*map(Decimal, numbers)], "y": [Decimal("1.50"), Decimal(2), 2]})
    frame.to_parquet(tmp_path / "t.parquet")
    path = csv(
        "a,y\n" + "".join(f"{a},{y}\n" for a, y in zip(numbers, ["1.50", 2, 2], strict=True))
    )

    for raw in (read_table(path, "y"), read_table(tmp_path / "t.parquet", "y")):
        assert raw.x.ravel().tolist() == [float(number) for number in numbers]
        assert raw.y.tolist() == [0, 1, 1]
        assert raw.class_names[0] == "1.50"


def test_an_integer_beyond_every_float_is_refused(csv):
    with pytest.raises(ValueError, match=r"^column 'a' is inf in row 2; features must be finite"):
        read_table(csv(f"a,y\n1,0\n{'9' * 400},1\n"), "y")


def test_numbers_aligned_with_blanks_are_the_same_class(csv):
    raw = read_table(csv("a,y\n1, 2\n1,2\n1,10 \n"), "y")

    assert raw.class_names == ("2", "10")
    assert raw.y.tolist() == [0, 0, 1]


def test_a_decimal_label_is_the_same_class_in_every_format(csv, tmp_path):
    labels = [Decimal("1.50"), Decimal("2.25"), Decimal("1.50")]
    pd.DataFrame({"a": [1, 2, 3], "y": labels}).to_parquet(tmp_path / "t.parquet")
    path = csv("a,y\n1,1.50\n2,2.25\n3,1.50\n")

    for raw in (read_table(path, "y"), read_table(tmp_path / "t.parquet", "y")):
        assert raw.class_names == ("1.50", "2.25")


def test_words_that_differ_only_in_blanks_are_noted(csv):
    raw = read_table(csv("a,y\nred,no\nred ,no \nred,no\n"), "y")

    assert raw.class_names == ("no", "no ")
    assert [note.partition(", which differ only in blanks")[0] for note in raw.notes] == [
        "target 'y' holds 'no' and 'no '",
        "column 'a' holds 'red' and 'red '",
    ]


def test_a_column_that_numbers_the_rows_is_noted(csv):
    raw = read_table(csv("Id,a,y\n5,1,x\n6,2,y\n7,4,x\n"), "y")

    (note,) = raw.notes
    assert note.startswith("column 'Id' only numbers the rows")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("5.1,0.2,x\n4,1,y\n", "has no column 'y': its first line (5.1,0.2,x) looks like a row"),
        ("0,0,0\n1,7,8\n", "has no column 'y': its first line (0,0,0) looks like a row of data"),
        ("p,x\ne,x\np,z\n", "has no column 'y': its first line (p,x) looks like a row of data"),
        ("2019,2020,z\n1,2,x\n", "'y' is not a column (2019, 2020, z)"),
    ],
)
def test_a_missing_header_is_recognized(csv, content, sentence):
    path = csv(content)
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        read_table(path, "y")


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a;b;y\n1;2;x\n", [1, 2, "x"]),
        ("a, m;b;y\n1,5;2;x\n", ["1,5", 2, "x"]),
        ("a\tb\ty\n1\t2\tx y\n", [1, 2, "x y"]),
        ("a|b|y\n1|2|x\n", [1, 2, "x"]),
        ("sep=;\na;b;y\n1;2;x\n", [1, 2, "x"]),
        ('a,b,y\n1,2,"x;y;z"\n', [1, 2, "x;y;z"]),
        ("y\n7\n", [7]),
    ],
)
def test_the_separator_is_found(csv, content, rows):
    frame = read_frame(csv(content)).frame
    assert frame.columns[-1] == "y"
    assert frame.iloc[0].tolist() == rows


def test_decimal_commas_and_separated_thousands_are_read_by_option(csv):
    path = csv("a;b\n1.234,5;2\n")
    assert read_frame(path).frame["a"].tolist() == ["1.234,5"]
    assert read_frame(path, decimal=",", thousands=".").frame["a"].tolist() == [1234.5]


@pytest.mark.parametrize("name", ["t.tsv", "t.csv.gz", "t.tsv.gz", "t.parquet", "t.xlsx", "T.CSV"])
def test_files_of_every_kind_hold_the_same_table(tmp_path, name):
    frame = pd.DataFrame({"a": [1.5, np.nan, 2.0], "b": ["x", "y", None]})
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    elif name.endswith("xlsx"):
        pytest.importorskip("openpyxl")
        frame.to_excel(path, index=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    pd.testing.assert_frame_equal(read_frame(path).frame, frame, check_dtype=False)


def test_only_the_first_sheet_is_read_and_the_others_are_named(tmp_path):
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        for sheet in ("one", "two"):
            pd.DataFrame({"a": [1]}).to_excel(book, sheet_name=sheet, index=False)
    table = read_frame(tmp_path / "t.xlsx")
    assert table.notes == ("only the first of its 2 sheets is read, 'one'",)


def test_a_damaged_sheet_is_an_error(tmp_path):
    pytest.importorskip("openpyxl")
    (tmp_path / "t.xlsx").write_text("no sheet")
    with pytest.raises(ValueError, match=r"^is not a readable \.xlsx file \("):
        read_frame(tmp_path / "t.xlsx")


def test_an_xlsx_file_names_the_extra_that_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "t.xlsx").write_text("no sheet")
    with pytest.raises(ValueError, match=r"needs openpyxl: pip install 'hpsearch\[xlsx\]'"):
        read_frame(tmp_path / "t.xlsx")


@pytest.mark.parametrize("content", [b"\x1f\x8bcut off", b"no gzip"])
def test_a_damaged_gzip_file_is_an_error(tmp_path, content):
    (tmp_path / "t.csv.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"^is not a complete gzip file"):
        read_frame(tmp_path / "t.csv.gz")


def test_columns_that_are_not_needed_may_have_any_name(csv):
    frame = read_frame(csv(",a,b,b\n0,1,2,3\n"), needed=["a"]).frame
    assert list(frame.columns) == ["", "a", "b", "b"]
    assert frame.iloc[0].tolist() == [0, 1, 2, 3]


def test_a_table_without_a_target_lists_its_columns(csv):
    sentence = "target must name the column of the labels (a, y)"
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_table(csv("a,y\n1,2\n"), None)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; a table with column names and rows is needed"),
        (b"no parquet at all", "is not a readable .parquet file ("),
        (b"PAR1" + bytes(60) + b"PAR1", "is not a readable .parquet file ("),
    ],
)
def test_a_damaged_parquet_file(tmp_path, content, sentence):
    path = tmp_path / "data.parquet"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}") as caught:
        read_table(path, "y")
    assert "\n" not in str(caught.value)


def test_a_parquet_column_named_twice(tmp_path):
    table = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "y"])
    parquet.write_table(table, tmp_path / "data.parquet")

    sentence = "2 columns are named 'a'; rename them or keep one"
    with pytest.raises(ValueError, match=f"{re.escape(sentence)}$"):
        read_source(str(tmp_path / "data.parquet"), TableOptions(target="y"))


def test_arrays_x_and_y(npz):
    raw = read_arrays(npz(x=X, y=np.array(["b", "a", "b", "a"])), TableOptions())

    np.testing.assert_array_equal(raw.x, X)
    assert raw.y.tolist() == [1, 0, 1, 0]
    assert raw.feature_names == ("x0", "x1")
    assert raw.class_names == ("a", "b")
    assert raw.n_test == 0


def test_another_array_as_labels(npz):
    raw = read_arrays(npz(x=X, y=Y, parity=1 - Y), TableOptions(target="parity"))

    assert raw.y.tolist() == [1, 0, 1, 0]


def test_arrays_with_a_test_set_of_their_own(npz):
    raw = read_arrays(npz(x_train=X, y_train=Y, x_test=X[:2] + 10, y_test=Y[:2]), TableOptions())

    np.testing.assert_array_equal(raw.x, np.concatenate([X, X[:2] + 10]))
    assert raw.y.tolist() == [0, 1, 0, 1, 0, 1]
    assert raw.n_test == 2


def test_images_are_flattened(npz):
    images = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    raw = read_arrays(npz(x=images, y=Y), TableOptions())

    np.testing.assert_array_equal(raw.x, images.reshape(4, 6))


FOUR = "x and y, or x_train, y_train, x_test, y_test"


@pytest.mark.parametrize(
    ("arrays", "target", "sentence"),
    [
        ({"x": X}, None, f"has no array 'y'; it needs {FOUR} (found: x)"),
        ({"x": X, "y": Y}, "label", f"has no array 'label'; it needs {FOUR} (found: x, y)"),
        ({}, None, f"has no array 'x'; it needs {FOUR} (found: none)"),
        ({"x_train": X, "y_train": Y, "x_test": X}, None, f"has no array 'y_test'; it needs {FOUR} "
         "(found: x_train, y_train, x_test)"),
        ({"x": X, "y": Y, "x_val": X, "y_val": Y}, None, "has x_val but no x_train; name the "
         "training rows x_train and y_train"),
        ({"x_train": X, "y_train": Y}, "y", "target cannot be chosen for a file with x_train; "
         "leave target out"),
        ({"x": X, "y": Y[:3]}, None, "array 'y' must have shape (4,), one label for each row of "
         "'x', but its shape is (3,)"),
        ({"x": X, "y": np.ones((4, 2, 2))}, None, "array 'y' must have shape (4,), one label for "
         "each row of 'x', but its shape is (4, 2, 2)"),
        ({"x": X[:, 0], "y": Y}, None, "array 'x' must have rows and columns, "
         "but its shape is (4,)"),
        ({"x": X[:0], "y": Y[:0]}, None, "array 'x' must have rows and columns, "
         "but its shape is (0, 2)"),
        ({"x": X.astype(str), "y": Y}, None, "array 'x' must hold numbers, but holds <U32"),
        ({"x": X.astype(object), "y": Y}, None, "array 'x' holds Python objects, "
         "which are not loaded; save numbers or text"),
        ({"x": np.where(X == 5, np.nan, X), "y": Y}, None, "column 'x1' has no value in row 3 "
         "(empty or nan); fill it in or drop the row"),
        ({"x": np.where(X == 5, np.inf, X).astype(np.float16), "y": Y}, None,
         "column 'x1' is inf in row 3; features must be finite and within float32"),
        ({"x": X, "y": X[:, 0] * 0}, None, "array 'y' is '0' in every row; "
         "at least two classes are needed"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :1], "y_test": Y}, None,
         "'x_train' has 2 columns and 'x_test' has 1; they must have the same"),
    ],
)  # fmt: skip
def test_errors_in_a_file_of_arrays(npz, arrays, target, sentence):
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_arrays(npz(**arrays), TableOptions(target=target))


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"PK\x03\x04 cut off"])
def test_a_damaged_archive(tmp_path, content):
    path = tmp_path / "data.npz"
    path.write_bytes(content)

    sentence = "is not a readable .npz file; write one with np.savez"
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_arrays(path, TableOptions())


def test_a_damaged_array(npz):
    path = npz(x=np.ones((100, 100)), y=np.arange(100))
    content = bytearray(path.read_bytes())
    content[5000] ^= 0xFF
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"^array 'x' is damaged \(Bad CRC-32"):
        read_arrays(path, TableOptions())


def test_a_single_array_is_not_an_archive(tmp_path):
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, X)

    sentence = "holds a single array; write x and y with np.savez"
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_arrays(tmp_path / "data.npz", TableOptions())
