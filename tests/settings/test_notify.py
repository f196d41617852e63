"""[notify]: addresses, events and lengths of time, and sentences that show no secret."""

import tomllib

import pytest

from hpsearch.errors import SettingsError
from hpsearch.settings.definition import definition
from hpsearch.settings.notify import EVENTS, NotifySettings, without_secrets

HOOK = "https://hooks.example/services/T0/B0/s3cret"


def test_the_defaults():
    assert NotifySettings().events == EVENTS
    assert NotifySettings().stalled_after == 30 * 60


@pytest.mark.parametrize(
    ("given", "seconds"), [("30m", 1800), ("90", 90), ("2h", 7200), ("0.5s", 0.5), (45, 45)]
)
def test_a_length_of_time_is_read_as_on_the_command_line(make_settings, given, seconds):
    assert make_settings(notify={"stalled_after": given}).notify.stalled_after == seconds


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"webhook": "hooks.example/s3cret"}, "notify.webhook: must be an address that begins"),
        ({"webhook": "ftp://hooks.example/s3cret"}, "notify.webhook: must be an address"),
        ({"webhook": "https://:s3cret@/"}, "notify.webhook: must be an address"),
        ({"webhook": "https://a:s3cret/"}, "notify.webhook: must be an address"),
        ({"webhook": "https://a/s3cret\n"}, "notify.webhook: must be an address"),
        ({"webhook": 5}, "notify.webhook: must be text, but got 5"),
        ({"events": ["finish"]}, r"notify.events: 'finish' is not an event; did you mean"),
        ({"events": "best"}, "notify.events: must be a list of events"),
        ({"stalled_after": "30 min"}, "notify.stalled_after: must be a length of time, such as"),
        ({"stalled_after": "0m"}, "notify.stalled_after: must be a length of time"),
        ({"stalled_after": True}, "notify.stalled_after: must be a length of time"),
        ({"stalled_after": float("inf")}, "notify.stalled_after: must be a length of time"),
        ({"hook": HOOK}, r"notify.hook: 'hook' is not a key here; did you mean 'webhook'\?"),
    ],
)
def test_what_is_wrong_is_one_sentence_without_the_address(make_settings, table, sentence):
    with pytest.raises(SettingsError, match=sentence) as error:
        make_settings(notify=table)
    assert "s3cret" not in str(error.value)


def test_of_an_address_only_the_server_is_shown():
    assert without_secrets(HOOK) == "https://hooks.example/***"
    assert without_secrets("http://ann:pw@[::1]:80/a?b#c") == "http://[::1]:80/***"


def test_overriding_another_key_keeps_it(make_settings):
    settings = make_settings(notify={"webhook": HOOK, "events": ["best"]})
    assert settings.replace(search={"trials": 7}).notify == settings.notify


def test_it_is_no_part_of_what_a_study_searches_nor_of_the_file_that_is_shown(make_settings):
    settings, without = make_settings(notify={"webhook": HOOK}), make_settings()
    assert definition(settings, "") == definition(without, "")
    assert settings.to_toml() == without.to_toml()
    assert "notify" not in tomllib.loads(settings.to_toml())
