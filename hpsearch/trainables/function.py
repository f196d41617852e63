"""A user's own model: a generator, a function that reports or returns, or a program."""

from __future__ import annotations

import inspect
import logging
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.errors import SettingsError
from hpsearch.trainables.base import Enough, OnEpochEnd
from hpsearch.trainables.configuration import Configuration
from hpsearch.trainables.epochs import check_first, read_epoch
from hpsearch.trainables.errors import ConfigurationError, ModelError
from hpsearch.trainables.source import DATA, FINAL, TRAIN, Source
from hpsearch.trials.slots import derive_rng

if TYPE_CHECKING:
    from hpsearch.trials.checkpoints import Checkpoint, Save
    from hpsearch.trials.records import DataId

# What a function can ask for after its configuration.
OFFERED = ("epochs", "seed", "data", "resume", "report")
OUT_OF_MEMORY = ("MemoryError", "OutOfMemoryError")  # the second is PyTorch's, of a GPU
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

logger = logging.getLogger(__name__)


class FunctionModel:
    """A user's own model, which a study file names in [model].

    source: what trains. data: a function that loads its data, called once in each process that
    trains. final: a function that trains on everything but its test rows, and returns the scores on
    these. seed: the study's. metric: the one that the search goes by. threads: how many a trial
    may use. Raises SettingsError for what cannot be imported or called.
    """

    data: DataId | None = None  # hpsearch does not know them
    digest = ""
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        source: Source,
        *,
        data: Source | None = None,
        final: Source | None = None,
        seed: int,
        metric: str,
        threads: int = 1,
    ) -> None:
        self.name, self.seed, self.metric = source.name, seed, metric
        limit_threads(threads)
        if source.is_program:
            from hpsearch.trainables.program import program_function

            self.function, self.code = program_function([*source.place])
        else:
            self.function, self.code = source.load()
        offered = [name for name in OFFERED if name != "data" or data is not None]
        self.asked_for = _asked_for(self.function, self.name, offered)
        self.test_rows, self._final, self._asked_by_final = "", None, tuple[str, ...]()
        if final is not None:
            self._final, _ = final.load(FINAL)
            of_final = [name for name in offered if name not in ("resume", "report")]
            self._asked_by_final = _asked_for(self._final, final.name, of_final, key=FINAL)
            self.test_rows = f"{final.name} of {source.name}"
        self._load, self._loaded = self._loader(data), None
        limit_threads(threads)  # of what it has imported
        self.unread: set[str] = set()  # keys that no training has asked for

    def epochs_of(self, config: Any) -> int:
        """Return the most epochs that a configuration allows; without the key a trial has one."""
        return int(config.get("epochs", 1))

    def _loader(self, source: Source | None) -> Callable[[], Any] | None:
        """Return the function that loads the data; raises SettingsError."""
        if source is None:
            return None
        if "data" not in {*self.asked_for, *self._asked_by_final}:
            raise SettingsError(f"{DATA}: {self.name} does not ask for 'data'")
        load, code = source.load(DATA)
        self.code = f"{self.code}-{code}"
        return load

    def _data(self) -> Any:
        """Return the data; they are loaded when the first trial asks for them."""
        if self._load is not None:
            load, self._load = self._load, None
            self._loaded = load()
        return self._loaded

    def final(self, config: Any, draw: int, epochs: int) -> dict[str, float]:
        """Train on everything but the test rows, and score these; see `Testable.final`."""
        assert self._final is not None  # it has `test_rows`
        data = self._data()  # whose loading may draw random numbers
        seed = seed_training(self.seed, draw)
        offers = {"epochs": epochs, "seed": seed, "data": data}
        wanted = {name: offers[name] for name in self._asked_by_final if name in offers}
        metrics, _ = read_epoch(
            self._final(Configuration(config), **wanted), self.metric, "model.final"
        )
        return {name: value for name, value in metrics.items() if value is not None}

    @property
    def resumes(self) -> bool:
        """Whether it goes on from a checkpoint: it asks for `resume`."""
        return "resume" in self.asked_for

    def train(
        self,
        config: Any,
        draw: int,
        on_epoch_end: OnEpochEnd,
        resume: Checkpoint | None = None,
    ) -> None:
        """Train once; see `Model.train`."""
        data = self._data()  # whose loading may draw random numbers
        seed = seed_training(self.seed, draw)
        given = Configuration(config)
        begun = 0 if resume is None else resume.epoch
        run = _Run(self.name, self.metric, self.epochs_of(config), on_epoch_end, begun)
        offers = {
            "epochs": run.epochs,
            "seed": seed,
            "data": data,
            "resume": None if resume is None else resume.path,
            "report": run.report,
        }
        try:
            made = self.function(given, **{name: offers[name] for name in self.asked_for})
            run.follow(made)
        except Enough:
            pass
        except Exception as error:
            if type(error).__name__ in OUT_OF_MEMORY:
                raise ConfigurationError(f"out of memory in epoch {run.number + 1}") from error
            raise
        except SystemExit as error:
            raise ModelError(f"{self.name} called sys.exit({error.code})") from error
        if not run.number:
            raise ModelError(
                f"{self.name} returned nothing; it yields the metrics of each epoch, or returns "
                "those of one"
            )
        self._point_out_unread(given)

    def _point_out_unread(self, config: Configuration) -> None:
        """Say which keys nothing reads: a search over them is for nothing."""
        for key in config.unread:
            if key != "epochs" and key not in self.unread:
                self.unread.add(key)
                logger.warning("trial.%s: %s has not read it; is it misspelt?", key, self.name)


