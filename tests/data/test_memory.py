"""Tables in memory become files, which are read as any other."""

import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris

from hpsearch import Workspace, load_settings, run_study
from hpsearch.data.memory import write_table
from hpsearch.data.splitting import read_parts
from hpsearch.errors import DataError
from hpsearch.prediction import predict_table

ROWS = 80


@pytest.fixture
def frame(working_folder):  # noqa: ARG001
    """A table of every kind of column that people have."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "number": rng.normal(size=ROWS),
            "whole": pd.array(rng.integers(0, 9, ROWS), "Int64"),
            "word": pd.Categorical(rng.choice(["a", "b"], ROWS)),
            "flag": rng.choice([True, False], ROWS),
            "when": pd.date_range("2024-01-01", periods=ROWS, tz="Europe/Oslo"),
            "half": rng.normal(size=ROWS).astype(np.float16),
            "sparse": pd.arrays.SparseArray(rng.integers(0, 2, ROWS)),
        },
        index=rng.permutation(ROWS),
    )
    frame.loc[frame.index[3], "whole"] = pd.NA
    frame["y"] = np.where(frame.number > 0, "yes", "no")
    return frame


def test_a_table_is_written_once_and_read_as_it_was(frame):
    written = write_table(frame, "people")
    assert written.source.startswith("hpsearch-data/people-")
    assert written.targets == ()
    again = pd.read_parquet(written.source)
    assert again.drop(columns="half").equals(
        frame.reset_index(drop=True).assign(sparse=np.asarray(frame["sparse"])).drop(columns="half")
    )
    before = Path(written.source).stat().st_mtime_ns
    assert write_table(frame.copy(), "people").source == written.source
    assert Path(written.source).stat().st_mtime_ns == before
    assert write_table(frame.assign(number=0.0), "people").source != written.source


def test_it_has_the_features_that_a_csv_file_has(frame):
    plain = frame.drop(columns=["when", "half", "sparse"])
    plain.to_csv("plain.csv", index=False)
    written = write_table(plain)
    of_file, parts = read_parts("plain.csv", target="y")
    of_memory, same = read_parts(written.source, target="y")
    assert np.array_equal(parts.train, same.train)
    assert of_file.class_names == of_memory.class_names
    first, second = (raw.prepare(parts.train) for raw in (of_file, of_memory))
    assert first.feature_names == second.feature_names
    assert np.allclose(first.x_train, second.x_train)


X = np.arange(12.0).reshape(6, 2)
PAIRS = {
    "arrays": ((X, [0, 1] * 3), ["x0", "x1", "target"], ("target",)),
    "lists": (([[1, 2], [3, 4]], ["a", "b"]), ["x0", "x1", "target"], ("target",)),
    "a column": ((X, np.ones((6, 1))), ["x0", "x1", "target"], ("target",)),
    "several": ((X, X), ["x0", "x1", "target0", "target1"], ("target0", "target1")),
    "a series": (
        (pd.DataFrame({"a": range(6)}), pd.Series(range(6), name="y", index=range(6, 0, -1))),
        ["a", "y"],
        ("y",),
    ),
    "a series without a name": ((X, pd.Series(range(6))), ["x0", "x1", "target"], ("target",)),
    "tables": (
        (pd.DataFrame({"a": range(6)}), pd.DataFrame({"b": range(6), "c": range(6)})),
        ["a", "b", "c"],
        ("b", "c"),
    ),
    "numbered columns": ((pd.DataFrame(X), [0, 1] * 3), ["x0", "x1", "target"], ("target",)),
    "arrow": ((pa.table({"a": range(6)}), [0, 1] * 3), ["a", "target"], ("target",)),
}


@pytest.mark.usefixtures("working_folder")
@pytest.mark.parametrize(("pair", "names", "targets"), PAIRS.values(), ids=PAIRS)
def test_features_and_labels_are_one_table(pair, names, targets):
    written = write_table(pair)
    table = pd.read_parquet(written.source)
    assert [*table.columns] == names
    assert written.targets == targets
    assert len(table) == len(pair[1])
    assert table[targets[0]].tolist() == np.asarray(pair[1]).reshape(len(table), -1)[:, 0].tolist()


REFUSED = {
    "a number": (5, "must be a table with columns, or a pair (X, y), but got int"),
    "an array": (X, "must be a table with columns, or a pair (X, y), but got ndarray"),
    "three": ((X, X, X), "must be a table, or a pair (X, y), but got a tuple of 3"),
    "lengths": ((X, [1]), "X has 6 rows and y has 1; they must have as many"),
    "flat": ((X[0], [1, 2]), "X must have rows and columns, but its shape is (2,)"),
    "deep": ((X, X[:, :, None]), "y must have one label a row, or several, but its shape is"),
    "ragged": (([[1], [2, 3]], [1, 2]), "X has rows of different lengths"),
    "y in X": (
        (pd.DataFrame({"y": [1, 2]}), pd.Series([1, 2], name="y")),
        "X and y both have a column 'y'; rename it, or drop it from X",
    ),
    "twice": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "2 columns are named 'a'"),
    "levels": (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "levels"),
    "no rows": (pd.DataFrame({"a": []}), "has no rows"),
    "no columns": (pd.DataFrame(), "has no columns"),
    "odd": (
        pd.DataFrame({"a": [1, "b"], "c": [1j, 2], "d": [1, 2]}),
        "columns 'a' (int, str), 'c' (complex numbers) cannot be kept in a file; make each",
    ),
}


@pytest.mark.parametrize(("data", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_table_is_one_sentence_and_leaves_no_file(working_folder, data, sentence):
    with pytest.raises(DataError) as raised:
        write_table(data)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (working_folder / "hpsearch-data").exists()


def test_a_sparse_matrix_says_how_to_make_it_dense(working_folder):
    from scipy.sparse import csr_array

    with pytest.raises(DataError, match=r"X is sparse, and a table is not; give X\.toarray\(\)"):
        write_table((csr_array(X), [0, 1] * 3))
    assert not [*working_folder.iterdir()]


def test_a_folder_that_cannot_be_written_is_one_sentence(working_folder, frame):
    (working_folder / "hpsearch-data").write_text("a file")
    with pytest.raises(DataError, match=r"data: cannot be written to hpsearch-data/table-"):
        write_table(frame)


def test_a_study_of_a_table_in_memory(frame):
    """It runs in worker processes, goes on, is evaluated, exported and predicts."""
    workspace = Workspace("m.journal", tracked=False)
    frame = frame[["number", "word", "y"]]
    assert workspace.look(frame, "y").targets[0].classes.keys() == {"no", "yes"}
    settings = workspace.table_study(frame, "y").replace(search={"trials": 3}, trial={"epochs": 3})
    outcome = workspace.run(settings, name="mine", jobs=2).last
    assert outcome.counts.complete + outcome.counts.pruned == 3
    again = workspace.run(settings.replace(search={"trials": 4}), name="mine").last
    assert again.new == 1
    assert workspace.evaluate("mine", top=1, seeds=1).evaluation.is_scored
    workspace.export("mine", "npz", "mine.npz")
    assert len(predict_table("mine.npz", settings.data.source).labels) == ROWS


def test_a_study_file_takes_features_and_labels_in_place_of_its_source(working_folder):
    (working_folder / "own.toml").write_text('[data]\nsource = "digits"\nscale = "unit"\n')
    settings = load_settings("own.toml", data=load_iris(return_X_y=True, as_frame=True))
    assert (settings.data.target, settings.data.scale) == ("target", "unit")
    settings = settings.replace(search={"trials": 1, "sampler": "random"}, trial={"epochs": 2})
    assert run_study(settings, storage="i.journal").best is not None


def test_two_processes_that_write_the_same_table_agree(frame):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(write_table, [frame] * 4)
    assert len({each.source for each in found}) == 1
    assert len(pd.read_parquet(found[0].source)) == ROWS
