"""The definition of a study: what it searches, as text; a study continues while it is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpsearch.data.files import is_table
from hpsearch.space.ranges import Value, shape_name

if TYPE_CHECKING:
    from hpsearch.settings.study import StudySettings

READING = "data.reading"  # a study of version 0.1 lacks it
TASK, NOT_SET = "data.task", "not set"
MODEL = "model."  # how the keys of what trains begin, if it is not the built-in network


def definition(settings: StudySettings, data_digest: str) -> dict[str, str]:
    """Return what `settings` search: key → value, as text.

    Budget, sampler, pruner and the location of the data are not part of it.
    """
    space = settings.trial
    entries = {
        **_what_is_trained(settings, data_digest),
        "search.metric": settings.search.metric,
        "search.seed": settings.search.seed,
        "search.value": settings.search.value,
        "search.seeds": settings.search.seeds,
        "search.first_draw": settings.search.first_draw or 0,
        **{f"trial.{key}": space.described(key) for key in [*space.fixed, *space.searched]},
        **{
            f"enqueue[{n}]": f"{e.label} {dict(sorted(e.values.items()))}"
            for n, e in enumerate(settings.enqueue)
        },
    }
    return {key: _text(value) for key, value in entries.items()}


def _what_is_trained(settings: StudySettings, data_digest: str) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    if settings.model is not None:
        sources = settings.model.sources.items()
        entries = {f"model.{key}": source.name for key, source in sources}
        if settings.model.clients:
            entries["model.clients"] = True
        entries["search.direction"] = settings.search.direction
    if settings.uses_data:
        data = settings.data.model_dump(exclude={"source", "more", "reading"}, exclude_none=True)
        entries |= {f"data.{key}": value for key, value in data.items()}
        entries["data.validation"] = settings.data.validated_on
        entries["data.digest"] = data_digest
        if settings.model is None and is_table(settings.data.source) and settings.data.reading != 1:
            entries[READING] = 2
    return entries


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the differences between two definitions, such as "trial.epochs 20, now 30".

    A key that is missing on one side has its default there. Tables that are read in another way
    have other digests.
    """
    defaults = {f"trial.{key}": _text(value) for key, value in _known_defaults(was, now).items()}
    defaults |= {"search.value": "best", "search.seeds": "1", "search.first_draw": "0"}
    defaults |= {"data.draw": "stratified", "data.validation": "split", "data.shuffle": "True"}
    changed = []
    for key in sorted((was.keys() | now.keys()) - {READING}):
        old, new = (side.get(key, defaults.get(key, NOT_SET)) for side in (was, now))
        if key == TASK and NOT_SET in (old, new):
            continue  # what the labels are taken for: another task has another metric or loss
        if old != new and key == "data.digest":
            changed.append(f"other data (digest {old[:8]}, now {new[:8]})")
        elif old != new:
            changed.append(f"{key} {old}, now {new}")
    return changed


def _known_defaults(*definitions: Mapping[str, str]) -> Mapping[str, Value]:
    """Return the values of the [trial] keys that are left out; a user's own model has none."""
    if any(key.startswith(MODEL) for each in definitions for key in each):
        return {}
    from hpsearch.trainables.network_keys import DEFAULTS  # imports the training core

    return DEFAULTS


def _text(value: object) -> str:
    return shape_name(value) if isinstance(value, tuple) else str(value)
