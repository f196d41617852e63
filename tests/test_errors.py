"""Errors are sentences that name arguments in Python and options on the command line."""

import pickle

import pytest

from hpsearch import errors
from hpsearch.errors import Argument, HpsearchError, SettingsError


def test_an_argument_is_worded_for_its_reader():
    error = SettingsError(Argument("tracking_uri"), ": x; ", Argument("force", "=True"), " does it")
    assert str(error) == "tracking_uri: x; force=True does it"
    assert error.for_command_line == "--tracking-uri: x; --force does it"


def test_a_plain_sentence_stays_as_it_is():
    error = HpsearchError("s.toml: trial.{lr}: unknown --key")
    assert str(error) == error.for_command_line == "s.toml: trial.{lr}: unknown --key"


KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, HpsearchError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_from_a_worker(kind):
    error = pickle.loads(pickle.dumps(kind(Argument("name"), ": is wrong")))
    assert type(error) is kind
    assert error.for_command_line == "--name: is wrong"
