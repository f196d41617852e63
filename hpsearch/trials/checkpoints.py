"""Checkpoints: what a killed trial goes on from, and what is left of the best ones.

A slot has a folder, FOLDER/STUDY/slot-0007. Its state.json says which of the folders beside it hold
the last checkpoint and that of the best epoch, with the learning curves up to the last one and the
parameters of the trial: a sampler that has learned would draw others. It is replaced whole, so a
process can be killed at any moment.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from hpsearch.files import written_whole
from hpsearch.trials.curves import Curves

logger = logging.getLogger(__name__)

STATE = "state.json"
KINDS = ("last", "best")
CHECKPOINT = "checkpoint"  # what a model writes, in a folder for each epoch
PART = ".part"  # the end of the name of such a folder while it is written
SHARE = 20  # saving takes at most a twentieth of the time, except for the best epochs

Save = Callable[[Path], object]
"""What a model offers with an epoch: it writes what it has learned to a new file or folder."""


class NothingSavedError(Exception):
    """A model's `save` left nothing at the path that it was given."""


class Checkpoint(NamedTuple):
    """A file or folder that a model has written after an epoch."""

    path: Path
    epoch: int


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of a study.

    study_id and code: of the study and of the model's code, without which a checkpoint is not gone
    on from. seconds: from one checkpoint of a trial to the next. keep: of how many of the best
    trials the best epoch is kept.
    """

    folder: Path
    study_id: str = ""
    code: str = ""
    seconds: float = math.inf
    keep: int = 0

    def of(self, slot: int, bar: Callable[[float], bool] = lambda _: True) -> SlotCheckpoints:
        """Return the checkpoints of a slot. bar: whether a value is among the best so far."""
        return SlotCheckpoints(self, slot, bar)

    def best(self, slot: int) -> Checkpoint | None:
        """Return the checkpoint of a trial's best epoch, None if it is not kept."""
        folder = self.folder_of(slot)
        state = _read(folder, self.study_id)
        return None if state is None else _checkpoint(folder, state, "best")

    def remove(self, slot: int) -> None:
        """Remove the checkpoints of a slot."""
        shutil.rmtree(self.folder_of(slot), ignore_errors=True)

    def delete(self) -> None:
        """Remove all checkpoints of the study."""
        own = [slot for slot in self.slots() if _read(self.folder_of(slot), self.study_id)]
        for slot in own:
            self.remove(slot)
        with suppress(OSError):  # there is none, or another study has checkpoints in it
            self.folder.rmdir()

    def folder_of(self, slot: int) -> Path:
        """Return the folder of a slot's checkpoints."""
        return self.folder / f"slot-{slot:04d}"

    def slots(self) -> list[int]:
        """Return the slots that have checkpoints."""
        names = (path.name for path in self.folder.glob("slot-*"))
        return sorted(int(name) for each in names if (name := each[len("slot-") :]).isdigit())


