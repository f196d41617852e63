"""A study of a table that has no study file: its metric and its space fit the rows."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.data.memory import is_in_memory, write_table
from hpsearch.errors import DataError
from hpsearch.search.look import Look, look_at
from hpsearch.settings.data import Folds
from hpsearch.settings.names import as_name
from hpsearch.settings.study import parse_settings

if TYPE_CHECKING:
    from hpsearch.settings.data import DataSettings
    from hpsearch.settings.study import StudySettings

logger = logging.getLogger(__name__)

TRIALS = 60
UNEVEN = 0.8  # share of the largest class above which accuracy says little
ENOUGH_ROWS, FOLDS = 500, 5  # with fewer rows than enough, one split says little
FEW_ROWS, MANY_ROWS = 1_000, 10_000  # of the training part


def table_data(source: Any, target: str | Sequence[str], **columns: Any) -> DataSettings:
    """Return the [data] table of a study of `source`; raises SettingsError.

    source: a path, or a table in memory (see `write_table`), which is written. columns: keys of
    [data], each of which may be empty.
    """
    target = (target,) if isinstance(target, str) else target
    if is_in_memory(source):
        written = write_table(source)
        source, target = written.source, target or written.targets
    source = os.fspath(source)
    given = {key: [*each] if isinstance(each, tuple) else each for key, each in columns.items()}
    if target:
        given["target"] = target[0] if len(target) == 1 else [*target]
    table = {"source": source, **{key: value for key, value in given.items() if value}}
    return parse_settings({"name": "table", "data": table}, source).data


def look_at_table(data: DataSettings, *, suspicions: bool = True) -> tuple[DataSettings, Look]:
    """Return the [data] table of a study of a table, with folds if its rows are few, and the look.

    The first note of the look says so. Raises DataError.
    """
    look = look_at(data, suspicions=suspicions)
    if not _are_few(data, look):
        return data, look
    folded = data.model_copy(update={"validation": Folds(folds=FOLDS)})
    try:
        found = look_at(folded, suspicions=suspicions)
    except DataError as error:
        kept = f"its {look.rows} rows are few, but only one split fits them ({error})"
        return data, replace(look, notes=(kept, *look.notes))
    said = (
        f"its {look.rows} rows are few, so a trial is validated on {FOLDS} folds and its scores "
        f"are their means (validation = {{ folds = {FOLDS} }})"
    )
    return folded, replace(found, notes=(said, *found.notes))


def _are_few(data: DataSettings, look: Look) -> bool:
    """Whether the rows are so few that one split says little, and nothing else is asked for."""
    return look.rows < ENOUGH_ROWS and data.validation == "split"


def table_study(data: DataSettings, metric: str | None = None) -> StudySettings:
    """Return a study of a table; raises HpsearchError.

    metric: what to search for; None: what fits the labels.
    """
    folded, look = look_at_table(data, suspicions=False)  # the study itself says them
    if _are_few(data, look):
        logger.warning("%s: %s", data.source, look.notes[0])
    data = folded
    usual, others = _metrics(look)
    searched = metric or usual
    search = {
        "metric": searched,
        "metrics": [name for name in dict.fromkeys([usual, *others]) if name != searched],
        "trials": TRIALS,
    }
    table = {
        "name": as_name(Path(data.source).name.partition(".")[0]),
        "data": {key: v for key, v in data.as_table().items() if key in data.model_fields_set},
        "search": search,
        "trial": _space(look),
    }
    return parse_settings(table, data.source)


def _metrics(look: Look) -> tuple[str, list[str]]:
    """Return the metric to search for, and others that people will want to see."""
    if look.task == "regression":
        return "val/rmse", ["val/mae", "val/r2"]
    if look.task == "multilabel":
        shares = [max(each.classes.values()) / sum(each.classes.values()) for each in look.targets]
        usual = "val/roc_auc" if max(shares) > UNEVEN else "val/f1_macro"
        return usual, ["val/f1_macro", "val/roc_auc", "val/f1_micro"]
    counts = look.targets[0].classes.values()
    uneven = max(counts) > UNEVEN * sum(counts)
    if len(counts) == 2:
        usual = "val/roc_auc" if uneven else "val/accuracy"
        return usual, ["val/balanced_accuracy", "val/f1"]
    return ("val/balanced_accuracy" if uneven else "val/accuracy"), ["val/f1_macro"]


def _space(look: Look) -> dict[str, Any]:
    """Return a [trial] table: small networks and batches for few rows, larger ones for many.

    Numbers are fitted for longer, by somewhat larger networks and without dropout, which adds noise
    to what is to be met exactly.
    """
    rows, numbers = look.parts["train"], look.task == "regression"
    few, many = rows < FEW_ROWS, rows > MANY_ROWS
    epochs = 100 if few else 20 if many else 50
    epochs *= 3 if numbers and few else 2 if numbers else 1
    units = 256 if not few else 128 if numbers else 64
    batches = [16, 32, 64] if few else [64, 128, 256] if many else [32, 64, 128]
    return {
        "epochs": epochs,
        "early_stopping": epochs // 5,
        "batch_size": {"choices": batches},
        "hidden_layers": {"low": 1, "high": 2 if few and not numbers else 3},
        "hidden_units": {"low": 8, "high": units, "log": True},
        "optimizer": "adam",
        "learning_rate": {"low": 1e-4, "high": 3e-2, "log": True},
        "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
        **({} if numbers else {"dropout": {"low": 0.0, "high": 0.5}}),
    }
