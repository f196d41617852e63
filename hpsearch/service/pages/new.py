"""What a new study may start from: one that ships, or a table of the operator's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hpsearch.errors import SettingsError
from hpsearch.formatting import unknown_name
from hpsearch.settings.study import STUDIES

if TYPE_CHECKING:
    from hpsearch.service.service import Service
    from hpsearch.workspace import Workspace

FIRST = "digits"  # the quickest of those that ship


def shipped_files() -> dict[str, str]:
    """Return the study files that ship, by name."""
    files = {file.stem: file.read_text("utf-8") for file in sorted(STUDIES.glob("*.toml"))}
    return {FIRST: files.pop(FIRST), **files}


def table_file(service: Service, source: str, target: str) -> str:
    """Return a study file for a table that the service has; raises HpsearchError.

    target: the column to predict; with "" the error lists the columns.
    """
    known, folder = service.allowed.files(), service.allowed.data
    if source not in known or folder is None:
        raise SettingsError(unknown_name(source, known, "a table of this service"))
    file: str = service.background.call(_file_of, str(folder.resolve()), source, target)
    return file


def _file_of(workspace: Workspace, folder: str, source: str, target: str) -> str:
    """Return the file, in a process of its own: it names the table as the service does."""
    os.chdir(folder)
    return workspace.table_study(source, target or ()).to_toml()
