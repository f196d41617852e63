"""The study file and the record of a trial, and how exported files are written."""

import json
import os
import tomllib

import numpy as np
import optuna
import pytest

from hpsearch.errors import SettingsError
from hpsearch.export.files import as_study_file, export_record, single_trial
from hpsearch.export.network import retrain
from hpsearch.export.winner import choose_trial
from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings
from hpsearch.trials.records import slot_of
from hpsearch.workspace import Workspace
from model import MLPClassifier, TrainConfig
from model.files import written_whole


def test_a_trial_of_another_program_is_exported_with_what_it_has():
    study = optuna.create_study(study_name="theirs")
    study.optimize(lambda trial: trial.suggest_float("x", 0.5, 0.5), n_trials=1)
    (trial,) = study.trials
    assert as_study_file(study, trial) == "# Trial 0 of theirs: value 0.5\n\n[trial]\nx = 0.5\n"
    record = export_record(study, trial)
    assert (record["metric"], record["params"], record["value"]) == ("value", {"x": 0.5}, 0.5)


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
    # An export of the new study is the same once more.
    assert single_trial(again, found).search == settings.search
    np.testing.assert_array_equal(
        retrain(again, found).network_.state, retrain(study, trial).network_.state
    )


def test_the_study_file_says_what_it_is(study):
    trial = choose_trial(study, 0)
    lines = as_study_file(study, trial).splitlines()
    assert lines[0].startswith(f"# Trial 0 of tiny-random: val/accuracy {trial.value:.4g} at epoch")
    assert lines[2].startswith("# hpsearch study FILE trains it again as tiny-random.trial-0-rand")


def test_the_record_is_plain_data(study):
    trial = choose_trial(study)
    record = json.loads(json.dumps(export_record(study, trial)))
    assert (record["study"], record["metric"]) == ("tiny-random", "val/accuracy")
    assert (record["seed"], record["draw"], record["slot"]) == (0, slot_of(trial), slot_of(trial))
    assert record["value"] == trial.value
    assert TrainConfig(**record["config"]).epochs == 6
    assert record["data"]["target"] == "kind"


# Writing


@pytest.fixture
def export(study, storage):
    """A function that exports the study: `Workspace.export` without its first argument."""

    def export(kind, output=None, **options):
        return Workspace(storage, tracked=False).export(study.study_name, kind, output, **options)

    return export


def test_what_is_returned_is_what_is_written(export, study, tmp_path):
    for kind in ("toml", "json", "npz"):
        path = tmp_path / f"it.{kind}"
        assert export(kind, path) == path.read_bytes() == export(kind)
    trial = choose_trial(study)
    assert (tmp_path / "it.toml").read_text() == as_study_file(study, trial)
    assert json.loads((tmp_path / "it.json").read_text()) == export_record(study, trial)
    np.testing.assert_array_equal(
        MLPClassifier.load(tmp_path / "it.npz").network_.state, retrain(study, trial).network_.state
    )


def test_files_are_written_whole_and_never_over_others_unasked(export, tmp_path):
    path = tmp_path / "it.toml"
    one, other = export("toml", path, slot=0), export("toml", slot=1)
    assert one != other
    with pytest.raises(SettingsError, match=r"it\.toml exists already; force=True overwrites it"):
        export("toml", path, slot=1)
    assert path.read_bytes() == one
    export("toml", path, slot=1, force=True)
    assert path.read_bytes() == other
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(SettingsError, match="is a folder"):
        export("toml", tmp_path, force=True)
    with pytest.raises(SettingsError, match="/no is not a folder"):
        export("toml", tmp_path / "no" / "it.toml", force=True)
    with pytest.raises(SettingsError, match=r"^output: .*: File name too long$"):
        export("toml", tmp_path / ("n" * 300), force=True)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_trained(
    export, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "hpsearch.export.network.winner_with_network", lambda *_: pytest.fail("trained")
    )
    (tmp_path / "it.npz").write_text("mine")
    with pytest.raises(SettingsError, match=r"it\.npz exists already"):
        export("npz", tmp_path / "it.npz")
    assert (tmp_path / "it.npz").read_text() == "mine"


def test_what_is_no_regular_file_is_left_alone(export, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, what in (
        ("pipe", "is no regular file"),
        ("link", "is no regular file"),
        ("loop", "Too many levels of symbolic links"),
    ):
        before = (tmp_path / name).lstat()
        with pytest.raises(SettingsError, match=rf"^output: .*/{name}:? {what}$"):
            export("toml", tmp_path / name, force=True)
        with pytest.raises(OSError, match=what), written_whole(tmp_path / name):
            pytest.fail("opened")
        assert (tmp_path / name).lstat() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_link_stays_and_its_target_is_written(export, tmp_path):
    (tmp_path / "there").mkdir()
    link, new, lost = (tmp_path / name for name in ("link", "new", "lost"))
    link.symlink_to("there/it.toml")
    new.symlink_to("link")
    lost.symlink_to("nowhere/it.toml")
    target = tmp_path / "there" / "it.toml"
    one = export("toml", new, slot=0)
    assert target.read_bytes() == one
    with pytest.raises(SettingsError, match="/link exists already; force=True overwrites it"):
        export("toml", link, slot=1)
    assert target.read_bytes() == one
    other = export("toml", link, slot=1, force=True)
    assert target.read_bytes() == other != one
    assert link.is_symlink()
    assert new.is_symlink()
    assert len(list((tmp_path / "there").iterdir())) == 1
    with pytest.raises(SettingsError, match="/nowhere is not a folder"):
        export("toml", lost)
