"""The contenders of search.py: each searches the same configurations in its own process.

    python benchmarks/search_contenders.py NAME TRIALS FOLDER

A contender is called with its task and returns the best validation accuracy that it found; the
task's clock counts each trial when it ends. The measurements are printed as a line of JSON. All
contenders except RandomizedSearchCV compute the losses and accuracies of every epoch, on training
and validation rows. Libraries are imported where they are used.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import psutil
from peers import mlp_classifier
from search_trainings import Metrics, pytorch, scikit_learn

from hpsearch.settings.study import StudySettings, parse_settings
from model import Dataset, Network, TrainConfig, load_dataset, train

EPOCHS = 20


def digits_study(trials: int) -> StudySettings:
    """Return the study: 64-100-10 on digits, batches of 32, with three free hyperparameters."""
    space = {
        "epochs": EPOCHS,
        "batch_size": 32,
        "hidden_layer_sizes": [100],
        "optimizer": "momentum",
        "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
        "momentum": {"low": 0.5, "high": 0.99, "log": "complement"},
        "weight_decay": {"low": 1e-8, "high": 1e-2, "log": True},
    }
    search = {"sampler": "random", "pruner": "none", "trials": trials}
    table = {"name": "speed", "data": {"source": "digits"}, "search": search, "trial": space}
    return parse_settings(table, "benchmark")


def cpu_seconds() -> float:
    """Return the CPU time of this process and of all its descendants, running or ended."""
    me = psutil.Process()
    while True:
        try:
            family = [me, *me.children(recursive=True)]
            return sum(sum(process.cpu_times()[:4]) for process in family)
        except psutil.NoSuchProcess:  # one has just ended: its parent counts its time now
            continue


@dataclass
class Clock:
    """Marks when the first `warm` trials and when all have ended: in between, nothing starts up."""

    warm: int
    trials: int
    ended: int = 0
    marks: dict[str, tuple[float, float]] = field(default_factory=dict)  # wall and CPU seconds
    lock: threading.Lock = field(default_factory=threading.Lock)

    def mark(self, name: str) -> None:
        """Record the time under `name`, once."""
        if name not in self.marks:  # cpu_seconds takes a millisecond
            self.marks[name] = (perf_counter(), cpu_seconds())

    def count(self, ended: int | None = None) -> None:
        """Count one more ended trial, or set the number of `ended` trials."""
        with self.lock:
            self.ended = self.ended + 1 if ended is None else ended
            if self.ended >= self.warm:
                self.mark("warm")
            if self.ended >= self.trials:
                self.mark("end")

    def rates(self) -> dict[str, float]:
        """Return the wall and CPU seconds per trial after the warm-up."""
        (start, cpu_start), (end, cpu_end) = self.marks["warm"], self.marks["end"]
        trials = self.trials - self.warm
        return {"seconds": (end - start) / trials, "cpu": (cpu_end - cpu_start) / trials}


@dataclass
class Task:
    """What to search, where to store it, and the clock that counts the trials."""

    settings: StudySettings
    folder: Path
    clock: Clock

    @property
    def trials(self) -> int:
        return self.settings.search.trials

    def configs(self) -> list[TrainConfig]:
        """Return the configurations that hpsearch's random sampler draws for this study."""
        import optuna

        from hpsearch.samplers.registry import build_sampler

        study = optuna.create_study(sampler=build_sampler("random", self.settings.search.seed))
        return [self.settings.trial.suggest(study.ask()) for _ in range(self.trials)]


Contender = Callable[[Task], float]


def hpsearch(task: Task, *, jobs: int, tracked: bool) -> float:
    """Run `run_study` as the command line does."""
    from hpsearch import Tracker, run_study

    outcome = run_study(
        task.settings,
        storage=str(task.folder / "hpsearch.journal"),
        tracker=Tracker(f"sqlite:///{task.folder}/mlflow.db") if tracked else None,
        jobs=jobs,
        on_progress=lambda progress: task.clock.count(progress.done),
    )
    return outcome.study.best_value


def training_alone(task: Task) -> float:
    """Run hpsearch's trainings and nothing else: no search, no storage, no tracking."""
    data, best = load_dataset("digits"), 0.0
    for config in task.configs():
        network = Network(data.n_features, data.n_classes, config, np.random.default_rng(0))
        epochs = train(network, data, np.random.default_rng(1))
        best = max(best, *(epoch.val_accuracy for epoch in epochs))
        task.clock.count()
    return best


