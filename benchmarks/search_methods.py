"""The methods that search_quality.py compares, and how to run them."""

from __future__ import annotations

import json
import multiprocessing
import sys
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna

from hpsearch.analysis.history import History, Improvement
from hpsearch.data import loading
from hpsearch.execution.progress import Progress
from hpsearch.search.rounds import run_rounds
from hpsearch.settings.study import StudySettings, parse_settings
from hpsearch.space.narrowing import MARGIN
from hpsearch.trials.records import assigned_slot, own_trials

METRIC = "val/accuracy"


@dataclass(frozen=True)
class Sizes:
    """The data, and how long to search."""

    source: str
    limit: int | None
    train_limit: int | None
    epochs: int  # per trial
    trials: int  # if none is pruned

    @property
    def budget(self) -> int:
        """The number of epochs that every method may spend."""
        return self.epochs * self.trials

    def __str__(self) -> str:
        rows = f"{self.train_limit} training rows"
        return f"{self.source}, {rows}, {self.epochs} epochs a trial, {self.budget} in all"


MNIST = Sizes("mnist", limit=7_500, train_limit=1_000, epochs=10, trials=100)
QUICK = Sizes("digits", limit=None, train_limit=200, epochs=4, trials=8)


@dataclass(frozen=True)
class Method:
    """A way of searching; if it has several rounds, they share the trials.

    `stretch` multiplies the number of trials: a method that prunes needs more to spend its epochs.
    """

    sampler: str
    pruner: str = "none"
    rounds: int = 1
    margin: float = MARGIN
    stretch: float = 1
    sampler_options: Mapping[str, Any] = field(default_factory=dict)


METHODS = {
    "random": Method("random"),
    "random + median": Method("random", "median", stretch=4),
    "TPE": Method("tpe"),
    "TPE + median": Method("tpe", "median", stretch=4),
    "TPE + hyperband": Method("tpe", "hyperband", stretch=6),
    "GP": Method("gp"),
    "TPE + halving": Method("tpe", "halving", stretch=8),
    "3 rounds, random": Method("random", rounds=3),
    "3 rounds, random + median": Method("random", "median", rounds=3),
    "3 rounds, TPE + median": Method("tpe", "median", rounds=3),
    "3 rounds, TPE + halving": Method("tpe", "halving", rounds=3, stretch=2),
}
VARIANTS = {
    "TPE + median, 5 startup trials": Method(
        "tpe", "median", stretch=4, sampler_options={"n_startup_trials": 5}
    ),
    "TPE + median, 20 startup trials": Method(
        "tpe", "median", stretch=4, sampler_options={"n_startup_trials": 20}
    ),
    "TPE + median, univariate": Method(
        "tpe", "median", stretch=4, sampler_options={"multivariate": False}
    ),
    "3 rounds, random, margin 0": Method("random", rounds=3, margin=0.0),
    "3 rounds, random, margin 0.05": Method("random", rounds=3, margin=0.05),
    "3 rounds, random, margin 0.2": Method("random", rounds=3, margin=0.2),
}


def available(method: Method) -> bool:
    """Return whether the packages that the method needs are installed."""
    return method.sampler != "gp" or find_spec("torch") is not None


def settings_of(method: Method, seed: int, sizes: Sizes) -> StudySettings:
    """Return the settings of one round of a method; the space is the same for all methods."""
    search = {"metric": METRIC, "seed": seed, "sampler": method.sampler, "pruner": method.pruner}
    search["trials"] = round(method.stretch * sizes.trials / method.rounds)
    search["sampler_options"] = dict(method.sampler_options)
    data = {"source": sizes.source, "limit": sizes.limit, "train_limit": sizes.train_limit}
    space = {
        "epochs": sizes.epochs,
        "batch_size": 50,
        "optimizer": "momentum",
        "hidden_units": {"low": 10, "high": 100, "log": True},
        "learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
        "momentum": {"low": 0.5, "high": 0.99, "log": "complement"},
        "weight_decay": {"low": 1e-8, "high": 0.1, "log": True},
        "dropout": {"low": 0.0, "high": 0.8},
    }
    table = {"name": "quality", "data": data | {"scale": "unit"}, "search": search, "trial": space}
    return parse_settings(table, "benchmark")


class Budget:
    """Counts the epochs of a running search, and tells when they are spent."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.counts: dict[tuple[float, int], int] = {}  # by start of the round and slot

    def update(self, progress: Progress) -> None:
        """Update the epochs of the running trials."""
        for slot, epoch in progress.running.items():
            self.counts[progress.started, slot] = epoch

    def spent(self) -> bool:
        """Return whether no epoch is left."""
        return sum(self.counts.values()) >= self.epochs


def run_once(method: Method, seed: int, sizes: Sizes) -> History:
    """Search until the epochs are spent or the trials are done; return the history."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # about Optuna's experimental features
        settings = settings_of(method, seed, sizes)
        budget = Budget(sizes.budget)
        outcomes = run_rounds(
            settings,
            method.rounds,
            storage=str(Path(folder) / "hpsearch.journal"),
            margin=method.margin,
            on_progress=budget.update,
            should_stop=budget.spent,
        )
        trials = [
            trial
            for outcome in outcomes
            for trial in own_trials(outcome.study)
            if assigned_slot(trial) is not None
        ]
    return History.of(trials, METRIC)


def keep_data() -> None:
    """Load the data only once in this process: it is the same for all runs."""
    loading.load_folds = cache(loading.load_folds)


def run_all(
    methods: Mapping[str, Method],
    seeds: Iterable[int],
    sizes: Sizes,
    *,
    jobs: int,
    kept: Path | None = None,
) -> dict[str, list[History]]:
    """Return the runs of each method, one for each seed; runs in the file `kept` are reused."""
    tasks = {(name, seed): (methods[name], seed, sizes) for seed in seeds for name in methods}
    known = read_runs(kept)
    done = {task: known[key] for task, what in tasks.items() if (key := key_of(*what)) in known}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, initializer=keep_data) as pool:
        waiting = {
            pool.submit(run_once, *what): task for task, what in tasks.items() if task not in done
        }
        for finished in as_completed(waiting):
            task = waiting[finished]
            done[task] = finished.result()
            if kept is not None:
                line = {"key": key_of(*tasks[task]), **asdict(done[task])}
                with kept.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            print(f"{len(done)} of {len(tasks)}: {task}", file=sys.stderr, flush=True)
    return {name: [done[task] for task in tasks if task[0] == name] for name in methods}


def key_of(method: Method, seed: int, sizes: Sizes) -> str:
    """Return a key that identifies a run by everything it depends on, except the code."""
    table = [settings_of(method, seed, sizes).to_toml(), asdict(method), sizes.budget]
    return sha256(json.dumps(table).encode()).hexdigest()


def read_runs(path: Path | None) -> dict[str, History]:
    """Return the finished runs by key, without those in the format of an earlier version."""
    if path is None or not path.exists():
        return {}
    form = {"key", *(each.name for each in fields(History))}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line for line in lines if line.keys() == form]
    for line in lines:
        line["improvements"] = [Improvement(*each) for each in line["improvements"]]
    return {line.pop("key"): History(**line) for line in lines}
