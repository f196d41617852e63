"""The network as an ONNX file, from the raw columns of a table to labels or numbers.

The graph is built with `onnx.helper`: columns, scales and layers are plain data here, and no
estimators that a converter such as skl2onnx knows. Features are computed in double precision and
layers in single precision, as in `predict`, and a file is compared with `predict` before it is
written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch import __version__
from hpsearch.data.cells import as_numbers, known_words
from hpsearch.data.columns import (
    MISSING,
    Column,
    Dates,
    Means,
    Numbers,
    Text,
    Words,
    from_plain,
)
from hpsearch.errors import DataError, SettingsError, StudyError
from hpsearch.export.examples import example_rows
from hpsearch.formatting import joined
from hpsearch.prediction import load_model, predict_frame
from hpsearch.storage.catalog import study_settings
from model.batch_norm import BatchNorm
from model.dropout import Dropout
from model.layers import Identity, LeakyReLU, Linear, ReLU, ReLU6, Sigmoid, Tanh

if TYPE_CHECKING:
    import pandas as pd
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto
    from optuna.study import Study

    from hpsearch.export.network import Winner
    from model.checkpoint import Checkpoint
    from model.layers import Layer
    from model.network import Network
    from model.outputs import Threshold

COMPARED_ROWS = 1000  # on which the file must agree with `predict`
TOLERANCE = 1e-4  # of a probability, or in standard deviations of a number
OPSETS = {"": 17, "ai.onnx.ml": 2}  # the oldest that have all operators, for older runtimes
IR_VERSION = 8
ARRAY = "X"  # the input of a network that was trained on an array

LAYERS = {  # operators of the layers without parameters; "" where nothing is to do
    ReLU: "Relu",
    Sigmoid: "Sigmoid",
    Tanh: "Tanh",
    Identity: "",
    Dropout: "",
}


def check_installed() -> None:
    """Raise SettingsError if a library that writes or runs ONNX files is missing."""
    if not (find_spec("onnx") and find_spec("onnxruntime")):
        raise SettingsError("an ONNX file needs onnx and onnxruntime: pip install 'hpsearch[onnx]'")


def onnx_of(study: Study, winner: Winner) -> bytes:
    """Return the contents of an .onnx file with the network of the study's winner.

    It has been compared with `predict` on training rows. Raises DataError if there are columns that
    ONNX cannot read, and StudyError if the outputs differ.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        winner.network.save(path)
        saved = load_model(path)
    content: bytes = as_onnx(saved, {"study": study.study_name}).SerializeToString()
    check_agreement(content, saved, example_rows(study_settings(study).data, COMPARED_ROWS))
    return content


def as_onnx(saved: Checkpoint, about: Mapping[str, str]) -> ModelProto:
    """Return an exported network as an ONNX model; raise DataError for dates and free text.

    Inputs: one (rows, 1) for each column, by its name: double, NaN for a gap; or string, "" for a
    gap. If all columns are complete numbers, as those of an array, there is one double input `X`
    (rows, d) instead. Outputs: `label` (rows,), or (rows, k) of several labels, string, and
    `probabilities` (rows, k), float; or `prediction` (rows, k), double. about: metadata besides the
    version, columns, classes and targets.
    """
    from onnx import helper

    columns = from_plain(saved.columns)
    _check_readable(columns)
    inputs = _inputs(columns)
    graph = _Graph([each.name for each in inputs])
    features = [ARRAY] if _is_array(columns) else [_features(graph, each) for each in columns]
    x = graph.node("Concat", *features, axis=1)
    z = _layers(graph, _scaled(graph, x, saved), saved.network)
    loss = saved.network.loss
    write = _numbers if loss.regression else _several_labels if loss.multilabel else _classes
    outputs = write(graph, z, saved)
    model: ModelProto = helper.make_model(
        helper.make_graph(graph.nodes, "hpsearch", inputs, outputs, graph.constants),
        producer_name="hpsearch",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid(*each) for each in OPSETS.items()],
    )
    facts = {
        "hpsearch_version": __version__,
        "columns": json.dumps([column.name for column in columns]),
        "classes": json.dumps(saved.classes.tolist()),
        "targets": json.dumps(saved.target_names),
    }
    helper.set_model_props(model, facts | dict(about))
    return model


