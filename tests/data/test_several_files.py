"""A table whose rows are in several files."""

import re

import pandas as pd
import pytest

from hpsearch import load_settings, run_study
from hpsearch.data.splitting import read_parts
from hpsearch.errors import SettingsError
from hpsearch.settings.study import parse_settings
from hpsearch.storage.catalog import study_settings

ROWS = 60


@pytest.fixture
def files(working_folder):
    """One table as a whole, and in two files, of which the second has another order and more."""
    frame = pd.DataFrame(
        {"a": range(ROWS), "b": [*"xyz"] * (ROWS // 3), "y": [*"no"] * (ROWS // 2)}
    )
    frame.to_csv("whole.csv", index=False)
    frame[:25].to_csv("first.csv", index=False)
    frame[25:][["y", "a", "b"]].assign(c=1).to_csv("second.csv", index=False)
    return working_folder


def settings_of(**data):
    table = {"target": "y", **data}
    search = {"sampler": "random", "trials": 1}
    trial = {"epochs": 2, "hidden_layer_sizes": [4]}
    return parse_settings({"name": "s", "data": table, "search": search, "trial": trial}, "s.toml")


@pytest.mark.usefixtures("files")
def test_the_rows_of_all_files_are_one_table():
    whole, parts = read_parts("whole.csv", target="y")
    several, same = read_parts(**settings_of(source=["first.csv", "second.csv"]).data.parts())
    assert several.digest == whole.digest
    assert several.frame.equals(whole.frame)
    assert parts.test.tolist() == same.test.tolist()
    (note,) = [note for note in several.notes if "second.csv" in note]
    assert note == "second.csv: only it has column 'c', left out"


@pytest.mark.usefixtures("files")
def test_a_list_of_one_file_is_the_file():
    assert settings_of(source=["whole.csv"]).data == settings_of(source="whole.csv").data


@pytest.mark.usefixtures("files")
def test_a_study_goes_on_when_its_rows_are_in_one_file():
    run_study(settings_of(source=["first.csv", "second.csv"]), storage="s.journal")
    more = settings_of(source="whole.csv").replace(search={"trials": 2})
    assert run_study(more, storage="s.journal").new == 1


def test_files_are_looked_up_beside_the_study_file(files, monkeypatch):
    text = '[data]\nsource = ["first.csv", "second.csv"]\ntarget = "y"\n[search]\ntrials = 1\n'
    (files / "beside.toml").write_text(f"{text}[trial]\nepochs = 1\n")
    (files / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    settings = load_settings("../beside.toml")
    assert (settings.data.source, settings.data.more) == ("../first.csv", ("../second.csv",))
    study = run_study(settings, storage=str(files / "s.journal")).study
    monkeypatch.chdir(files)
    assert study_settings(study).data.more[0].endswith("second.csv")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"source": []}, "data.source: must be one file or more; with a list leave more out"),
        ({"source": ["a.csv", "b.csv"], "more": ["c.csv"]}, "data.source: must be one file or m"),
        ({"source": "a.csv", "more": "b.csv"}, 'data.more: must be a list of files, such as ["b.'),
        ({"source": [1]}, "data.source: must be text, but got 1"),
    ],
)
def test_wrong_lists_are_one_sentence(data, sentence):
    with pytest.raises(SettingsError) as raised:
        settings_of(**data)
    assert str(raised.value).startswith(f"s.toml: {sentence}")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (["first.csv", "third.csv"], "there is no file 'third.csv' with more of its rows"),
        (["first.csv", "notes.txt"], "notes.txt is no table; use a .csv"),
        (["first.csv", "other.csv"], "other.csv has no column 'b', 'y'; it must have the same"),
        (["digits", "first.csv"], "its rows cannot be in further files; leave more, validation an"),
    ],
)
def test_files_that_do_not_fit_are_one_sentence(source, sentence):
    pd.DataFrame({"a": [1]}).to_csv("other.csv", index=False)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_parts(**settings_of(source=source).data.parts())
