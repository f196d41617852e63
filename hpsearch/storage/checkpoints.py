"""Where checkpoints are: in a folder for each study, beside the storage or where a user says."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.files import file_name
from hpsearch.storage.open import DEFAULT_STORAGE, sqlite_file
from hpsearch.trials.checkpoints import CheckpointFolder
from hpsearch.trials.records import study_id

if TYPE_CHECKING:
    from optuna.study import Study

    from hpsearch.settings.model import ModelSettings

SUFFIX = ".checkpoints"
PLACE = "HPSEARCH_CHECKPOINTS"  # the variable that names another folder


def checkpoints_of(
    study: Study,
    url: str,
    model: ModelSettings | None = None,
    code: str = "",
    *,
    elsewhere: str = "",
) -> CheckpointFolder:
    """Return the checkpoints of a study in the storage at `url`.

    model: its [model] table, for a process that writes some. code: a digest of the model's code.
    Those of `hpsearch.journal` are in `hpsearch.checkpoints` beside it, as are those of a database
    server in the working directory. elsewhere: the folder for the checkpoints of all studies that
    HPSEARCH_CHECKPOINTS names where the study was started; this process may have its own.
    """
    own_id, name = study_id(study) or "", _folder_name(study.study_name)
    if place := os.environ.get(PLACE) or elsewhere:
        folder = Path(place).expanduser() / f"{name}-{own_id}"  # of several storages
    else:
        file = Path(url) if "://" not in url else sqlite_file(url) or Path(DEFAULT_STORAGE)
        folder = file.with_suffix(SUFFIX) / name
    if model is None:
        return CheckpointFolder(folder, own_id)
    return CheckpointFolder(folder, own_id, code, seconds=model.checkpoint_seconds, keep=model.keep)


def _folder_name(study_name: str) -> str:
    """Return a file name that no other study's name becomes."""
    name = file_name(study_name)
    return name if name == study_name else f"{name}-{zlib.crc32(study_name.encode()):08x}"
