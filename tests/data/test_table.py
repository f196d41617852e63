"""Tables as people have them: what columns are taken for, and the features of their rows."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import TargetEncoder

from hpsearch.data.columns import MISSING, OTHERS, as_plain, encode, from_plain
from hpsearch.data.frames import prepare_frame
from hpsearch.data.giveaways import giveaways
from hpsearch.data.kinds import kinds_of
from hpsearch.data.loading import load_dataset, load_test_set
from hpsearch.data.options import TableOptions
from hpsearch.data.sources import read_source
from hpsearch.data.splitting import read_parts
from hpsearch.data.table import build_table

N = 400


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


@pytest.fixture
def messy():
    """A table of N rows with every kind of column, gaps in all of them, and two classes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "row": np.arange(1, N + 1),
            "name": [f"person {number}" for number in range(N)],
            "age": rng.integers(18, 90, N).astype(float),
            "size": rng.normal(size=N).round(3),
            "member": rng.choice([True, False], N).astype(object),
            "colour": rng.choice(["red", "green", "blue"], N).astype(object),
            "town": [f"town {number}" for number in rng.integers(0, 60, N)],
            "since": pd.date_range("2020-01-01", periods=N, freq="31h").strftime("%Y-%m-%d %H:%M"),
            "empty": np.nan,
            "same": "x",
        }
    )
    frame["y"] = np.where(frame["age"] + rng.normal(scale=9, size=N) > 55, "yes", "no")
    for number, column in enumerate(("age", "member", "colour", "town", "since")):
        frame.loc[rng.random(N) < 0.05 * (number + 1), column] = None
    return frame


def write(frame, path):
    frame.to_csv(path, index=False)
    return str(path)


def parts_of(path, **options):
    """Return the numbers of the training, validation and test rows."""
    _, parts = read_parts(path, **options)
    return parts.train, parts.val, parts.test


def test_every_column_is_taken_for_what_it_is(messy, tmp_path):
    raw = read_source(write(messy, tmp_path / "t.csv"), TableOptions(target="y"))
    kinds = {kind.name: kind.kind for kind in raw.kinds(np.arange(N))}
    assert kinds == {
        "row": "row number",
        "name": "all different",
        "age": "numbers",
        "size": "numbers",
        "member": "numbers",
        "colour": "words",
        "town": "means",
        "since": "dates",
        "empty": "empty",
        "same": "constant",
    }
    assert raw.kinds(np.arange(N))[2].missing == messy["age"].isna().sum()


def test_gaps_become_medians_with_an_indicator_as_in_scikit_learn(messy, tmp_path):
    path = write(messy, tmp_path / "t.csv")
    data, (train, val, _) = load_dataset(path, target="y", scale="none"), parts_of(path, target="y")
    names = list(data.feature_names)
    at = names.index("age")
    assert names[at : at + 2] == ["age", f"age={MISSING}"]
    imputer = SimpleImputer(strategy="median", add_indicator=True).fit(messy[["age"]].iloc[train])
    for x, rows in ((data.x_train, train), (data.x_val, val)):
        expected = imputer.transform(messy[["age"]].iloc[rows])
        np.testing.assert_array_equal(x[:, at : at + 2], expected)


def test_a_missing_word_is_a_category_and_true_is_1(messy, tmp_path):
    path = write(messy, tmp_path / "t.csv")
    data, (train, _, _) = load_dataset(path, target="y", scale="none"), parts_of(path, target="y")
    names = list(data.feature_names)
    at = names.index("colour=blue")
    assert names[at : at + 4] == ["colour=blue", "colour=green", "colour=red", f"colour={MISSING}"]
    expected = pd.get_dummies(messy["colour"].fillna("~").iloc[train]).to_numpy(float)
    np.testing.assert_array_equal(data.x_train[:, at : at + 4], expected)
    member = data.x_train[:, names.index("member")]
    known = messy["member"].iloc[train].notna().to_numpy()
    np.testing.assert_array_equal(
        member[known], messy["member"].iloc[train][known].astype(float).to_numpy()
    )


