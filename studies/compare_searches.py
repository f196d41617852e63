"""Compare ways of searching one space: what they find, and after how many epochs.

    python studies/compare_searches.py random_search
    python studies/compare_searches.py tuning_scales --grid tuning_scales_grid --seeds 10

Each seed has its own data split, initial weights and draws, the same for all ways. The target is
the median of what plain random search finds. A search that never reaches it counts with all its
epochs. The studies are kept in `--storage`: started again, the script continues where it stopped,
and `hpsearch compare` draws any of them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from statistics import median

import optuna

from hpsearch import StudySettings, load_settings
from hpsearch.analysis.history import History
from hpsearch.cli.console import note, show_progress
from hpsearch.errors import HpsearchError
from hpsearch.search.rounds import run_rounds
from hpsearch.storage.catalog import study_settings
from hpsearch.trials.metrics import common_format


@dataclass(frozen=True)
class Way:
    """A way of searching; if it has several rounds, they share the trials."""

    sampler: str
    pruner: str = "none"
    rounds: int = 1


RANDOM = "random"
WAYS = {
    RANDOM: Way("random"),
    "random, median": Way("random", "median"),
    "tpe": Way("tpe"),
    "tpe, median": Way("tpe", "median"),
    "tpe, halving": Way("tpe", "halving"),
    "3 rounds, tpe, median": Way("tpe", "median", rounds=3),
}
GRID_WAYS = {RANDOM: WAYS[RANDOM], "tpe": WAYS["tpe"], "grid": Way("grid")}
"""The ways to compare with a grid: none of them prunes trials."""


@dataclass(frozen=True)
class Search:
    """A finished search: its history, and the settings of its last round."""

    history: History
    last: StudySettings


def search(
    settings: StudySettings, way: Way, seed: int, name: str, jobs: int, storage: str
) -> Search:
    """Return the search with this seed; continue it if an earlier start began it."""
    changes = {"sampler": way.sampler, "pruner": way.pruner, "seed": seed}
    trials = {} if way.sampler == "grid" else {"trials": -(-settings.search.trials // way.rounds)}
    settings = settings.replace(search=changes | trials, data={"split_seed": seed})
    note(name)
    with show_progress() as on_progress:
        outcomes = run_rounds(
            settings, way.rounds, name=name, storage=storage, jobs=jobs, on_progress=on_progress
        )
    history = History.of_rounds((each.study for each in outcomes), settings.search.metric)
    return Search(history, study_settings(outcomes[-1].study))


def table(found: dict[str, list[Search]]) -> list[str]:
    """Return the lines of a table in Markdown, with a row for each way."""
    target = median(each.history.best for each in found[RANDOM])
    needed = {
        way: [each.history.epochs_until(target) for each in searches]
        for way, searches in found.items()
    }
    plain = median(epochs for epochs, _ in needed[RANDOM])
    until = f"until {target:.4g} | ÷ random | never"
    lines = [
        f"| search | best, median | lowest | highest | epochs | {until} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    everything = [each for searches in found.values() for each in searches]
    metric = everything[0].last.search.metric
    how = common_format((each.history.best for each in everything), metric)
    for way, searches in found.items():
        best = [each.history.best for each in searches]
        spent = median(each.history.spent for each in searches)
        epochs = median(epochs for epochs, _ in needed[way])
        never = sum(not reached for _, reached in needed[way])
        numbers = f"{median(best):{how}} | {min(best):{how}} | {max(best):{how}} | {spent:.0f}"
        ratio = f"{epochs:.0f} | {epochs / plain:.2f} | {never} of {len(best)}"
        lines.append(f"| {way} | {numbers} | {ratio} |")
    return lines


def ranges(searches: list[Search]) -> list[str]:
    """Return the spaces of the last rounds, a line for each search."""
    spaces = [each.last.trial.searched.items() for each in searches]
    return [", ".join(f"{name} {entry}" for name, entry in space) for space in spaces]


def main() -> None:
    """Compare the ways, and print what they found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("study", help="a study file, or the name of one that comes with hpsearch")
    parser.add_argument("--grid", help="a study with the same space as a grid, to compare with")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, help="trials of each search, except the grid")
    parser.add_argument("--epochs", type=int, help="epochs of each trial")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--storage", default="compare_searches.journal")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    budget = {} if options.trials is None else {"trials": options.trials}
    length = {} if options.epochs is None else {"epochs": options.epochs}
    settings = load_settings(options.study).replace(search=budget, trial=length)
    grid = load_settings(options.grid).replace(trial=length) if options.grid else settings
    found: dict[str, list[Search]] = {}
    for way, how in (GRID_WAYS if options.grid else WAYS).items():
        base = f"{settings.name}-{way.replace(', ', '-').replace(' ', '-')}"
        found[way] = [
            search(
                grid if how.sampler == "grid" else settings,
                how,
                seed,
                f"{base}-{seed}",
                options.jobs,
                options.storage,
            )
            for seed in range(options.seeds)
        ]
    print("\n".join(table(found)))
    for way, how in WAYS.items():
        if way in found and how.rounds > 1:
            print(f"\nSpaces of the last round of {way}:", *ranges(found[way]), sep="\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("interrupted; the same command continues") from None
    except HpsearchError as error:
        raise SystemExit(f"Error: {error.for_command_line}") from None
