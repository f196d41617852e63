"""The training core: a multilayer perceptron in NumPy, its data, and the loop that trains it."""

from model.config import TrainConfig
from model.data import Dataset, load_dataset, load_test_set
from model.network import Network
from model.training import Epoch, train

__all__ = [
    "Dataset",
    "Epoch",
    "Network",
    "TrainConfig",
    "load_dataset",
    "load_test_set",
    "train",
]
