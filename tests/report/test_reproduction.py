"""How to run a study again."""

import re

import optuna

from hpsearch.report.page import report_page
from hpsearch.report.reproduction import reproduction_of
from hpsearch.search.rounds import run_rounds
from hpsearch.search.study import run_study
from hpsearch.storage.catalog import rounds_of
from hpsearch.storage.open import open_storage


def test_the_page_has_the_command_and_the_provenance(study):
    page = report_page(study, storage="postgresql://me:secret@host/db")
    (command,) = re.findall('<pre id="command">(.*)</pre>', page)
    assert command == "hpsearch study study.toml --name tiny-random --storage hpsearch.journal"
    assert "If either run uses several --jobs" in page
    assert "exactly the same: the median pruner depends on which trials" in page
    assert "--storage" not in reproduction_of(study, [study], "hpsearch.journal").command
    assert f"optuna {optuna.__version__}" in page
    assert study.user_attrs["definition"]["data.digest"] in page
    assert "learning_rate = {low = 0.001, high = 1.0, log = true}" in page
    assert "secret" not in page
    assert "postgresql://me:***@host/db" in page


def test_a_later_round_is_reported_without_the_trials_copied_into_it(
    make_settings, tmp_path, page_text
):
    settings = make_settings(search={"trials": 6})
    first, second = (o.study for o in run_rounds(settings, 2, storage=str(tmp_path / "j")))
    assert len(second.trials) > 6
    text = page_text(report_page(second))
    assert "6 trials 6 complete" in text
    assert f"2 of the search {first.study_name}; it started with copies of trials" in text


def test_a_later_round_is_run_again_from_the_file_of_the_first(make_settings, tmp_path, page_text):
    store = str(tmp_path / "j")
    rounds = run_rounds(make_settings(), 2, storage=store)
    first, second = (outcome.study for outcome in rounds)
    again = reproduction_of(second, [first, second], "")
    assert again.file == first.user_attrs["settings"]
    assert again.file != second.user_attrs["settings"]
    assert again.command == "hpsearch study study.toml --name tiny-random --rounds 2"
    run_study(make_settings(search={"trials": 6}), storage=store)  # the first one goes on
    assert (
        reproduction_of(second, rounds_of(open_storage(store), second), "").command
        == f"{again.command} --trials 4"
    )
    optuna.delete_study(study_name="tiny-random", storage=open_storage(store))
    for _ in range(2):
        rounds = rounds_of(open_storage(store), second)
        text = page_text(report_page(second, rounds=rounds))
        assert "round 2 of the search tiny-random" in text
        assert "cannot be run again" in text
        assert "study.toml" not in text
        run_study(make_settings(), storage=store)  # another of that name


def test_a_data_file_goes_beside_the_study_file(make_trial, make_study, page_text):
    study = make_study(make_trial(0, [0.5]))
    settings = '[data]\nsource = "{}mine.csv"\n[trial]\nepochs = 1\n'
    study.set_user_attr("settings", settings.format(""))
    assert reproduction_of(study, [study], "").beside == "mine.csv"
    assert "put the data there as mine.csv" in page_text(report_page(study))
    study.set_user_attr("settings", settings.format("/data/"))
    assert not reproduction_of(study, [study], "").beside