class _Run:
    """One training: it reads the epochs that a model yields or reports, and hands them on.

    begun: the epochs that an earlier trial has trained.
    """

    def __init__(
        self, name: str, metric: str, epochs: int, on_epoch_end: OnEpochEnd, begun: int = 0
    ) -> None:
        self.name, self.metric, self.epochs, self.on_epoch_end = name, metric, epochs, on_epoch_end
        self.number = begun

    def report(self, metrics: object, save: Save | None = None) -> None:
        """Take the metrics of an epoch; raise Enough after the last one, or to end a trial.

        save: writes what the model has learned to the path that it is given.
        """
        self._take(metrics if save is None else (metrics, save))

    def follow(self, made: object) -> None:
        """Take what a function returned: a generator of epochs, or the metrics of one."""
        if inspect.isgenerator(made):
            self._follow_generator(made)
        elif made is not None:
            self._take(made)

    def _follow_generator(self, epochs: Iterator[object]) -> None:
        try:
            for item in epochs:
                self._take(item)
                if self.number >= self.epochs:
                    break
        finally:
            self._close(epochs)

    def _take(self, item: object) -> None:
        if self.number >= self.epochs:
            raise Enough
        metrics, save = read_epoch(item, self.metric, self.name)
        if not self.number:
            check_first(metrics, self.metric, self.name)
        self.number += 1
        self.on_epoch_end(metrics, (), save)

    def _close(self, epochs: Any) -> None:
        """End a generator where it stands; one that yields on is pointed out."""
        try:
            epochs.close()
        except RuntimeError as error:
            if "GeneratorExit" not in str(error):
                raise
            logger.warning("%s yields on after it was closed; let GeneratorExit pass", self.name)


def _asked_for(
    function: Callable[..., Any], name: str, offered: Sequence[str], key: str = TRAIN
) -> tuple[str, ...]:
    """Return which of the offered arguments a function takes; raises SettingsError."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise SettingsError(f"{key}: {name} is async; it must be a plain function or generator")
    try:
        parameters = [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{key}: the arguments of {name} are not known: {error}") from error
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in (*named, inspect.Parameter.VAR_POSITIONAL):
        raise SettingsError(f"{key}: {name} must take the configuration as its first argument")
    for parameter in parameters[1:]:
        variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if variable or parameter.name in offered or parameter.default is not parameter.empty:
            continue
        if parameter.name == "data":
            raise SettingsError(
                f"{DATA}: is missing, but {name} asks for 'data'; it names the function that "
                'returns them, such as data = "net.py:load"'
            )
        raise SettingsError(
            f"{key}: {name} asks for '{parameter.name}', which nothing gives; after the "
            f"configuration it can ask for {', '.join(offered)}"
        )
    return tuple(each.name for each in parameters[1:] if each.name in offered)


def seed_training(study_seed: int, draw: int) -> int:
    """Return the seed of a training, with which the global random states are seeded as well."""
    seed = training_seed(study_seed, draw)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
    return seed


def training_seed(study_seed: int, draw: int) -> int:
    """Return the seed of a training."""
    return int(derive_rng(study_seed, draw, "train").integers(2**31))


def limit_threads(threads: int) -> None:
    """Let what a model has imported, and what it will import, use so many threads."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
