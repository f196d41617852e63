"""The table of commands: each is imported when it is used, and its help is told by the table."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from hpsearch.cli import COMMANDS, cli


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_has_the_first_sentence_of_each_help(name):
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command.name == name
    assert command.get_short_help_str(limit=200) == COMMANDS[name][1]
    assert len(COMMANDS[name][1]) <= 66  # one line of 80 columns


def test_the_help_lists_every_command_with_its_line():
    result = CliRunner().invoke(cli, ["--help"])
    for name, (_, text) in COMMANDS.items():
        assert f"  {name:8}  {text}\n" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_help_imports_no_command():
    code = "import sys; from hpsearch.cli import cli; cli(['--help'], standalone_mode=False); "
    code += "print(*[m for m in sys.modules if m.startswith('hpsearch.cli.')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == ""


def test_an_unknown_command_is_refused_with_exit_code_2():
    result = CliRunner().invoke(cli, ["stdy"])
    assert result.exit_code == 2
    assert "No such command 'stdy'" in result.stderr
