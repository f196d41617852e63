"""Layers: each a formula and its gradient, on buffers that are allocated once and reused.

A layer owns the arrays it writes to. `allocate(rows)` makes them for batches of up to `rows` rows,
and `resize(rows)` points its views at exactly `rows` rows for the next batches. `forward` takes x
(rows, n_in) and returns its output (rows, n_out); `backward` takes the gradient of the loss with
respect to that output and returns the gradient with respect to x. Both overwrite what they returned
before, and may overwrite their argument: an activation writes its output over its input, and
computes its gradient from that output alone.

`forward` is for inference. Training calls `forward_train` and then `backward`; for most layers,
`forward_train` is the same as `forward`.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import DTypeLike, NDArray

from model.initializers import Shape

Array = NDArray[np.floating]


class Layer(ABC):
    """One step of the network, with the interface that the module's docstring describes.

    Parameters and running statistics are views of the network's vectors: a layer declares the
    shapes it needs, and `bind` receives the views in the order parameters, their gradients,
    statistics.
    """

    weight_shapes: tuple[tuple[int, ...], ...] = ()  # parameters that decay
    other_shapes: tuple[tuple[int, ...], ...] = ()  # parameters that do not
    running_shapes: tuple[tuple[int, ...], ...] = ()  # statistics: saved, but without a gradient
    min_rows = 1  # of a training batch

    def bind(self, *views: Array) -> None:
        """Keep the views, and write initial values to those that do not start at zero."""

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        """Make the buffers; a layer that works in place needs none."""

    def resize(self, rows: int) -> None:
        """Point the views at `rows` rows of the buffers."""

    @abstractmethod
    def forward(self, x: Array) -> Array: ...

    def forward_train(self, x: Array, _rng: np.random.Generator | None) -> Array:
        """Return the output in training; random numbers come from the generator."""
        return self.forward(x)

    @abstractmethod
    def backward(self, grad: Array) -> Array: ...


class Linear(Layer):
    """z = xW + b; dW = xᵀdz, db = Σ dz over the rows, dx = dz Wᵀ.

    W (n_in, n_out) and b (n_out,), and the gradients dW and db, are views of the network's flat
    vectors. Buffers: rows × (n_out + n_in) values, or rows × n_out in the first layer.
    """

    def __init__(self, shape: Shape, *, first: bool = False) -> None:
        self.n_in, self.n_out = shape
        self.weight_shapes, self.other_shapes = (shape,), ((self.n_out,),)
        self.first = first  # no layer comes before it, so dx is not computed

    def bind(self, *views: Array) -> None:
        self.w, self.b, self.dw, self.db = views

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        self._out = np.empty((rows, self.n_out), dtype)
        self._dx = np.empty((0 if self.first else rows, self.n_in), dtype)
        self._ones = np.ones(rows, dtype)

    def resize(self, rows: int) -> None:
        self.out, self.dx, self.ones = self._out[:rows], self._dx[:rows], self._ones[:rows]

    def forward(self, x: Array) -> Array:
        self.x = x
        x.dot(self.w, self.out)
        self.out += self.b
        return self.out

    def backward(self, grad: Array) -> Array:
        self.x.T.dot(grad, self.dw)
        self.ones.dot(grad, self.db)  # the sum over the rows, computed by BLAS
        if not self.first:
            grad.dot(self.w.T, self.dx)
        return self.dx


class Activation(Layer):
    """An element-wise function of rows of `n_units` values.

    `initializer` names the initial weights that suit it. Hyperparameters are keyword-only arguments
    named as in TrainConfig.
    """

    initializer = "he"

    def __init__(self, n_units: int) -> None:
        self.n_units = n_units


class ReLU(Activation):
    """a = max(x, 0); dx = da where a > 0, else 0 (Nair & Hinton, 2010).

    The maximum of two arrays is several times faster than that of an array and a number, and a
    product with a numeric mask is faster than boolean assignment. Buffers: rows × n_units values,
    and one byte for each.
    """

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        self._zeros = np.zeros((rows, self.n_units), dtype)
        self._mask = np.empty((rows, self.n_units), bool)

    def resize(self, rows: int) -> None:
        self.zeros, self.mask = self._zeros[:rows], self._mask[:rows]

    def forward(self, x: Array) -> Array:
        self.a = np.maximum(x, self.zeros, out=x)
        return self.a

    def backward(self, grad: Array) -> Array:
        np.greater(self.a, self.zeros, out=self.mask)
        np.copyto(self.a, self.mask)
        grad *= self.a
        return grad


class LeakyReLU(Activation):
    """a = max(x, sx) with slope s < 1; dx = da where a > 0, else s·da (Maas et al., 2013).

    Buffer: rows × n_units values.
    """

    def __init__(self, n_units: int, *, leaky_slope: float) -> None:
        super().__init__(n_units)
        self.slope = leaky_slope

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        self._scratch = np.empty((rows, self.n_units), dtype)

    def resize(self, rows: int) -> None:
        self.scratch = self._scratch[:rows]

    def forward(self, x: Array) -> Array:
        np.multiply(x, self.slope, out=self.scratch)
        self.a = np.maximum(x, self.scratch, out=x)
        return self.a

    def backward(self, grad: Array) -> Array:
        np.greater(self.a, 0, out=self.scratch)
        np.maximum(self.scratch, self.slope, out=self.scratch)
        grad *= self.scratch
        return grad


class ReLU6(ReLU):
    """a = min(max(x, 0), 6); dx = da where 0 < a < 6, else 0 (Krizhevsky, 2010).

    Buffers: 2 × rows × n_units values, and rows × n_units bytes.
    """

    def allocate(self, rows: int, dtype: DTypeLike) -> None:
        super().allocate(rows, dtype)
        self._sixes = np.full((rows, self.n_units), 6, dtype)

    def resize(self, rows: int) -> None:
        super().resize(rows)
        self.sixes = self._sixes[:rows]

    def forward(self, x: Array) -> Array:
        super().forward(x)
        self.a = np.minimum(x, self.sixes, out=x)
        return self.a

    def backward(self, grad: Array) -> Array:
        np.less(self.a, self.sixes, out=self.mask)
        grad *= self.mask
        return super().backward(grad)


class Sigmoid(Activation):
    """a = 1/(1 + e⁻ˣ) = ½(1 + tanh(x/2)), which cannot overflow; dx = da · a(1 − a)."""

    initializer = "xavier"

    def forward(self, x: Array) -> Array:
        x *= 0.5
        np.tanh(x, out=x)
        x += 1
        x *= 0.5
        self.a = x
        return x

    def backward(self, grad: Array) -> Array:
        grad *= self.a
        np.subtract(1, self.a, out=self.a)
        grad *= self.a
        return grad


class Tanh(Activation):
    """a = tanh x; dx = da · (1 − a²)."""

    initializer = "xavier"

    def forward(self, x: Array) -> Array:
        self.a = np.tanh(x, out=x)
        return self.a

    def backward(self, grad: Array) -> Array:
        np.square(self.a, out=self.a)
        np.subtract(1, self.a, out=self.a)
        grad *= self.a
        return grad


class Identity(Activation):
    """a = x; dx = da: linear layers with nothing else between them are one linear map."""

    initializer = "xavier"

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, grad: Array) -> Array:
        return grad


ACTIVATIONS: dict[str, type[Activation]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "relu6": ReLU6,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "identity": Identity,
}
