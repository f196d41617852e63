"""The tasks of search_quality.py: their data, what is searched, and curves of random search.

A task is searched for a number of epochs: its budget, and three times that. The target, and how
many epochs plain random search needs until then, come from the curves of a thousand random
configurations or more, which a study in the folder of the benchmark keeps.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpsearch.analysis.ranking import searched_values
from hpsearch.data.sources import read_source
from hpsearch.execution.progress import Progress
from hpsearch.search.study import run_study
from hpsearch.settings.study import StudySettings, parse_settings
from hpsearch.space.ranges import Choices, Searched
from hpsearch.trials.records import DONE, curves_of, own_trials

METRIC = "val/accuracy"
TIMES_BUDGET = 3  # how long every method searches
TARGET_TRIALS = 100  # complete random trials whose best the target is based on,
POINTS_BELOW = 0.005  # and how far it is below that
CURVES_SEED = 2024
MADE = {"mnist14": "mnist14.npz", "table": "table.npz"}

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """What is searched, and for how long."""

    title: str
    data: Mapping[str, Any] = field(hash=False)  # [data] of its study file
    space: Mapping[str, Any] = field(hash=False)  # [trial]
    epochs: int  # of a trial
    whole: int = 15  # trials that run to their end in the budget
    curves: int = 1_000  # of random configurations

    @property
    def budget(self) -> int:
        """The epochs after which the methods are compared."""
        return self.epochs * self.whole

    @property
    def longest(self) -> int:
        """The epochs after which every method ends."""
        return TIMES_BUDGET * self.budget

    @property
    def needs_mnist(self) -> bool:
        """Whether its data are, or are made of, those in HPSEARCH_DATA."""
        return "mnist" in self.data["source"]

    def settings(self, folder: Path, search: Mapping[str, Any]) -> StudySettings:
        """Return the settings of a study on the task; its data are made in `folder`."""
        data = dict(self.data)
        if (made := MADE.get(data["source"])) is not None:
            data["source"] = str(folder / made)
        search = {"metric": METRIC, **search}
        table = {"data": data, "search": search, "trial": {**self.space, "epochs": self.epochs}}
        return parse_settings({"name": "quality", **table}, "benchmark")


MOMENTUM = {
    "batch_size": 50,
    "optimizer": "momentum",
    "hidden_units": {"low": 10, "high": 100, "log": True},
    "learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
    "momentum": {"low": 0.5, "high": 0.99, "log": "complement"},
    "weight_decay": {"low": 1e-8, "high": 0.1, "log": True},
    "dropout": {"low": 0.0, "high": 0.8},
}
DECAY = {
    "schedule": "exponential",
    "final_learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
}
MIXED = {
    "optimizer": {"choices": ["sgd", "momentum", "adam", "rmsprop"]},
    "learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
    "hidden_layers": {"low": 1, "high": 3},
    "hidden_units": {"low": 8, "high": 128, "log": True},
    "batch_size": {"choices": [32, 64, 128, 256]},
    "weight_decay": {"low": 1e-8, "high": 0.1, "log": True},
    "dropout": {"low": 0.0, "high": 0.8},
    "batch_norm": {"choices": ["none", "before"]},
}
DEEP = {  # networks that learn nothing for some epochs, whatever becomes of them
    "hidden_layer_sizes": [100, 100, 100, 100, 100, 100],
    "initializer": "he",
    "optimizer": "sgd",
    "learning_rate": {"low": 1e-6, "high": 1e-2, "log": True},
    "weight_decay": {"low": 1e-8, "high": 1e-4, "log": True},
}
ROWS = {"limit": 7_500, "train_limit": 1_000, "scale": "unit"}

TASKS = {
    "mnist": Task("MNIST, 10 epochs", {"source": "mnist", **ROWS}, MOMENTUM, 10),
    "mnist14": Task(
        "MNIST 14×14, 27 epochs, decay searched",
        {"source": "mnist14", **ROWS},
        {**MOMENTUM, **DECAY},
        27,
    ),
    "table": Task(
        "made-up table, 20 epochs, 8 keys", {"source": "table", "train_limit": 2_000}, MIXED, 20
    ),
    "digits": Task("digits, 30 epochs", {"source": "digits", "train_limit": 300}, MOMENTUM, 30),
    "short": Task("digits, 5 epochs", {"source": "digits", "train_limit": 300}, MOMENTUM, 5),
    "deep": Task(
        "MNIST, 50 epochs, seven layers",
        {"source": "mnist", "limit": 2_000, "train_limit": 400, "scale": "unit"},
        DEEP,
        50,
    ),
}
QUICK = Task(
    "digits, 4 epochs", {"source": "digits", "train_limit": 200}, MOMENTUM, 4, whole=3, curves=30
)


def make_data(task: Task, folder: Path) -> None:
    """Write the file that a task is trained on, unless it is there or comes with hpsearch."""
    source = task.data["source"]
    path = folder / MADE.get(source, "")
    if source not in MADE or path.exists():
        return
    x, y = _halved_mnist() if source == "mnist14" else _made_up_table()
    part = path.with_suffix(".part.npz")
    np.savez(part, x=x.astype(np.float32), y=y)
    part.replace(path)


def _halved_mnist() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return MNIST's first 20,000 images, in which a pixel is the mean of two by two."""
    raw = read_source("mnist")
    x, y = np.asarray(raw.x[:20_000], np.float32), np.asarray(raw.y[:20_000])
    return x.reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(len(x), -1), y