def test_dates_become_numbers(messy, tmp_path):
    path = write(messy, tmp_path / "t.csv")
    data, (train, _, _) = load_dataset(path, target="y", scale="none"), parts_of(path, target="y")
    dates = pd.to_datetime(messy["since"].iloc[train])
    known = dates.notna().to_numpy()
    parts = {
        "year": dates.dt.year,
        "month": dates.dt.month,
        "weekday": dates.dt.day_of_week,
        "days": (dates - pd.Timestamp(0)) / pd.Timedelta(days=1),
        "hour": dates.dt.hour,
    }
    for part, values in parts.items():
        found = data.x_train[:, data.feature_names.index(f"since.{part}")]
        np.testing.assert_allclose(found[known], values.to_numpy()[known], rtol=1e-6)
        assert set(found[~known]) == {np.float32(np.median(values.to_numpy()[known]))}
    missing = data.x_train[:, data.feature_names.index(f"since={MISSING}")]
    np.testing.assert_array_equal(missing, ~known)


@pytest.mark.parametrize(
    ("cells", "month"),
    [
        (["2024-02-01", "2024-03-31"], [2, 3]),
        (["2024-02-01T10:00:00Z", "2024-03-31T00:00:00Z"], [2, 3]),
        (["1.2.2024", "31.3.2024"], [2, 3]),
        (["1.2.2024", "2.3.2024"], [2, 3]),
        (["2/1/2024", "3/31/2024"], [2, 3]),
        (["1/2/2024", "31/3/2024"], [2, 3]),
    ],
)
def test_dates_are_read_as_they_are_written(cells, month):
    frame = pd.DataFrame({"when": cells * 20, "a": range(40), "y": [0, 1] * 20})
    table = build_table(frame, TableOptions(target="y", drop=["a"]))
    prepared = table.prepare(np.arange(40))
    at = prepared.feature_names.index("when.month")
    assert prepared.x_train[:2, at].tolist() == month


def test_words_with_many_values_are_means_as_in_scikit_learn(messy, tmp_path):
    path = write(messy, tmp_path / "t.csv")
    data, (train, val, _) = load_dataset(path, target="y", scale="none"), parts_of(path, target="y")
    at = data.feature_names.index("mean target of town")
    words = messy[["town"]].fillna(MISSING).astype(object)
    y = (messy["y"] == "yes").to_numpy().astype(int)
    encoder = TargetEncoder(target_type="binary").fit(words.iloc[train], y[train])
    np.testing.assert_allclose(
        data.x_val[:, at], encoder.transform(words.iloc[val])[:, 0], rtol=1e-6
    )
    # The training rows have means over other rows, which are not those that they would get now.
    own = encoder.transform(words.iloc[train])[:, 0]
    assert np.corrcoef(own, y[train])[0, 1] > np.corrcoef(data.x_train[:, at], y[train])[0, 1] + 0.2


def test_rare_words_share_a_feature_that_new_words_have_too():
    words = ["a"] * 40 + ["b"] * 40 + ["c", "d", "e"]
    frame = pd.DataFrame({"word": words, "y": [0, 1] * 41 + [0]})
    prepared = build_table(frame, TableOptions(target="y")).prepare(np.arange(83))
    assert prepared.feature_names == ("word=a", "word=b", f"word={OTHERS}")
    new = encode(pd.DataFrame({"word": ["b", "new", "e", None]}), prepared.columns)
    assert new.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]


def test_a_few_odd_cells_in_a_column_of_numbers_count_as_empty(tmp_path):
    cells = [str(number) for number in range(100)]
    cells[7], cells[9], cells[50] = "unknown", "?", " "
    frame = pd.DataFrame({"a": cells, "b": np.arange(100) % 7, "y": [0, 1] * 50})
    raw = read_source(write(frame, tmp_path / "t.csv"), TableOptions(target="y"))
    prepared = raw.prepare(np.arange(100))
    assert prepared.feature_names == ("a", f"a={MISSING}", "b")
    assert np.flatnonzero(prepared.x_train[:, 1]).tolist() == [7, 9, 50]
    assert prepared.notes == ("column 'a' holds numbers, and 'unknown' is taken for empty",)


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (["1,5", "2,25"], "a decimal comma ('1,5'), which count as words; decimal = \",\" reads"),
        (
            ["1,234", "25,000.5", "1,000,000"],
            "separated thousands ('1,234'), which count as words; thousands = \",\" reads",
        ),
    ],
)
def test_numbers_in_another_spelling_are_pointed_out(cells, sentence):
    frame = pd.DataFrame({"a": cells * 20, "y": [0, 1] * (10 * len(cells))})
    prepared = build_table(frame, TableOptions(target="y")).prepare(np.arange(len(frame)))
    assert sentence in prepared.notes[0]


