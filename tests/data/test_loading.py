"""Splits, limits, scales and batches: which rows are in which part, and what they affect."""

import re

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.columns import encode, from_plain
from hpsearch.data.loading import SCALES, load_dataset, load_test_set

N = 400
CLASSES = [0.6, 0.3, 0.1]


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


def rows_of(path, **options):
    """Return the row numbers of a table's training, validation and test parts."""
    data = load_dataset(path, scale="none", **options)
    x_test, _ = load_test_set(path, scale="none", **options)
    return [x[:, 0].astype(int) for x in (data.x_train, data.x_val, x_test)]


def shares(y):
    return np.bincount(y, minlength=len(CLASSES)) / len(y)


@pytest.fixture
def table(tmp_path):
    """A table with three uneven classes and two features, the first being the row's number."""
    rng = np.random.default_rng(0)
    arrays = {
        "x": np.column_stack([np.arange(N), rng.normal(50.0, 3.0, N)]),
        "y": np.repeat(["a", "b", "c"], [round(N * share) for share in CLASSES]),
    }
    np.savez(tmp_path / "rows.npz", **arrays)
    return str(tmp_path / "rows.npz")


@pytest.fixture
def own_test(tmp_path):
    """A similar table with its own test set, rows 400 to 449."""
    y = np.arange(N) % 4
    np.savez(
        tmp_path / "own.npz",
        x_train=np.column_stack([np.arange(N), y]),
        y_train=y,
        x_test=np.column_stack([np.arange(N, N + 50), np.zeros(50)]),
        y_test=np.zeros(50, int),
    )
    return str(tmp_path / "own.npz")


def test_digits_are_loaded_scaled_and_named():
    data = load_dataset("digits")
    x_test, y_test = load_test_set("digits")

    assert (data.name, data.source) == ("digits", "digits")
    assert (data.n_features, data.n_classes) == (64, 10)
    assert data.class_names == tuple("0123456789")
    assert len(data.feature_names) == 64
    assert [len(x) for x in (data.x_train, data.x_val, x_test)] == [1149, 288, 360]
    assert [len(y) for y in (data.y_train, data.y_val, y_test)] == [1149, 288, 360]
    for x, y in ((data.x_train, data.y_train), (data.x_val, data.y_val), (x_test, y_test)):
        assert x.dtype == np.float32
        assert x.flags.c_contiguous
        assert y.dtype == np.intp


def test_the_name_of_a_file_is_its_stem(table):
    data = load_dataset(table)

    assert data.name == "rows"
    assert data.source == table


def test_the_parts_share_no_row_and_leave_none_out(table):
    train, val, test = rows_of(table)

    assert sorted([*train, *val, *test]) == list(range(N))
    assert [len(train), len(val), len(test)] == [256, 64, 80]


def test_labels_stay_with_their_rows(table):
    data = load_dataset(table, scale="none")
    x_test, y_test = load_test_set(table, scale="none")
    first_rows = [0, 240, 360]  # of the three classes

    for x, y in ((data.x_train, data.y_train), (data.x_val, data.y_val), (x_test, y_test)):
        np.testing.assert_array_equal(y, np.searchsorted(first_rows, x[:, 0], side="right") - 1)


def test_every_part_is_stratified(table):
    data = load_dataset(table)
    _, y_test = load_test_set(table)

    for y in (data.y_train, data.y_val, y_test):
        np.testing.assert_allclose(shares(y), CLASSES, atol=0.02)


def test_the_same_arguments_give_the_same_parts(table):
    arguments = {"limit": 200, "train_limit": 50, "split_seed": 7}
    for first, again in zip(rows_of(table, **arguments), rows_of(table, **arguments), strict=True):
        np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("options", [{}, {"limit": 300}, {"limit": 300, "train_limit": 40}])
def test_no_seed_and_no_limit_moves_a_row_into_or_out_of_the_test_set(table, options):
    _, _, sealed = rows_of(table)
    train, val, test = rows_of(table, split_seed=1, **options)

    assert set(test) <= set(sealed)
    assert not set(sealed) & {*train, *val}


def test_the_split_seed_moves_rows_between_training_and_validation(table):
    _, val, test = rows_of(table)
    _, other_val, other_test = rows_of(table, split_seed=1)

    assert set(val) != set(other_val)
    assert set(test) == set(other_test)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_fitted_on_the_training_rows_of_the_same_split(table, scale):
    raw = load_dataset(table, scale="none")
    raw_test, raw_labels = load_test_set(table, scale="none")
    data = load_dataset(table, scale=scale)
    x_test, y_test = load_test_set(table, scale=scale)

    scaler = SCALES[scale](raw.x_train.astype(np.float64))
    np.testing.assert_allclose(data.scaler.shift, scaler.shift, rtol=1e-6)
    np.testing.assert_allclose(data.scaler.factor, scaler.factor, rtol=1e-6)
    np.testing.assert_allclose(data.x_train, scaler(raw.x_train), atol=1e-4)
    np.testing.assert_allclose(data.x_val, scaler(raw.x_val), atol=1e-4)
    np.testing.assert_allclose(x_test, scaler(raw_test), atol=1e-4)
    np.testing.assert_array_equal(data.y_train, raw.y_train)
    np.testing.assert_array_equal(y_test, raw_labels)


