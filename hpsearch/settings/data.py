"""The [data] table of a study file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hpsearch.data.weights import BALANCED, ClassWeight
from hpsearch.formatting import unknown_name
from hpsearch.settings.table import (
    Count,
    NonNegative,
    SettingsTable,
    TableError,
    wrong_value,
)

NAMES = {  # those of the reader, which a study file is checked without
    "scale": ("standardize", "unit", "global", "none"),
    "draw": ("stratified", "first"),
    "validation": ("split", "test"),
    "task": ("auto", "classification", "regression"),
    "text": ("refuse", "tfidf"),
}
SCORING = ("positive",)  # keys that say how predictions are scored
TRAINING = ("scale", "class_weight")  # keys that say how rows are trained on


class Folds(SettingsTable):
    """`validation = { folds = 5 }`: how often the rows are divided, and how often all of that."""

    folds: Annotated[int, Field(ge=2)]
    repeats: Count = 1

    def __str__(self) -> str:
        return f"{self.folds} folds" + (f", {self.repeats} times" if self.repeats > 1 else "")


Columns = Annotated[tuple[str, ...], Field(min_length=1)]
Character = Annotated[str, Field(min_length=1, max_length=1)]


def _target(value: object) -> str | tuple[str, ...] | None:
    """Return the column to predict, or several; raises ValueError."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        return tuple(value) if len(value) > 1 else str(value[0])
    raise ValueError(f"must be text, or a list of columns, but got {value}")


def _validation(value: object) -> str | Folds:
    """Return a name, a file, or folds; raises ValueError."""
    if isinstance(value, str | Folds):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"must be text, or {{ folds = 5 }}, but got {value!r}")
    try:
        return Folds(**value)
    except ValidationError as error:
        found = error.errors()
    wrong = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    key = str(wrong["loc"][0])
    if key not in Folds.model_fields:
        raise TableError(f": {unknown_name(key, Folds.model_fields, 'a key here')}")
    problem = "is missing" if wrong["type"] == "missing" else wrong_value(wrong)
    raise TableError(f".{key}: {problem}")


def _class_weight(value: object) -> ClassWeight | None:
    """Return "balanced", or how much the rows of a class count, by its name; raises ValueError."""
    if value is None or value == BALANCED:
        return value and BALANCED
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f'must be "balanced", or {{ NAME = 2.0 }}, but got {value!r}')
    for name, weight in value.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 <= weight < math.inf:
            raise TableError(f".{name}: must be a number of at least 0, but got {weight!r}")
    return {str(name): float(weight) for name, weight in value.items()}


def _place_of(name: str, folder: Path) -> str:
    """Return where a file is: here, or else in `folder`; its name if it is in neither."""
    there = os.path.join(folder, name) if Path(name).suffix else ""
    return there if not os.path.exists(name) and os.path.isfile(there) else name


class DataSettings(SettingsTable):
    """[data]: what the trials are trained on, as the arguments of `load_dataset`."""

    source: str = "digits"
    more: Columns | None = None  # files with further rows; a list as source says both
    target: Annotated[str | tuple[str, ...] | None, PlainValidator(_target)] = None
    task: str | None = None
    drop: Columns | None = None
    id: Columns | None = None
    text: str | None = None
    max_categories: Annotated[int, Field(ge=2)] | None = None
    decimal: Character | None = None
    thousands: Character | None = None
    groups: str | None = None  # the column whose equal values stay in one part
    time: str | None = None  # the column that says which rows are later
    weight: str | None = None  # the column of how much each row counts
    class_weight: Annotated[ClassWeight | None, BeforeValidator(_class_weight)] = None
    positive: str | None = None  # of two classes the one that f1, recall and precision are about
    limit: Count | None = None
    train_limit: Count | None = None
    scale: str = "standardize"
    split_seed: NonNegative = 0
    draw: str = "stratified"  # which rows `limit` keeps; "first" keeps the first ones
    shuffle: bool | None = None  # False: the last rows are held out
    # On a fifth of the rows, on folds, on a file, or on the source's "test" set.
    validation: Annotated[str | Folds, BeforeValidator(_validation)] = "split"
    test: str | None = None  # a file with the test rows
    reading: Literal[1, 2] | None = None  # 1 reads a table as version 0.1 did

    @model_validator(mode="before")
    @classmethod
    def _several_files(cls, table: Any) -> Any:
        """Take the first file of a list as the source, and the others as further rows."""
        given = table.get("source") if isinstance(table, Mapping) else None
        if not isinstance(given, list | tuple):
            return table
        if not given or table.get("more"):
            raise TableError(".source: must be one file or more; with a list leave more out")
        first, *others = given
        return {**table, "source": first, **({"more": others} if others else {})}

    @field_validator("drop", "id", "more", mode="before")
    @classmethod
    def _lists(cls, value: Any, field: ValidationInfo) -> Any:
        if isinstance(value, str):
            what = "files" if field.field_name == "more" else "columns"
            raise ValueError(f'must be a list of {what}, such as ["{value}"]')
        return tuple(value) if isinstance(value, list) else value

    @field_validator(*NAMES)
    @classmethod
    def _known_name(cls, value: Any, field: ValidationInfo) -> Any:
        name = str(field.field_name)
        if (
            not isinstance(value, str)
            or value in NAMES[name]
            or (name == "validation" and "." in value)
        ):
            return value
        raise ValueError(unknown_name(value, NAMES[name], f"a {name}"))

    @model_validator(mode="after")
    def _draw_needs_limit(self) -> DataSettings:
        if self.draw == "first" and self.limit is None:
            raise ValueError(
                "draw = 'first' chooses the rows that limit keeps; set limit, or leave draw out"
            )
        return self

    def found_in(self, folder: Path) -> dict[str, Any]:
        """Return the files that are not here but in `folder`, by key and with their paths there."""
        validation = self.validation if isinstance(self.validation, str) else None
        named = {"source": self.source, "validation": validation, "test": self.test}
        found: dict[str, Any] = {}
        for key, name in named.items():
            if name and (place := _place_of(name, folder)) != name:
                found[key] = place
        more = [_place_of(name, folder) for name in self.more or ()]
        return found if more == [*(self.more or ())] else {**found, "more": more}

    @property
    def validated_on(self) -> str:
        """What the trials are validated on, in words: "split", "test", a file, or "5 folds"."""
        return str(self.validation)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `load_dataset`."""
        return self.model_dump(exclude={*SCORING}, exclude_none=True)

    def parts(self) -> dict[str, Any]:
        """Return the arguments of `read_parts`, which reads and splits the rows."""
        return self.model_dump(exclude={*SCORING, *TRAINING}, exclude_none=True)

    def as_table(self) -> Mapping[str, Any]:
        """Return the table as a study file has it, with the values of 0.1 that are the defaults."""
        table = self.model_dump(exclude_none=True)
        if isinstance(self.validation, Folds):
            table["validation"] = self.validation.model_dump(exclude_defaults=True)
        lists = {key: [*value] for key, value in table.items() if isinstance(value, tuple)}
        return table | lists