def test_free_text_is_refused_with_what_to_do_and_all_columns_at_once(messy, tmp_path):
    rng = np.random.default_rng(0)
    for column in ("story", "remark"):
        words = rng.choice(["the", "cat", "sat", "on", "mats", "quietly", "again"], (N, 7))
        messy[column] = [" ".join(row) + f" {n}" for n, row in enumerate(words)]
    path = write(messy, tmp_path / "t.csv")
    sentence = (
        f"{path}: columns 'story' and 'remark' hold free text; text = \"tfidf\" makes features of "
        'their words, and drop = ["story", "remark"] leaves them out'
    )
    with pytest.raises(ValueError, match=exactly(sentence)):
        load_dataset(path, target="y")
    data = load_dataset(path, target="y", text="tfidf")
    assert "story:quietly" in data.feature_names
    dropped = load_dataset(path, target="y", drop=["story", "remark"])
    assert not any(name.startswith("story") for name in dropped.feature_names)


def test_what_is_left_out_is_said(messy, tmp_path):
    path = write(messy, tmp_path / "t.csv")
    (note,) = load_dataset(path, target="y").notes
    assert note == (
        f"{path}: 3 columns left out: 'row' only numbers the rows, 'name' is different in every "
        "row, 'empty' is empty"
    )
    quiet = load_dataset(path, target="y", id=["row", "name"], drop=["empty"])
    assert quiet.notes == ()
    assert quiet.feature_names == load_dataset(path, target="y").feature_names


def test_a_number_that_only_names_the_rows_is_pointed_out():
    ids = np.random.default_rng(0).permutation(5000)[:60]
    frame = pd.DataFrame({"customer_id": ids, "a": np.arange(60) % 7, "y": [0, 1] * 30})
    (kind, _) = kinds_of(frame[["customer_id", "a"]], TableOptions())
    assert kind.kind == "numbers"
    assert kind.note.endswith('if it only names the rows, id = ["customer_id"] leaves it out')


def spoil(frame, rows):
    """Return the table with nonsense in every cell of some rows but their labels."""
    spoilt = frame.astype(dict.fromkeys(frame.columns, object))
    nonsense = {"age": 1e6, "size": -1e6, "member": True, "colour": "zzz", "town": "town 1"}
    nonsense |= {"since": "1999-12-31 23:59", "empty": "no", "same": "other"}
    nonsense |= {"row": 7, "name": "nobody"}
    for column, cell in nonsense.items():
        spoilt.loc[rows, column] = cell
    return spoilt


def test_nothing_that_is_fitted_sees_validation_or_test_rows(messy, tmp_path):
    """Spoilt validation and test rows change neither a feature of a training row nor the recipe."""
    path = write(messy, tmp_path / "t.csv")
    train, val, test = parts_of(path, target="y")
    other = write(spoil(messy, [*val, *test]), tmp_path / "spoilt.csv")
    honest, spoilt = (load_dataset(each, target="y", text="tfidf") for each in (path, other))

    np.testing.assert_array_equal(spoilt.x_train, honest.x_train)
    np.testing.assert_array_equal(spoilt.y_train, honest.y_train)
    assert spoilt.columns == honest.columns
    np.testing.assert_array_equal(spoilt.scaler.shift, honest.scaler.shift)
    assert not np.array_equal(spoilt.x_val, honest.x_val)
    assert len(train) == len(honest.x_train)

    frames = []
    for each in (path, other):
        raw, parts = read_parts(each, target="y")
        frames.append(prepare_frame(raw, parts.train).x_train)
    pd.testing.assert_frame_equal(*frames)


