"""How many epochs each way of searching needs to find something good.

    python benchmarks/search_quality.py [--task mnist table] [--seeds 10-29] [--only NAME]
        [--peers] [--variants] [--pool] [--budget-only] [--folder FOLDER] [--figure FILE]

The tasks: 1,000 rows of MNIST with 10 epochs a trial; the same with 14×14 pixels, 27 epochs and a
decay that is searched; a made-up table with 20 epochs and 8 keys; digits with 30 and with 5 epochs;
and seven layers that start slowly, on 400 rows of MNIST with 50 epochs. MNIST must be in
$HPSEARCH_DATA/mnist; the script makes the other data.

The target is half a point of accuracy below what 100 complete random trials find in the median.
The target, and the epochs that random search needs, follow from the curves of 1,000 random
configurations, which the script trains first and keeps in FOLDER: 30 seconds to 3 minutes a task.
Every method is compared at a budget of 15 complete trials, and at three times that.

Epochs count in the order in which they end. A run that has not reached the target in all its epochs
counts with all of them: ">" marks a median or quartile above that. The mean is over the same
counts, and "÷ default" is a ratio of such means over the same seeds, with a 90 % interval from
10,000 bootstrap samples of the seeds. "first whole" is the number of the first trial that ran to
its end, in the median and at the latest.

Seeds 0 to 9 are for choosing between settings, seeds 10 to 29 for reporting. `--pool` trains
nothing: a configuration gets the curve of the nearest one of the 1,000 that no trial has had, which
is fast enough to choose by. `--peers` adds BOHB, DEHB, SMAC3 and MOBSTER; see search_peers.py.
Finished runs are kept in FOLDER too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
from machine import processor
from numpy.typing import NDArray
from search_methods import DEFAULT, METHODS, VARIANTS, Method, Run, run_all
from search_peers import PEERS, Peer
from search_tasks import QUICK, TASKS, Curves, Task, make_data, tabulate

QUARTERS = (0.25, 0.5, 0.75)
FOLDER = Path("build/search_quality")
RESAMPLES, INTERVAL = 10_000, (0.05, 0.95)
COLUMNS = (
    "Method",
    "epochs to target",
    "quartiles",
    "÷ random",
    "not reached",
    "mean",
    "÷ default (90 %)",
    "best at budget",
    "best at 3×",
    "first whole",
)

Counts = NDArray[np.float64]


def counts_of(runs: Sequence[Run], target: float, length: int) -> Counts:
    """Return the epochs until the target of each run, infinite if it takes more than `length`."""
    counts = []
    for run in runs:
        epochs, reached = run.history.epochs_until(target)
        counts.append(epochs if reached and epochs <= length else np.inf)
    return np.array(counts)


def quartiles(counts: Counts) -> list[float]:
    """Return the quartiles; where one lies between two counts, the higher of these."""
    ordered = np.sort(counts)
    return [float(ordered[ceil(share * (len(ordered) - 1))]) for share in QUARTERS]


def ratio(counts: Counts, others: Counts) -> str:
    """Return the ratio of the means of two methods over the same seeds, with its interval."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(counts), size=(RESAMPLES, len(counts)))
    low, high = np.quantile(counts[drawn].mean(1) / others[drawn].mean(1), INTERVAL)
    return f"{counts.mean() / others.mean():.2f} ({low:.2f} to {high:.2f})"


def summary(runs: Mapping[str, Sequence[Run]], curves: Curves, length: int) -> list[str]:
    """Return the lines of a table in Markdown, with a row for each method."""
    task, plain = curves.task, float(np.median(curves.random_epochs))
    known = {name: counts_of(each, curves.target, length) for name, each in runs.items()}
    capped = {name: np.minimum(counts, length) for name, counts in known.items()}
    lines = [row(COLUMNS), row(["---", *["---:"] * (len(COLUMNS) - 1)])]
    lines.append(row(["random", *random_cells(curves, length)]))
    for name, counts in known.items():
        first, middle, third = quartiles(counts)
        firsts = [run.first_whole or np.inf for run in runs[name]]
        cells = [
            shown(middle, length),
            f"{shown(first, length)} to {shown(third, length)}",
            shown(middle / plain, length / plain, digits=2),
            f"{np.isinf(counts).sum()} of {len(counts)}",
            f"{capped[name].mean():.0f}",
            ratio(capped[name], capped[DEFAULT]) if DEFAULT in runs and name != DEFAULT else "1",
            *(best_at(runs[name], epochs) for epochs in (task.budget, task.longest)),
            f"{whole(float(np.median(firsts)))}, {whole(max(firsts))}",
        ]
        lines.append(row([name, *cells]))
    return lines


