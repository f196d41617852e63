"""The loop: a generator of epochs, which its caller may simply stop reading."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from model.config import TrainConfig
from model.data import Dataset
from model.network import Network
from model.optimizers import OPTIMIZERS, Optimizer
from model.schedules import SCHEDULES, Schedule


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one pass over the training rows came to.

    `train_loss` and `train_accuracy` are means over the batches as they were trained on (dropout
    and all), the loss with its penalty; `val_loss`, without penalty, and `val_accuracy` are taken
    afterwards. After a divergence the losses are infinite or NaN.
    """

    number: int  # from 1
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float


def build_optimizer(config: TrainConfig, params: np.ndarray) -> Optimizer:
    """Return the configured optimizer for the flat vector `params`."""
    rule = OPTIMIZERS[config.optimizer]
    return rule(params, **config.arguments_for(rule))


def build_schedule(config: TrainConfig) -> Schedule:
    """Return the configured schedule with its hyperparameters filled in."""
    schedule = SCHEDULES[config.schedule]
    return partial(schedule, **config.arguments_for(schedule))


def train(network: Network, data: Dataset, rng: np.random.Generator) -> Iterator[Epoch]:
    """Train `network` in place as its config says; yield after each epoch.

    `rng` shuffles the rows. Dropout's masks come from a generator that it spawns, so that they
    leave the order of the rows alone.
    """
    config = network.config
    optimizer = build_optimizer(config, network.params)
    masks_rng = rng.spawn(1)[0] if config.dropout else None
    schedule, val_losses = build_schedule(config), list[float]()
    for number in range(1, config.epochs + 1):
        learning_rate = schedule(number, val_losses)
        # Divergence is reported in the epoch's numbers; NumPy need not say it too. The context
        # ends before the yield, or it would hold for the caller as well.
        with np.errstate(all="ignore"):
            network.reset_metrics()
            for x, y in data.batches(config.batch_size, rng, min_rows=network.min_rows):
                network.backward(x, y, masks_rng)
                optimizer.step(network.params, network.grads, learning_rate)
            val_loss, val_accuracy = network.evaluate(data.x_val, data.y_val)
        val_losses.append(val_loss)
        yield Epoch(number, learning_rate, *network.train_metrics(), val_loss, val_accuracy)