def test_spoilt_test_rows_change_nothing_that_the_search_sees(messy, tmp_path):
    path = write(messy, tmp_path / "t.csv")
    _, _, test = parts_of(path, target="y")
    other = write(spoil(messy, test), tmp_path / "spoilt.csv")
    honest, spoilt = (load_dataset(each, target="y") for each in (path, other))
    np.testing.assert_array_equal(spoilt.x_val, honest.x_val)
    assert not np.array_equal(
        load_test_set(path, target="y")[0], load_test_set(other, target="y")[0]
    )


def test_the_recipe_is_plain_data_that_gives_the_same_features(messy, tmp_path):
    messy["story"] = [
        f"the {colour} cat sat on {n} mats" for n, colour in enumerate(messy["colour"])
    ]
    path = write(messy, tmp_path / "t.csv")
    raw, parts = read_parts(path, target="y", text="tfidf")
    prepared = raw.prepare(parts.train)
    again = from_plain(json.loads(json.dumps(as_plain(prepared.columns))))
    frame = pd.read_csv(path)
    np.testing.assert_array_equal(
        encode(frame.iloc[parts.val], again), prepared.features(parts.val)
    )
    with pytest.raises(ValueError, match="column 'since' must hold dates, not 'soon' in row 1"):
        encode(frame.assign(since="soon"), again)


def test_a_complete_table_has_the_features_of_version_0_1(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=90), "b": rng.choice(["u", "v", "w"], 90), "y": [0, 1, 2] * 30}
    )
    path = write(frame, tmp_path / "t.csv")
    now, early = (load_dataset(path, target="y", reading=reading) for reading in (2, 1))
    np.testing.assert_array_equal(now.x_train, early.x_train)
    np.testing.assert_array_equal(now.x_val, early.x_val)
    np.testing.assert_array_equal(now.y_train, early.y_train)


@pytest.mark.parametrize(
    ("labels", "task", "note"),
    [
        ([1, 2] * 30, "classification", ""),
        (["a", "b"] * 30, "classification", ""),
        ([1, 2, 3] * 20, "classification", "holds 3 different numbers, which are taken for class"),
        ([1.5, 2.5, 3.5] * 20, "classification", "3 different numbers, which are taken for class"),
        (range(60), "regression", "holds 60 different numbers, so this is a regression; task ="),
        ([*range(19), *[0] * 41], "regression", "in fewer than 7 rows, so this is a regression"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_labels_decide_on_the_task(tmp_path, labels, task, note, suffix):
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=60), "y": labels})
    path = tmp_path / f"t.{suffix}"
    (frame.to_csv if suffix == "csv" else frame.to_parquet)(path, index=False)
    raw = read_source(str(path), TableOptions(target="y"))
    assert raw.task == task
    assert [note in each for each in raw.notes] == ([True] if note else [])
    numbers = not isinstance(labels[0], str)
    for chosen in ("classification", "regression") if numbers else ():
        assert read_source(str(path), TableOptions(target="y", task=chosen)).task == chosen


def test_rows_without_a_label_are_left_out(messy, tmp_path):
    messy.loc[[3, 5, 8], "y"] = None
    raw = read_source(write(messy, tmp_path / "t.csv"), TableOptions(target="y"))
    assert len(raw.y) == N - 3
    assert raw.notes == ("3 rows without a value of 'y' left out",)


def test_several_targets_are_numbers(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 4)), columns=["a", "b", "u", "v"])
    path = write(frame, tmp_path / "t.csv")
    data = load_dataset(path, target=["u", "v"])
    train, val, _ = parts_of(path, target=["u", "v"])
    assert data.target_names == ("u", "v")
    for y, rows in ((data.y_train, train), (data.y_val, val)):
        np.testing.assert_allclose(
            data.target_scaler.inverse(y), frame[["u", "v"]].iloc[rows], atol=1e-6
        )
    np.testing.assert_allclose(data.y_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.y_train.std(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"drop": ["colr"]},
            "'colr' is not a column; did you mean 'colour'? (row, name, age, size",
        ),
        ({"id": ["y"]}, "column 'y' is the target, and can be nothing else"),
        ({"task": "regression"}, "target 'y' is 'yes' in row"),
        ({"target": ["y", "age"], "task": "regression"}, "target 'y' is 'yes' in row"),
        (
            {"target": ["y", "age"]},
            "several targets must hold two values each, or all be numbers, and these hold another "
            "number of values: 'age' (",
        ),
        (
            {"target": ["y", "same", "age"], "task": "classification"},
            "several targets must hold two values each, and these hold another number of values: "
            "'same' (1), 'age' (",
        ),
        ({"target": "empty"}, "target 'empty' is empty in every row"),
        ({"target": "same"}, "target 'same' is 'x' in every row; at least two classes are needed"),
    ],
)
def test_wrong_options_are_refused(messy, tmp_path, options, sentence):
    path = write(messy.iloc[::-1], tmp_path / "t.csv")
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_dataset(path, **{"target": "y", **options})