def _made_up_table() -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import make_classification

    x, y = make_classification(
        8_000,
        30,
        n_informative=12,
        n_redundant=6,
        n_classes=8,
        n_clusters_per_class=3,
        class_sep=1.6,
        flip_y=0.02,
        random_state=5,
    )
    return x, y


class Count(NamedTuple):
    """The epochs until the target, or all epochs that were spent without reaching it."""

    epochs: float
    reached: bool


@dataclass(frozen=True)
class Curves:
    """The validation values of random configurations, and what follows from them for a task.

    values: a row for each configuration, a column for each epoch, NaN after a training diverged.
    """

    task: Task
    configs: tuple[Mapping[str, Any], ...]
    values: Array

    @cached_property
    def best(self) -> Array:
        """The best value of each configuration."""
        return np.asarray(np.nan_to_num(self.values).max(1))

    @cached_property
    def target(self) -> float:
        """Half a point below what a hundred complete random trials find in the median.

        The best of a hundred drawn without repetition is at most the k-th best value with the
        probability that none of those above it is drawn.
        """
        ordered = np.sort(self.best)
        drawn = min(TARGET_TRIALS, len(ordered))
        chance, place = 1.0, len(ordered)
        while chance > 0.5:  # that the best of those drawn is below the `place`-th from below
            chance *= (place - drawn) / place
            place -= 1
        return float(ordered[place]) - POINTS_BELOW

    @cached_property
    def reaching(self) -> float:
        """The share of the configurations that reach the target."""
        return float((self.best >= self.target).mean())

    @cached_property
    def random_epochs(self) -> Array:
        """The epochs that 4,000 random searches need until the target, without any limit."""
        rng = np.random.default_rng(0)
        hits = np.nan_to_num(self.values) >= self.target
        good = hits.any(1)
        until, lengths = hits[good].argmax(1) + 1, self._lengths[~good]
        found = []
        for misses in rng.geometric(good.mean(), 4_000) - 1:
            before = rng.choice(lengths, misses).sum() if misses else 0
            found.append(before + rng.choice(until))
        return np.array(found, float)

    def random_best(self, epochs: int) -> Array:
        """Return the best so far of 400 random searches, after each epoch: (400, epochs)."""
        rng = np.random.default_rng(0)
        best = np.zeros((400, epochs))
        for search in best:
            rows, trained = list[Array](), 0
            while trained < epochs:
                place = rng.integers(len(self.best))
                rows.append(np.nan_to_num(self.values[place, : self._lengths[place]]))
                trained += len(rows[-1])
            search[:] = np.maximum.accumulate(np.concatenate(rows))[:epochs]
        return best

    @property
    def _lengths(self) -> NDArray[np.int64]:
        """The epochs that each configuration trained, with the one in which it diverged."""
        known = np.isfinite(self.values).sum(1)
        return np.minimum(known + 1, self.task.epochs)


@cache
def tabulate(task: Task, folder: Path) -> Curves:
    """Train random configurations of the task, those that `folder` does not have, to their end."""
    search = {"sampler": "random", "pruner": "none", "trials": task.curves, "seed": CURVES_SEED}
    name = f"curves-{task.data['source']}-{task.epochs}"

    shown = set[int]()

    def show(progress: Progress) -> None:
        hundreds = progress.done // 100
        if progress.done > progress.started_with and hundreds not in shown:
            shown.add(hundreds)
            print(f"{name}: {progress.done} of {task.curves}", file=sys.stderr, flush=True)

    outcome = run_study(
        task.settings(folder, search),
        name=name,
        storage=str(folder / "curves.journal"),
        on_progress=show,
    )
    trials = own_trials(outcome.study, DONE)
    values = np.full((len(trials), task.epochs), np.nan)
    for row, trial in zip(values, trials, strict=True):
        curve = curves_of(trial).of(METRIC)
        row[: len(curve)] = curve
    return Curves(task, tuple(searched_values(trial) for trial in trials), values)


class Pool:
    """A stand-in for training: each configuration has the curve of the nearest one not yet used."""

    def __init__(self, curves: Curves, searched: Mapping[str, Searched]) -> None:
        self.curves, self.searched = curves, searched
        self.points = np.array([self.point(config) for config in curves.configs])
        self.used = np.zeros(len(self.points), bool)

    def point(self, config: Mapping[str, Any]) -> list[float]:
        """Return the place of a configuration in the space; each key adds at most 1 to a square."""
        return [x for key, entry in self.searched.items() for x in _place(entry, config[key])]

    def train(self, config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
        """Yield the epochs of the nearest configuration that no trial has had."""
        away = ((self.points - self.point(config)) ** 2).sum(1)
        row = int(np.where(self.used, np.inf, away).argmin())
        self.used[row] = True
        for value in self.curves.values[row]:
            yield {METRIC: float(value)}
            if np.isnan(value):
                return


def _place(entry: Searched, value: Any) -> list[float]:
    """Return a value's place in its range, from 0 to 1, or a corner for each choice."""
    if isinstance(entry, Choices):
        return [float(value == each) / np.sqrt(2) for each in entry.values]
    low, at, high = (entry.to_optuna(each) for each in (entry.low, value, entry.high))
    if entry.log:
        low, at, high = np.log([low, at, high])
    return [float((at - low) / (high - low))]