def test_columns_and_scaler_turn_other_rows_of_the_table_into_features(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=60), "colour": ["red", "blue", "green"] * 20})
    frame["y"] = [0, 1] * 30
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    data = load_dataset(str(path), target="y")

    features = data.scaler(encode(frame, from_plain(data.columns)))

    every_row = {tuple(row) for row in features.tolist()}
    assert {tuple(row) for row in (*data.x_train.tolist(), *data.x_val.tolist())} < every_row
    assert data.feature_names == ("size", "colour=blue", "colour=green", "colour=red")


def test_sealed_rows_do_not_affect_the_training_data(table, tmp_path):
    _, _, test = rows_of(table)
    with np.load(table) as arrays:
        x, y = arrays["x"], arrays["y"]
    x[test, 1] = 1e6
    np.savez(tmp_path / "spoilt.npz", x=x, y=y)

    honest, spoilt = load_dataset(table), load_dataset(str(tmp_path / "spoilt.npz"))

    np.testing.assert_array_equal(spoilt.x_train, honest.x_train)
    np.testing.assert_array_equal(spoilt.x_val, honest.x_val)


def test_a_category_without_training_rows_is_zero_everywhere(table, tmp_path):
    train, val, test = rows_of(table)
    with np.load(table) as arrays:
        frame = pd.DataFrame({"colour": "red", "y": arrays["y"]})
    frame.loc[train[::2], "colour"] = "blue"
    frame.loc[[test[0], val[0]], "colour"] = "green"
    path = str(tmp_path / "colours.csv")
    frame.to_csv(path, index=False)

    data = load_dataset(path, target="y")
    x_test, _ = load_test_set(path, target="y")

    assert data.feature_names == ("colour=blue", "colour=red")
    one, another = (x[0] for x in (data.x_val, x_test) if len(x))
    assert data.columns[0]["categories"] == ["blue", "red"]
    np.testing.assert_array_equal(one, another)  # the row of each that is green

    early = load_dataset(path, target="y", reading=1)
    assert early.feature_names == ("colour=blue", "colour=green", "colour=red")
    assert not early.x_train[:, 1].any()
    assert not early.x_val[:, 1].any()


def test_a_sources_own_test_set_stays_complete(own_test):
    train, val, test = rows_of(own_test, limit=100, split_seed=3)

    assert test.tolist() == list(range(N, N + 50))
    assert [len(train), len(val)] == [80, 20]
    assert max(*train, *val) < N


def test_a_test_set_that_is_used_for_validation_is_not_sealed(own_test):
    data = load_dataset(own_test, scale="none", validation="test")
    x_test, y_test = load_test_set(own_test, scale="none")
    np.testing.assert_array_equal(data.x_val, x_test)
    np.testing.assert_array_equal(data.y_val, y_test)
    assert sorted(data.x_train[:, 0]) == list(range(N))
    with pytest.raises(
        ValueError, match="its test set is used for validation, so it is not unseen"
    ):
        load_test_set(own_test, validation="test")


def test_limits_leave_a_test_set_used_for_validation_complete(own_test):
    data = load_dataset(own_test, validation="test", limit=20, train_limit=12)
    whole = load_dataset(own_test, validation="test")
    assert (len(data.x_train), len(data.x_val)) == (12, len(whole.x_val))


@pytest.mark.parametrize("split_seed", [0, 1])
def test_a_limit_counts_the_rows_of_all_parts(table, split_seed):
    train, val, test = rows_of(table, limit=200, split_seed=split_seed)
    data = load_dataset(table, limit=200, split_seed=split_seed)

    assert [len(train), len(val), len(test)] == [128, 32, 40]
    for y in (data.y_train, data.y_val):
        np.testing.assert_allclose(shares(y), CLASSES, atol=0.03)


def test_a_limit_may_take_the_first_rows(own_test, table):
    data = load_dataset(own_test, scale="none", draw="first", limit=100)
    assert sorted([*data.x_train[:, 0], *data.x_val[:, 0]]) == list(range(100))
    whole = load_dataset(own_test, scale="none", draw="first", limit=10_000)
    assert len(whole.x_train) + len(whole.x_val) == N
    # No row changes sides: a sealed row among the first stays sealed.
    all_sealed = load_test_set(table, scale="none")[0][:, 0]
    first = load_dataset(table, scale="none", draw="first", limit=N - 5)
    seen = {*first.x_train[:, 0], *first.x_val[:, 0]}
    assert seen == set(range(N - 5)) - set(all_sealed)