def check_agreement(content: bytes, saved: Checkpoint, rows: pd.DataFrame) -> None:
    """Raise StudyError if an .onnx file predicts something else for `rows` than `predict` does."""
    from onnxruntime import InferenceSession

    expected = predict_frame(saved, rows)
    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    *labels, outputs = session.run(None, onnx_inputs(rows, from_plain(saved.columns)))
    unit = saved.target_scaler.width if expected.classes is None else np.ones(())
    worst = np.max(np.abs(outputs - expected.outputs) / np.maximum(unit, np.finfo(np.float64).tiny))
    as_found = replace(expected, outputs=outputs)
    same = all((found == as_found.labels).all() for found in labels)
    if not (same and worst <= TOLERANCE):
        raise StudyError(
            f"the ONNX file differs from the network by {worst:.2g} on {len(rows)} rows, which is "
            "more than rounding, so it is not written; export the network as npz"
        )


def onnx_inputs(frame: pd.DataFrame, columns: Sequence[Column]) -> dict[str, NDArray[Any]]:
    """Return rows of a table as its network's .onnx file takes them; see `as_onnx`."""
    cells = {column.name: _cells(frame[column.name], column)[:, None] for column in columns}
    return {ARRAY: np.hstack([*cells.values()])} if _is_array(columns) else cells


def _cells(values: pd.Series[Any], column: Column) -> NDArray[Any]:
    match column:
        case Words():
            known = [*column.categories]
        case Means():
            known = [*column.means]
        case _:
            return as_numbers(values).to_numpy(np.float64)
    words = known_words(column.name, values, known, complete=False)
    return np.array([word or "" for word in words], object)


def _is_array(columns: Sequence[Column]) -> bool:
    return all(isinstance(column, Numbers) and column.is_early for column in columns)


def _check_readable(columns: Sequence[Column]) -> None:
    names = [column.name for column in columns if isinstance(column, Dates | Text)]
    if names:
        what = "column" if len(names) == 1 else "columns"
        listed = ", ".join(f'"{name}"' for name in names)
        raise DataError(
            f"ONNX cannot read dates or free text, which {what} {joined([*map(repr, names)])} "
            f"{'holds' if len(names) == 1 else 'hold'}; export the network as npz, or search "
            f"again with drop = [{listed}] in [data]"
        )


# The graph ---------------------------------------------------------------------------------------


