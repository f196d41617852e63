"""Commands that are printed to be copied carry the options for the stores that they need."""

import logging

import click
import pytest
from click.testing import CliRunner

from hpsearch.cli import cli
from hpsearch.cli.hints import command_line, worded, worded_warnings
from hpsearch.errors import Argument, Command, Sentence, TrackingError

STORES = ["--storage", "o.journal", "--tracking-uri", "sqlite:///t.db"]
STUDY = """
[data]
source = "iris"
[search]
sampler = "random"
pruner = "none"
trials = 2
[trial]
epochs = 1
learning_rate = { low = 1e-3, high = 1e-1, log = true }
"""


def parsed(*arguments: str) -> click.Context:
    """The context in which the command line has read `arguments`, and runs nothing yet."""
    context = cli.make_context("hpsearch", [arguments[0]])
    command = cli.get_command(context, arguments[0])
    assert command is not None
    return command.make_context(arguments[0], [*arguments[1:]], parent=context)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Command("sync", "s"), "hpsearch sync s --storage o.journal --tracking-uri sqlite:///t.db"),
        (Command("show", "s#0"), "hpsearch show s#0 --storage o.journal"),
        (Command("ui", "s"), "hpsearch ui s --storage o.journal --tracking-uri sqlite:///t.db"),
        (Command("predict", "s.npz"), "hpsearch predict s.npz"),
    ],
)
def test_a_command_gets_the_options_that_it_takes(command, expected):
    with parsed("study", *STORES):
        assert command_line(command) == expected


def test_a_command_gets_no_option_that_was_not_given(monkeypatch):
    monkeypatch.setenv("HPSEARCH_STORAGE", "o.journal")  # it holds for the copied command too
    with parsed("study"):
        assert command_line(Command("sync", "s")) == "hpsearch sync s"
    assert command_line(Command("sync", "s")) == "hpsearch sync s"


def test_a_command_shows_no_password_and_quotes_blanks():
    with parsed("best", "s", "--storage", "postgresql://me:secret@host/db"):
        said = command_line(Command("best", "s"))
        assert said == "hpsearch best s --storage 'postgresql://me:***@host/db'"
    with parsed("best", "s", "--storage", "my studies.journal"):
        assert command_line(Command("list")) == "hpsearch list --storage 'my studies.journal'"


def test_errors_and_notes_are_worded_alike():
    with parsed("list", "--storage", "o.journal"):
        said = "see hpsearch list --storage o.journal"
        assert worded(Sentence("see ", Command("list"))) == said
        assert worded(TrackingError("see ", Command("list"))) == said
        assert worded(TrackingError(Argument("name"), ": no")) == "--name: no"


def test_warnings_are_worded_too(capsys):
    logger = logging.getLogger("hpsearch.test")
    with parsed("study", *STORES), worded_warnings():
        logger.warning("%s; `%s` helps", TrackingError(Argument("name"), ": no"), Command("list"))
    assert capsys.readouterr().err == "--name: no; `hpsearch list --storage o.journal` helps\n"


def test_the_hints_of_a_study_and_of_its_errors_can_be_copied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "s.toml").write_text(STUDY)

    def stderr(*arguments: str) -> str:
        return CliRunner().invoke(cli, arguments).stderr

    said = stderr("study", "s.toml", *STORES)
    assert "hpsearch ui s-random --storage o.journal --tracking-uri sqlite:///t.db\n" in said
    assert "hpsearch best s-random --top 20 --storage o.journal\n" in said
    said = stderr("ui", "untracked", "--tracking-uri", "sqlite:///t.db")
    assert "`hpsearch sync untracked --tracking-uri sqlite:///t.db` writes its runs" in said
    said = stderr("ui", "untracked", "--tracking-uri", "sqlite:///none.db")
    assert "`hpsearch sync untracked --tracking-uri sqlite:///none.db` writes the runs" in said
    assert not (tmp_path / "none.db").exists()