def test_validation_and_test_rows_may_have_files_of_their_own(messy, tmp_path):
    files = {}
    for name, rows in (
        ("train", slice(0, 240)),
        ("valid", slice(240, 300)),
        ("test", slice(300, N)),
    ):
        files[name] = write(messy.iloc[rows], tmp_path / f"{name}.csv")
    options = {"target": "y", "validation": files["valid"], "test": files["test"]}
    train, val, test = parts_of(files["train"], **options)
    assert (train.tolist(), val.tolist()) == ([*range(240)], [*range(240, 300)])
    assert test.tolist() == [*range(300, N)]
    data = load_dataset(files["train"], **options)
    assert data.digest != load_dataset(files["train"], target="y").digest
    x_test, _ = load_test_set(files["train"], **options)
    assert len(x_test) == 100
    only = parts_of(files["train"], target="y", test=files["test"])
    assert [len(part) for part in only] == [192, 48, 100]


def test_another_file_must_have_the_same_columns(messy, tmp_path):
    path = write(messy, tmp_path / "t.csv")
    other = write(messy.drop(columns=["age", "size"]), tmp_path / "other.csv")
    sentence = f"{path}: {other} has no column 'age', 'size'; it must have the same columns"
    with pytest.raises(ValueError, match=exactly(sentence)):
        load_dataset(path, target="y", test=other)
    more = write(messy.assign(more=1), tmp_path / "more.csv")
    assert any("only it has column 'more'" in note for note in load_dataset(
        path, target="y", test=more
    ).notes)  # fmt: skip
    with pytest.raises(ValueError, match=r"there is no file 'no\.csv'"):
        load_dataset(path, target="y", validation="no.csv")


def test_a_column_that_gives_the_target_away_is_named():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = (x[:, 1] > 0.3).astype(int)
    (sentence,) = giveaways(x, ["a", "today", "b"], y, ("down", "up"))
    assert sentence.startswith("column 'today' alone predicts 100.0% of the target")
    numbers = x[:, [2]] * 3 + 1
    (sentence,) = giveaways(np.round(x, 1), ["a", "b", "twin"], np.round(numbers, 0), ())
    assert sentence.startswith("column 'twin' alone predicts 9")
    assert [*giveaways(x, ["a", "b", "c"], rng.integers(0, 2, 300), ("down", "up"))] == []


def test_an_estimator_gets_numbers_with_gaps_and_words_as_categories(messy, tmp_path):
    raw, parts = read_parts(write(messy, tmp_path / "t.csv"), target="y")
    prepared = prepare_frame(raw, parts.train)
    x = prepared.x_train
    assert x["age"].isna().sum() == messy["age"].iloc[parts.train].isna().sum()
    assert isinstance(x["colour"].dtype, pd.CategoricalDtype)
    assert [*x["colour"].cat.categories] == ["blue", "green", "red"]
    assert "since.year" in x
    assert {"row", "name", "empty", "same"}.isdisjoint(x.columns)
    assert [*prepared.rows(parts.val).columns] == [*x.columns]
    assert prepared.rows(parts.val).dtypes.equals(x.dtypes)


def test_spans_of_time_are_seconds():
    frame = pd.DataFrame({"took": pd.to_timedelta(range(40), unit="h"), "y": [0, 1] * 20})
    prepared = build_table(frame, TableOptions(target="y")).prepare(np.arange(40))
    assert prepared.x_train[:, 0].tolist() == [3600.0 * hours for hours in range(40)]
