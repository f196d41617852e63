"""A study of a table that has no study file: its metric and its space fit the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.search.look import Look, look_at
from hpsearch.settings.names import as_name
from hpsearch.settings.study import parse_settings

if TYPE_CHECKING:
    from hpsearch.settings.data import DataSettings
    from hpsearch.settings.study import StudySettings

TRIALS = 60
UNEVEN = 0.8  # share of the largest class above which accuracy says little
FEW_ROWS, MANY_ROWS = 1_000, 10_000  # of the training part


def table_data(
    source: str,
    target: Sequence[str],
    *,
    drop: Sequence[str] = (),
    id: Sequence[str] = (),
    text: str | None = None,
) -> DataSettings:
    """Return the [data] table of a study of `source`; raises SettingsError."""
    given: dict[str, Any] = {"drop": [*drop], "id": [*id], "text": text}
    if target:
        given["target"] = target[0] if len(target) == 1 else [*target]
    table = {"source": source, **{key: value for key, value in given.items() if value}}
    return parse_settings({"name": "table", "data": table}, source).data


def table_study(data: DataSettings, metric: str | None = None) -> StudySettings:
    """Return a study of a table; raises HpsearchError.

    metric: what to search for; None: what fits the labels.
    """
    look = look_at(data, suspicions=False)  # the study itself says them
    usual, others = _metrics(look)
    searched = metric or usual
    search = {
        "metric": searched,
        "metrics": [name for name in (usual, *others) if name != searched],
        "trials": TRIALS,
    }
    table = {
        "name": as_name(Path(data.source).name.partition(".")[0]),
        "data": data.model_dump(exclude_defaults=True),
        "search": search,
        "trial": _space(look),
    }
    return parse_settings(table, data.source)


def _metrics(look: Look) -> tuple[str, list[str]]:
    """Return the metric to search for, and others that people will want to see."""
    if look.task == "regression":
        return "val/rmse", ["val/mae", "val/r2"]
    counts = look.targets[0].classes.values()
    uneven = max(counts) > UNEVEN * sum(counts)
    if len(counts) == 2:
        usual = "val/roc_auc" if uneven else "val/accuracy"
        return usual, ["val/balanced_accuracy", "val/f1"]
    return ("val/balanced_accuracy" if uneven else "val/accuracy"), ["val/f1_macro"]


def _space(look: Look) -> dict[str, Any]:
    """Return a [trial] table: small networks and batches for few rows, larger ones for many."""
    rows = look.parts["train"]
    few, many = rows < FEW_ROWS, rows > MANY_ROWS
    epochs = 100 if few else 20 if many else 50
    batches = [16, 32, 64] if few else [64, 128, 256] if many else [32, 64, 128]
    return {
        "epochs": epochs,
        "early_stopping": epochs // 5,
        "batch_size": {"choices": batches},
        "hidden_layers": {"low": 1, "high": 2 if few else 3},
        "hidden_units": {"low": 8, "high": 64 if few else 256, "log": True},
        "optimizer": "adam",
        "learning_rate": {"low": 1e-4, "high": 3e-2, "log": True},
        "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
        "dropout": {"low": 0.0, "high": 0.5},
    }