def test_the_first_rows_must_hold_every_class(table):
    with pytest.raises(ValueError, match=r"^limit: among the first 50 rows, class 'b' has too few"):
        load_dataset(table, draw="first", limit=50)


def test_a_smaller_limit_is_part_of_a_larger_one(table):
    small, large = (
        {row for part in rows_of(table, limit=limit) for row in part} for limit in (150, 250)
    )

    assert small < large


def test_a_training_limit_leaves_the_other_parts_alone(table):
    train, val, test = rows_of(table)
    few, same_val, same_test = rows_of(table, train_limit=50)
    data = load_dataset(table, train_limit=50)

    assert len(few) == 50
    assert set(few) < set(train)
    np.testing.assert_array_equal(same_val, val)
    np.testing.assert_array_equal(same_test, test)
    np.testing.assert_allclose(shares(data.y_train), CLASSES, atol=0.02)


@pytest.mark.parametrize("option", ["limit", "train_limit"])
def test_a_limit_above_the_number_of_rows_has_no_effect(table, option):
    for limited, whole in zip(rows_of(table, **{option: 10_000}), rows_of(table), strict=True):
        assert set(limited) == set(whole)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"limit": 0}, "limit must be at least 1, but got 0"),
        ({"train_limit": -1}, "train_limit must be at least 1, but got -1"),
        ({"draw": "any"}, "'any' is not a draw (stratified, first)"),
        (
            {"validation": "tests"},
            "'tests' is not a validation; did you mean 'test'? (split, test)",
        ),
        ({"split_seed": -1}, "split_seed must be in [0, 4294967295], but got -1"),
        (
            {"scale": "standardise"},
            "'standardise' is not a scale; did you mean 'standardize'? "
            "(standardize, unit, global, none)",
        ),
    ],
)
def test_arguments_are_checked(options, sentence):
    for load in (load_dataset, load_test_set):
        with pytest.raises(ValueError, match=exactly(sentence)):
            load("iris", **options)


def test_a_source_without_a_test_set_has_none_to_validate_on():
    with pytest.raises(ValueError, match=r"^iris: has no test set of its own to validate on; use"):
        load_dataset("iris", validation="test")


@pytest.mark.parametrize("option", ["limit", "train_limit"])
@pytest.mark.parametrize("source", ["table", "own_test"])
def test_the_smallest_limit_in_the_error_is_the_smallest_possible(option, source, request):
    path = request.getfixturevalue(source)
    with pytest.raises(ValueError, match=f"^{option} must be at least") as caught:
        load_dataset(path, **{option: 2})
    smallest = int(re.search(r"at least (\d+)", str(caught.value))[1])

    data = load_dataset(path, **{option: smallest})
    assert set(data.y_train) == set(data.y_val) == set(range(data.n_classes))
    sentence = (
        f"{option} must be at least {smallest} to hold every class in every part, "
        f"but got {smallest - 1}"
    )
    with pytest.raises(ValueError, match=exactly(sentence)):
        load_dataset(path, **{option: smallest - 1})


@pytest.mark.parametrize("others", range(7, 60))
def test_seven_rows_of_a_class_are_enough_for_every_part(tmp_path, others):
    y = np.array([0] * others + [1] * 7 + [2] * 7)
    np.savez(tmp_path / "few.npz", x=np.ones((len(y), 1)), y=y)
    path = str(tmp_path / "few.npz")

    for split_seed in range(3):
        data = load_dataset(path, split_seed=split_seed)
        _, y_test = load_test_set(path, split_seed=split_seed)
        assert set(data.y_train) == set(data.y_val) == set(y_test) == {0, 1, 2}


def test_a_class_of_six_rows_is_refused(tmp_path):
    y = np.array(["many"] * 50 + ["few"] * 6)
    np.savez(tmp_path / "few.npz", x=np.ones((56, 1)), y=y)
    path = str(tmp_path / "few.npz")

    sentence = (
        f"{path}: class 'few' has only 6 of the 7 rows it needs to be in the training, "
        "validation and test parts; add rows or leave the class out"
    )
    with pytest.raises(ValueError, match=exactly(sentence)):
        load_dataset(path)


def test_a_class_with_test_rows_only_is_refused(tmp_path):
    y = np.array([0, 1] * 10)
    np.savez(tmp_path / "own.npz", x_train=np.ones((20, 1)), y_train=y, x_test=[[1]], y_test=[2])
    path = str(tmp_path / "own.npz")

    sentence = (
        f"{path}: class '2' has only 0 of the 5 rows it needs to be in the training "
        "and validation parts; add rows or leave the class out"
    )
    with pytest.raises(ValueError, match=exactly(sentence)):
        load_dataset(path)


