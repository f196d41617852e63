"""A network as MLflow keeps models: a folder with code, signature and input example; no pickle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow.pyfunc
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from hpsearch import __version__
from hpsearch.errors import DataError
from hpsearch.export import pyfunc
from model.sources import read_source
from model.splitting import Split, split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hpsearch.settings.data import DataSettings
    from model.columns import Column

EXAMPLE_ROWS = 5


def save_model_folder(
    folder: Path, network: Path, columns: Sequence[Column], example: pd.DataFrame, model: Model
) -> None:
    """Write MLflow's folder for the saved `network`; `model` says what else its MLmodel holds."""
    mlflow.pyfunc.save_model(
        folder,
        python_model=pyfunc.__file__,
        artifacts={pyfunc.NETWORK: str(network)},
        signature=signature_of(columns),
        input_example=example,
        # Named here, for MLflow would load the model in a process of its own to find them.
        pip_requirements=[f"hpsearch=={__version__}"],
        mlflow_model=model,
    )


def signature_of(columns: Sequence[Column]) -> ModelSignature:
    """Return what goes in, columns by name, and what comes out.

    A column takes Any: MLflow refuses int64 for a double and a double for int64, and what a whole
    number is in one table has fractions in the next; of text it refuses a category, and words that
    look like numbers as pandas reads them. The model checks what it is given itself.
    """
    anything = AnyType()  # type: ignore[no-untyped-call]
    return ModelSignature(
        inputs=Schema([ColSpec(anything, column.name) for column in columns]),
        outputs=Schema([ColSpec(DataType.string)]),
        params=ParamSchema([ParamSpec(pyfunc.PROBA, DataType.boolean, False)]),
    )


def example_rows(data: DataSettings) -> pd.DataFrame:
    """Return the first training rows of `data` as they are in its table, without the label.

    Raises DataError.
    """
    how = Split(data.limit, data.train_limit, data.split_seed, data.draw, data.validation)
    try:
        raw = read_source(data.source, data.target)
        rows = split(raw, how).train[:EXAMPLE_ROWS]
    except (OSError, ValueError) as error:  # gone since the network was trained
        raise DataError(f"data: {error}") from error
    return decode(raw.x[rows], raw.columns)


def decode(x: NDArray[np.floating], columns: Sequence[Column]) -> pd.DataFrame:
    """Return the table that `model.columns.encode` made x (n, d) of."""
    values, start = {}, 0
    for column in columns:
        end = start + len(column.feature_names)
        block = x[:, start:end]
        if column.categories:
            values[column.name] = [column.categories[which] for which in block.argmax(axis=1)]
        else:
            values[column.name] = block[:, 0].tolist()
        start = end
    return pd.DataFrame(values)
