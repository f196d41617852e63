"""A network in MLflow's format for models: a folder with code, signature and example; no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import mlflow.pyfunc
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from hpsearch import __version__
from hpsearch.data.columns import from_plain
from hpsearch.export import pyfunc

if TYPE_CHECKING:
    from model.estimators import MLP

EXAMPLE_ROWS = 5


def save_model_folder(
    folder: Path, network: Path, winner: MLP, example: pd.DataFrame, model: Model
) -> None:
    """Write MLflow's folder for the network in a file; `model` has the rest of its MLmodel file."""
    mlflow.pyfunc.save_model(
        folder,
        python_model=pyfunc.__file__,
        artifacts={pyfunc.NETWORK: str(network)},
        signature=signature_of(winner),
        input_example=example,
        # Given here because MLflow would otherwise load the model in a new process to find them.
        pip_requirements=[f"hpsearch=={__version__}"],
        mlflow_model=model,
    )


def signature_of(winner: MLP) -> ModelSignature:
    """Return the signature of a network: its columns by name, and a label or numbers for each row.

    Every column has the type Any, and the model checks the values itself. MLflow's own check is too
    strict: it refuses int64 where the example has doubles and vice versa, although a column of
    whole numbers in one table may have fractions in the next. For a column of text it refuses the
    pandas type category, and words that pandas reads as numbers.
    """
    anything, numbers = AnyType(), winner.regression  # type: ignore[no-untyped-call]
    names = winner.target_names_ if len(winner.target_names_) > 1 else (None,)
    kind = DataType.double if numbers else DataType.string
    return ModelSignature(
        inputs=Schema([ColSpec(anything, column.name) for column in from_plain(winner.columns_)]),
        outputs=Schema([ColSpec(kind, name) for name in names]),
        params=ParamSchema([ParamSpec(pyfunc.PROBA, DataType.boolean, False)]),
    )
