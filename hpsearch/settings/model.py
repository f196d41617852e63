"""The [model] table of a study file: what is trained, if it is not the built-in network."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator

from hpsearch.settings.table import Count, SettingsTable
from hpsearch.trainables.source import Source

SOURCES = ("train", "data")  # the keys that name a function


def _data_source(given: object) -> Source | None:
    """Return the function that loads a model's data; raises ValueError."""
    source = None if given is None else Source.of(given)
    if source is not None and source.is_program:
        raise ValueError(f'must name a function, such as "net.py:load", but got {given!r}')
    return source


def with_files_beside(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a [model] table whose files are looked up in `folder` unless they are here."""
    found = dict(table)
    for key in SOURCES:
        with suppress(ValueError):  # the table is checked later
            if key in found:
                found[key] = Source.of(found[key]).beside(folder)
    return found


class ModelSettings(SettingsTable):
    """[model]: a user's own model, what it is given, and what is kept of it.

    data: the function that loads its data. threads: how many a trial uses. checkpoint_seconds: from
    one checkpoint of a trial to the next. keep: of how many of the best trials the checkpoint of
    the best epoch is kept. log_checkpoints: whether these go to MLflow.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )

    train: Annotated[Source, PlainValidator(Source.of)]
    data: Annotated[Source | None, PlainValidator(_data_source)] = None
    threads: Count = 1
    checkpoint_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    keep: Annotated[int, Field(ge=0)] = 5
    log_checkpoints: bool = False

    @property
    def sources(self) -> dict[str, Source]:
        """The functions that it names, by key."""
        named = {key: getattr(self, key) for key in SOURCES}
        return {key: source for key, source in named.items() if source is not None}

    def as_table(self) -> dict[str, Any]:
        """Return the table as a study file has it: without the values that are the defaults."""
        table = self.model_dump(exclude={*SOURCES}, exclude_defaults=True)
        places = {key: source.place for key, source in self.sources.items()}
        return {
            **{key: place if isinstance(place, str) else [*place] for key, place in places.items()},
            **table,
        }
