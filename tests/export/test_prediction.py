"""Predictions of an exported network for the rows of a table."""

import re

import numpy as np
import pandas as pd
import pytest

from hpsearch.errors import DataError
from hpsearch.export.network import network_bytes, retrain
from hpsearch.export.winner import choose_trial
from hpsearch.prediction import predict_table
from model import MLPClassifier

DAY = 1_700_000_000
HEADER = "code,colour,size,second,kind,more\n"


@pytest.fixture(scope="module")
def network(study, folder):
    path = folder / "it.npz"
    path.write_bytes(network_bytes(retrain(study, choose_trial(study))))
    return path


def test_columns_are_found_by_name_and_others_are_ignored(network, table, tmp_path):
    frame = pd.read_csv(table, dtype={"code": str})
    shuffled = frame[["code", "kind", "size", "colour", "second"]].assign(more=1)
    shuffled.to_parquet(tmp_path / "other.parquet")
    frame.drop(columns="kind").to_csv(tmp_path / "same.csv", index=False)
    other, same = (predict_table(network, tmp_path / n) for n in ("other.parquet", "same.csv"))
    np.testing.assert_array_equal(other.probabilities, same.probabilities)
    assert same.notes == ()
    (note,) = other.notes
    assert note.endswith(
        "other.parquet: ignored what the network was not trained on: 'kind', 'more'"
    )


def test_a_note_names_a_category_that_training_did_not_have(network, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(f"code,colour,size,second\n01,red,1,{DAY}\n02,pink,1,{DAY}\n")
    (note,) = predict_table(network, path).notes
    assert note.startswith(f"{path}: column 'colour' holds 'pink' in row 2, which training did not")


def test_a_note_names_a_number_in_a_column_of_words_as_it_is(network, tmp_path):
    path = tmp_path / "new.parquet"
    row = {"code": [3], "colour": [b"red"], "size": [1.0], "second": [DAY]}
    pd.DataFrame(row).to_parquet(path)
    (note,) = predict_table(network, path).notes
    assert note.startswith(f"{path}: column 'code' holds '3' in row 1, which training did not")


def test_words_that_look_like_numbers_stay_words(network, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(f"code,colour,size,second\n01,red,1,{DAY}\n")
    assert predict_table(network, path).notes == ()


def test_columns_that_training_did_not_have_may_be_anything(network, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(f",x,code,x,colour,size,second\n0,NA,01,,red,1,{DAY}\n")
    (note,) = predict_table(network, path).notes
    assert note.endswith("ignored what the network was not trained on: '', 'x', 'x'")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("01,red,1.5,2\n01,red,1.5,2\n", "has no column 'second': its first line (01,red,1.5,2)"),
    ],
)
def test_a_missing_header_is_named(network, tmp_path, rows, sentence):
    path = tmp_path / "new.csv"
    path.write_text(rows)
    with pytest.raises(DataError) as raised:
        predict_table(network, path)
    assert str(raised.value).startswith(f"{path}: {sentence}")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("colour,size,second\nred,1,2\n", "has no column 'code', which the network was trained on"),
        ("size,second\n1,2\n", "has no column 'colour' (and 1 more), which the network was"),
        (f"{HEADER}01,red,1e300,2,a,b\n", "column 'size' is 1e+300 in row 1"),
        (HEADER, "has column names but no rows"),
        ("", "is empty"),
    ],
)
def test_an_error_names_the_file_the_column_and_the_row(network, tmp_path, rows, sentence):
    path = tmp_path / "new.csv"
    path.write_text(rows)
    with pytest.raises(DataError) as raised:
        predict_table(network, path)
    assert str(raised.value).startswith(f"{path}: {sentence}")
    if rows:
        with pytest.raises(ValueError, match=f"^X: {re.escape(sentence)}"):
            MLPClassifier.load(network).predict(pd.read_csv(path))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            f"{HEADER}01,red,1,2,a,b\n01,red,big,2,a,b\n01,red,,2,a,b\n",
            "column 'size' holds 'big' in row 2 and 1 more row, where training had a value in "
            "every row; it counts as ",
        ),
        (f"{HEADER}01,red,NA,2,a,b\n", "column 'size' is empty in row 1, where training had a"),
        (f"{HEADER}01,red,1,2,a,b\n01,,1,2,a,b\n", "column 'colour' is empty in row 2, where"),
    ],
)
def test_a_cell_without_a_value_is_pointed_out(network, tmp_path, rows, sentence):
    path = tmp_path / "new.csv"
    path.write_text(rows)
    prediction = predict_table(network, path)
    assert any(note.startswith(f"{path}: {sentence}") for note in prediction.notes)
    read = pd.read_csv(path, dtype={"code": str})
    with pytest.warns(UserWarning, match=re.escape(f"X: {sentence}")):
        found = MLPClassifier.load(network).predict_proba(read)
    np.testing.assert_array_equal(found, prediction.probabilities)


