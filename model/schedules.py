"""Learning-rate schedules: plain functions (epoch, val_losses) → learning rate.

`epoch` counts from 1, and `val_losses` are those of the epochs before it, which only `plateau`
reads. Hyperparameters are keyword-only arguments named as in TrainConfig: η = learning_rate is the
rate of the first epoch, and η_f = final_learning_rate that of the last.
t = (epoch − 1)/(epochs − 1) is the share of the way between them.
"""

from collections.abc import Callable, Sequence
from math import cos, inf, pi, pow

Schedule = Callable[[int, Sequence[float]], float]


def constant(_epoch: int, _val_losses: Sequence[float], *, learning_rate: float) -> float:
    """η in every epoch."""
    return learning_rate


def step(
    epoch: int,
    _val_losses: Sequence[float],
    *,
    learning_rate: float,
    step_epochs: int,
    step_factor: float,
) -> float:
    """η · factor^⌊(epoch − 1)/step_epochs⌋: the rate falls once every step_epochs epochs."""
    return learning_rate * pow(step_factor, (epoch - 1) // step_epochs)


def linear(
    epoch: int,
    _val_losses: Sequence[float],
    *,
    learning_rate: float,
    final_learning_rate: float,
    epochs: int,
) -> float:
    """η + (η_f − η) t."""
    t = _elapsed(epoch, epochs)
    return learning_rate * (1 - t) + final_learning_rate * t


def exponential(
    epoch: int,
    _val_losses: Sequence[float],
    *,
    learning_rate: float,
    final_learning_rate: float,
    epochs: int,
) -> float:
    """η (η_f/η)ᵗ: every epoch multiplies the rate by the same factor."""
    t = _elapsed(epoch, epochs)
    return pow(learning_rate, 1 - t) * pow(final_learning_rate, t)


def cosine(
    epoch: int,
    _val_losses: Sequence[float],
    *,
    learning_rate: float,
    final_learning_rate: float,
    epochs: int,
) -> float:
    """η_f + ½(η − η_f)(1 + cos πt), one half-wave without restarts (Loshchilov & Hutter, 2017)."""
    wave = (1 + cos(pi * _elapsed(epoch, epochs))) / 2
    return learning_rate * wave + final_learning_rate * (1 - wave)


def plateau(
    _epoch: int,
    val_losses: Sequence[float],
    *,
    learning_rate: float,
    plateau_patience: int,
    plateau_factor: float,
) -> float:
    """η · factorᵏ after k plateaus, each of `plateau_patience` epochs without a new minimum.

    The count of epochs starts again after each plateau. A loss that is not finite is not a minimum.
    """
    lowest, waited = inf, 0
    for loss in val_losses:
        lowest, waited = (loss, 0) if loss < lowest else (lowest, waited + 1)
        if waited == plateau_patience:
            learning_rate *= plateau_factor
            waited = 0
    return learning_rate


def _elapsed(epoch: int, epochs: int) -> float:
    """Return t: 0 in the first epoch, 1 in the last, and 0 if there is only one epoch."""
    return (epoch - 1) / max(epochs - 1, 1)


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "step": step,
    "linear": linear,
    "exponential": exponential,
    "cosine": cosine,
    "plateau": plateau,
}
