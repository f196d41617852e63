"""What a trial of hpsearch costs in addition to its training, for search.py.

    python benchmarks/search_overheads.py profile|growth TRIALS FOLDER

"profile" runs the digits study, tracked, in one process, with timers around the functions in TIMED.
"growth" runs very short trainings, and compares what a trial costs in addition to its training
early and late in the study. Both print a line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from search_contenders import digits_study

from hpsearch import Tracker, run_study
from hpsearch.execution.progress import Progress
from hpsearch.settings.study import StudySettings
from hpsearch.trainables.network import NetworkModel

# The timed functions: name in the profile, module or class that holds it, and name there.
TIMED = [
    ("Optuna: ask and suggest", "optuna.study.Study", "ask"),
    ("Optuna: ask and suggest", "hpsearch.space.space.SearchSpace", "suggest"),
    ("Optuna: report to the journal", "optuna.trial.Trial", "report"),
    ("Optuna: should_prune", "optuna.trial.Trial", "should_prune"),
    ("Optuna: attributes (setup, curves, slot)", "optuna.trial.Trial", "set_user_attr"),
    ("Optuna: tell", "optuna.storages.JournalStorage", "set_trial_state_values"),
    ("MLflow: projection", "hpsearch.tracking.tracker", "project_trial"),
    ("MLflow: create_run", "mlflow.MlflowClient", "create_run"),
    ("MLflow: log_inputs", "mlflow.MlflowClient", "log_inputs"),
    ("MLflow: log_batch", "mlflow.MlflowClient", "log_batch"),
    ("MLflow: set_terminated", "mlflow.MlflowClient", "set_terminated"),
]
TRAINING = "training"


class Stopwatch:
    """Seconds by name. A timed call inside another counts only under its own name."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.clock = clock
        self.seconds = Counter[str]()
        self.inside: list[str] = []
        self.since = clock()

    def switch(self) -> None:
        """Add the time since the last switch to the call that was running."""
        now = self.clock()
        self.seconds[self.inside[-1] if self.inside else ""] += now - self.since
        self.since = now

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with a timer around it."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self.switch()
            self.inside.append(name)
            try:
                return function(*args, **kwargs)
            finally:
                self.switch()
                self.inside.pop()

        return run

    def watch(self, name: str, place: str, attribute: str) -> None:
        """Put a timer around the function `attribute` of the module or class at `place`."""
        owner = find(place)
        setattr(owner, attribute, self.timed(name, getattr(owner, attribute)))

    def watch_training(self) -> None:
        """Put a timer around every step of the epochs."""
        begin = self.timed(TRAINING, NetworkModel.start_training)

        def timed_epochs(epochs: Iterator[Any]) -> Iterator[Any]:
            step = self.timed(TRAINING, epochs.__next__)
            while True:
                try:
                    epoch = step()
                except StopIteration:
                    return
                yield epoch

        def start_training(*args: Any, **kwargs: Any) -> tuple[Any, Iterator[Any]]:
            untrained, epochs = begin(*args, **kwargs)
            return untrained, timed_epochs(epochs)

        NetworkModel.start_training = start_training


def find(place: str) -> Any:
    """Return the module, or the class of a module, at `place`."""
    module, _, name = place.rpartition(".")
    return getattr(import_module(module), name) if name[0].isupper() else import_module(place)


def profile(trials: int, folder: Path) -> dict[str, float]:
    """Return the milliseconds of a tracked trial by what takes them, without the start-up."""
    watch, warm = Stopwatch(), max(1, trials // 10)
    for name, place, attribute in TIMED:
        watch.watch(name, place, attribute)
    watch.watch_training()
    spent: dict[int, Counter[str]] = {}

    def on_progress(progress: Progress) -> None:
        if progress.done in (warm, trials) and progress.done not in spent:
            watch.switch()
            spent[progress.done] = watch.seconds.copy()

    search(digits_study(trials), folder, on_progress, tracked=True)
    spent[trials].subtract(spent[warm])
    per_trial = {name: 1000 * s / (trials - warm) for name, s in spent[trials].items()}
    rest = per_trial.pop("")
    return dict(sorted(per_trial.items(), key=lambda item: -item[1])) | {"everything else": rest}


def growth(trials: int, folder: Path) -> dict[str, float]:
    """Return the milliseconds in addition to training, around 1/21 and around 20/21 of the trials.

    They are CPU time, so that other load on the machine does not count.
    """
    watch = Stopwatch(process_time)
    watch.watch_training()
    beside: list[float] = []

    def on_progress(progress: Progress) -> None:
        if progress.done == len(beside):
            watch.switch()
            beside.append(watch.seconds[""])

    search(short_study(trials), folder, on_progress, tracked=False)
    each = [1000 * (after - before) for before, after in pairwise(beside)]
    place = trials // 21
    window = max(1, place // 2)
    early, late = (median(each[at - window : at + window]) for at in (place, 20 * place))
    return {"early": early, "late": late, "early at": place, "late at": 20 * place}


def short_study(trials: int) -> StudySettings:
    """Return a study with trainings of one epoch on iris."""
    settings = digits_study(trials)
    space = settings.trial.as_table() | {"epochs": 1, "hidden_layer_sizes": [10]}
    return settings.replace(name="growth", data={"source": "iris"}, trial=space)


def search(
    settings: StudySettings, folder: Path, on_progress: Callable[[Progress], None], *, tracked: bool
) -> None:
    """Run the study in this process."""
    run_study(
        settings,
        storage=str(folder / "hpsearch.journal"),
        tracker=Tracker(f"sqlite:///{folder}/mlflow.db") if tracked else None,
        on_progress=on_progress,
    )


def main() -> None:
    name, trials, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    measured = {"profile": profile, "growth": growth}[name](trials, folder)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
