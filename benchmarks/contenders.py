"""The contenders of training.py: one function each, which trains the same network on the same rows.

A contender is called once with its task and returns a function without arguments, which is timed.
That function trains from the same initial values through the same batches (except scikit-learn,
which draws its own), and returns a function from rows (n, d) to predicted classes (n,) or numbers
(n,). The score is measured outside the timed part. Libraries are imported where they are used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers import (
    Parameters,
    jax_optimizer,
    mlp_classifier,
    mlp_regressor,
    torch_network,
    torch_optimizer,
)

from model import Dataset, Network, TrainConfig, train

Predict = Callable[[NDArray[np.float32]], NDArray[Any]]
Contender = Callable[["Task"], Callable[[], Predict]]


@dataclass(frozen=True)
class Task:
    """The rows, and how to train on them."""

    data: Dataset
    config: TrainConfig
    threads: int

    def network(self) -> Network:
        """Return the network with its initial values."""
        rng = np.random.default_rng(0)
        return Network(self.data.n_features, self.data.n_outputs, self.config, rng)

    def weights(self) -> list[Parameters]:
        """Return the initial W and b of each layer."""
        return [(linear.w.copy(), linear.b.copy()) for linear in self.network().linears]

    def orders(self) -> Iterator[NDArray[np.intp]]:
        """Yield the order of the rows in each epoch, as `train` draws it."""
        rng = np.random.default_rng(1)
        for _ in range(self.config.epochs):
            rng.integers(2**63)  # the seed of dropout's masks
            yield rng.permutation(len(self.data.x_train))

    @property
    def flops(self) -> int:
        """FLOPs of a training's matrix products: xW, xᵀdz, and dzWᵀ except in the first layer."""
        first, *others = (w.size for w, _ in self.weights())
        per_row = 2 * (2 * first + 3 * sum(others))
        return per_row * len(self.data.x_train) * self.config.epochs

    def score(self, predict: Predict) -> float:
        """Return the accuracy, or R² of a number, on the validation rows; nobody trains on them."""
        predicted, y = predict(self.data.x_val), self.data.y_val
        if self.data.n_classes:
            return float(np.mean(predicted == y))
        return float(1 - np.square(predicted - y[:, 0]).mean() / y.var())


def sgemm_peak(size: int = 1024, repeats: int = 10) -> float:
    """Return the best speed of a few products of float32 matrices, in FLOP/s."""
    a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    out, times = np.empty_like(a), []
    for _ in range(repeats):
        start = perf_counter()
        a.dot(a, out)
        times.append(perf_counter() - start)
    return 2 * size**3 / min(times)


def ours(task: Task) -> Callable[[], Predict]:
    """`train`, with its usual metrics of the training rows, but without validation rows."""
    x, y = task.data.x_val, task.data.y_val
    data = replace(task.data, x_val=x[:0], y_val=y[:0])

    def run() -> Predict:
        network = task.network()
        for _ in train(network, data, np.random.default_rng(1)):
            pass
        if not data.n_classes:
            return lambda x: network.predict(x)[:, 0]
        return lambda x: network.predict_proba(x).argmax(axis=1)

    return run


def scikit_learn(task: Task) -> Callable[[], Predict]:
    """`MLPClassifier.fit` or `MLPRegressor.fit`, which start afresh at every call."""
    data = task.data
    estimator = (mlp_classifier if data.n_classes else mlp_regressor)(task.config)
    y = data.y_train if data.n_classes else data.y_train[:, 0]

    def run() -> Predict:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about convergence and large batches
            estimator.fit(data.x_train, y)
        return estimator.predict

    return run


def pytorch(task: Task) -> Callable[[], Predict]:
    """Eager PyTorch, as an experienced user writes it: preloaded tensors, fused optimizer."""
    import torch

    torch.set_num_threads(task.threads)
    x, y = torch.from_numpy(task.data.x_train), torch.from_numpy(task.data.y_train)
    classes = task.data.n_classes

    def half_squared_error(z: Any, y: Any) -> Any:
        return 0.5 * torch.nn.functional.mse_loss(z, y)

    def run() -> Predict:
        torch.manual_seed(0)
        network = torch_network(task.config, task.weights())
        optimizer = torch_optimizer(task.config, network.parameters())
        loss = torch.nn.CrossEntropyLoss() if classes else half_squared_error
        for order in task.orders():
            for index in torch.from_numpy(order).split(task.config.batch_size):
                optimizer.zero_grad()
                loss(network(x[index]), y[index]).backward()
                optimizer.step()
        network.eval()

        def predict(x: NDArray[np.float32]) -> NDArray[Any]:
            with torch.inference_mode():
                outputs = network(torch.from_numpy(x))
                return (outputs.argmax(dim=1) if classes else outputs[:, 0]).numpy()

        return predict

    return run


def jax(task: Task) -> Callable[[], Predict]:
    """JAX: an epoch is one compiled function, `lax.scan` over its batches."""
    import jax
    import jax.numpy as jnp

    start, update = jax_optimizer(task.config)
    keep = 1 - task.config.dropout
    activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[task.config.activation]

    def forward(params: Any, x: Any, key: Any = None) -> Any:
        *hidden, (w, b) = params
        keys = [None] * len(hidden) if key is None else jax.random.split(key, len(hidden))
        for (v, c), own in zip(hidden, keys, strict=True):
            x = activation(x @ v + c)
            if own is not None and keep < 1:
                x *= jax.random.bernoulli(own, keep, x.shape) / keep
        return x @ w + b

    def loss(params: Any, x: Any, y: Any, key: Any) -> Any:
        logs = jax.nn.log_softmax(forward(params, x, key))
        return -jnp.take_along_axis(logs, y[:, None], axis=1).mean()

    @partial(jax.jit, donate_argnums=0)
    def epoch(carry: Any, order: Any, x: Any, y: Any) -> Any:
        def step(carry: Any, index: Any) -> Any:
            params, state, key = carry
            key, own = jax.random.split(key)
            grads = jax.grad(loss)(params, x[index], y[index], own)
            return (*update(params, grads, state), key), None

        whole = len(order) // task.config.batch_size * task.config.batch_size
        batches = order[:whole].reshape(-1, min(task.config.batch_size, max(whole, 1)))
        carry, _ = jax.lax.scan(step, carry, batches)
        return step(carry, order[whole:])[0] if whole < len(order) else carry

    x, y = jnp.asarray(task.data.x_train), jnp.asarray(task.data.y_train)

    def run() -> Predict:
        params = [(jnp.array(w), jnp.array(b)) for w, b in task.weights()]
        carry = params, start(params), jax.random.key(0, impl="rbg")
        for order in task.orders():
            carry = epoch(carry, order, x, y)
        jax.block_until_ready(carry[0])
        return lambda x: np.asarray(forward(carry[0], x).argmax(axis=1))

    return run


CONTENDERS: dict[str, Contender] = {
    "ours": ours,
    "scikit-learn": scikit_learn,
    "PyTorch": pytorch,
    "JAX": jax,
}