class SlotCheckpoints:
    """The checkpoints of one slot, while a trial runs in it."""

    def __init__(self, study: CheckpointFolder, slot: int, bar: Callable[[float], bool]) -> None:
        self.study, self.slot, self.bar = study, slot, bar
        self.folder = study.folder_of(slot)
        found = _read(self.folder, study.study_id)
        if found is not None and (
            found["code"] != study.code or _checkpoint(self.folder, found, "last") is None
        ):
            found = None
        self._state: dict[str, Any] = found or {}
        self._saved = time.monotonic()
        self._spent = 0.0  # seconds in the last `save`

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the trial that left a checkpoint here, {} if none did."""
        return dict(self._state.get("params", {}))

    def begin(
        self, config: Mapping[str, Any], params: Mapping[str, Any]
    ) -> tuple[Checkpoint, Curves] | None:
        """Start a trial: return the checkpoint that it goes on from and the curves up to there.

        None if there is none, or one of another configuration; what is there is then removed.
        """
        config = json.loads(json.dumps(config))
        last = _checkpoint(self.folder, self._state, "last")
        if last is None or self._state["config"] != config:
            self.study.remove(self.slot)
            own = {"study": self.study.study_id, "code": self.study.code, "config": config}
            self._state = {**own, "params": dict(params)}
            return None
        self._clean()
        return last, Curves.from_attribute(_copied(self._state["curves"]))

    def epoch_ended(self, save: Save, curves: Curves, *, value: float | None) -> bool:
        """Save a checkpoint if it is time for one; return whether it was.

        value: that of the epoch if it is the best of the trial so far, else None.
        """
        best = bool(self.study.keep) and value is not None and self.bar(value)
        due = time.monotonic() - self._saved >= max(self.study.seconds, SHARE * self._spent)
        if best or due:
            self._save(save, curves, *(["best"] if best else []), *(["last"] if due else []))
        return due

    def save_last(self, save: Save, curves: Curves) -> None:
        """Save a checkpoint now: the trial is about to be stopped, and may go on later."""
        if math.isfinite(self.study.seconds):
            self._save(save, curves, "last")

    def remove(self) -> None:
        """Remove everything: the trial has been pruned."""
        self.study.remove(self.slot)

    def completed(self) -> None:
        """Keep the best epoch alone: the trial has run to its end."""
        if "best" not in self._state:
            self.study.remove(self.slot)
        elif self._state.pop("last", None):
            self._write()

    def _save(self, save: Save, curves: Curves, *kinds: str) -> None:
        """Have a checkpoint written, whole or not at all, as what `kinds` name."""
        began, epoch = time.monotonic(), len(curves)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            known = (self._state.get(kind) for kind in KINDS)
            entry = next((each for each in known if each and each["epoch"] == epoch), None)
            if entry is None:
                entry = {"epoch": epoch, "folder": f"epoch-{epoch:04d}-{uuid4().hex[:8]}"}
                self._write_checkpoint(save, entry["folder"])
            self._state |= dict.fromkeys(kinds, entry)
            if "last" in kinds:
                self._state["curves"] = _copied(curves.as_attribute())
            self._write()
        except OSError as error:
            what = error.strerror or error
            logger.warning("%s: a checkpoint cannot be written: %s", self.folder.parent, what)
        if "last" in kinds:
            self._saved = time.monotonic()
            self._spent = self._saved - began

    def _write_checkpoint(self, save: Save, name: str) -> None:
        folder = self.folder / f"{name}{PART}"
        folder.mkdir()
        path = folder / CHECKPOINT
        try:
            save(path)
            if not path.exists():
                others = ", ".join(each.name for each in sorted(folder.iterdir()))
                raise NothingSavedError(
                    f"`save` must write a file or a folder at the path that it is given; "
                    f"{f'it wrote {others} beside it' if others else 'it wrote nothing'}"
                )
            _flush(path)
            os.rename(folder, self.folder / name)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _write(self) -> None:
        """Replace state.json, and remove the checkpoints that it does not name any more."""
        with written_whole(self.folder / STATE) as file:
            file.write(json.dumps(self._state).encode())
        self._clean()

    def _clean(self) -> None:
        named = {entry["folder"] for kind in KINDS if (entry := self._state.get(kind))}
        for path in self.folder.glob("epoch-*"):
            if path.name not in named:
                shutil.rmtree(path, ignore_errors=True)


def _read(folder: Path, study_id: str) -> dict[str, Any] | None:
    """Return the state of a slot, None if there is none or it is another study's."""
    try:
        found: dict[str, Any] = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError):
        return None
    return found if found.get("study") == study_id else None


def _checkpoint(folder: Path, state: Mapping[str, Any], kind: str) -> Checkpoint | None:
    entry = state.get(kind)
    if entry is None or not (path := folder / entry["folder"] / CHECKPOINT).exists():
        return None
    return Checkpoint(path, entry["epoch"])


def _copied(curves: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return curves that do not grow with the trial's."""
    return {name: [*values] for name, values in curves.items()}


def _flush(path: Path) -> None:
    """Have the files below `path` on the disk before a name points to them."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
