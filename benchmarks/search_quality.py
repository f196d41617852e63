"""How many epochs each way of searching needs to find something good.

    python benchmarks/search_quality.py [--quick] [--seeds 10] [--cache FILE] [--figure FILE]

All methods search one fixed space for a network on a few thousand rows of MNIST, which none solves
completely (`--quick` and `--data digits` use digits instead). Every method may spend the same
number of epochs: as many as 100 trials that are never pruned. Epochs count in the order in which
they end, up to the one that reaches the target. The target is half a point of accuracy below the
median, over the seeds, of what plain random search finds in all its epochs.

A run that never reaches the target counts with all the epochs it spent, which is a lower bound: "≥"
marks a median or quartile that is one. `--variants` also compares other settings of the samplers,
pruners and margins. MNIST must be in $HPSEARCH_DATA/mnist.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from math import ceil, floor
from pathlib import Path
from statistics import median

from search_methods import METHODS, MNIST, QUICK, VARIANTS, Method, Sizes, available, run_all

from hpsearch.analysis.history import History

POINTS_BELOW = 0.005  # how far the target is below what random search finds
QUARTERS = (0.25, 0.5, 0.75)
RANDOM = "random"


def quantile(counts: list[tuple[float, bool]], share: float) -> tuple[float, bool]:
    """Return a quantile of counts that may be lower bounds, and whether it is exact.

    It is a lower bound if a count up to it is one, because that run may belong further up.
    """
    counts = sorted(counts, key=lambda count: (count[0], not count[1]))
    place = share * (len(counts) - 1)
    below, above = floor(place), ceil(place)
    exact = all(known for _, known in counts[: above + 1])
    part = place - below
    return (1 - part) * counts[below][0] + part * counts[above][0], exact


def target_of(runs: list[History]) -> float:
    """Return the accuracy to reach, from the runs of plain random search."""
    return median(run.best for run in runs) - POINTS_BELOW


def median_epochs(runs: list[History], target: float) -> float:
    """Return the median of the epochs that the runs needed, or spent, to reach the target."""
    return median(run.epochs_until(target)[0] for run in runs)


def summary(runs: dict[str, list[History]], target: float) -> list[str]:
    """Return the lines of a table in Markdown, with a row for each method."""
    lines = [
        "| Method | Epochs to target | quartiles | ÷ random | never reached | best | trials |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    plain = median_epochs(runs[RANDOM], target)
    for name, seed_runs in runs.items():
        counts = [run.epochs_until(target) for run in seed_runs]
        first, (middle, exact), third = (quantile(counts, share) for share in QUARTERS)
        never = sum(not reached for _, reached in counts)
        best = median(run.best for run in seed_runs)
        trials = median(run.trials for run in seed_runs)
        lines.append(
            f"| {name} | {shown(middle, exact)} | {shown(*first)} to {shown(*third)} "
            f"| {shown(middle / plain, exact, digits=2)} | {never} of {len(counts)} "
            f"| {best:.4f} | {trials:.0f} |"
        )
    return lines


def shown(value: float, exact: bool, digits: int = 0) -> str:
    return f"{'' if exact else '≥ '}{value:.{digits}f}"


def goal(runs: dict[str, list[History]], target: float) -> str:
    """Return a sentence: whether the best method needs a third of the epochs of random search."""
    medians = {name: median_epochs(seed_runs, target) for name, seed_runs in runs.items()}
    best = min((name for name in medians if name != RANDOM), key=lambda name: medians[name])
    ratio = medians[best] / medians[RANDOM]
    verdict = "reached" if ratio <= 1 / 3 else "MISSED"
    return f"The best is {best}: {ratio:.3f} of random's epochs; goal: at most 0.333, {verdict}"


def draw(runs: dict[str, list[History]], target: float, sizes: Sizes, path: Path) -> None:
    """Draw the best so far against the epochs spent: median, and a band between the quartiles.

    The bands of many methods would hide one another, so each method has a panel, with random
    search.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import numpy as np
    from matplotlib import pyplot as plt

    spent = np.arange(sizes.epochs, sizes.budget + 1)
    names = [name for name in runs if name != RANDOM]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(3.1 * columns, 2.6 * rows),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    quartiles = {
        name: np.quantile([run.best_after(spent) for run in seed_runs], QUARTERS, axis=0)
        for name, seed_runs in runs.items()
    }
    for panel, name in zip(axes.flat, names, strict=False):
        for method, color in ((RANDOM, "0.5"), (name, "C0")):
            low, middle, high = quartiles[method]
            panel.fill_between(spent, low, high, color=color, alpha=0.2, linewidth=0)
            panel.plot(spent, middle, color=color, label=method)
        panel.axhline(target, color="C3", linewidth=0.8, linestyle="--")
        panel.set_title(name, fontsize=10)
        panel.set_ylim(target - 0.05, max(band[2].max() for band in quartiles.values()) + 0.005)
    for panel in list(axes.flat)[len(names) :]:
        panel.set_visible(False)
    figure.supxlabel("epochs spent (grey: random search; dashed: the target)")
    figure.supylabel("best validation accuracy so far")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def chosen(options: argparse.Namespace) -> dict[str, Method]:
    """Return the methods to compare; random search is always among them."""
    methods = METHODS | (VARIANTS if options.variants else {})
    return {n: m for n, m in methods.items() if n == RANDOM or options.only in n}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="digits, 2 seeds, 8 trials")
    parser.add_argument("--data", default="mnist", choices=["mnist", "digits"])
    parser.add_argument("--seeds", type=int, help="number of runs of each method (10)")
    parser.add_argument("--jobs", type=int, default=2, help="number of runs in parallel")
    parser.add_argument("--only", default="", help="methods with this in their name, and random")
    parser.add_argument("--variants", action="store_true", help="compare other options as well")
    parser.add_argument("--cache", type=Path, help="file to keep finished runs in")
    parser.add_argument("--figure", type=Path, help="file to draw a figure to")
    options = parser.parse_args()
    sizes = QUICK if options.quick else MNIST
    if options.data == "digits":
        sizes = replace(sizes, source="digits", limit=None, train_limit=200)
    if sizes.source == "mnist" and "HPSEARCH_DATA" not in os.environ:
        parser.error("HPSEARCH_DATA is not set to the folder that holds mnist; see --data")
    seeds = options.seeds or (2 if options.quick else 10)
    methods = {name: m for name, m in chosen(options).items() if available(m)}
    runs = run_all(methods, range(seeds), sizes, jobs=options.jobs, kept=options.cache)
    target = target_of(runs[RANDOM])
    print(f"{sizes}; {seeds} seeds; target {target:.4f}")
    print(*summary(runs, target), sep="\n")
    for name in chosen(options).keys() - methods.keys():
        print(f"{name}: torch is not installed")
    if len(runs) > 1:
        print(goal(runs, target))
    if options.figure and len(runs) > 1:
        draw(runs, target, sizes, options.figure)


if __name__ == "__main__":
    main()
