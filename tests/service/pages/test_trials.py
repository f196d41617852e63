"""The table of trials: sorted, filtered, and by the page."""

import pytest

from hpsearch.report.facts import state_of
from hpsearch.service.pages import trials
from hpsearch.service.pages.trials import Asked, trial_table
from hpsearch.trials.records import own_trials


@pytest.fixture(scope="module")
def study(make_small, tmp_path_factory):
    return make_small(tmp_path_factory.mktemp("table") / "j")


def column(table, heading):
    place = [name for name, _ in table.headings].index(heading)
    return [cells[place] for _, _, cells in table.rows]


def slots(study, **asked):
    return [slot for slot, _, _ in trial_table(study, Asked(**asked)).rows]


def test_the_newest_come_first(study):
    assert slots(study) == sorted(slots(study), reverse=True)
    assert slots(study, down=False) == sorted(slots(study))


@pytest.mark.parametrize("heading", ["val/accuracy", "learning_rate", "epochs"])
def test_a_heading_sorts_and_what_is_unknown_stays_last(study, heading):
    known = {}
    for down in (False, True):
        numbers = [
            c.number for c in column(trial_table(study, Asked(sort=heading, down=down)), heading)
        ]
        values = [n for n in numbers if n is not None]
        assert numbers[: len(values)] == values
        known[down] = values
    assert known[False] == sorted(known[False])
    assert known[True] == known[False][::-1]
    assert len(known[True]) > 3


def test_an_unknown_heading_sorts_by_trial(study):
    assert slots(study, sort="nonsense") == slots(study)


def test_the_filter_takes_a_state(study):
    states = {state_of(trial) for trial in own_trials(study)}
    assert {"complete", "failed"} <= states
    for state in states:
        table = trial_table(study, Asked(state=state))
        assert {each for _, each, _ in table.rows} == {state}
        assert table.total == sum(state_of(each) == state for each in own_trials(study))


def test_the_filter_looks_for_all_words_in_texts_and_parameters(study, evil):
    assert slots(study, search="onerror valueerror") == [6]
    assert slots(study, search=evil.upper()) == [6, 0]
    relu = slots(study, search="activation=relu")
    assert relu
    assert {*relu} | {*slots(study, search="activation=tanh")} == {*range(7)}
    assert slots(study, search="activation=relu activation=tanh") == []


def test_a_page_has_a_part_of_the_rows(study, monkeypatch):
    monkeypatch.setattr(trials, "PAGE", 3)
    pages = [trial_table(study, Asked(offset=offset, down=False)) for offset in (0, 3, 6)]
    assert [[slot for slot, _, _ in each.rows] for each in pages] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [each.total for each in pages] == [7, 7, 7]
    assert pages[1].last == 6


def test_the_table_is_delivered_as_html(client):
    first = client.get("/studies/small/table?sort=learning_rate&down=false").text
    assert 'aria-sort="ascending"><button type="button"' in first
    assert first.count("<tr>") == 8
    assert "No trial is like this." in client.get("/studies/small/table?search=zzz").text
