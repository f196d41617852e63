"""Looks at test sets are counted, whoever looks and whatever becomes of the study."""

import optuna
import pytest

from hpsearch.evaluation.test_set import LOOKS, complete_look, looks_at, may_look
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import is_search

MINE = {"study_id": "a", "slot": 3, "seeds": 10, "epochs": 7}


@pytest.fixture
def storage(tmp_path):
    return open_storage(str(tmp_path / "s.journal"))


def test_the_first_look_is_free_and_seen_again(storage):
    assert looks_at(storage, "d") == []
    look, why = may_look(storage, "d", "s", MINE, again=False)
    assert (look.number, look.scores, why) == (1, None, "")
    complete_look(storage, look, {"accuracy": 0.9})
    seen, _ = may_look(storage, "d", "s", MINE, again=False)
    assert (seen.key, seen.number, seen.scores) == (look.key, 1, {"accuracy": 0.9})
    assert len(looks_at(storage, "d")) == 1


def test_an_interrupted_look_goes_on_even_with_again(storage):
    look, _ = may_look(storage, "d", "s", MINE, again=False)
    for again in (False, True):
        assert may_look(storage, "d", "s", MINE, again=again) == (look, "")


@pytest.mark.parametrize("other", [{"study_id": "b"}, {"slot": 4}, {"seeds": 20}, {"epochs": 8}])
def test_other_networks_look_only_again(storage, other):
    first, _ = may_look(storage, "d", "s", MINE, again=False)
    complete_look(storage, first, {})
    look, why = may_look(storage, "d", "t", MINE | other, again=False)
    assert look is None
    assert why == (
        f"the test set of these data was looked at once before, last on {first.date} by study 's' "
        "(trial 3); --again looks once more"
    )
    assert len(looks_at(storage, "d")) == 1
    second, _ = may_look(storage, "d", "t", MINE | other, again=True)
    assert second.number == 2
    assert may_look(storage, "d", "u", MINE | {"slot": 9}, again=False)[1].startswith(
        "the test set of these data was looked at 2 times before"
    )


def test_again_is_another_look_of_the_same_networks(storage):
    first, _ = may_look(storage, "d", "s", MINE, again=False)
    complete_look(storage, first, {})
    second, _ = may_look(storage, "d", "s", MINE, again=True)
    assert (second.number, second.scores) == (2, None)


def test_other_data_have_looks_of_their_own(storage):
    may_look(storage, "d", "s", MINE, again=False)
    look, _ = may_look(storage, "e", "s", MINE, again=False)
    assert look.number == 1


def test_of_two_at_once_one_gives_way(storage, monkeypatch):
    def look_first(*arguments, **options):
        monkeypatch.undo()  # between this one's question and its look, another one looks
        may_look(storage, "d", "faster", MINE | {"study_id": "b"}, again=False)
        return noting(*arguments, **options)

    noting = may_look.__globals__["note_look"]
    monkeypatch.setitem(may_look.__globals__, "note_look", look_first)
    look, why = may_look(storage, "d", "s", MINE, again=False)
    assert look is None
    assert "by study 'faster'" in why
    assert [known.study for known in looks_at(storage, "d")] == ["faster"]


def test_the_ledger_is_no_search(storage):
    may_look(storage, "d", "s", MINE, again=False)
    assert not is_search(optuna.load_study(storage=storage, study_name=LOOKS))
    assert is_search(optuna.create_study(storage=storage))
