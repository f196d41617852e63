"""What a user's model yields, reports or returns, as the metrics of an epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

from hpsearch.formatting import shortened, unknown_name
from hpsearch.trainables.errors import ModelError
from hpsearch.trials.checkpoints import Save
from hpsearch.trials.curves import RESERVED, Metrics

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./ -]{0,99}")  # what MLflow takes
EXAMPLE = '{"val/loss": 0.3}'
LONGEST_VALUE = 60  # letters


def read_epoch(item: object, metric: str, name: str) -> tuple[dict[str, float | None], Save | None]:
    """Return the metrics of an epoch, and what saves a checkpoint if the model offers that.

    item: a mapping, or a number, which is the search's `metric`; or a pair of this and a function.
    name: what trains, for messages. Raises ModelError.
    """
    save: Save | None = None
    if isinstance(item, tuple) and len(item) == 2:
        item, save = item
        if save is not None and not callable(save):
            raise ModelError(
                f"{name} yielded {_short(save)} beside its metrics; there it has a function that "
                "saves a checkpoint to the path that it is given"
            )
    if not isinstance(item, Mapping):
        number = as_number(item)
        if number is None:
            raise ModelError(
                f"{name} yielded {_short(item)}; an epoch is a mapping of metrics, such as "
                f"{EXAMPLE}"
            )
        item = {metric: number}
    return {_known_name(key, name): _value(key, value, name) for key, value in item.items()}, save


def check_first(metrics: Metrics, metric: str, name: str) -> None:
    """Raise ModelError if the first epoch lacks the metric that the search goes by."""
    if metric not in metrics:
        sentence = unknown_name(metric, list(metrics), f"a metric of {name}")
        raise ModelError(f"search.metric: {sentence}; yield None in epochs that do not measure it")


def as_number(value: object) -> float | None:
    """Return a number, also one of NumPy or PyTorch; None for anything else."""
    if isinstance(value, Real):
        return float(value)
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "size", None) != 0:
        try:
            found = item()
        except (ValueError, RuntimeError, TypeError):  # an array of several numbers
            return None
        return float(found) if isinstance(found, Real) else None
    return None


def _known_name(key: object, name: str) -> str:
    if not isinstance(key, str) or not NAME.fullmatch(key) or key in RESERVED:
        raise ModelError(
            f"{name} yielded a metric called {_short(key)}; a name has letters, digits, '_', '.', "
            "'/', '-' and blanks"
        )
    return key


def _value(key: object, value: object, name: str) -> float | None:
    number = None if value is None else as_number(value)
    if number is None and value is not None:
        raise ModelError(f"{name} yielded {key} = {_short(value)}, which is no number")
    return number


def _short(value: Any) -> str:
    return shortened(repr(value), LONGEST_VALUE)
