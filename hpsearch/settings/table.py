"""What the tables of a study file share: strict types, and sentences for wrong values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails

Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class SettingsTable(BaseModel):
    """A table of a study file: it accepts only known keys, and values only of the declared type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TableError(ValueError):
    """A table is wrong; the message continues its name: ".KEY: …", or ": …" for all of it."""


EXPECTED = {
    "model_type": "a table",
    "dict_type": "a table",
    "tuple_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "float_type": "a number",
    "finite_number": "a finite number",
}


def wrong_value(error: ErrorDetails) -> str:
    """Return what is wrong with a value that pydantic refused: "must be …, but got …"."""
    match error["type"]:
        case "greater_than_equal":
            expected = f"at least {error['ctx']['ge']}"
        case "greater_than":
            expected = f"above {error['ctx']['gt']:g}"
        case "literal_error":
            expected = error["ctx"]["expected"]
        case other:
            expected = EXPECTED.get(other, "a whole number")
    return f"must be {expected}, but got {error['input']!r}"