def random_cells(curves: Curves, length: int) -> list[str]:
    """Return the cells of random search, which follow from the curves alone."""
    counts, task = curves.random_epochs, curves.task
    first, middle, third = np.quantile(counts, QUARTERS)
    missed = f"{(counts > length).mean():.0%}"
    rng = np.random.default_rng(0)
    best = [
        np.median(rng.choice(curves.best, (RESAMPLES, epochs // task.epochs)).max(1))
        for epochs in (task.budget, task.longest)
    ]
    mean = f"{np.minimum(counts, length).mean():.0f}"
    spread = f"{first:.0f} to {third:.0f}"
    return [f"{middle:.0f}", spread, "1", missed, mean, "", *(f"{x:.4f}" for x in best), "1, 1"]


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def shown(value: float, most: float, digits: int = 0) -> str:
    return f"> {most:.{digits}f}" if np.isinf(value) else f"{value:.{digits}f}"


def whole(number: float) -> str:
    return "none" if np.isinf(number) else f"{number:.0f}"


def best_at(runs: Sequence[Run], epochs: int) -> str:
    """Return the median best after `epochs`, with quartiles; "" if a run was shorter."""
    if any(run.length < epochs for run in runs):
        return ""
    best = [run.history.best_after(np.array([epochs]))[0] for run in runs]
    low, middle, high = np.quantile(best, QUARTERS)
    return f"{middle:.4f} ({low:.4f} to {high:.4f})"


def draw(runs: Mapping[str, Sequence[Run]], curves: Curves, length: int, path: Path) -> None:
    """Draw the best so far against the epochs spent: median, and a band between the quartiles.

    The bands of many methods would hide one another, so each method has a panel, with random
    search.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    spent = np.arange(curves.task.epochs, length + 1)
    bands = {
        name: np.quantile([run.history.best_after(spent) for run in each], QUARTERS, axis=0)
        for name, each in runs.items()
    }
    plain = np.quantile(curves.random_best(length)[:, spent - 1], QUARTERS, axis=0)
    columns = min(4, len(runs))
    rows = -(-len(runs) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(3.1 * columns, 2.6 * rows),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for panel, (name, band) in zip(axes.flat, bands.items(), strict=False):
        for (low, middle, high), color in ((plain, "0.5"), (band, "C0")):
            panel.fill_between(spent, low, high, color=color, alpha=0.2, linewidth=0)
            panel.plot(spent, middle, color=color)
        panel.axhline(curves.target, color="C3", linewidth=0.8, linestyle="--")
        panel.set_title(name, fontsize=10)
        top = max(band[2].max() for band in bands.values())
        panel.set_ylim(curves.target - 0.05, top + 0.005)
    for panel in list(axes.flat)[len(runs) :]:
        panel.set_visible(False)
    figure.supxlabel("epochs spent (grey: random search; dashed: the target)")
    figure.supylabel("best validation accuracy so far")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def chosen(options: argparse.Namespace) -> dict[str, Method | Peer]:
    """Return the methods to compare; the default is always among them.

    A name of `--only` stands for the method of that name, else for all that it is a part of.
    """
    methods: dict[str, Method | Peer] = {**METHODS, **(VARIANTS if options.variants else {})}
    if options.peers:
        methods |= PEERS
    names = {DEFAULT, *options.only} & methods.keys()
    parts = [part for part in options.only if part not in methods]
    return {n: m for n, m in methods.items() if n in names or any(part in n for part in parts)}


def seeds_of(text: str) -> range:
    """Return the seeds from the first to the last, both included."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def compare(task: Task, options: argparse.Namespace) -> None:
    """Run the methods on one task, and print the table."""
    options.folder.mkdir(parents=True, exist_ok=True)
    make_data(task, options.folder)
    curves = tabulate(task, options.folder)
    wanted = chosen(options)
    methods = {name: method for name, method in wanted.items() if method.available}
    length = task.budget if options.budget_only else task.longest
    runs = run_all(
        methods,
        task,
        options.seeds,
        length,
        options.folder,
        jobs=options.jobs,
        pooled=options.pool,
    )
    how = "from the pool of tabulated curves" if options.pool else "trained"
    print(f"\n{task.title}: {how}, seeds {options.seeds.start} to {options.seeds.stop - 1}")
    print(f"budget {task.budget} epochs, counted up to {length}; {processor()}")
    print(
        f"target {curves.target:.4f}, which {curves.reaching:.1%} of {len(curves.best)} random "
        f"configurations reach; random search needs {np.median(curves.random_epochs):.0f} epochs"
    )
    print(*summary(runs, curves, length), sep="\n")
    for name in wanted.keys() - methods.keys():
        print(f"{name}: its package is not installed")
    if options.figure:
        draw(runs, curves, length, options.figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small task, 2 seeds")
    parser.add_argument("--task", nargs="+", default=[*TASKS], choices=[*TASKS])
    parser.add_argument("--seeds", type=seeds_of, help="from the first to the last (10-29)")
    parser.add_argument("--jobs", type=int, default=2, help="number of runs in parallel")
    parser.add_argument(
        "--only", nargs="+", default=[""], help="names of methods, or parts of them"
    )
    parser.add_argument("--variants", action="store_true", help="compare other options as well")
    parser.add_argument("--peers", action="store_true", help="compare other packages as well")
    parser.add_argument("--pool", action="store_true", help="take curves instead of training")
    parser.add_argument("--budget-only", action="store_true", help="end at the budget")
    parser.add_argument("--curves", type=int, help="number of random configurations (1,000)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"what is kept ({FOLDER})")
    parser.add_argument("--figure", type=Path, help="file to draw a figure of the last task to")
    options = parser.parse_args()
    options.seeds = options.seeds or seeds_of("10-11" if options.quick else "10-29")
    tasks = [QUICK] if options.quick else [TASKS[name] for name in options.task]
    if "HPSEARCH_DATA" not in os.environ and any(task.needs_mnist for task in tasks):
        parser.error("HPSEARCH_DATA is not set to the folder that holds mnist; see --task")
    for task in tasks:
        compare(replace(task, curves=options.curves or task.curves), options)


if __name__ == "__main__":
    main()
