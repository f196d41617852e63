"""The code of a registered model: MLflow copies this file beside the network and loads it.

Loading needs hpsearch to be installed, and unpickles nothing.
"""

import logging
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from hpsearch.prediction import load_model, predict_frame

NETWORK = "network"  # the artifact: the file that `hpsearch export -f npz` writes
PROBA = "proba"  # the parameter of `predict`

logger = logging.getLogger(__name__)


class NetworkModel(PythonModel):
    """Predicts class names, or numbers, for raw rows; with `proba`, each class' probability."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the network from the model's artifacts."""
        self.saved = load_model(context.artifacts[NETWORK])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> NDArray[Any] | pd.DataFrame:
        """Return what is predicted for each row of `model_input`; raise DataError.

        That is a class name, a number, or a table: of probabilities, or of several targets.
        """
        prediction = predict_frame(self.saved, model_input)
        for sentence in prediction.notes:
            logger.warning("%s", sentence)
        if params and params[PROBA]:
            return prediction.frame(proba=True)
        return prediction.frame() if prediction.labels.ndim > 1 else prediction.labels


set_model(NetworkModel())
