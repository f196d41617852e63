"""What is costly is made once for all who ask."""

import threading

import pytest

from hpsearch.service.pages import recent as recent_module
from hpsearch.service.pages.recent import Recent


def test_many_who_ask_at_once_wait_for_one():
    calls = []
    ready = threading.Event()

    def make(key):
        calls.append(key)
        ready.wait(5)
        return key * 2

    recent = Recent(60, make)
    found = []
    threads = [threading.Thread(target=lambda: found.append(recent.of("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    ready.set()
    for thread in threads:
        thread.join()
    assert (calls, found) == (["a"], ["aa"] * 8)
    assert recent.of("b") == "bb"


def test_an_old_value_is_made_again_unless_its_version_is_the_same(monkeypatch):
    monkeypatch.setattr(recent_module, "SHARE", 0)
    numbers = iter(range(10))
    recent = Recent(0, lambda _: next(numbers))
    assert [recent.of("a"), recent.of("a")] == [0, 1]
    assert [recent.of("a", "v"), recent.of("a", "v"), recent.of("a", "w")] == [2, 2, 3]


def test_a_fresh_value_stays_whatever_its_version():
    numbers = iter(range(10))
    recent = Recent(60, lambda _: next(numbers))
    assert [recent.of("a", "v"), recent.of("a", "w")] == [0, 0]


def test_an_error_is_not_remembered():
    answers = iter([ValueError("no"), 1])

    def make(_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    recent = Recent(60, make)
    with pytest.raises(ValueError, match="no"):
        recent.of("a")
    assert recent.of("a") == 1
