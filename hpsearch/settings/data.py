"""The [data] table of a study file."""

from __future__ import annotations

from pydantic import ValidationInfo, field_validator, model_validator

from hpsearch.formatting import unknown_name
from hpsearch.settings.table import Count, NonNegative, SettingsTable

NAMES = {  # those of the training core, which a study of another model does not import
    "scale": ("standardize", "unit", "global", "none"),
    "draw": ("stratified", "first"),
    "validation": ("split", "test"),
}


class DataSettings(SettingsTable):
    """[data]: what the trials are trained on, as the arguments of `model.load_dataset`."""

    source: str = "digits"
    target: str | None = None
    limit: Count | None = None
    train_limit: Count | None = None
    scale: str = "standardize"
    split_seed: NonNegative = 0
    draw: str = "stratified"  # which rows `limit` keeps; "first" keeps the first ones
    validation: str = "split"  # on a fifth of the rows; "test": on the source's own test set

    @field_validator(*NAMES)
    @classmethod
    def _known_name(cls, value: str, field: ValidationInfo) -> str:
        name = str(field.field_name)
        if value not in NAMES[name]:
            raise ValueError(unknown_name(value, NAMES[name], f"a {name}"))
        return value

    @model_validator(mode="after")
    def _draw_needs_limit(self) -> DataSettings:
        if self.draw == "first" and self.limit is None:
            raise ValueError(
                "draw = 'first' chooses the rows that limit keeps; set limit, or leave draw out"
            )
        return self
