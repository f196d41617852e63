"""Network: layers as views of one flat parameter vector."""

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from model.architecture import build_layers, initialize
from model.arrays import UNUSABLE, open_arrays
from model.config import TrainConfig
from model.files import written_whole
from model.layers import Activation, Array, Layer, Linear
from model.losses import LOSSES, Labels, Loss

EVALUATION_ROWS = 1000  # per block, so that a block stays in the processor's cache
FORMAT = 1


class Network:
    """A multilayer perceptron from `n_inputs` features to `n_outputs` classes, labels or numbers.

    The flat vector `params` holds all parameters and `grads` all gradients: first every layer's
    weights (also as `weights`, the part that decays), then every layer's other parameters. `state`
    is `params` followed by the running statistics: everything that training changes. Layers hold
    views, so writing to a vector changes the network.

    Memory, in values of `dtype`: 2 to 3 times the parameters, and for each row of the largest batch
    so far (evaluation works in blocks of 1,000 rows) about 3 × the units of all layers; dropout and
    batch normalization each add 2 × the hidden units.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        config: TrainConfig,
        rng: np.random.Generator,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.config, self.n_inputs, self.n_outputs = config, n_inputs, n_outputs
        self.layers = list(build_layers(n_inputs, n_outputs, config))
        self.linears = [layer for layer in self.layers if isinstance(layer, Linear)]
        self.min_rows = max(layer.min_rows for layer in self.layers)
        loss = LOSSES[config.loss]
        self.loss = loss(n_outputs, **config.arguments_for(loss))
        self._allocate_parameters(dtype)
        self._capacity = self._rows = 0
        initialize(self.linears, config, rng)
        self.reset_metrics()

    def _allocate_parameters(self, dtype: DTypeLike) -> None:
        n_weights = sum(prod(shape) for layer in self.layers for shape in layer.weight_shapes)
        n_others = sum(prod(shape) for layer in self.layers for shape in layer.other_shapes)
        n_running = sum(prod(shape) for layer in self.layers for shape in layer.running_shapes)
        n_params = n_weights + n_others
        self.state, self.grads = np.zeros(n_params + n_running, dtype), np.zeros(n_params, dtype)
        self.params = self.state[:n_params]
        self.weights, self.weight_grads = self.params[:n_weights], self.grads[:n_weights]
        self._decayed = np.empty(n_weights if self.config.weight_decay else 0, dtype)
        w, dw = _Views(self.weights), _Views(self.weight_grads)
        b, db = _Views(self.params[n_weights:]), _Views(self.grads[n_weights:])
        running = _Views(self.state[n_params:])
        for layer in self.layers:
            layer.bind(
                *map(w.take, layer.weight_shapes),
                *map(b.take, layer.other_shapes),
                *map(dw.take, layer.weight_shapes),
                *map(db.take, layer.other_shapes),
                *map(running.take, layer.running_shapes),
            )

    def _resize(self, rows: int) -> None:
        """Point the buffers at batches of `rows` rows; allocate larger ones if needed."""
        if rows == self._rows:
            return
        parts: list[Layer | Loss] = [*self.layers, self.loss]
        if rows > self._capacity:
            for part in parts:
                part.allocate(rows, self.params.dtype)
            self._capacity = rows
        for part in parts:
            part.resize(rows)
        self._rows = rows

    def forward(self, x: Array) -> Array:
        """Return the last layer's outputs (rows, n_outputs) for x (rows, n_inputs) at inference."""
        self._resize(len(x))
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(
        self,
        x: Array,
        y: Labels,
        rng: np.random.Generator | None = None,
        weights: Array | None = None,
    ) -> None:
        """Write the gradient of the batch's training loss, penalty included, to `grads`.

        x (rows, n_inputs), y as the loss takes it; dropout draws from `rng`. The loss is the mean
        over the rows, each times its weight if there are `weights` (rows,), plus ½λ‖W‖². It is
        computed on the way, and so are the hits; both are added to the metrics.
        """
        self._resize(len(x))
        outputs = x
        for layer in self.layers:
            outputs = layer.forward_train(outputs, rng)
        seen = float(len(y))
        weighted = None if weights is None else self._weighted(outputs, y, weights)
        loss, hits = self.loss.forward(outputs, y)
        grad = self.loss.backward(outputs)
        if weighted is not None and weights is not None:
            loss, hits, seen = weighted
            grad *= weights[:, None]
        self._seen += seen
        self._hits += hits
        self._loss += loss
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        decay = self.config.weight_decay
        if decay:
            np.multiply(self.weights, decay, out=self._decayed)
            self.weight_grads += self._decayed
            self._loss += seen * 0.5 * float(self.weights.dot(self._decayed))

    def _weighted(self, z: Array, y: Labels, weights: Array) -> tuple[float, float, float]:
        """Return the sums of the weighted losses and hits, and of the weights."""
        losses, hits = self.loss.of_rows(z, y)
        return float(weights.dot(losses)), float(weights.dot(hits)), float(weights.sum())

    def reset_metrics(self) -> None:
        """Set the training loss and hits back to zero."""
        self._seen, self._hits, self._loss = 0.0, 0.0, 0.0

    def train_metrics(self) -> tuple[float, float]:
        """Return loss (with penalty) and accuracy over the batches since `reset_metrics`."""
        return self._loss / self._seen, self._hits / self._seen

    def activations(self, x: Array) -> list[Array]:
        """Return the outputs (rows, n_units) of each activation function for x, at inference."""
        self._resize(len(x))
        outputs = []
        for layer in self.layers:
            x = layer.forward(x)
            if isinstance(layer, Activation):
                outputs.append(x.copy())
        return outputs

    def evaluate(
        self,
        x: Array,
        y: Labels,
        predictions: Array | None = None,
        weights: Array | None = None,
    ) -> tuple[float, float]:
        """Return the mean loss, without penalty, and the accuracy on x (rows, n_inputs).

        predictions: (rows, n_outputs), filled with what `predict` returns. weights: (rows,), of the
        means; None: all are 1.
        """
        loss, hits, seen = 0.0, 0.0, 0.0
        for rows in self._blocks(len(x)):
            outputs = self.forward(x[rows])
            if predictions is not None:
                predictions[rows] = self.loss.predictions(outputs.copy())
            if weights is None:
                block = *self.loss.forward(outputs, y[rows]), float(len(outputs))
            else:
                block = self._weighted(outputs, y[rows], weights[rows])
            loss, hits, seen = loss + block[0], hits + block[1], seen + block[2]
        return loss / seen, hits / seen

    def predict(self, x: Array) -> Array:
        """Return the probability of each class or label, or the numbers (rows, n_outputs)."""
        predictions = np.empty((len(x), self.n_outputs), self.params.dtype)
        for rows in self._blocks(len(x)):
            predictions[rows] = self.loss.predictions(self.forward(x[rows]))
        return predictions

    def predict_proba(self, x: Array) -> Array:
        """Return the probability of each class or label (rows, n_outputs) for x."""
        if self.loss.regression:
            raise ValueError(f"{self.config.loss} is a loss of numbers: there are no probabilities")
        return self.predict(x)

    def _blocks(self, rows: int) -> Iterator[slice]:
        return (slice(start, start + EVALUATION_ROWS) for start in range(0, rows, EVALUATION_ROWS))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by value: the layers of a copy view the vector of that copy."""
        return _rebuild, (type(self), self.n_inputs, self.n_outputs, self.config, self.state)

    def with_config(self, config: TrainConfig) -> Self:
        """Return a copy that trains with `config`; raises ValueError if `state` does not fit it."""
        return _rebuild(type(self), self.n_inputs, self.n_outputs, config, self.state)

    def astype(self, dtype: DTypeLike) -> Self:
        """Return a copy whose parameters have another precision."""
        state = self.state.astype(dtype)
        return _rebuild(type(self), self.n_inputs, self.n_outputs, self.config, state)

    def save(self, path: str | os.PathLike[str], **extra: NDArray[Any]) -> None:
        """Write state, configuration and `extra` to a `.npz` file, atomically."""
        about = {
            "format": FORMAT,
            "n_inputs": self.n_inputs,
            "n_classes": self.n_outputs,
            "config": self.config.as_dict(),
        }
        arrays: dict[str, Any] = {"params": self.state, **extra}
        with written_whole(path) as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the network that `save` wrote; nothing is unpickled.

        Raises FileNotFoundError, or ValueError for a file that is not a saved network.
        """
        try:
            with open_arrays(path) as saved:
                about, state = json.loads(str(saved["about"])), saved["params"]
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}, but this version reads {FORMAT}")
            config = TrainConfig(**about["config"])
            return _rebuild(cls, about["n_inputs"], about["n_classes"], config, state)
        except UNUSABLE as error:
            raise ValueError(f"{path}: not a network saved by hpsearch ({error})") from error


N = TypeVar("N", bound=Network)


def _rebuild(cls: type[N], n_inputs: int, n_outputs: int, config: TrainConfig, state: Array) -> N:
    """Return a network with a copy of `state`; raises ValueError if the state does not fit."""
    if state.dtype.kind != "f":
        raise ValueError(f"parameters of type {state.dtype}")
    widths = (n_inputs, *config.hidden_layer_sizes, n_outputs)
    if (weights := sum(before * after for before, after in pairwise(widths))) > state.size:
        raise ValueError(
            f"parameters of shape {state.shape}, but its layers have {weights} weights"
        )
    rng = np.random.default_rng(0)  # its weights are overwritten
    network = cls(n_inputs, n_outputs, config, rng, dtype=state.dtype)
    if state.shape != network.state.shape:
        shapes = f"{state.shape}, but its layers need {network.state.shape}"
        raise ValueError(f"parameters of shape {shapes}")
    network.state[:] = state
    return network


class _Views:
    """Hands out consecutive views of a vector."""

    def __init__(self, vector: Array) -> None:
        self._rest = vector

    def take(self, shape: tuple[int, ...]) -> Array:
        size = prod(shape)
        view, self._rest = self._rest[:size].reshape(shape), self._rest[size:]
        return view
