"""The training loop: a generator of epochs, which its caller may simply stop reading."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count, islice
from math import inf, nan

import numpy as np

from model.config import TrainConfig
from model.data import Dataset
from model.diagnostics import Diagnostics, Recorder
from model.layers import Array
from model.network import Network
from model.optimizers import OPTIMIZERS, Optimizer
from model.schedules import SCHEDULES, Schedule

Score = Callable[[Array], Mapping[str, float]]

CURVES = ("learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True, slots=True)
class Epoch:
    """The results of one epoch: a pass over the training rows, or `steps_per_epoch` batches.

    `train_loss` and `train_accuracy` are means over the batches as they were trained on (with
    dropout, for example), and the loss includes the penalty. `val_loss`, without the penalty, and
    `val_accuracy` are measured after the epoch, and are NaN if there are no validation rows; so are
    the `scores` that were asked for. Accuracies are NaN in a regression. After training diverges,
    the losses are infinite or NaN.
    """

    number: int  # from 1
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    diagnostics: Diagnostics | None = None
    scores: Mapping[str, float] = field(default_factory=dict)

    def value(self, metric: str) -> float:
        """Return the value of a metric: an attribute such as "val_loss", or one of the scores."""
        found: float = self.scores[metric] if metric in self.scores else getattr(self, metric)
        return found


class EarlyStopping:
    """Keeps the state of the network's best epoch, and says when to stop (Prechelt, 1998).

    The best epoch is the first with the best value of `metric`, the highest with `maximize`, else
    the lowest. Training stops when `early_stopping` epochs (a field of the network's config) have
    followed it.
    """

    def __init__(self, network: Network, metric: str, *, maximize: bool) -> None:
        self.network, self.metric = network, metric
        self.sign = 1 if maximize else -1
        self.best_epoch, self.best = 0, -inf
        self.state = network.state.copy()

    def says_enough(self, epoch: Epoch) -> bool:
        """Record an epoch; return whether training should end with it."""
        value = self.sign * epoch.value(self.metric)
        if value > self.best:
            self.best_epoch, self.best = epoch.number, value
            self.state[:] = self.network.state
        return epoch.number - self.best_epoch >= self.network.config.early_stopping

    def restore(self) -> None:
        """Set the network to the state of its best epoch."""
        self.network.state[:] = self.state


def build_optimizer(config: TrainConfig, params: Array) -> Optimizer:
    """Return the configured optimizer for the flat vector `params`."""
    rule = OPTIMIZERS[config.optimizer]
    return rule(params, **config.arguments_for(rule))


def build_schedule(config: TrainConfig) -> Schedule:
    """Return the configured schedule with its hyperparameters filled in."""
    schedule = SCHEDULES[config.schedule]
    return partial(schedule, **config.arguments_for(schedule))


def train(
    network: Network,
    data: Dataset,
    rng: np.random.Generator,
    optimizer: Optimizer | None = None,
    *,
    metric: str = "val_accuracy",
    maximize: bool | None = None,
    score: Score | None = None,
    diagnostics: bool = False,
) -> Iterator[Epoch]:
    """Train `network` in place as its config says; yield after each epoch.

    rng: shuffles the rows, and seeds dropout's masks.
    optimizer: continues from its state; if None, a new one as configured.
    metric: the field of Epoch, or the score, that early stopping looks at. maximize: whether it is
    better if it is higher; None: as an accuracy is. With early stopping, the network has the
    weights of the best epoch at the end, whether it stopped early or not.
    score: measures more on the validation rows after each epoch, from what the network predicts for
    them (see `Network.predict`).
    diagnostics: whether each epoch has diagnostics, which take time.

    Raises ValueError if the config needs validation rows and there are none.
    """
    config = network.config
    optimizer = optimizer or build_optimizer(config, network.params)
    schedule, val_losses = build_schedule(config), list[float]()
    if config.needs_validation and not len(data.x_val):
        raise ValueError(f"{config.needs_validation} needs validation rows, but there are none")
    if maximize is None:
        maximize = metric.endswith("accuracy")
    stopping = EarlyStopping(network, metric, maximize=maximize) if config.early_stopping else None
    for number in range(1, config.epochs + 1):
        recorder = Recorder(network, data) if diagnostics else None
        rate = schedule(number, val_losses)
        epoch = train_epoch(network, data, rng, optimizer, number, rate, recorder, score)
        val_losses.append(epoch.val_loss)
        yield epoch
        if stopping and stopping.says_enough(epoch):
            break
    if stopping:
        stopping.restore()


def train_epoch(
    network: Network,
    data: Dataset,
    rng: np.random.Generator,
    optimizer: Optimizer,
    number: int,
    learning_rate: float,
    recorder: Recorder | None = None,
    score: Score | None = None,
) -> Epoch:
    """Train for one epoch: one pass over the rows, or `steps_per_epoch` batches; return it."""
    # Drawn always, so that the order of the rows is the same with and without dropout.
    masks_seed = rng.integers(2**63)
    masks_rng = np.random.Generator(np.random.SFC64(masks_seed)) if network.config.dropout else None
    # The epoch's numbers show a divergence, so NumPy need not warn about it.
    with np.errstate(all="ignore"):
        network.reset_metrics()
        for x, y, *weights in _batches(network, data, rng):
            network.backward(x, y, masks_rng, *weights)
            if recorder:
                recorder.note_gradients()
            optimizer.step(network.params, network.grads, learning_rate)
        validated, scores = _validate(network, data, score)
        diagnostics = recorder.diagnostics() if recorder else None
    return Epoch(number, learning_rate, *network.train_metrics(), *validated, diagnostics, scores)


def _validate(
    network: Network, data: Dataset, score: Score | None
) -> tuple[tuple[float, float], Mapping[str, float]]:
    """Return the validation loss and accuracy, and the scores that are asked for."""
    rows = len(data.x_val)
    if not rows:
        return (nan, nan), {}
    if score is None:
        return network.evaluate(data.x_val, data.y_val, weights=data.w_val), {}
    predictions = np.empty((rows, network.n_outputs), network.params.dtype)
    validated = network.evaluate(data.x_val, data.y_val, predictions, data.w_val)
    return validated, score(predictions)


def _batches(
    network: Network, data: Dataset, rng: np.random.Generator
) -> Iterator[tuple[Array, ...]]:
    """Return the batches of an epoch; if a pass is too short, the rows are shuffled again."""
    config = network.config
    one_pass = partial(data.batches, config.batch_size, rng, min_rows=network.min_rows)
    if not config.steps_per_epoch:
        return one_pass()
    passes = chain.from_iterable(one_pass() for _ in count())
    return islice(passes, config.steps_per_epoch)
