"""`hpsearch check`: a few epochs of a study's model, to see what it keeps of the protocol.

The model is trained twice with the same seed, each time in a process of its own; then it is killed
after it has saved a checkpoint, and goes on from there in another process.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import optuna

from hpsearch.errors import HpsearchError
from hpsearch.execution.engines.forkserver import held_signals, hidden_main, start_forkserver
from hpsearch.execution.objective import check_trained_here, load_model, loaded
from hpsearch.execution.worker import optuna_logs
from hpsearch.formatting import counted, format_duration, shortened
from hpsearch.samplers.registry import build_sampler
from hpsearch.trainables.base import Enough
from hpsearch.trials.checkpoints import CHECKPOINT, Checkpoint, Save
from hpsearch.trials.curves import Curves, Metrics

if TYPE_CHECKING:
    from hpsearch.settings.study import StudySettings
    from hpsearch.trainables.base import Model

EPOCHS = 3
LONGEST_ERROR = 200  # letters
SHOWN = 3  # values of a curve in a message


@dataclass(frozen=True)
class Finding:
    """Something that the check has found. A `fail` breaks a study, a `note` is for a person."""

    level: Literal["ok", "note", "fail"]
    text: str


@dataclass
class Training:
    """What a process tells of the epochs that it has trained."""

    values: dict[str, list[float | None]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)  # that each epoch took
    saves: bool = False  # whether it offers to save a checkpoint
    unread: list[str] = field(default_factory=list)  # keys of the configuration
    diverged: bool = False
    error: str = ""

    @property
    def epochs(self) -> int:
        """How many epochs it has trained."""
        return len(self.seconds)


def check_study(settings: StudySettings, epochs: int = EPOCHS) -> Iterator[Finding]:
    """Train the first configuration of a study for a few `epochs`, and yield what is found.

    Nothing is stored. A failure that hides the rest is the last finding. Raises HpsearchError for a
    model that cannot be imported or called.
    """
    start_forkserver()  # it imports while this process does
    began = time.perf_counter()
    check_trained_here(settings)
    settings, model = loaded(settings)
    config = _first_configuration(settings)
    epochs = min(epochs, model.epochs_of(config))
    yield Finding("ok", f"{model.name} is loaded after {time.perf_counter() - began:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        train = partial(_train, settings, config, epochs)
        first = train()
        if first.error:
            yield Finding("fail", first.error)
            return
        yield from _epochs(settings, model, config, first)
        for key in first.unread:
            yield Finding("note", f"trial.{key} has not been read; a search over it is for nothing")
        if first.diverged:
            yield Finding("note", "this configuration diverged, which prunes a trial")
            return
        again = train()
        same = again.values == first.values
        if same:
            yield Finding("ok", "the same seed gives the same curves")
        else:
            what = _difference(first.values, again.values)
            yield Finding("note", f"the same seed gives other curves: {what}")
        yield from _check_resuming(model, first, train, Path(folder), same=same)


def _epochs(
    settings: StudySettings, model: Model, config: Any, training: Training
) -> Iterator[Finding]:
    """Say how many epochs were trained, and how long the whole study takes at this pace."""
    most, first = model.epochs_of(config), training.seconds[0]
    pace = median(training.seconds[1:] or training.seconds)
    names = ", ".join(training.values)
    yield Finding("ok", f"{training.epochs} of {counted(most, 'epoch')}: {names}")
    took = f"an epoch takes {_milliseconds(pace)}"
    if training.epochs > 1:
        took += f", the first {_milliseconds(first)}"
    whole = format_duration(settings.search.slots * (first + pace * (most - 1)))
    trials = counted(settings.search.slots, "trial")
    yield Finding("ok", f"{took}; {trials} take up to {whole} one by one")


def _check_resuming(
    model: Model,
    whole: Training,
    train: Callable[..., Training],
    folder: Path,
    *,
    same: bool,
) -> Iterator[Finding]:
    """Kill a training after its first epoch, and have another one go on from its checkpoint."""
    if not model.resumes or not whole.saves:
        missing = "asks for no `resume`" if not model.resumes else "yields no `save`"
        if not (model.resumes or whole.saves):
            missing = "has no checkpoints"
        yield Finding("note", f"{model.name} {missing}: a killed trial begins anew")
        return
    if whole.epochs < 2:
        yield Finding("note", "one epoch alone: nothing is left to go on with")
        return
    path = folder / CHECKPOINT
    killed = train(save_to=path)
    if killed.error or not path.exists():
        yield Finding("fail", killed.error or f"`save` wrote nothing at {path}, as it should")
        return
    size = sum(each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file())
    rest = train(resume=Checkpoint(path, 1))
    if rest.error:
        yield Finding("fail", f"from its checkpoint: {rest.error}")
        return
    expected = {name: values[1:] for name, values in whole.values.items()}
    saved = f"a checkpoint of {size:,} bytes"
    if rest.values == expected:
        yield Finding("ok", f"killed after epoch 1, it goes on from {saved} to the same curves")
    elif same and all(rest.values.get(n) == v[: rest.epochs] for n, v in whole.values.items()):
        yield Finding("fail", "killed after epoch 1 and given `resume`, it begins anew")
    else:
        what = _difference(expected, rest.values)
        yield Finding("note", f"killed after epoch 1, it goes on from {saved}, but {what}")


def _difference(
    values: Mapping[str, Sequence[float | None]], others: Mapping[str, Sequence[float | None]]
) -> str:
    """Name the first metric that differs, with its values: "val/loss is 0.1, 0.2, then 0.3"."""
    name = next(name for name in values if values[name] != others.get(name))
    first, second = (
        ", ".join(f"{value:.6g}" if value is not None else "-" for value in list(each)[:SHOWN])
        for each in (values[name], others.get(name, ()))
    )
    return f"{name} is {first or 'missing'} without a break, and {second or 'missing'} here"


def _first_configuration(settings: StudySettings) -> Any:
    with optuna_logs(logging.ERROR):
        sampler = build_sampler("random", settings.search.seed)
        return settings.trial.suggest(optuna.create_study(sampler=sampler).ask())


def _train(
    settings: StudySettings,
    config: Any,
    epochs: int,
    *,
    save_to: Path | None = None,
    resume: Checkpoint | None = None,
) -> Training:
    """Train in a new process; with `save_to` it saves after its first epoch, and is killed."""
    context = start_forkserver()
    ours, theirs = context.Pipe(duplex=False)
    args = (theirs, os.getcwd(), settings, config, epochs, save_to, resume)
    process = context.Process(target=_in_a_process, args=args, daemon=True)
    with hidden_main(), held_signals():
        process.start()
    theirs.close()
    try:
        found: Training = ours.recv()
    except EOFError:
        process.join()
        found = Training(error=f"its process died with exit code {process.exitcode}")
    finally:
        if save_to is not None and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        ours.close()
    return found


def _in_a_process(
    pipe: Connection,
    folder: str,
    settings: StudySettings,
    config: Any,
    epochs: int,
    save_to: Path | None,
    resume: Checkpoint | None,
) -> None:
    """Train, and send what came of it; with `save_to`, send it after the first epoch and wait."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    os.chdir(folder)
    logging.getLogger("hpsearch").setLevel(logging.ERROR)
    training, curves = Training(), Curves()
    before = time.perf_counter()

    def on_epoch_end(
        metrics: Metrics,
        gradient_norms: Sequence[float] = (),  # noqa: ARG001
        save: Save | None = None,
    ) -> None:
        nonlocal before
        took = time.perf_counter() - before
        training.saves = training.saves or save is not None
        if save_to is not None and save is not None:
            save(save_to)
        training.seconds.append(took)
        if not curves.append(metrics, settings.search.metric):
            training.diverged = True
            raise Enough
        if save_to is not None:
            pipe.send(training)
            signal.pause()  # until it is killed
        if training.epochs >= epochs - (resume.epoch if resume else 0):
            raise Enough
        before = time.perf_counter()

    try:
        model = load_model(settings)
        before = time.perf_counter()
        model.train(config, 0, on_epoch_end, resume)
        training.unread = [*getattr(model, "unread", ())]
    except Enough:
        pass
    except HpsearchError as error:
        training.error = str(error)
    except Exception as error:
        where = f" in epoch {training.epochs + 1}"
        training.error = shortened(f"{type(error).__name__}{where}: {error}", LONGEST_ERROR)
    training.values = curves.values
    pipe.send(training)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
