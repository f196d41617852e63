"""Translate a TrainConfig to scikit-learn, PyTorch and JAX, for the benchmarks.

Libraries are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import TrainConfig

Parameters = tuple[NDArray[np.float32], NDArray[np.float32]]  # W (n_in, n_out), b (n_out,)


def mlp_classifier(config: TrainConfig) -> Any:
    """Return scikit-learn's estimator, which has no dropout; it never stops early."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(**_mlp_options(config))


def mlp_regressor(config: TrainConfig) -> Any:
    """Return the same for numbers, with scikit-learn's only loss: half of the squared error."""
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(**_mlp_options(config))


def _mlp_options(config: TrainConfig) -> dict[str, Any]:
    return {
        "hidden_layer_sizes": config.hidden_layer_sizes,
        "activation": config.activation,
        "solver": "adam" if config.optimizer == "adam" else "sgd",
        "alpha": config.weight_decay,
        "batch_size": config.batch_size,
        "learning_rate_init": config.learning_rate,
        "momentum": momentum_of(config),
        "nesterovs_momentum": False,
        "max_iter": config.epochs,
        "n_iter_no_change": config.epochs + 1,
        "random_state": 0,
    }


def torch_network(config: TrainConfig, weights: list[Parameters]) -> Any:
    """Return a network with these weights, with batch normalization and dropout as configured."""
    import torch
    from torch import nn

    activation = {"relu": partial(nn.ReLU, inplace=True), "tanh": nn.Tanh}[config.activation]

    def linear(w: NDArray[np.float32], b: NDArray[np.float32]) -> Any:
        layer = nn.Linear(*w.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w.T))
            layer.bias.copy_(torch.from_numpy(b))
        return layer

    *hidden, last = weights
    layers: list[Any] = []
    for w, b in hidden:
        layers.append(linear(w, b))
        if config.batch_norm != "none":  # the benchmarks always have it before the activation
            layers.append(nn.BatchNorm1d(w.shape[1]))
        layers.append(activation())
        if config.dropout:
            layers.append(nn.Dropout(config.dropout))
    return nn.Sequential(*layers, linear(*last))


def torch_optimizer(config: TrainConfig, parameters: Any) -> Any:
    """Return the optimizer, fused: one kernel for all parameters."""
    from torch import optim

    options = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "adam":
        return optim.Adam(parameters, betas=(config.beta1, config.beta2), **options)
    return optim.SGD(parameters, momentum=momentum_of(config), **options)


def jax_optimizer(config: TrainConfig) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return two functions: one makes the optimizer's state, one updates parameters and state."""
    import jax.numpy as jnp
    from jax import tree

    rate, momentum, beta1, beta2 = (
        config.learning_rate,
        momentum_of(config),
        config.beta1,
        config.beta2,
    )

    def zeros(params: Any) -> Any:
        return tree.map(jnp.zeros_like, params)

    def sgd(params: Any, grads: Any, state: Any) -> Any:
        return tree.map(lambda w, g: w - rate * g, params, grads), state

    def with_momentum(params: Any, grads: Any, velocity: Any) -> Any:
        velocity = tree.map(lambda v, g: momentum * v - rate * g, velocity, grads)
        return tree.map(jnp.add, params, velocity), velocity

    def adam(params: Any, grads: Any, state: Any) -> Any:
        t, m, v = state
        t = t + 1
        m = tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, grads)
        v = tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, grads)
        c1, c2 = 1 - beta1**t, 1 - beta2**t
        move = tree.map(lambda m, v: rate * (m / c1) / (jnp.sqrt(v / c2) + 1e-8), m, v)
        return tree.map(jnp.subtract, params, move), (t, m, v)

    return {
        "sgd": (lambda _: (), sgd),
        "momentum": (zeros, with_momentum),
        "adam": (lambda params: (jnp.zeros(()), zeros(params), zeros(params)), adam),
    }[config.optimizer]


def momentum_of(config: TrainConfig) -> float:
    """Return the momentum for an optimizer that always takes one: 0 unless it is "momentum"."""
    return config.momentum if config.optimizer == "momentum" else 0.0
