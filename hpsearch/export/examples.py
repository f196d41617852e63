"""Rows of a study's data as its table has them: an example of what its network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.data.sources import data_errors
from hpsearch.data.splitting import read_parts

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.settings.data import DataSettings


def example_rows(data: DataSettings, at_most: int) -> pd.DataFrame:
    """Return the first training rows of `data` as its table has them, without the label.

    Raises DataError.
    """
    with data_errors():  # the data may be gone since the training
        raw, parts = read_parts(**data.parts())
        return raw.as_read(parts.train[:at_most])
