"""[data]: what is trained on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator, model_validator

from hpsearch.settings.search import Table
from model.data import SCALES
from model.names import unknown_name
from model.splitting import DRAWS, VALIDATIONS

KNOWN = {"scale": SCALES, "draw": DRAWS, "validation": VALIDATIONS}


class DataSettings(Table):
    """[data]: what is trained on; the arguments of `model.load_dataset`."""

    source: str = "digits"
    target: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    train_limit: Annotated[int, Field(ge=1)] | None = None
    scale: str = "standardize"
    split_seed: Annotated[int, Field(ge=0)] = 0
    draw: str = "stratified"  # which rows `limit` takes; or the "first"
    validation: str = "split"  # on a fifth of the rows, or on the source's own "test" set

    @field_validator(*KNOWN)
    @classmethod
    def _known(cls, value: str, field: ValidationInfo) -> str:
        name = str(field.field_name)
        if value not in KNOWN[name]:
            raise ValueError(unknown_name(value, KNOWN[name], f"a {name}"))
        return value

    @model_validator(mode="after")
    def _first_of_what(self) -> DataSettings:
        if self.draw == "first" and self.limit is None:
            raise ValueError(
                "draw = 'first' says which rows limit takes; set limit, or leave it out"
            )
        return self
