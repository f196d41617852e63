"""The methods that search_quality.py compares, and how to run them."""

from __future__ import annotations

import json
import multiprocessing
import sys
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.trial import TrialState
from search_peers import Peer
from search_tasks import METRIC, Pool, Task, tabulate

from hpsearch.analysis.history import History, Improvement
from hpsearch.data import loading
from hpsearch.execution.progress import Progress
from hpsearch.search.rounds import run_rounds
from hpsearch.settings.study import StudySettings, parse_settings
from hpsearch.space.narrowing import MARGIN
from hpsearch.trials.records import assigned_slot, own_trials


@dataclass(frozen=True)
class Method:
    """A way of searching; if it has several rounds, they share the trials.

    `stretch` multiplies the trials of the rounds: a method that prunes needs more to spend its
    epochs.
    """

    sampler: str
    pruner: str = "none"
    rounds: int = 1
    margin: float = MARGIN
    stretch: float = 1
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    pruner_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def available(self) -> bool:
        """Whether the packages that the method needs are installed."""
        return self.sampler != "gp" or find_spec("torch") is not None


@dataclass(frozen=True)
class Run:
    """What a search found, and the number of its first trial that was not pruned."""

    history: History
    first_whole: int | None
    length: int


DEFAULT = "TPE + halving"
BEFORE = {"min_peers": 0}  # as Optuna decides
METHODS = {
    DEFAULT: Method("tpe", "halving"),
    "TPE + median": Method("tpe", "median"),
    "TPE + hyperband": Method("tpe", "hyperband"),
    "TPE + halving, min_peers 0": Method("tpe", "halving", pruner_options=BEFORE),
    "TPE + hyperband, min_peers 0": Method("tpe", "hyperband", pruner_options=BEFORE),
}
VARIANTS = {
    "TPE": Method("tpe"),
    "GP": Method("gp"),
    "GP + halving": Method("gp", "halving"),
    "random + median": Method("random", "median"),
    "random + halving": Method("random", "halving"),
    "TPE + halving, bootstrap_count 3": Method(
        "tpe", "halving", pruner_options={**BEFORE, "bootstrap_count": 3}
    ),
    "TPE + median, 5 startup trials": Method(
        "tpe", "median", sampler_options={"n_startup_trials": 5}
    ),
    "TPE + median, univariate": Method("tpe", "median", sampler_options={"multivariate": False}),
    "3 rounds, random": Method("random", rounds=3),
    "3 rounds, TPE + median": Method("tpe", "median", rounds=3),
    "3 rounds, TPE + halving": Method("tpe", "halving", rounds=3, stretch=2),
    "3 rounds, random, margin 0.2": Method("random", rounds=3, margin=0.2),
}


def search_table(method: Method, seed: int, length: int, task: Task) -> dict[str, Any]:
    """Return the [search] table of one round of a method."""
    whole = length / task.epochs
    return {
        "metric": METRIC,
        "seed": seed,
        "sampler": method.sampler,
        "sampler_options": dict(method.sampler_options),
        "pruner": method.pruner,
        "pruner_options": dict(method.pruner_options),
        "trials": length if method.rounds == 1 else round(method.stretch * whole / method.rounds),
    }


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


def run_once(
    method: Method | Peer, task: Task, seed: int, length: int, folder: Path, *, pooled: bool
) -> Run:
    """Search until `length` epochs are spent.

    pooled: train nothing, and take for each configuration the nearest of the tabulated curves.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if isinstance(method, Peer):
        settings = task.settings(folder, {"seed": seed, "pruner": "none"})
        history, first = method.search(settings, length)
        return Run(history, first, length)
    settings = task.settings(folder, search_table(method, seed, length, task))
    if pooled:
        settings = in_pool(settings, Pool(tabulate(task, folder), settings.trial.searched))
    budget = Budget(length)
    with warnings.catch_warnings(), TemporaryDirectory() as kept:
        warnings.simplefilter("ignore")  # about Optuna's experimental features
        outcomes = run_rounds(
            settings,
            method.rounds,
            storage=str(Path(kept) / "hpsearch.journal"),
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
    ends = (n for n, trial in enumerate(trials, 1) if trial.state is TrialState.COMPLETE)
    return Run(History.of(trials, METRIC), next(ends, None), length)


def in_pool(settings: StudySettings, pool: Pool) -> StudySettings:
    """Return the settings of a study that takes its curves from a pool."""
    table = {"search": settings.search.model_dump(exclude_none=True, by_alias=True)}
    table["trial"] = settings.trial.as_table()
    model = {"train": lambda config: (yield from pool.train(config))}
    return parse_settings({"name": settings.name, "model": model, **table}, "benchmark")


def keep_data() -> None:
    """Load the data only once in this process: it is the same for all runs."""
    loading.load_folds = cache(loading.load_folds)


def run_all(
    methods: Mapping[str, Method | Peer],
    task: Task,
    seeds: Iterable[int],
    length: int,
    folder: Path,
    *,
    jobs: int,
    pooled: bool = False,
) -> dict[str, list[Run]]:
    """Return the runs of each method, one for each seed.

    Those that the file runs.jsonl in `folder` has are not run again.
    """
    tasks = {
        (name, seed): (methods[name], task, seed, length, folder)
        for seed in seeds
        for name in methods
    }
    kept = folder / "runs.jsonl"
    keys = {place: key_of(*what[:3], pooled=pooled) for place, what in tasks.items()}
    known = read_runs(kept)
    done = {place: known[key] for place, key in keys.items() if key in known}
    done = {place: run for place, run in done.items() if run.length >= length}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, initializer=keep_data) as pool:
        waiting = {
            pool.submit(run_once, *what, pooled=pooled): place
            for place, what in tasks.items()
            if place not in done
        }
        for finished in as_completed(waiting):
            place = waiting[finished]
            done[place] = finished.result()
            with kept.open("a") as file:
                file.write(json.dumps({"key": keys[place], **asdict(done[place])}) + "\n")
            print(
                f"{task.title}: {len(done)} of {len(tasks)}: {place}", file=sys.stderr, flush=True
            )
    return {name: [done[place] for place in tasks if place[0] == name] for name in methods}


def key_of(method: Method | Peer, task: Task, seed: int, *, pooled: bool) -> str:
    """Return a key that identifies a run by all it depends on, except its length and the code."""
    what = [asdict(task), seed, type(method).__name__, asdict(method), pooled]
    return sha256(json.dumps(what).encode()).hexdigest()


def read_runs(path: Path) -> dict[str, Run]:
    """Return the finished runs by key; of several, the last, which is the longest."""
    runs = dict[str, Run]()
    for line in path.read_text().splitlines() if path.exists() else []:
        known = json.loads(line)
        improvements = [Improvement(*each) for each in known["history"].pop("improvements")]
        history = History(improvements, **known["history"])
        runs[known["key"]] = Run(history, known["first_whole"], known["length"])
    return runs