def test_rows_are_predicted_from_every_kind_of_file(network, table, tmp_path):
    frame = pd.read_csv(table, dtype={"code": str})
    frame.to_csv(tmp_path / "rows.tsv.gz", index=False, sep="\t")
    frame.to_csv(tmp_path / "semicolons.csv", index=False, sep=";")
    expected = predict_table(network, table).probabilities
    for name in ("rows.tsv.gz", "semicolons.csv"):
        np.testing.assert_array_equal(predict_table(network, tmp_path / name).outputs, expected)


def test_columns_may_be_carried_along(network, table):
    frame = pd.read_csv(table, dtype={"code": str})
    prediction = predict_table(network, table, keep=["code", "kind"])
    assert prediction.notes == ()
    found = prediction.frame(proba=True)
    assert [*found.columns] == ["code", "kind", "ant", "bee", "cat, tame"]
    assert found["code"].tolist() == frame["code"].tolist()
    with pytest.raises(DataError, match=r"table\.csv: 'cod' is not a column; did you mean 'code'"):
        predict_table(network, table, keep=["cod"])


def test_a_loaded_classifier_predicts_the_same(network, table, tmp_path):
    frame = pd.read_csv(table, dtype={"code": str})[["code", "kind", "size", "colour", "second"]]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    expected, loaded = predict_table(network, tmp_path / "rows.csv"), MLPClassifier.load(network)
    np.testing.assert_array_equal(loaded.predict_proba(frame), expected.probabilities)
    np.testing.assert_array_equal(loaded.predict(frame), expected.labels)


def test_files_that_are_not_a_network_or_not_a_table_are_refused(network, table, tmp_path):
    with pytest.raises(DataError, match=r"tiny: cannot be read: No .*; `hpsearch export NAME -f "):
        predict_table(tmp_path / "tiny", table)  # the study
    with pytest.raises(DataError, match=r"cannot be read: Is a directory$"):
        predict_table(tmp_path, table)
    with pytest.raises(DataError, match=r"table\.csv: not a network saved by hpsearch"):
        predict_table(table, table)
    with pytest.raises(DataError, match=r"no\.csv: cannot be read: No such file"):
        predict_table(network, tmp_path / "no.csv")
    with pytest.raises(DataError, match=r"it\.npz: is not a table; use a \.csv, \.tsv"):
        predict_table(network, network)
    for model, rows in [(network, "https://a.b/c.csv"), ("https://a.b/c.csv", table)]:
        with pytest.raises(
            DataError, match=r"^https://a\.b/c\.csv: is a URL, and only local files"
        ):
            predict_table(model, rows)
    x, y = np.zeros((4, 2)), [0, 1, 0, 1]
    MLPClassifier(epochs=1).fit(x, y).save(tmp_path / "plain.npz")
    with pytest.raises(DataError, match=r"plain\.npz: does not say which columns"):
        predict_table(tmp_path / "plain.npz", table)
