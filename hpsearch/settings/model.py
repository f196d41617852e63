"""The [model] table of a study file: what is trained, if it is not the built-in network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import ByteSize, ConfigDict, Field, PlainValidator, TypeAdapter, model_validator

from hpsearch.settings.table import Count, SettingsTable, TableError
from hpsearch.trainables.clients import NAME
from hpsearch.trainables.source import Source

SOURCES = ("train", "estimator", "data", "final")  # the keys that name a function
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")  # package.module.Class


def _train_source(given: object) -> Source | None:
    return None if given is None else Source.of(given)


def _estimator_source(given: object) -> Source | None:
    """Return the class or function that makes an estimator; raises ValueError."""
    if isinstance(given, str) and DOTTED.fullmatch(given):
        given = ":".join(given.rsplit(".", 1))
    source = _train_source(given)
    if source is not None and source.is_program:
        raise ValueError(f'must name a class, such as "sklearn.svm.SVC", but got {given!r}')
    return source


def dotted(source: Source) -> str:
    """Return how a study file names an estimator: sklearn.svm.SVC, or prep.py:pipeline."""
    place = str(source.place)
    return place if source.file else place.replace(":", ".")


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
                read = _estimator_source if key == "estimator" else Source.of
                if (source := read(found[key])) is not None:
                    found[key] = source.beside(folder)
    return found


def _bytes(given: object) -> int | None:
    """Return a number of bytes: 4_000_000_000, "4G" or "4GiB"; raises ValueError."""
    try:
        return None if given is None else int(TypeAdapter(ByteSize).validate_python(given))
    except ValueError:
        raise ValueError(f'must be a size such as "4G", but got {given!r}') from None


class Resources(SettingsTable):
    """[model] resources: what a trial needs.

    cpu: cores. gpu: devices. memory: bytes, as a number or such as "4G".
    """

    cpu: Count | None = None
    gpu: Count | None = None
    memory: Annotated[int | None, PlainValidator(_bytes)] = None


class ModelSettings(SettingsTable):
    """[model]: a user's own model, what it is given, and what is kept of it.

    train: what trains it; or estimator: a scikit-learn estimator, which is trained on [data]; or
    clients: whether programs elsewhere train it, which ask the service for trials and tell it what
    came out. lease_seconds: how long one of these may be silent before its trial is given to
    another. data: the function that loads the data of `train`. final: the function that trains on
    everything but its test rows and scores those. threads: how many a trial uses. resources: what a
    trial needs, so that never more run at a time than fit. checkpoint_seconds: from one checkpoint
    of a trial to the next. keep: of how many of the best trials the checkpoint of the best epoch is
    kept. log_checkpoints: whether these go to MLflow.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )

    train: Annotated[Source | None, PlainValidator(_train_source)] = None
    estimator: Annotated[Source | None, PlainValidator(_estimator_source)] = None
    clients: bool = False
    lease_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    data: Annotated[Source | None, PlainValidator(_data_source)] = None
    final: Annotated[Source | None, PlainValidator(_data_source)] = None
    threads: Count = 1
    resources: Resources | None = None
    checkpoint_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    keep: Annotated[int, Field(ge=0)] = 5
    log_checkpoints: bool = False

    @model_validator(mode="after")
    def _one_model(self) -> ModelSettings:
        if (self.train is not None) + (self.estimator is not None) + self.clients != 1:
            raise TableError(
                ": must have either train, the function or program that trains, or estimator, a "
                "class of scikit-learn, or clients = true, for programs that ask the service"
            )
        for key in ("data", "final") if self.train is None else ():
            if getattr(self, key) is not None:
                has = "clients have data of their own"
                if self.estimator is not None:
                    has = "an estimator has the rows of [data]"
                raise TableError(f".{key}: is for train; {has}")
        return self

    @property
    def name(self) -> str:
        """What messages call it."""
        if self.estimator is not None:
            return dotted(self.estimator)
        return NAME if self.train is None else self.train.name

    @property
    def sources(self) -> dict[str, Source]:
        """The functions that it names, by key."""
        named = {key: getattr(self, key) for key in SOURCES}
        return {key: source for key, source in named.items() if source is not None}

    def as_table(self) -> dict[str, Any]:
        """Return the table as a study file has it: without the values that are the defaults."""
        table = self.model_dump(exclude={*SOURCES}, exclude_defaults=True)
        places = {key: source.place for key, source in self.sources.items()}
        named = {
            key: place if isinstance(place, str) else [*place] for key, place in places.items()
        }
        if self.estimator is not None:
            named["estimator"] = dotted(self.estimator)
        return {**named, **table}