class _Graph:
    """The nodes and constants of a graph; its values are named by strings. taken: its inputs."""

    def __init__(self, taken: Sequence[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._taken = {*taken}

    def name(self, wanted: str) -> str:
        """Return a name that no other value has: `wanted`, or with underscores at its end."""
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted

    def constant(self, value: NDArray[Any]) -> str:
        """Add a constant, and return its name."""
        from onnx import numpy_helper

        name = self.name(f"constant/{len(self.constants)}")
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(
        self, operator: str, *inputs: str, output: str = "", unused: int = 0, **attributes: Any
    ) -> str:
        """Add a node, and return the name of its first output; `unused` more are ignored."""
        from onnx import helper

        output = output or self.name(f"{operator}/{len(self.nodes)}")
        outputs = [output, *(self.name(f"unused/{output}") for _ in range(unused))]
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return output

    def cast(self, value: str, kind: type[np.generic]) -> str:
        """Add a cast to the type that NumPy calls `kind`, and return its name."""
        from onnx import helper

        return self.node("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))


def _inputs(columns: Sequence[Column]) -> list[ValueInfoProto]:
    from onnx import TensorProto, helper

    kinds = {True: TensorProto.STRING, False: TensorProto.DOUBLE}
    if _is_array(columns):
        return [helper.make_tensor_value_info(ARRAY, kinds[False], ["rows", len(columns)])]
    return [
        helper.make_tensor_value_info(column.name, kinds[column.is_text], ["rows", 1])
        for column in columns
    ]


def _features(graph: _Graph, column: Column) -> str:
    """Add what a column becomes: (rows, features), double."""
    match column:
        case Numbers(fill=None):
            return column.name
        case Numbers():
            absent = graph.node("IsNaN", column.name)
            filled = graph.node("Where", absent, graph.constant(np.array(column.fill)), column.name)
            if not column.indicator:
                return filled
            return graph.node("Concat", filled, graph.cast(absent, np.float64), axis=1)
        case Words():
            width, known = len(column.feature_names), len(column.categories)
            # A row that is none of them is numbered -1.
            index = _index(
                graph,
                column,
                column.categories,
                absent=known + column.others if column.absent else -1,
                others=known if column.others else -1,
            )
            which = graph.node("Equal", index, graph.constant(np.arange(width)[None, :]))
            return graph.cast(which, np.float64)
        case Means():
            words = [*column.means]
            index = _index(
                graph,
                column,
                words,
                absent=words.index(MISSING) if MISSING in column.means else len(words),
                others=len(words),
            )
            table = np.array([*column.means.values(), column.otherwise])
            found = graph.node("Gather", graph.constant(table), index)
            return graph.node("Squeeze", found, graph.constant(np.array([1])))
    raise NotImplementedError(column.kind)


def _index(graph: _Graph, column: Column, words: Sequence[str], *, absent: int, others: int) -> str:
    """Add the number of each cell's word in `words` (rows, 1), int64."""
    return graph.node(
        "LabelEncoder",
        column.name,
        domain="ai.onnx.ml",
        keys_strings=[*words, ""],
        values_int64s=[*range(len(words)), absent],
        default_int64=others,
    )


def _scaled(graph: _Graph, x: str, saved: Checkpoint) -> str:
    shifted = graph.node("Sub", x, graph.constant(saved.scaler.shift))
    scaled = graph.node("Mul", shifted, graph.constant(saved.scaler.factor))
    return graph.cast(scaled, np.float32)


def _layers(graph: _Graph, x: str, network: Network) -> str:
    """Add the network's layers at inference: (rows, n_outputs), float."""
    for layer in network.layers:
        x = _layer(graph, x, layer)
    return x


def _layer(graph: _Graph, x: str, layer: Layer) -> str:
    match layer:
        case Linear():
            return graph.node("Gemm", x, *_constants(graph, layer.w, layer.b))
        case BatchNorm():
            parts = (layer.gamma, layer.beta, layer.mean, layer.variance)
            constants = _constants(graph, *parts)
            return graph.node("BatchNormalization", x, *constants, epsilon=layer.epsilon)
        case LeakyReLU():
            return graph.node("LeakyRelu", x, alpha=layer.slope)
        case ReLU6():
            return graph.node("Clip", x, *_constants(graph, np.array(0.0), np.array(6.0)))
    operator = LAYERS[type(layer)]
    return graph.node(operator, x) if operator else x


def _constants(graph: _Graph, *values: NDArray[Any]) -> list[str]:
    """Add constants of type float, and return their names."""
    return [graph.constant(value.astype(np.float32)) for value in values]


def _numbers(graph: _Graph, z: str, saved: Checkpoint) -> list[ValueInfoProto]:
    """Add the numbers in their own units; return the output."""
    from onnx import TensorProto, helper

    scaler, name = saved.target_scaler, graph.name("prediction")
    wide = graph.node("Mul", graph.cast(z, np.float64), graph.constant(scaler.width))
    graph.node("Add", wide, graph.constant(scaler.shift), output=name)
    shape = ("rows", saved.network.n_outputs)
    return [helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape)]


def _classes(graph: _Graph, z: str, saved: Checkpoint) -> list[ValueInfoProto]:
    """Add the class that is predicted and the probabilities; return these two outputs."""
    label, probabilities = graph.name("label"), graph.name("probabilities")
    config = saved.network.config
    output = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}.get(
        config.loss, config.output
    )
    PROBABILITIES[output](graph, z, saved.network.n_outputs, probabilities)
    chosen = _chosen(graph, probabilities, saved.threshold)
    names = graph.constant(saved.classes.astype(object))
    graph.node("Gather", names, chosen, output=label)
    return _two_outputs(label, ["rows"], probabilities, saved)


def _several_labels(graph: _Graph, z: str, saved: Checkpoint) -> list[ValueInfoProto]:
    """Add the word of each label and the probabilities; return these two outputs."""
    label, probabilities = graph.name("label"), graph.name("probabilities")
    graph.node("Sigmoid", z, output=probabilities)
    above = graph.node("Greater", probabilities, *_constants(graph, np.array(0.5)))
    words = np.array(saved.words, object).T
    no, yes = (graph.constant(each[None, :]) for each in words)
    graph.node("Where", above, yes, no, output=label)
    return _two_outputs(label, ["rows", len(saved.words)], probabilities, saved)


def _two_outputs(
    label: str, shape: Sequence[str | int], probabilities: str, saved: Checkpoint
) -> list[ValueInfoProto]:
    from onnx import TensorProto, helper

    each = ("rows", saved.network.n_outputs)
    return [
        helper.make_tensor_value_info(label, TensorProto.STRING, shape),
        helper.make_tensor_value_info(probabilities, TensorProto.FLOAT, each),
    ]


def _chosen(graph: _Graph, probabilities: str, threshold: Threshold | None) -> str:
    """Add the number of the class that is predicted (rows,), as `model.outputs.decided` has it."""
    if threshold is None:
        return graph.node("ArgMax", probabilities, axis=1, keepdims=0)
    positive = graph.constant(np.array(threshold.positive))
    p = graph.node("Gather", probabilities, positive, axis=1)
    above = graph.node("GreaterOrEqual", p, *_constants(graph, np.array(threshold.value)))
    return graph.node("Where", above, positive, graph.constant(np.array(1 - threshold.positive)))


def _softmax(graph: _Graph, z: str, _classes: int, output: str) -> str:
    return graph.node("Softmax", z, axis=1, output=output)


def _normalized_sigmoids(graph: _Graph, z: str, _classes: int, output: str) -> str:
    """Add the softmax of log σ(z) = −log(1 + e⁻ᶻ), as `model.outputs.normalized_sigmoids` has."""
    logs = graph.node("Neg", graph.node("Softplus", graph.node("Neg", z)))
    return graph.node("Softmax", logs, axis=1, output=output)


def _nearest_distribution(graph: _Graph, z: str, classes: int, output: str) -> str:
    """Add max(z − θ, 0), as `model.outputs.nearest_distribution` has.

    θ is the largest of (Σ of the k largest − 1)/k over k, which is the k at which it stays above 0.
    """
    z = graph.node("Sub", z, graph.node("ReduceMax", z, axes=[1]))
    largest = graph.node("TopK", z, graph.constant(np.array([classes])), unused=1, axis=1)
    sums = graph.node("CumSum", largest, graph.constant(np.array(1)))
    one, counts = _constants(graph, np.array(1.0), np.arange(1, classes + 1))
    thetas = graph.node("Div", graph.node("Sub", sums, one), counts)
    theta = graph.node("ReduceMax", thetas, axes=[1])
    return graph.node("Relu", graph.node("Sub", z, theta), output=output)


PROBABILITIES = {
    "softmax": _softmax,
    "sigmoid": _normalized_sigmoids,
    "identity": _nearest_distribution,
}
