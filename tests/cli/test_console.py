"""What a person sees: tables that fit, and nothing that a terminal would obey."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from hpsearch.cli import console
from hpsearch.cli.console import note, print_table, text_table

HEADINGS = ["val/accuracy", *(f"a_parameter_{number}" for number in range(8))]


@pytest.fixture
def terminal(monkeypatch):
    """Standard output as a terminal of 80 columns; returns what is printed there."""
    output = io.StringIO()
    monkeypatch.setattr(output, "isatty", lambda: True)
    monkeypatch.setattr(console, "sys", SimpleNamespace(stdout=output))
    monkeypatch.setattr(
        console,
        "Console",
        lambda width=None: Console(file=output, width=width or 80, force_terminal=False),
    )
    return output


def table(rows):
    cells = [[str(row), *(f"0.{row}{column}23456" for column in range(9))] for row in range(rows)]
    return text_table("trial", HEADINGS, cells)


def test_a_wide_table_of_few_rows_is_turned_on_its_side(terminal):
    print_table(table(3))
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines] == ["trial", *HEADINGS]
    assert lines[2].split()[1:] == ["0.0123456", "0.1123456", "0.2123456"]


def test_of_a_wide_table_with_many_rows_columns_are_left_out(terminal, capsys):
    print_table(table(30))
    lines = terminal.getvalue().splitlines()
    assert (len(lines), max(map(len, lines)) <= 80) == (31, True)
    shown = lines[0].split()
    assert lines[-1].split()[1:] == [f"0.29{column}23456" for column in range(len(shown) - 1)]
    left_out = HEADINGS[len(shown) - 1 :]
    assert left_out
    assert f"without {', '.join(left_out)}; " in capsys.readouterr().err


def test_a_table_in_a_file_is_as_wide_as_it_needs_to_be(capsys):
    print_table(table(30))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["trial", *HEADINGS]


def test_control_characters_are_shown_as_codes(capsys):
    owned = "\x1b]0;owned\x07\x9b2J"
    print_table(text_table(owned, [owned], [[owned, owned]], [owned]))
    note(owned)
    captured = capsys.readouterr()
    assert "\\x1b]0;owned\\x07\\x9b2J" in captured.out
    assert captured.err == "\\x1b]0;owned\\x07\\x9b2J\n"
    assert not {"\x1b", "\x07", "\x9b"} & set(captured.out)
