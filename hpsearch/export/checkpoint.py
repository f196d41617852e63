"""The winner's checkpoint: what a user's own model saved after its best epoch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from hpsearch.errors import StudyError
from hpsearch.export.winner import trial_title, winning_trial
from hpsearch.files import unwritable
from hpsearch.storage.catalog import study_settings
from hpsearch.storage.checkpoints import checkpoints_of
from hpsearch.trials.records import slot_of

if TYPE_CHECKING:
    from optuna.study import Study

    from hpsearch.errors import Argument
    from hpsearch.trials.checkpoints import Checkpoint


def winning_checkpoint(study: Study, url: str, slot: int | None = None) -> Checkpoint:
    """Return the checkpoint of the winner's best epoch, in the storage at `url`.

    slot: another trial than the winner. Raises StudyError if it is not kept.
    """
    model = study_settings(study).model
    if model is None:
        raise StudyError(
            f"study '{study.study_name}' trains the built-in network, which has no checkpoints; "
            "its winner is exported as npz or to MLflow"
        )
    trial = winning_trial(study, slot)
    found = checkpoints_of(study, url).best(slot_of(trial))
    if found is None:
        raise StudyError(
            f"{trial_title(study, trial)} has no checkpoint: they are kept of the best "
            f"{model.keep} trials (model.keep), if {model.name} yields `metrics, save`"
        )
    return found


def copy_checkpoint(argument: Argument, checkpoint: Checkpoint, output: Path) -> None:
    """Copy a checkpoint, a file or a folder, to `output`: whole or not at all.

    Raises SettingsError, which names `argument`.
    """
    beside = output.with_name(f".{output.name}.{uuid4().hex}")
    try:
        if checkpoint.path.is_dir():
            shutil.copytree(checkpoint.path, beside)
        else:
            shutil.copyfile(checkpoint.path, beside)
        os.replace(beside, output)
    except OSError as error:
        raise unwritable(argument, output, error) from error
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        beside.unlink(missing_ok=True)
