"""Build the layers that a configuration describes, and draw their initial values."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from model.batch_norm import BatchNorm
from model.config import TrainConfig
from model.dropout import Dropout
from model.initializers import INITIALIZERS
from model.layers import ACTIVATIONS, Layer, Linear


def build_layers(n_inputs: int, n_outputs: int, config: TrainConfig) -> Iterator[Layer]:
    """Yield the layers in order: those of each hidden layer, then the last linear one."""
    activation = ACTIVATIONS[config.activation]
    sizes = [n_inputs, *config.hidden_layer_sizes]
    for number, (n_in, n_out) in enumerate(pairwise(sizes)):
        yield Linear((n_in, n_out), first=number == 0)
        if config.batch_norm == "before":
            yield BatchNorm(n_out, **config.arguments_for(BatchNorm))
        yield activation(n_out, **config.arguments_for(activation))
        if config.batch_norm == "after":
            yield BatchNorm(n_out, **config.arguments_for(BatchNorm))
        if config.dropout:
            yield Dropout(n_out, config.dropout)
    yield Linear((sizes[-1], n_outputs), first=len(sizes) == 1)


def initialize(linears: Sequence[Linear], config: TrainConfig, rng: np.random.Generator) -> None:
    """Draw all weights, then all biases, so that drawing biases does not change the weights."""
    auto = ACTIVATIONS[config.activation].initializer
    draw = INITIALIZERS[auto if config.initializer == "auto" else config.initializer]
    for linear in linears:
        linear.w[:] = draw(rng, (linear.n_in, linear.n_out), **config.arguments_for(draw))
    if config.bias_std:
        for linear in linears:
            linear.b[:] = config.bias_std * rng.standard_normal(linear.n_out)
