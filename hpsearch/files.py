"""Writing files for a user: whole or not at all; existing files are kept unless `force` is set."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hpsearch.errors import Argument, SettingsError
from model.files import is_special, written_whole

FORCE = Argument("force", "=True")


def check_output(
    argument: Argument, path: str | os.PathLike[str], *, force: bool, make_folder: bool = False
) -> None:
    """Raise SettingsError, naming `argument`, if no file can be written at `path`; create nothing.

    make_folder: whether a missing folder will be made. Of a symbolic link the target is checked,
    because that is what gets written.
    """
    file = Path(path)
    try:
        if file.is_dir():
            raise SettingsError(argument, f": {file} is a folder")
        if is_special(file):
            raise SettingsError(argument, f": {file} is no regular file")
        if file.exists() and not force:
            raise SettingsError(argument, f": {file} exists already; ", FORCE, " overwrites it")
        folder = Path(os.path.realpath(file)).parent
        while make_folder and not folder.exists():
            folder = folder.parent
    except OSError as error:  # the name is too long, or the folder may not be searched
        raise unwritable(argument, file, error) from error
    if not folder.is_dir():
        raise SettingsError(argument, f": {folder} is not a folder")
    if not os.access(folder, os.W_OK):
        raise SettingsError(argument, f": {folder} cannot be written to")


def write_file(argument: Argument, path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path`, whole or not at all, and return the path; raise SettingsError."""
    try:
        with written_whole(path) as file:
            file.write(data)
    except OSError as error:
        raise unwritable(argument, path, error) from error
    return Path(path)


def unwritable(argument: Argument, path: str | os.PathLike[str], error: OSError) -> SettingsError:
    """Return the error for a file that cannot be written."""
    place = error.filename2 or error.filename or os.fspath(path)
    return SettingsError(argument, f": {place}: {error.strerror}")


def file_name(study_name: str) -> str:
    """Return a safe file name for a study, which another program may have called anything."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", study_name)
