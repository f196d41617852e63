"""Errors are sentences that name arguments in Python and options on the command line."""

import pickle

import pytest

from hpsearch import errors
from hpsearch.errors import (
    Argument,
    Command,
    HpsearchError,
    Sentence,
    SettingsError,
    for_command_line,
)


def test_an_argument_is_worded_for_its_reader():
    error = SettingsError(Argument("tracking_uri"), ": x; ", Argument("force", "=True"), " does it")
    assert str(error) == "tracking_uri: x; force=True does it"
    assert error.for_command_line == "--tracking-uri: x; --force does it"


def test_a_plain_sentence_stays_as_it_is():
    error = HpsearchError("s.toml: trial.{lr}: unknown --key")
    assert str(error) == error.for_command_line == "s.toml: trial.{lr}: unknown --key"


def test_a_command_is_worded_for_a_shell():
    assert str(Command("show", "digits-random#7")) == "hpsearch show digits-random#7"
    assert str(Command("best", "my study", "--top", "20")) == "hpsearch best 'my study' --top 20"


def test_a_sentence_is_text_that_remembers_its_commands():
    sentence = Sentence("r2 is better: ", Command("report", "r2"))
    assert sentence == "r2 is better: hpsearch report r2"
    written = for_command_line(sentence.parts, lambda command: f"<{command.name}>")
    assert written == "r2 is better: <report>"


KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, HpsearchError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_from_a_worker(kind):
    error = pickle.loads(pickle.dumps(kind(Argument("name"), ": is wrong; ", Command("list"))))
    assert type(error) is kind
    assert error.for_command_line == "--name: is wrong; hpsearch list"
