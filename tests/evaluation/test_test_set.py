"""The test-set log: uses are counted over all studies, and stay when studies are deleted."""

from dataclasses import replace

import optuna
import pytest

from hpsearch.evaluation import test_set
from hpsearch.evaluation.test_set import Networks, complete_use, log_use, request_use, uses_of
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import TEST_SET_LOG, is_search

OURS = Networks(study_id="a", slot=3, seeds=10, epochs=7)


@pytest.fixture
def storage(tmp_path):
    return open_storage(str(tmp_path / "s.journal"))


def test_the_first_use_needs_no_permission_and_is_found_again(storage):
    assert uses_of(storage, "d") == []
    use, why = request_use(storage, "d", "s", OURS, again=False)
    assert (use.number, use.scores, why) == (1, None, "")
    complete_use(storage, use, {"accuracy": 0.9})
    seen, _ = request_use(storage, "d", "s", OURS, again=False)
    assert (seen.key, seen.number, seen.scores) == (use.key, 1, {"accuracy": 0.9})
    assert len(uses_of(storage, "d")) == 1


def test_an_interrupted_use_continues_even_with_again(storage):
    use, _ = request_use(storage, "d", "s", OURS, again=False)
    for again in (False, True):
        assert request_use(storage, "d", "s", OURS, again=again) == (use, "")


@pytest.mark.parametrize("other", [{"study_id": "b"}, {"slot": 4}, {"seeds": 20}, {"epochs": 8}])
def test_other_networks_need_again(storage, other):
    first, _ = request_use(storage, "d", "s", OURS, again=False)
    complete_use(storage, first, {})
    use, why = request_use(storage, "d", "t", replace(OURS, **other), again=False)
    assert use is None
    assert why == (
        f"the test set of these data has been used once, last on {first.date} by study 's' "
        "(trial 3)"
    )
    assert len(uses_of(storage, "d")) == 1
    second, _ = request_use(storage, "d", "t", replace(OURS, **other), again=True)
    assert second.number == 2
    assert request_use(storage, "d", "u", replace(OURS, slot=9), again=False)[1].startswith(
        "the test set of these data has been used 2 times, last on "
    )


def test_again_is_another_use_by_the_same_networks(storage):
    first, _ = request_use(storage, "d", "s", OURS, again=False)
    complete_use(storage, first, {})
    second, _ = request_use(storage, "d", "s", OURS, again=True)
    assert (second.number, second.scores) == (2, None)


def test_uses_of_other_data_are_counted_separately(storage):
    request_use(storage, "d", "s", OURS, again=False)
    use, _ = request_use(storage, "e", "s", OURS, again=False)
    assert use.number == 1


def test_only_one_of_two_simultaneous_uses_is_allowed(storage, monkeypatch):
    def use_first(*arguments, **options):
        monkeypatch.undo()  # another process is faster
        request_use(storage, "d", "faster", replace(OURS, study_id="b"), again=False)
        return log_use(*arguments, **options)

    monkeypatch.setattr(test_set, "log_use", use_first)
    use, why = request_use(storage, "d", "s", OURS, again=False)
    assert use is None
    assert "by study 'faster'" in why
    assert [known.study for known in uses_of(storage, "d")] == ["faster"]


def test_the_log_is_not_a_search(storage):
    request_use(storage, "d", "s", OURS, again=False)
    assert not is_search(optuna.load_study(storage=storage, study_name=TEST_SET_LOG))
    assert is_search(optuna.create_study(storage=storage))
