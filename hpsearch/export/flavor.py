"""A network in MLflow's format for models: a folder with code, signature and example; no pickle."""

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
    """Write MLflow's folder for the network in a file; `model` has the rest of its MLmodel file."""
    mlflow.pyfunc.save_model(
        folder,
        python_model=pyfunc.__file__,
        artifacts={pyfunc.NETWORK: str(network)},
        signature=signature_of(columns),
        input_example=example,
        # Given here because MLflow would otherwise load the model in a new process to find them.
        pip_requirements=[f"hpsearch=={__version__}"],
        mlflow_model=model,
    )


def signature_of(columns: Sequence[Column]) -> ModelSignature:
    """Return the signature of a network: its columns by name, and a label for each row.

    Every column has the type Any, and the model checks the values itself. MLflow's own check is too
    strict: it refuses int64 where the example has doubles and vice versa, although a column of
    whole numbers in one table may have fractions in the next. For a column of text it refuses the
    pandas type category, and words that pandas reads as numbers.
    """
    anything = AnyType()  # type: ignore[no-untyped-call]
    return ModelSignature(
        inputs=Schema([ColSpec(anything, column.name) for column in columns]),
        outputs=Schema([ColSpec(DataType.string)]),
        params=ParamSchema([ParamSpec(pyfunc.PROBA, DataType.boolean, False)]),
    )


def example_rows(data: DataSettings) -> pd.DataFrame:
    """Return the first training rows of `data` as its table has them, without the label.

    Raises DataError.
    """
    how = Split(data.limit, data.train_limit, data.split_seed, data.draw, data.validation)
    try:
        raw = read_source(data.source, data.target)
        rows = split(raw, how).train[:EXAMPLE_ROWS]
    except (OSError, ValueError) as error:  # the data may be gone since the training
        raise DataError(f"data: {error}") from error
    return decode(raw.x[rows], raw.columns)


def decode(x: NDArray[np.floating], columns: Sequence[Column]) -> pd.DataFrame:
    """Return the table that `model.columns.encode` turns into x (n, d)."""
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
