"""[data]: what is trained on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from hpsearch.search_settings import Table
from model.data import SCALES
from model.names import unknown_name


class DataSettings(Table):
    """[data]: what is trained on; the arguments of `model.load_dataset`."""

    source: str = "digits"
    target: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    train_limit: Annotated[int, Field(ge=1)] | None = None
    scale: str = "standardize"
    split_seed: Annotated[int, Field(ge=0)] = 0
    validation: Literal["split", "test"] = "split"  # a fifth of the rows, or the source's test set

    @field_validator("scale")
    @classmethod
    def _known_scale(cls, value: str) -> str:
        if value not in SCALES:
            raise ValueError(unknown_name(value, SCALES, "a scale"))
        return value
