"""Outputs: functions that turn the last layer's values z (rows, n_outputs) into class scores.

`function` is a layer without buffers, for a loss that is computed from its output. `probabilities`
returns what `predict_proba` shows: rows without negative values that sum to 1 and keep the order of
z. Both work in place.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.layers import Activation, Array, Identity, Sigmoid


class Threshold(NamedTuple):
    """Of two classes, the one that counts as positive, and from which probability on."""

    positive: int  # 0 or 1
    value: float

    def decide(self, probabilities: NDArray[Any]) -> NDArray[np.intp]:
        """Return the class index (n,) of each row of probabilities (n, 2)."""
        above = probabilities[:, self.positive] >= self.value
        return np.where(above, self.positive, 1 - self.positive)


def decided(
    probabilities: NDArray[Any], threshold: Threshold | None, *, multilabel: bool = False
) -> NDArray[np.intp]:
    """Return the class index (n,) of each row of probabilities (n, k).

    Without a threshold it is that of the most probable class. Of several labels, return which of
    them (n, k) are more probable than not, as 0 and 1.
    """
    if multilabel:
        return (probabilities > 0.5).astype(np.intp)
    if threshold is not None:
        return threshold.decide(probabilities)
    chosen: NDArray[np.intp] = probabilities.argmax(axis=1)
    return chosen


def softmax(z: Array) -> Array:
    """p = eᶻ/Σeᶻ, from s = z − max z, so that nothing overflows or is clipped."""
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


def normalized_sigmoids(z: Array) -> Array:
    """p = σ(z)/Σσ(z), as the softmax of log σ(z) = −log(1 + e⁻ᶻ): never divides by zero."""
    np.negative(z, out=z)
    np.logaddexp(z, 0, out=z)
    np.negative(z, out=z)
    return softmax(z)


def nearest_distribution(z: Array) -> Array:
    """Return the distribution nearest to z in Euclidean distance (Duchi et al., 2008).

    p = max(z − θ, 0) with the one θ that makes each row sum to 1; a distribution does not change.
    """
    z -= z.max(axis=1, keepdims=True)  # the same p, and exact for huge z
    falling = -np.sort(-z, axis=1)
    counts = np.arange(1, z.shape[1] + 1, dtype=z.dtype)
    thetas = (falling.cumsum(axis=1) - 1) / counts  # θ if the k largest stay above zero
    last = np.count_nonzero(falling > thetas, axis=1) - 1
    z -= thetas[np.arange(len(z)), last][:, None]
    return np.maximum(z, 0, out=z)


class Softmax(Activation):
    """p = eᶻ/Σeᶻ; dz = p(dp − Σ p·dp)."""

    def forward(self, x: Array) -> Array:
        self.p = softmax(x)
        return self.p

    def backward(self, grad: Array) -> Array:
        grad -= np.einsum("ij,ij->i", grad, self.p)[:, None]
        grad *= self.p
        return grad


class Output(NamedTuple):
    """A function of the last layer's values, and the probabilities that these stand for."""

    function: type[Activation]
    probabilities: Callable[[Array], Array]


OUTPUTS: dict[str, Output] = {
    "softmax": Output(Softmax, softmax),
    "sigmoid": Output(Sigmoid, normalized_sigmoids),
    "identity": Output(Identity, nearest_distribution),
}
