"""The training core: a multilayer perceptron in NumPy, and the loop that trains it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from model.config import TrainConfig
from model.data import Dataset
from model.network import Network
from model.training import Epoch, train

if TYPE_CHECKING:
    from hpsearch.data.loading import load_dataset, load_test_set
    from model.estimators import MLPClassifier, MLPRegressor

_LATE = {  # importing scikit-learn takes a second, and the core itself reads no tables
    "MLPClassifier": "model.estimators",
    "MLPRegressor": "model.estimators",
    "load_dataset": "hpsearch.data.loading",
    "load_test_set": "hpsearch.data.loading",
}

__all__ = [
    "Dataset",
    "Epoch",
    "MLPClassifier",
    "MLPRegressor",
    "Network",
    "TrainConfig",
    "load_dataset",
    "load_test_set",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import what needs more than NumPy on first use (PEP 562)."""
    if name not in _LATE:
        raise AttributeError(f"module 'model' has no attribute '{name}'")
    return getattr(import_module(_LATE[name]), name)
