"""Where a page goes: a file of its own, over nothing but an earlier report of the same study."""

from __future__ import annotations

import html
import os
from pathlib import Path

from hpsearch.errors import SettingsError
from hpsearch.files import check_output
from model.files import is_special, written_whole

BEGINNING = 4096  # bytes of a page, in which it says what it is


def check_page(
    option: str, path: str | os.PathLike[str], *, force: bool, update: str | None = None
) -> None:
    """Raise SettingsError, naming `option`, if no page can be written to `path`.

    update: the name of a study whose earlier report may be overwritten without `force`.
    """
    force = force or (update is not None and is_report_of(path, update))
    check_output(option, path, force=force)


def is_report_of(path: str | os.PathLike[str], study: str) -> bool:
    """Whether the file at `path` is a report that hpsearch made about the study of that name."""
    try:
        if is_special(path):  # nobody may ever write to a pipe
            return False
        with open(path, "rb") as file:
            beginning = file.read(BEGINNING).decode(errors="replace")
    except OSError:
        return False
    marks = [("generator", "hpsearch"), ("hpsearch-study", html.escape(study))]
    return all(f'<meta name="{name}" content="{content}">' in beginning for name, content in marks)


def write_page(option: str, page: str, path: str | os.PathLike[str]) -> Path:
    """Write `page` to `path`, whole or not at all; raises SettingsError."""
    try:
        with written_whole(path) as file:
            file.write(page.encode())
    except OSError as error:
        where = error.filename2 or error.filename or path
        raise SettingsError(f"{option}: {where}: {error.strerror}") from error
    return Path(path)
