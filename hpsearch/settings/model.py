"""The [model] table of a study file: what is trained, if it is not the built-in network."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, PlainValidator

from hpsearch.settings.table import Count, SettingsTable
from hpsearch.trainables.source import Source


class ModelSettings(SettingsTable):
    """[model]: a user's own model, and how many threads a trial of it uses."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )

    train: Annotated[Source, PlainValidator(Source.of)]
    threads: Count = 1

    def as_table(self) -> dict[str, Any]:
        """Return the table as a study file has it."""
        place = self.train.place
        table = {"train": place if isinstance(place, str) else list(place)}
        return table | ({"threads": self.threads} if self.threads != 1 else {})
