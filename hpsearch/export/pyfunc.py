"""The code of a registered model: MLflow copies this file beside the network and runs it to load.

It needs hpsearch where it is loaded, and nothing is unpickled.
"""

import logging
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from hpsearch.export.predict import load_model, predict_frame

NETWORK = "network"  # the artifact: what `hpsearch export -f npz` writes
PROBA = "proba"  # the parameter

logger = logging.getLogger(__name__)


class NetworkModel(PythonModel):
    """Class names of raw rows, or with the parameter `proba` a column of probabilities for each."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the network."""
        self.saved = load_model(context.artifacts[NETWORK])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> NDArray[np.str_] | pd.DataFrame:
        """Predict each row of `model_input`; raises DataError as `hpsearch predict` does."""
        prediction = predict_frame(self.saved, model_input)
        for sentence in prediction.notes:
            logger.warning("%s", sentence)
        if params and params[PROBA]:
            return pd.DataFrame(prediction.probabilities, columns=prediction.classes)
        return prediction.labels


set_model(NetworkModel())