def test_the_digest_depends_on_the_data_and_not_on_the_path(table, tmp_path):
    with np.load(table) as arrays:
        x, y = arrays["x"], arrays["y"]
    elsewhere = tmp_path / "elsewhere" / "other.npz"
    elsewhere.parent.mkdir()
    np.savez(elsewhere, x=x, y=y)

    digest = load_dataset(table).digest

    assert re.fullmatch("[0-9a-f]{32}", digest)
    assert load_dataset(str(elsewhere)).digest == digest
    options = {"limit": 100, "train_limit": 30, "scale": "unit", "split_seed": 5}
    assert load_dataset(table, **options).digest == digest


def test_the_digest_changes_with_any_value_label_or_name(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=40), "b": rng.normal(size=40), "y": [0, 1] * 20})
    changed = frame.copy()
    changed.loc[11, "a"] += 1e-9
    relabelled = frame.copy()
    relabelled.loc[[0, 1], "y"] = [1, 0]
    tables = [
        frame,
        changed,
        relabelled,
        frame.rename(columns={"a": "c"}),
        frame.replace({"y": {1: 2}}),
        frame.iloc[:-2],
    ]

    digests = set()
    for table in tables:
        table.to_csv(tmp_path / "data.csv", index=False)
        digests.add(load_dataset(str(tmp_path / "data.csv"), target="y").digest)
    assert len(digests) == len(tables)


@pytest.mark.parametrize(
    ("labels", "digest"),
    [
        (["1", "2", "10"], "0e24e9f25a09c4c95a2c85eb8334d455"),
        (["01", "02", "10"], "0e24e9f25a09c4c95a2c85eb8334d455"),
        (["1.0", " 2", "10."], "0e24e9f25a09c4c95a2c85eb8334d455"),
        (["1E2", "2", "7"], "7520bbc5267676ee2b9be775f0b7f7ad"),
        (["TRUE", "False", "TRUE"], "c01557876b38f1a664890ac73971db67"),
    ],
)
def test_however_numbers_are_written_the_digest_is_that_of_version_0_1(tmp_path, labels, digest):
    path = tmp_path / "rows.csv"
    rows = [f"{i * 0.3},{'uv'[i % 2]},{labels[i % 3]}\n" for i in range(30)]
    path.write_text("a,b,y\n" + "".join(rows))

    assert load_dataset(str(path), target="y", reading=1).digest == digest


def test_the_digest_depends_on_which_rows_are_the_test_set(own_test, tmp_path):
    with np.load(own_test) as arrays:
        x = np.concatenate([arrays["x_train"], arrays["x_test"]])
        y = np.concatenate([arrays["y_train"], arrays["y_test"]])
    np.savez(tmp_path / "joined.npz", x=x, y=y)

    assert load_dataset(own_test).digest != load_dataset(str(tmp_path / "joined.npz")).digest


@pytest.mark.parametrize("batch_size", [1, 7, 64, 256, 1000])
def test_batches_go_over_every_row_once(table, batch_size):
    data = load_dataset(table, scale="none")
    batches = [(x.copy(), y.copy()) for x, y in data.batches(batch_size, np.random.default_rng(0))]

    sizes = [len(x) for x, _ in batches]
    whole, rest = divmod(256, batch_size)
    assert sizes == [batch_size] * whole + [rest] * (rest > 0)
    assert [len(y) for _, y in batches] == sizes
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    order, expected = np.argsort(x[:, 0]), np.argsort(data.x_train[:, 0])
    np.testing.assert_array_equal(x[order], data.x_train[expected])
    np.testing.assert_array_equal(y[order], data.y_train[expected])


def test_batches_follow_the_generator(table):
    data = load_dataset(table)
    rng, permutation = np.random.default_rng(3), np.random.default_rng(3)

    for _ in range(2):  # the second epoch is shuffled again
        order = permutation.permutation(len(data.x_train))
        for start, (x, y) in zip(range(0, len(order), 100), data.batches(100, rng), strict=True):
            np.testing.assert_array_equal(x, data.x_train[order[start : start + 100]])
            np.testing.assert_array_equal(y, data.y_train[order[start : start + 100]])


def test_batches_are_views_of_one_buffer_and_not_of_the_data(table):
    data = load_dataset(table)
    batches = list(data.batches(100, np.random.default_rng(0)))

    assert [len(x) for x, _ in batches] == [100, 100, 56]
    for x, y in batches:
        assert np.shares_memory(x, batches[0][0])
        assert np.shares_memory(y, batches[0][1])
        assert not np.shares_memory(x, data.x_train)
        assert (x.dtype, y.dtype) == (np.float32, np.intp)
        assert x.flags.c_contiguous
