import json
import os
import re
import tomllib

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState

from hpsearch.analysis.ranking import best_epoch, best_trials, find_trial
from hpsearch.errors import DataError, SettingsError, StudyError
from hpsearch.export.files import (
    OPTION,
    as_study_file,
    choose_trial,
    export_record,
    retrain,
    single_trial,
    write_network,
    write_text,
)
from hpsearch.export.predict import load_model, predict_table
from hpsearch.files import check_output
from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings
from hpsearch.trainables.network import load_data, start_training
from hpsearch.trials.records import slot_of
from model import MLPClassifier, Network, TrainConfig
from model.files import written_whole
from model.sources import read_source
from model.splitting import Split, split

DAY = 1_700_000_000  # a number that float32 cannot tell from the next one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def table(folder):
    """A table with numbers large and small, words, and words that look like numbers."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    frame = pd.DataFrame(
        {
            "second": DAY + 10 * y + rng.normal(0, 4, 200),
            "size": y + rng.normal(0, 1, 200),
            "colour": np.array(["red", "green", "blue"])[(y + (rng.random(200) < 0.3)) % 3],
            "code": np.array(["01", "02", "x"])[(y + (rng.random(200) < 0.3)) % 3],
            "kind": np.array(["ant", "bee", "cat, tame"])[y],
        }
    )
    frame.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


@pytest.fixture(scope="module")
def study(folder, table):
    """A study that has run on it, with all that draws at random."""
    tables = {
        "name": "tiny",
        "data": {"source": str(table), "target": "kind"},
        "search": {"sampler": "random", "pruner": "none", "trials": 4},
        "trial": {
            "epochs": 6,
            "hidden_layer_sizes": [8],
            "dropout": 0.1,
            "batch_norm": "before",
            "schedule": "cosine",
            "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
            "momentum": {"low": 0.5, "high": 0.99, "log": "complement"},
        },
    }
    return run_study(parse_settings(tables, "test"), storage=str(folder / "one.journal")).study


def winner(study):
    trial = choose_trial(study)
    assert trial == best_trials(study, 1)[0]
    return trial


@pytest.mark.parametrize("slot", range(4))
def test_the_network_is_the_trials_and_predicts_from_raw_rows(study, table, tmp_path, slot):
    trial, path = choose_trial(study, slot), tmp_path / "it.npz"
    write_network(retrain(study, trial), path)
    settings = study.user_attrs["settings"]
    data = load_data(parse_settings(tomllib.loads(settings), "test"))
    raw = read_source(str(table), "kind")
    rows = split(raw, Split(None, None, 0, "stratified", "split")).val
    pd.read_csv(table, dtype=str).iloc[rows].to_csv(tmp_path / "val.csv", index=False)

    prediction = predict_table(path, tmp_path / "val.csv")
    right = np.array(raw.class_names)[raw.y[rows]]
    assert np.mean(prediction.labels == right) == trial.value
    saved = load_model(path)
    np.testing.assert_array_equal(prediction.probabilities, saved.network.predict_proba(data.x_val))
    assert saved.columns == data.columns
    assert (
        saved.curves["val_accuracy"]
        == trial.user_attrs["curves"]["val/accuracy"][: best_epoch(trial)]
    )
    assert MLPClassifier.load(path).best_epoch_ == best_epoch(trial)


def test_training_stops_at_the_best_epoch_on_the_way(study):
    trial = winner(study)
    settings = parse_settings(tomllib.loads(study.user_attrs["settings"]), "test")
    config = TrainConfig(**trial.user_attrs["setup"]["config"])
    network, epochs = start_training(settings, load_data(settings), config, slot_of(trial))
    states = [network.state.copy() for _ in epochs]
    np.testing.assert_array_equal(
        retrain(study, trial).network_.state, states[best_epoch(trial) - 1]
    )


def test_two_exports_are_the_same_file(study, tmp_path):
    for name in ("a.npz", "b.npz"):
        write_network(retrain(study, winner(study)), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("slot", [0, 3])
def test_the_study_file_trains_the_trial_again_bit_for_bit(study, tmp_path, slot):
    trial = choose_trial(study, slot)
    text = as_study_file(study, trial)
    settings = parse_settings(tomllib.loads(text), "test")
    assert settings == single_trial(study, trial)
    assert not settings.trial.searched
    again = run_study(settings, storage=str(tmp_path / "again.journal")).study
    (found,) = again.get_trials()
    assert again.study_name == f"tiny-random.trial-{slot}-random"
    assert found.value == trial.value
    for name in ("val/loss", "train/loss"):
        assert found.user_attrs["curves"][name] == trial.user_attrs["curves"][name]
    assert found.user_attrs["setup"]["config"] == trial.user_attrs["setup"]["config"]
    # And what is exported of that is the same once more.
    assert single_trial(again, found).search == settings.search
    np.testing.assert_array_equal(
        retrain(again, found).network_.state, retrain(study, trial).network_.state
    )


def test_of_repeats_it_is_the_best_ones_best(make_settings, tmp_path):
    enqueue = [{"label": "bad", "learning_rate": 1e-3}, {"label": "good", "learning_rate": 0.1}]
    search = {"sampler": "random", "trials": 2, "seeds": 3}
    settings = make_settings(search=search, enqueue=enqueue)
    study = run_study(settings, storage=str(tmp_path / "j.journal")).study
    trial = choose_trial(study)
    assert slot_of(trial) >= 3
    assert trial.value == max(t.value for t in study.get_trials() if slot_of(t) >= 3)
    assert single_trial(study, trial).search.first_draw == slot_of(trial) % 3
    again = run_study(single_trial(study, trial), storage=str(tmp_path / "again.journal")).study
    assert again.best_value == trial.value
    assert retrain(study, trial).history_["val_accuracy"][-1] == trial.value


def test_the_record_is_plain_data(study):
    trial = winner(study)
    record = json.loads(json.dumps(export_record(study, trial)))
    assert (record["study"], record["metric"]) == ("tiny-random", "val/accuracy")
    assert (record["seed"], record["draw"], record["slot"]) == (0, slot_of(trial), slot_of(trial))
    assert record["value"] == trial.value
    assert TrainConfig(**record["config"]).epochs == 6
    assert record["data"]["target"] == "kind"


def test_other_data_are_refused(make_settings, table, tmp_path):
    path = tmp_path / "moving.csv"
    path.write_text(table.read_text())
    data = {"source": str(path), "target": "kind"}
    settings = make_settings(data=data, search={"trials": 1})
    study = run_study(settings, storage=str(tmp_path / "j.journal")).study
    path.write_text(table.read_text() + f"{DAY},1,red,01,ant\n")
    with pytest.raises(DataError, match=r"moving.csv has changed since trial 0 of study 'tiny-r"):
        retrain(study, choose_trial(study))


def test_another_value_is_refused(study, monkeypatch):
    monkeypatch.setattr(Network, "evaluate", lambda *_: (1.0, 0.5))
    sentence = r"^trial \d of study 'tiny-random' had val/accuracy 0\.\d+ at epoch \d, but .* 0\.5;"
    with pytest.raises(StudyError, match=sentence):
        retrain(study, winner(study))


def test_a_trial_that_did_not_run_to_its_end_is_refused(make_settings, tmp_path):
    settings = make_settings(search={"trials": 1})
    study = run_study(settings, storage=str(tmp_path / "j.journal")).study
    trial = study.ask()
    trial.set_user_attr("slot", 1)
    with pytest.raises(StudyError, match=r"trial 1 of .* is still running; only a completed"):
        choose_trial(study, 1)
    study.tell(trial, state=TrialState.PRUNED)
    with pytest.raises(StudyError, match=r"trial 1 of study 'tiny-random' was pruned; only"):
        choose_trial(study, 1)
    with pytest.raises(StudyError, match="has no trial 2"):
        choose_trial(study, 2)
    assert choose_trial(study, 0) == find_trial(study, "0")


def test_files_are_written_whole_and_not_over_others(tmp_path):
    path = tmp_path / "it.toml"
    write_text("a", path)
    with pytest.raises(SettingsError, match=r"it\.toml exists already; --force overwrites it"):
        write_text("b", path)
    write_text("b", path, force=True)
    assert path.read_text() == "b"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(SettingsError, match="is a folder"):
        check_output(OPTION, tmp_path, force=True)
    with pytest.raises(SettingsError, match="/no is not a folder"):
        check_output(OPTION, tmp_path / "no" / "it.toml", force=True)
    with pytest.raises(SettingsError, match=r"^--output: .*: File name too long$"):
        check_output(OPTION, tmp_path / ("n" * 300), force=True)


def test_what_is_no_regular_file_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, what in (
        ("pipe", "is no regular file"),
        ("link", "is no regular file"),
        ("loop", "Too many levels of symbolic links"),
    ):
        before = (tmp_path / name).lstat()
        with pytest.raises(SettingsError, match=rf"^--output: .*/{name}:? {what}$"):
            check_output(OPTION, tmp_path / name, force=True)
        with pytest.raises(OSError, match=what), written_whole(tmp_path / name):
            pytest.fail("opened")
        assert (tmp_path / name).lstat() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    link, new, lost = (tmp_path / name for name in ("link", "new", "lost"))
    link.symlink_to("there/it.toml")
    new.symlink_to("link")
    lost.symlink_to("nowhere/it.toml")
    write_text("a", new)
    assert (tmp_path / "there" / "it.toml").read_text() == "a"
    with pytest.raises(SettingsError, match="/link exists already; --force overwrites it"):
        write_text("b", link)
    write_text("b", link, force=True)
    assert (tmp_path / "there" / "it.toml").read_text() == "b"
    assert link.is_symlink()
    assert new.is_symlink()
    assert len(list((tmp_path / "there").iterdir())) == 1
    with pytest.raises(SettingsError, match="/nowhere is not a folder"):
        write_text("b", lost)


@pytest.fixture(scope="module")
def network(study, folder):
    write_network(retrain(study, winner(study)), folder / "it.npz")
    return folder / "it.npz"


HEADER = "code,colour,size,second,kind,more\n"


def test_columns_go_by_name_and_others_are_ignored(network, table, tmp_path):
    frame = pd.read_csv(table, dtype={"code": str})
    shuffled = frame[["code", "kind", "size", "colour", "second"]].assign(more=1)
    shuffled.to_parquet(tmp_path / "other.parquet")
    frame.drop(columns="kind").to_csv(tmp_path / "same.csv", index=False)
    other, same = (predict_table(network, tmp_path / n) for n in ("other.parquet", "same.csv"))
    np.testing.assert_array_equal(other.probabilities, same.probabilities)
    assert same.notes == ()
    (said,) = other.notes
    assert said.endswith(
        "other.parquet: ignored what the network was not trained on: 'kind', 'more'"
    )


def test_a_category_that_training_did_not_know_is_all_zeros_and_said(network, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(f"code,colour,size,second\n01,red,1,{DAY}\n02,pink,1,{DAY}\n")
    (said,) = predict_table(network, path).notes
    assert said.startswith(f"{path}: column 'colour' holds 'pink' in row 2, which training did not")


def test_a_number_that_is_no_known_word_is_said_as_it_is(network, tmp_path):
    path = tmp_path / "new.parquet"
    row = {"code": [3], "colour": [b"red"], "size": [1.0], "second": [DAY]}
    pd.DataFrame(row).to_parquet(path)
    (said,) = predict_table(network, path).notes
    assert said.startswith(f"{path}: column 'code' holds '3' in row 1, which training did not")


def test_words_that_look_like_numbers_stay_words(network, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(f"code,colour,size,second\n01,red,1,{DAY}\n")
    assert predict_table(network, path).notes == ()


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("colour,size,second\nred,1,2\n", "has no column 'code', which the network was trained on"),
        ("size,second\n1,2\n", "has no column 'colour' (and 1 more), which the network was"),
        (
            f"{HEADER}01,red,1,2,a,b\n01,red,big,2,a,b\n",
            "column 'size' must hold numbers, not 'big' in row 2",
        ),
        (f"{HEADER}01,red,,2,a,b\n", "column 'size' has no value in row 1"),
        (f"{HEADER}01,red,1,2,a,b\n01,,1,2,a,b\n", "column 'colour' has no value in row 2"),
        (f"{HEADER}01,red,1e300,2,a,b\n", "column 'size' is 1e+300 in row 1"),
        (HEADER, "has column names but no rows"),
        ("", "is empty"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_file_column_and_row(
    network, tmp_path, rows, sentence
):
    path = tmp_path / "new.csv"
    path.write_text(rows)
    with pytest.raises(DataError) as raised:
        predict_table(network, path)
    assert str(raised.value).startswith(f"{path}: {sentence}")
    if rows:
        with pytest.raises(ValueError, match=f"^X: {re.escape(sentence)}"):
            MLPClassifier.load(network).predict(pd.read_csv(path))


def test_in_python_it_predicts_as_on_the_command_line(network, table, tmp_path):
    frame = pd.read_csv(table, dtype={"code": str})[["code", "kind", "size", "colour", "second"]]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    expected, loaded = predict_table(network, tmp_path / "rows.csv"), MLPClassifier.load(network)
    np.testing.assert_array_equal(loaded.predict_proba(frame), expected.probabilities)
    np.testing.assert_array_equal(loaded.predict(frame), expected.labels)


def test_files_that_are_no_model_or_no_table_are_refused(network, table, tmp_path):
    with pytest.raises(DataError, match=r"tiny: cannot be read: No .*; `hpsearch export NAME -f "):
        predict_table(tmp_path / "tiny", table)  # the study
    with pytest.raises(DataError, match=r"cannot be read: Is a directory$"):
        predict_table(tmp_path, table)
    with pytest.raises(DataError, match=r"table\.csv: not a network saved by hpsearch"):
        predict_table(table, table)
    with pytest.raises(DataError, match=r"no\.csv: cannot be read: No such file"):
        predict_table(network, tmp_path / "no.csv")
    with pytest.raises(DataError, match=r"it\.npz: is no table; use a \.csv or \.parquet file"):
        predict_table(network, network)
    x, y = np.zeros((4, 2)), [0, 1, 0, 1]
    MLPClassifier(epochs=1).fit(x, y).save(tmp_path / "plain.npz")
    with pytest.raises(DataError, match=r"plain\.npz: does not say which columns"):
        predict_table(tmp_path / "plain.npz", table)
