"""What a metric's name says: which way is better, and which values it can have."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Literal

Direction = Literal["maximize", "minimize"]

# Of the built-in network, as it trains.
METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
METRICS_OF_NUMBERS = ("train/loss", "val/loss")
SCORES_OF_CLASSES = (  # on validation rows, by scikit-learn's names
    *("accuracy", "balanced_accuracy", "f1", "f1_macro", "precision", "recall", "mcc"),
    *("roc_auc", "average_precision", "log_loss", "brier"),
)
THRESHOLD_SCORES = ("accuracy", "balanced_accuracy", "f1", "f1_macro", "mcc")  # of labels
SCORES_OF_LABELS = ("f1_micro", "hamming_loss")  # besides some of those of classes
SCORES_OF_NUMBERS = ("rmse", "mae", "r2", "mape")
NETWORK_METRICS = (  # that a search with the built-in network can be about
    *("val/accuracy", "val/loss"),
    *(f"val/{name}" for name in (*SCORES_OF_CLASSES[1:], *SCORES_OF_LABELS, *SCORES_OF_NUMBERS)),
)
_SHARES = "accuracy acc auc auroc f1 precision recall ap map iou dice"
_OTHER_HIGHER = "r2 bleu reward return ndcg mcc"
_LOWER = "loss error err rmse mse mae mape logloss nll perplexity ppl cer wer rmsle brier"
_AVERAGES = frozenset({"macro", "micro", "weighted"})  # the end of f1_macro
_SHARE_WORDS, _LOWER_WORDS = frozenset(_SHARES.split()), frozenset(_LOWER.split())
_HIGHER_WORDS = _SHARE_WORDS | frozenset(_OTHER_HIGHER.split())
_WORD = re.compile(r"[a-z0-9]+")


def known_direction(metric: str) -> Direction | None:
    """Return "maximize" or "minimize" as the last word of a metric's name says, None if unknown."""
    word = _last_word(metric)
    if word in _HIGHER_WORDS:
        return "maximize"
    return "minimize" if word in _LOWER_WORDS else None


def higher_is_better(metric: str) -> bool:
    """Return whether a metric is maximized, as the last word of its name says."""
    return known_direction(metric) == "maximize"


def is_share(metric: str) -> bool:
    """Return whether a metric lies between 0 and 1, as the last word of its name says."""
    return _last_word(metric) in _SHARE_WORDS


def bounds(metric: str) -> tuple[float, float]:
    """Return the least and the largest value that a metric can have, as far as its name says."""
    if is_share(metric):
        return 0.0, 1.0
    return (0.0 if _last_word(metric) in _LOWER_WORDS else -math.inf), math.inf


def common_format(values: Iterable[float], metric: str) -> str:
    """Return the format for a column of a metric's values, precise enough for the smallest one.

    Shares, such as accuracies, always have four decimals. `metric` may also be the metric's title.
    """
    sizes = [abs(value) for value in values if value]
    smallest = min(sizes, default=1.0)
    if smallest >= 10:
        return f".{max(1, 4 - math.floor(math.log10(smallest)))}f"
    if smallest >= 0.01 or (is_share(metric) and max(sizes) <= 1):
        return ".4f"
    return f".{2 - math.floor(math.log10(smallest))}f" if smallest >= 1e-4 else ".4g"


def on_training_rows(metric: str) -> str | None:
    """Return the same metric on the training rows: train/loss of val/loss; None if it has none."""
    part, _, rest = metric.partition("/")
    return f"train/{rest}" if part == "val" and rest else None


def _last_word(metric: str) -> str:
    words = _WORD.findall(metric.lower().partition(" (")[0])  # without a title's "(test set)"
    words = [word for word in words if word not in _AVERAGES] or words
    return words[-1] if words else ""