def usual_stack(
    task: Task, *, train: Callable[[TrainConfig, Dataset], Iterator[Metrics]], jobs: int
) -> float:
    """Run Optuna and MLflow's fluent interface, both on SQLite, with calls in every epoch."""
    import mlflow
    import optuna

    from hpsearch.samplers.registry import build_sampler

    data = load_dataset("digits")
    mlflow.set_tracking_uri(f"sqlite:///{task.folder}/mlflow.db")
    mlflow.set_experiment("digits")

    def objective(trial: optuna.Trial) -> float:
        config, best = task.settings.trial.suggest(trial), 0.0
        with mlflow.start_run(run_name=f"trial-{trial.number:04}"):
            mlflow.log_params(config.as_dict())
            for epoch, metrics in enumerate(train(config, data), 1):
                if not np.isfinite(list(metrics.values())).all():
                    raise optuna.TrialPruned
                mlflow.log_metrics(metrics, step=epoch)
                trial.report(metrics["val/accuracy"], step=epoch)
                best = max(best, metrics["val/accuracy"])
            mlflow.log_metric("val/accuracy_best", best)
        return best

    study = optuna.create_study(
        storage=f"sqlite:///{task.folder}/optuna.db",
        sampler=build_sampler("random", task.settings.search.seed),
        pruner=optuna.pruners.NopPruner(),
        direction="maximize",
    )
    ended = [lambda *_: task.clock.count()]
    study.optimize(objective, n_trials=task.trials, n_jobs=jobs, callbacks=ended)
    return study.best_value


class InOrder:
    """A distribution for RandomizedSearchCV that gives one value after another."""

    def __init__(self, values: list[float]) -> None:
        self.values = iter(values)

    def rvs(self, random_state: object = None) -> float:  # noqa: ARG002
        """Return the next value."""
        return next(self.values)


def randomized_search(task: Task) -> float:
    """Run RandomizedSearchCV in two processes; only the second of two searches counts."""
    from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV

    data, configs = load_dataset("digits"), task.configs()
    x = np.concatenate([data.x_train, data.x_val])
    y = np.concatenate([data.y_train, data.y_val])
    fold = np.repeat([-1, 0], [len(data.x_train), len(data.x_val)])

    def search() -> float:
        space = {
            "learning_rate_init": InOrder([config.learning_rate for config in configs]),
            "momentum": InOrder([config.momentum for config in configs]),
            "alpha": InOrder([config.weight_decay for config in configs]),
        }
        found = RandomizedSearchCV(
            mlp_classifier(configs[0]),
            space,
            n_iter=len(configs),
            n_jobs=2,
            cv=PredefinedSplit(fold),
            refit=False,
            random_state=0,
        ).fit(x, y)
        return float(np.nanmax(found.cv_results_["mean_test_score"]))

    search()
    task.clock.warm = 0  # every trial of the second search counts
    task.clock.mark("warm")
    best = search()
    task.clock.mark("end")
    return best


CONTENDERS: dict[str, Contender] = {
    "usual stack, scikit-learn": partial(usual_stack, train=scikit_learn, jobs=1),
    "usual stack, scikit-learn, n_jobs=2": partial(usual_stack, train=scikit_learn, jobs=2),
    "usual stack, PyTorch": partial(usual_stack, train=pytorch, jobs=1),
    "usual stack, PyTorch, n_jobs=2": partial(usual_stack, train=pytorch, jobs=2),
    "RandomizedSearchCV, n_jobs=2, untracked": randomized_search,
    "hpsearch, untracked": partial(hpsearch, jobs=1, tracked=False),
    "hpsearch, 2 jobs, untracked": partial(hpsearch, jobs=2, tracked=False),
    "hpsearch": partial(hpsearch, jobs=1, tracked=True),
    "hpsearch, 2 jobs": partial(hpsearch, jobs=2, tracked=True),
    "training alone": training_alone,
}


def main() -> None:
    name, trials, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["PYTHONWARNINGS"] = "ignore"  # about scikit-learn's convergence, in workers too
    warnings.simplefilter("ignore")
    clock = Clock(warm=max(1, trials // 10), trials=trials)
    best = CONTENDERS[name](Task(digits_study(trials), folder, clock))
    print(json.dumps({"best": best, **clock.rates()}))


if __name__ == "__main__":
    main()
