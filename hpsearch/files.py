"""Where a command may write: never over a file that is there, unless asked to."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hpsearch.errors import SettingsError
from model.files import is_special


def check_output(
    option: str, path: str | os.PathLike[str], *, force: bool, make_folder: bool = False
) -> None:
    """Raise SettingsError, naming `option`, if no file can be written at `path`; create nothing.

    make_folder: whether its folder will be made if need be. Of a link it is what it leads to that
    counts, and that is written.
    """
    file = Path(path)
    try:
        if file.is_dir():
            raise SettingsError(f"{option}: {file} is a folder")
        if is_special(file):
            raise SettingsError(f"{option}: {file} is no regular file")
        if file.exists() and not force:
            raise SettingsError(f"{option}: {file} exists already; --force overwrites it")
        folder = Path(os.path.realpath(file)).parent
        while make_folder and not folder.exists():
            folder = folder.parent
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise SettingsError(f"{option}: {error.filename or file}: {error.strerror}") from error
    if not folder.is_dir():
        raise SettingsError(f"{option}: {folder} is not a folder")
    if not os.access(folder, os.W_OK):
        raise SettingsError(f"{option}: {folder} cannot be written to")


def file_name(study_name: str) -> str:
    """Return how a file is called after any study; somebody else may have called it anything."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", study_name)
