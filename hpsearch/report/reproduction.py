"""How to do a study again: a file, a command, and what else there is to know."""

from __future__ import annotations

import platform
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import __version__
from hpsearch.report.facts import Facts
from hpsearch.storage.open import DEFAULT_STORAGE, redact
from hpsearch.trials.records import (
    definition_of,
    experiment_name,
    first_round_id,
    known_study_id,
    round_number,
    setup_of,
    study_file,
)

if TYPE_CHECKING:
    from optuna.study import Study

PACKAGES = ("hpsearch", "optuna", "mlflow", "numpy", "scikit-learn")
INDEPENDENT = ("random", "qmc", "grid")  # samplers for which it is the same how trials ended


@dataclass(frozen=True)
class Again:
    """The study file and the command that runs it; or why there is none."""

    file: str = ""
    command: str = ""
    beside: str = ""  # the data file that the study file names, where it is relative
    notes: tuple[str, ...] = ()
    missing: str = ""


def again_of(study: Study, rounds: Sequence[Study], storage: str) -> Again:
    """Return how to run `study` again, a later round with all rounds before it.

    storage: where the study is kept, "" if that is not known. The command names another one.
    """
    own, name = study_file(study), study.study_name
    if own is None:
        return Again(
            missing="The study was not started by hpsearch, so there is no study file and no "
            "command that runs it again."
        )
    first, number = study, round_number(study)
    if number:
        name = experiment_name(study)
        found = _first_round(study, rounds)
        if found is None:
            return Again(
                missing=f"It is round {number} of the search {name}, and starts from the trials of "
                "the first round, which is not in the storage any more: so it cannot be done again."
            )
        first = found
    command = f"hpsearch study study.toml --name {shlex.quote(name)}"
    file = study_file(first) or ""
    command += f" --rounds {number}{_own_trials(own, file)}" if number else ""
    command += f" --storage {DEFAULT_STORAGE}" if storage not in ("", DEFAULT_STORAGE) else ""
    table = tomllib.loads(file)
    source = Path(table.get("data", {}).get("source", ""))
    beside = str(source) if source.suffix and not source.is_absolute() else ""
    notes = _chance(table.get("search", {}))
    if number:
        notes = [f"It runs the rounds 1 to {number}; this page is about round {number}.", *notes]
    return Again(file, command, beside, tuple(notes))


def _own_trials(own: str, first: str) -> str:
    """Return the option for as many trials as a round had, where the first has gone on since."""
    trials, now = (tomllib.loads(file).get("search", {}).get("trials") for file in (own, first))
    return "" if trials in (None, now) else f" --trials {trials}"


def _first_round(study: Study, rounds: Sequence[Study]) -> Study | None:
    """Return the first round of a later one, None if it is gone."""
    wanted = first_round_id(study)
    same = (each for each in rounds if study_file(each) and known_study_id(each) == wanted)
    return next(same, None)


def _chance(search: dict[str, Any]) -> list[str]:
    """Say what goes by the order in which trials end, which is chance where several run."""
    sampler, pruner = search.get("sampler", "tpe"), search.get("pruner", "median")
    parts = [] if sampler in INDEPENDENT else [f"the sampler {sampler}"]
    parts += [] if pruner == "none" else [f"the pruner {pruner}"]
    if not parts:
        return []
    go = "goes" if len(parts) == 1 else "go"
    return [
        "With several --jobs, then or now, it does not come out exactly the same: "
        f"{' and '.join(parts)} {go} by the trials that have ended so far."
    ]


def reproduction(facts: Facts, storage: str) -> list[tuple[str, str]]:
    """Return what there is to know beside the study file, as names and values."""
    setups = filter(None, map(setup_of, facts.trials))
    setup = next(setups, None)
    data = setup.data if setup else None
    packages = map(_version, PACKAGES)
    definition = definition_of(facts.study)
    rows = {
        "seed of this round" if round_number(facts.study) else "seed": str(
            definition.get("search.seed", setup.seed if setup else "")
        ),
        "repeats": f"{facts.seeds} of each configuration" if facts.seeds > 1 else "",
        "data": data.name if data else "",
        "digest of the data": definition.get("data.digest", data.digest if data else ""),
        "round": _round(facts),
        "storage": redact(storage),
        "versions here": ", ".join([f"Python {platform.python_version()}", *packages]),
    }
    return [(name, value) for name, value in rows.items() if value]


def _round(facts: Facts) -> str:
    number = round_number(facts.study)
    if not number:
        return ""
    return (
        f"{number} of the search {experiment_name(facts.study)}: it began with trials of the "
        "rounds before it, which are not counted here"
    )


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} {__version__}" if package == "hpsearch" else f"{package} unknown"
