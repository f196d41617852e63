"""Checkpoint: a network and everything that belongs to it, in one file."""

from __future__ import annotations

import inspect
import json
import os
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.arrays import UNUSABLE, open_arrays
from model.network import Network
from model.optimizers import Optimizer
from model.outputs import Threshold
from model.scaling import Scaler
from model.training import build_optimizer

CURVE, STATE = "curve.", "optimizer."  # prefixes of the arrays' names in the file


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything needed to apply a network to raw rows and to continue its training.

    `optimizer` is the one that trains the network, `curves` maps names to one value per epoch, and
    `notes` holds anything else, as plain data for JSON. `columns` describes how the columns of a
    table become features, in order and as plain data; it is empty if the rows were features
    already.
    """

    network: Network
    optimizer: Optimizer
    scaler: Scaler
    curves: dict[str, list[float]]
    notes: dict[str, Any]
    classes: NDArray[Any] = field(
        default_factory=lambda: np.empty(0, np.str_)
    )  # (k,), of any dtype except object, or the names of several labels; () of numbers
    target_scaler: Scaler = field(default_factory=Scaler)  # of numbers
    target_names: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()  # of several labels, what 0 and 1 stand for
    columns: tuple[Any, ...] = ()
    threshold: Threshold | None = None  # of two classes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a `.npz` file atomically; `Network.load` can read it too."""
        curves = {CURVE + name: np.array(curve) for name, curve in self.curves.items()}
        state = {STATE + name: np.array(value) for name, value in _state(self.optimizer).items()}
        if self.threshold is not None:
            state["threshold"] = np.array(self.threshold)
        self.network.save(
            path,
            classes=self.classes,
            shift=self.scaler.shift,
            factor=self.scaler.factor,
            notes=np.array(json.dumps(self.notes)),
            columns=np.array(json.dumps(self.columns)),
            target_shift=self.target_scaler.shift,
            target_factor=self.target_scaler.factor,
            target_names=np.array(json.dumps(self.target_names)),
            words=np.array(json.dumps(self.words)),
            **curves,
            **state,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the checkpoint that `save` wrote; nothing is unpickled.

        Raises FileNotFoundError, or ValueError for a file that is not a checkpoint.
        """
        network = Network.load(path)
        try:
            with open_arrays(path) as saved:
                arrays = dict(saved)
            optimizer = build_optimizer(network.config, network.params)
            for name, like in _state(optimizer).items():
                value = arrays[STATE + name]
                if value.shape != np.shape(like):
                    raise ValueError(f"{name} of shape {value.shape}, not {np.shape(like)}")
                setattr(optimizer, name, value if value.ndim else value.item())
            classes = 0 if network.loss.regression else network.n_outputs
            if (shape := arrays["classes"].shape) != (classes,):
                raise ValueError(f"classes of shape {shape}, not ({classes},)")
            for name in ("shift", "factor"):
                if (shape := arrays[name].shape) not in ((), (network.n_inputs,)):
                    raise ValueError(f"{name} of shape {shape}, not ({network.n_inputs},)")
            return cls(
                network=network,
                optimizer=optimizer,
                classes=arrays["classes"],
                scaler=Scaler(arrays["shift"], arrays["factor"]),
                target_scaler=Scaler(
                    arrays.get("target_shift", np.zeros(())),
                    arrays.get("target_factor", np.ones(())),
                ),
                target_names=tuple(json.loads(str(arrays.get("target_names", "[]")))),
                words=tuple((no, yes) for no, yes in json.loads(str(arrays.get("words", "[]")))),
                curves={name: curve.tolist() for name, curve in _named(CURVE, arrays).items()},
                notes=json.loads(str(arrays["notes"])),
                columns=tuple(json.loads(str(arrays.get("columns", "[]")))),
                threshold=_threshold(arrays.get("threshold")),
            )
        except UNUSABLE as error:
            raise ValueError(
                f"{path}: a network without its classes and scaler ({error})"
            ) from error


def _threshold(saved: NDArray[Any] | None) -> Threshold | None:
    return None if saved is None else Threshold(int(saved[0]), float(saved[1]))


def rebuild_optimizer(optimizer: Optimizer, network: Network) -> Optimizer:
    """Return the optimizer that `network.config` asks for, with the state of `optimizer`.

    An optimizer of another kind cannot use that state and starts afresh.
    """
    rebuilt = build_optimizer(network.config, network.params)
    if type(rebuilt) is type(optimizer):
        vars(rebuilt).update(_state(optimizer))
    return rebuilt


def _state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the optimizer's state: its attributes except hyperparameters and scratch buffers."""
    other = {*inspect.signature(type(optimizer)).parameters, "scratch"}
    return {name: value for name, value in vars(optimizer).items() if name not in other}


def _named(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with `prefix`, keyed by the rest of the name."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
