"""How to run a study again: its study file, a command, and the facts to check the result by."""

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
from hpsearch.settings.names import INDEPENDENT
from hpsearch.storage.open import DEFAULT_STORAGE, redact
from hpsearch.trials.records import (
    definition_of,
    experiment_name,
    first_round_id,
    round_number,
    setup_of,
    study_file,
    study_id,
)

if TYPE_CHECKING:
    from optuna.study import Study

PACKAGES = ("hpsearch", "optuna", "mlflow", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Reproduction:
    """The study file and the command that runs it, or in `missing` the reason why there is none."""

    file: str = ""
    command: str = ""
    beside: str = ""  # the data file that the study file names, if its path is relative
    notes: tuple[str, ...] = ()
    missing: str = ""


def reproduction_of(study: Study, rounds: Sequence[Study], storage: str) -> Reproduction:
    """Return how to run `study` again; a later round needs all rounds before it.

    rounds: all rounds of the search. storage: the URL of the study's storage, "" if unknown; the
    command uses a different one.
    """
    own, name = study_file(study), study.study_name
    if own is None:
        return Reproduction(
            missing="The study was not started by hpsearch, so there is no study file and no "
            "command that runs it again."
        )
    first, number = study, round_number(study)
    if number:
        name = experiment_name(study)
        first_round = _first_round(study, rounds)
        if first_round is None:
            return Reproduction(
                missing=f"This is round {number} of the search {name}. It started from the trials "
                "of the first round, which is no longer in the storage, so it cannot be run again."
            )
        first = first_round
    command = f"hpsearch study study.toml --name {shlex.quote(name)}"
    file = study_file(first) or ""
    command += f" --rounds {number}{_own_trials(own, file)}" if number else ""
    command += f" --storage {DEFAULT_STORAGE}" if storage not in ("", DEFAULT_STORAGE) else ""
    table = tomllib.loads(file)
    source = Path(table.get("data", {}).get("source", ""))
    beside = str(source) if source.suffix and not source.is_absolute() else ""
    notes = _order_notes(table.get("search", {}))
    if number:
        notes = [f"It runs rounds 1 to {number}; this page is about round {number}.", *notes]
    return Reproduction(file, command, beside, tuple(notes))


def _own_trials(own: str, first: str) -> str:
    """Return `--trials` for a round's own number, "" if the first round's file has the same one."""
    trials, now = (tomllib.loads(file).get("search", {}).get("trials") for file in (own, first))
    return "" if trials in (None, now) else f" --trials {trials}"


def _first_round(study: Study, rounds: Sequence[Study]) -> Study | None:
    """Return the first round of a later round's search, None if it was deleted."""
    wanted = first_round_id(study)
    same = (each for each in rounds if study_file(each) and study_id(each) == wanted)
    return next(same, None)


def _order_notes(search: dict[str, Any]) -> list[str]:
    """Return a sentence on what depends on the order in which parallel trials end."""
    sampler, pruner = search.get("sampler", "tpe"), search.get("pruner", "median")
    parts = [] if sampler in INDEPENDENT else [f"the {sampler} sampler"]
    parts += [] if pruner == "none" else [f"the {pruner} pruner"]
    if not parts:
        return []
    depend = "depends" if len(parts) == 1 else "depend"
    return [
        "If either run uses several --jobs, the results are not exactly the same: "
        f"{' and '.join(parts)} {depend} on which trials have ended so far."
    ]


def provenance(facts: Facts, storage: str) -> list[tuple[str, str]]:
    """Return names and values of what the study file does not contain: seed, data, versions."""
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
        "data digest": definition.get("data.digest", data.digest if data else ""),
        "round": _round(facts),
        "storage": redact(storage),
        "installed versions": ", ".join([f"Python {platform.python_version()}", *packages]),
    }
    return [(name, value) for name, value in rows.items() if value]


def _round(facts: Facts) -> str:
    number = round_number(facts.study)
    if not number:
        return ""
    return (
        f"{number} of the search {experiment_name(facts.study)}; it started with copies of trials "
        "from earlier rounds, which are not counted here"
    )


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} {__version__}" if package == "hpsearch" else f"{package} unknown"
