"""The examples that come with hpsearch: a study file and a model each, to start from."""

from __future__ import annotations

import os
from pathlib import Path

from hpsearch.errors import Argument, SettingsError
from hpsearch.files import check_output, write_file
from hpsearch.formatting import unknown_name
from hpsearch.settings.study import STUDIES

STUDY_FILE = "study.toml"
LIKE, FOLDER = Argument("like"), Argument("folder")


def examples() -> list[str]:
    """Return the names of the examples."""
    return sorted(file.parent.name for file in STUDIES.glob(f"*/{STUDY_FILE}"))


def write_example(
    like: str, folder: str | os.PathLike[str] = ".", *, force: bool = False
) -> list[Path]:
    """Write the files of an example to `folder`, and return their paths; raises SettingsError.

    like: the name of the example. Nothing is written if one of its files exists, unless `force`.
    """
    if like not in examples():
        raise SettingsError(LIKE, f": {unknown_name(like, examples(), 'an example')}")
    files = sorted(file for file in (STUDIES / like).iterdir() if file.is_file())
    for file in files:
        check_output(FOLDER, Path(folder) / file.name, force=force)
    return [write_file(FOLDER, Path(folder) / file.name, file.read_bytes()) for file in files]
