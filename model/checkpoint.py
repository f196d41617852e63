"""Checkpoint: a network with what belongs to it, in one file."""

from __future__ import annotations

import inspect
import json
import os
from dataclasses import astuple, dataclass
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from model.columns import Column
from model.network import Network
from model.optimizers import Optimizer
from model.scaling import Scaler
from model.training import build_optimizer

CURVE, STATE = "curve.", "optimizer."  # prefixes of the arrays' names in the file


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that is needed to use a network on raw rows, and to go on with its training.

    `optimizer` is the network's own, `curves` have a value per epoch by name, and `notes` are
    whatever else, as plain data for JSON. `columns` say how a table's rows become features, in
    their order; there are none where features came as they are.
    """

    network: Network
    optimizer: Optimizer
    classes: NDArray[Any]  # (k,), of any type but objects
    scaler: Scaler
    curves: dict[str, list[float]]
    notes: dict[str, Any]
    columns: tuple[Column, ...] = ()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a `.npz` file, whole or not at all; `Network.load` reads it as well."""
        curves = {CURVE + name: np.array(curve) for name, curve in self.curves.items()}
        state = {STATE + name: np.array(value) for name, value in _state(self.optimizer).items()}
        self.network.save(
            path,
            classes=self.classes,
            shift=self.scaler.shift,
            factor=self.scaler.factor,
            notes=np.array(json.dumps(self.notes)),
            columns=np.array(json.dumps([astuple(column) for column in self.columns])),
            **curves,
            **state,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; nothing is unpickled.

        Raises FileNotFoundError, or ValueError for a file that is no checkpoint.
        """
        network = Network.load(path)
        try:
            with open(path, "rb") as file, NpzFile(file, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
            optimizer = build_optimizer(network.config, network.params)
            for name, like in _state(optimizer).items():
                value = arrays[STATE + name]
                if value.shape != np.shape(like):
                    raise ValueError(f"{name} of shape {value.shape}, not {np.shape(like)}")
                setattr(optimizer, name, value if value.ndim else value.item())
            return cls(
                network=network,
                optimizer=optimizer,
                classes=arrays["classes"],
                scaler=Scaler(arrays["shift"], arrays["factor"]),
                curves={name: curve.tolist() for name, curve in _named(CURVE, arrays).items()},
                notes=json.loads(str(arrays["notes"])),
                columns=_read_columns(arrays),
            )
        except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: a network without its classes and scaler ({error})"
            ) from error


def rebuild_optimizer(optimizer: Optimizer, network: Network) -> Optimizer:
    """Return an optimizer as `network` is configured now, with the state of the one so far.

    If that was of another kind, its state is of no use: the new one starts afresh.
    """
    rebuilt = build_optimizer(network.config, network.params)
    if type(rebuilt) is type(optimizer):
        vars(rebuilt).update(_state(optimizer))
    return rebuilt


def _state(optimizer: Optimizer) -> dict[str, Any]:
    """What it remembers: all but the hyperparameters that it is given, and what it scribbles on."""
    other = {*inspect.signature(type(optimizer)).parameters, "scratch"}
    return {name: value for name, value in vars(optimizer).items() if name not in other}


def _read_columns(arrays: dict[str, NDArray[Any]]) -> tuple[Column, ...]:
    saved = json.loads(str(arrays.get("columns", "[]")))
    return tuple(Column(name, tuple(categories)) for name, categories in saved)


def _named(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with `prefix`, by the rest of the name."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
