"""What a trial needs of its machine, and how many trials that leaves room for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import psutil

from hpsearch.errors import Argument, SettingsError

if TYPE_CHECKING:
    from hpsearch.settings.model import ModelSettings

VISIBLE = "CUDA_VISIBLE_DEVICES"


def needs_of(model: ModelSettings | None) -> dict[str, float]:
    """Return what a trial needs, as Dask counts it: cpu, gpu, and memory in bytes; {} if unsaid."""
    if model is None or model.resources is None:
        return {}
    return {name: float(amount) for name, amount in model.resources if amount is not None}


def fits(needs: Mapping[str, float], offered: Mapping[str, float]) -> bool:
    """Return whether a worker that offers these resources can run a trial."""
    return all(offered.get(name, 0) >= amount for name, amount in needs.items())


def most_at_a_time(needs: Mapping[str, float], gpus: Sequence[str]) -> int | None:
    """Return how many trials fit this machine at a time, None if nothing limits them.

    gpus: the devices that trials may use. Raises SettingsError if not even one trial fits.
    """
    offered = {"cpu": _cores(), "memory": float(psutil.virtual_memory().total)}
    offered["gpu"] = float(len(gpus))
    if needs.get("gpu") and not gpus:
        raise SettingsError(
            f"model.resources: a trial needs gpu = {needs['gpu']:g}; name the devices with ",
            Argument("gpus", "=('0',)"),
        )
    for name, amount in needs.items():
        if amount > offered[name]:
            raise SettingsError(
                f"model.resources: a trial needs {name} = {amount:g}, and this machine has "
                f"{offered[name]:g}"
            )
    wanted = {"gpu": 1.0, **needs} if gpus else needs  # each worker has a device of its own
    return min((int(offered[name] // amount) for name, amount in wanted.items()), default=None)


def device_groups(needs: Mapping[str, float], gpus: Sequence[str]) -> list[str]:
    """Return the devices of each worker process, as CUDA_VISIBLE_DEVICES names them."""
    size = int(needs.get("gpu", 1))
    return [",".join(gpus[start : start + size]) for start in range(0, len(gpus) - size + 1, size)]


def _cores() -> float:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return float(len(os.sched_getaffinity(0)))
    return float(os.cpu_count() or 1)
