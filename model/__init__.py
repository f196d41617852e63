"""The training core: a multilayer perceptron in NumPy, its data, and the loop that trains it."""

from typing import TYPE_CHECKING, Any

from model.config import TrainConfig
from model.data import Dataset, load_dataset, load_test_set
from model.network import Network
from model.training import Epoch, train

if TYPE_CHECKING:
    from model.classifier import MLPClassifier

__all__ = [
    "Dataset",
    "Epoch",
    "MLPClassifier",
    "Network",
    "TrainConfig",
    "load_dataset",
    "load_test_set",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import the estimator on first use (PEP 562): importing scikit-learn takes a second."""
    if name != "MLPClassifier":
        raise AttributeError(f"module 'model' has no attribute '{name}'")
    from model.classifier import MLPClassifier

    return MLPClassifier
