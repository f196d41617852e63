"""Compare the speed of a search in hpsearch and in the stacks that people usually combine.

    python benchmarks/search.py [--quick] [--rounds 3] [--trials 100] [--only scikit hpsearch]

All contenders search the same configurations, drawn by hpsearch's random sampler: digits,
64-100-10, 20 epochs, batches of 32. They log the curves of every epoch to MLflow on SQLite, unless
their name says otherwise. Each contender runs in its own process, with one BLAS thread per process
and fresh stores in a temporary folder. They take turns, so that a noisy moment affects all of them;
the table shows the medians of the rounds, and a ratio is the median of the rounds' ratios.

Milliseconds, CPU and trials per second leave out the first tenth of the trials, in which everything
is imported, started and created. "in all" is the time of the whole process. CPU includes all
processes. RandomizedSearchCV does not report when a trial ends: it searches twice in one process,
only the second search counts, and "in all" includes both. Its accuracy is that of the last epoch,
not of the best.

The script then prints a profile of a tracked trial, and the overhead of a trial as a study grows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from search_contenders import CONTENDERS

HERE = Path(__file__).resolve().parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
OURS = "hpsearch, 2 jobs"
Measured = dict[str, float]


@dataclass(frozen=True)
class Goal:
    """A ratio of two contenders' measurements, and what it should be."""

    title: str
    key: str
    above: str
    below: str
    text: str = ""
    reached: Callable[[float], bool] | None = None


GOALS = [
    Goal(
        "trials per second, ÷ usual stack",
        "seconds",
        "usual stack, scikit-learn, n_jobs=2",
        OURS,
        "at least 10",
        lambda ratio: ratio >= 10,
    ),
    Goal(
        "trials per second, ÷ the same with PyTorch",
        "seconds",
        "usual stack, PyTorch, n_jobs=2",
        OURS,
    ),
    Goal(
        "trials per second, ÷ RandomizedSearchCV untracked",
        "seconds",
        "RandomizedSearchCV, n_jobs=2, untracked",
        OURS,
        "above 2",
        lambda ratio: ratio > 2,
    ),
    Goal(
        "CPU of a tracked trial, ÷ its training alone",
        "cpu",
        OURS,
        "training alone",
        "at most 3",
        lambda ratio: ratio <= 3,
    ),
]


def measure(script: str, name: str, trials: int) -> Measured:
    """Run `name` in its own process; return its measurements, and the time of the whole process."""
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": path}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / script), name, str(trials), folder]
        start = perf_counter()
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        seconds = perf_counter() - start
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured | {"in all": seconds}


def compete(names: Iterable[str], trials: int, rounds: int) -> dict[str, list[Measured]]:
    """Let the contenders search in turn; return the measurements of each, by round."""
    measured: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(1, rounds + 1):
        for name, results in measured.items():
            results.append(measure("search_contenders.py", name, trials))
            print(f"round {number}: {name}: {results[-1]}", file=sys.stderr, flush=True)
    return measured


def table(measured: dict[str, list[Measured]]) -> list[str]:
    """Return a table in Markdown, with the medians of the rounds of each contender."""
    lines = [
        f"| {'':40} | trials/s | ms per trial | CPU ms per trial | in all, s | best accuracy |",
        f"|{'-' * 42}|{'-' * 9}:|{'-' * 13}:|{'-' * 17}:|{'-' * 10}:|{'-' * 14}:|",
    ]
    for name, rounds in measured.items():
        middle = {key: median(result[key] for result in rounds) for key in rounds[0]}
        seconds, cpu = middle["seconds"], 1000 * middle["cpu"]
        lines.append(
            f"| {name:40} | {1 / seconds:8.1f} | {1000 * seconds:12.1f} | {cpu:16.1f} "
            f"| {middle['in all']:9.1f} | {middle['best']:13.4f} |"
        )
    return lines


def goals(measured: dict[str, list[Measured]]) -> list[str]:
    """Return a line for each ratio whose two contenders took part."""
    lines = []
    for goal in GOALS:
        if goal.above in measured and goal.below in measured:
            pairs = zip(measured[goal.above], measured[goal.below], strict=True)
            ratio = median(one[goal.key] / other[goal.key] for one, other in pairs)
            verdict = (
                f"   goal: {goal.text}, {outcome(goal.reached(ratio))}" if goal.reached else ""
            )
            lines.append(f"{goal.title:50} {ratio:6.2f}{verdict}")
    return lines


def outcome(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def show_overheads(profiled: int, grown: int) -> None:
    """Print where a trial's time goes, and whether trials take longer as the study grows."""
    spent = measure("search_overheads.py", "profile", profiled)
    spent.pop("in all")
    total = sum(spent.values())
    print("\nA tracked trial, one job (timers included):")
    for name, milliseconds in spent.items():
        print(f"  {name:42} {milliseconds:6.2f} ms  {milliseconds / total:4.0%}")
    print(f"  {'in all':42} {total:6.2f} ms")
    times = measure("search_overheads.py", "growth", grown)
    ratio = times["late"] / times["early"]
    print(f"\nCPU besides training (iris, one epoch, random sampler, journal, {grown} trials):")
    for place in ("early", "late"):
        print(f"  around trial {times[f'{place} at']:<6.0f} {times[place]:6.2f} ms")
    print(f"  ratio {ratio:.2f}   goal: at most 1.5, {outcome(ratio <= 1.5)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="one round of 20 trials, and a study of 210"
    )
    parser.add_argument("--rounds", type=int, help="number of rounds (3)")
    parser.add_argument("--trials", type=int, help="number of configurations (100)")
    parser.add_argument("--grown", type=int, help="trials of the study that grows (2100)")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the contenders' names")
    options = parser.parse_args()
    quick = options.quick
    trials = options.trials or (20 if quick else 100)
    names = [name for name in CONTENDERS if any(part in name for part in options.only)]
    absent = [name for name in names if "PyTorch" in name and not find_spec("torch")]
    names = [name for name in names if name not in absent]
    measured = compete(names, trials, options.rounds or (1 if quick else 3))
    print(*table(measured), sep="\n")
    for name in absent:
        print(f"{name}: not installed")
    print("", *goals(measured), sep="\n")
    show_overheads(trials, options.grown or (210 if quick else 2100))


if __name__ == "__main__":
    main()
