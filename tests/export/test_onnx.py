"""A network as an ONNX file predicts what `predict` does, for every column, layer and output."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pandas as pd
import pytest
from onnxruntime import InferenceSession

from hpsearch.data.columns import (
    KINDS,
    Dates,
    Means,
    Numbers,
    Text,
    Words,
    as_plain,
    from_plain,
)
from hpsearch.errors import DataError, SettingsError, StudyError
from hpsearch.export.onnx import TOLERANCE, as_onnx, check_agreement, onnx_inputs
from hpsearch.prediction import predict_frame, predict_table
from hpsearch.trials.records import own_trials
from hpsearch.workspace import Workspace
from model import Network, TrainConfig
from model.checkpoint import Checkpoint
from model.layers import ACTIVATIONS
from model.losses import LOSSES, MULTILABEL
from model.outputs import OUTPUTS, Threshold
from model.scaling import Scaler, standardize
from model.training import build_optimizer

DAY = 1_700_000_000  # float32 cannot tell this number from the next one
NUMBERS = [name for name, loss in LOSSES.items() if loss.regression]
CLASSES = [n for n, loss in LOSSES.items() if not (loss.regression or loss.multilabel)]


def saved_network(columns, n_outputs=3, **options):
    """A network with random weights, biases and running statistics for features of `columns`."""
    rng = np.random.default_rng(0)
    d = sum(len(column.feature_names) for column in columns)
    config = TrainConfig(**{"hidden_layer_sizes": (7, 5), "bias_std": 1.0, **options})
    network = Network(d, n_outputs, config, rng)
    network.state[network.params.size :] += rng.random(network.state.size - network.params.size)
    network.params[:] += rng.normal(0, 0.3, network.params.size)
    network.linears[-1].w *= 0.2  # no probability is 0 or 1
    network.linears[-1].b *= 0.2
    numbers = network.loss.regression
    names = ("ant", "bee", "Zoë, tame", *map(str, range(n_outputs)))[:n_outputs]
    targets = standardize(rng.normal(DAY, 30, (50, n_outputs))) if numbers else Scaler()
    return Checkpoint(
        network=network,
        optimizer=build_optimizer(config, network.params),
        scaler=Scaler(rng.normal(size=d), rng.random(d)),
        curves={},
        notes={},
        classes=np.empty(0, np.str_) if numbers else np.array(names),
        target_scaler=targets,
        target_names=names if numbers else ("kind",),
        columns=as_plain(columns),
    )


def run(saved, frame):
    """What ONNX Runtime returns for a table, by the names of the outputs."""
    session = InferenceSession(as_onnx(saved, {}).SerializeToString())
    names = [each.name for each in session.get_outputs()]
    inputs = onnx_inputs(frame, from_plain(saved.columns))
    return dict(zip(names, session.run(None, inputs), strict=True))


def assert_the_same(saved, frame):
    found, expected = run(saved, frame), predict_frame(saved, frame)
    if expected.classes is None:
        assert found["prediction"].dtype == np.float64
        unit = saved.target_scaler.width
        np.testing.assert_allclose(found["prediction"] / unit, expected.outputs / unit, atol=1e-5)
    else:
        np.testing.assert_allclose(found["probabilities"], expected.probabilities, atol=1e-6)
        assert found["label"].tolist() == expected.labels.tolist()
    assert len(np.unique(expected.outputs.round(9), axis=0)) > 1


PLAIN = (Numbers("a"), Numbers("b"))
ROWS = pd.DataFrame(np.random.default_rng(1).normal(0, 2, (40, 2)), columns=["a", "b"])


@pytest.mark.parametrize("batch_norm", ["none", "before", "after"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_with_and_without_batch_normalization(activation, batch_norm):
    options = {"batch_norm": batch_norm, "leaky_slope": 0.2, "dropout": 0.3}
    assert_the_same(saved_network(PLAIN, activation=activation, **options), ROWS)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("loss", CLASSES)
@pytest.mark.parametrize("classes", [2, 12])
def test_every_loss_and_output_of_classes(loss, output, classes):
    assert_the_same(saved_network(PLAIN, classes, loss=loss, output=output), ROWS)


@pytest.mark.parametrize("positive", [0, 1])
def test_a_threshold_decides_as_in_predict(positive):
    saved = saved_network(PLAIN, 2)
    p = predict_frame(saved, ROWS).probabilities[:, positive]
    saved = replace(saved, threshold=Threshold(positive, float(np.quantile(p, 0.8))))
    assert_the_same(saved, ROWS)
    chosen = saved.classes[positive]
    assert (run(saved, ROWS)["label"] == chosen).sum() == (p >= saved.threshold.value).sum() == 8


@pytest.mark.parametrize("labels", [1, 3])
def test_several_labels_have_a_word_each(labels):
    words = (("no", "yes"), ("0", "1"), ("False", "True"))[:labels]
    saved = replace(saved_network(PLAIN, labels, loss=MULTILABEL), words=words)
    z = saved.network.forward(saved.scaler(ROWS.to_numpy()))
    saved.network.linears[-1].b -= np.median(z, axis=0)
    assert_the_same(saved, ROWS)
    found = run(saved, ROWS)["label"]
    assert [{*column} for column in found.T] == [{*pair} for pair in words]


@pytest.mark.parametrize("loss", NUMBERS)
@pytest.mark.parametrize("targets", [1, 3])
def test_every_loss_of_numbers_with_one_and_several_targets(loss, targets):
    assert_the_same(saved_network(PLAIN, targets, loss=loss), ROWS)


def test_a_network_without_hidden_layers():
    assert_the_same(saved_network(PLAIN, hidden_layer_sizes=()), ROWS)


WORDS = ["red", "green", "", None, "other", "blue", np.nan]
COLUMNS = {
    "complete numbers": Numbers("a"),
    "numbers with a median": Numbers("a", 3.5),
    "numbers with gaps": Numbers("a", 3.5, indicator=True),
    "words of 0.1": Words("w", ("blue", "green", "red")),
    "words": Words("w", ("green", "red"), strict=False),
    "words, rare ones": Words("w", ("green", "red"), others=True, strict=False),
    "words, gaps": Words("w", ("green", "red"), absent=True, strict=False),
    "words, both": Words("w", ("green", "red"), others=True, absent=True, strict=False),
    "only rare words": Words("w", (), others=True, absent=True, strict=False),
    "means": Means("w", ("",), {"red": (1.0,), "blue": (-2.0,)}, (0.5,)),
    "means, gaps": Means(
        "w", ("x", "y", "z"), {"red": (1, 2, 3), "(missing)": (5, 6, 7)}, (0.1, 0.2, 0.3)
    ),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_kind_of_column_with_gaps_and_unknown_words(kind):
    column = COLUMNS[kind]
    if isinstance(column, Numbers):
        frame = pd.DataFrame({"a": [1.5, -2.0, DAY, 0.0]})
        if not column.is_early:
            frame.loc[1] = np.nan
    else:
        frame = pd.DataFrame({"w": ["red", "green", "blue"] if column.is_early else WORDS})
    more = Numbers("more", 1.0)  # so that no table is an array
    assert_the_same(saved_network((column, more)), frame.assign(more=np.arange(len(frame))))


def test_every_kind_of_column_is_known_or_refused():
    assert {type(column) for column in COLUMNS.values()} | {Dates, Text} == {*KINDS.values()}


def test_columns_are_inputs_by_name_and_outputs_have_names_of_their_own():
    columns = (
        Numbers("label", 1.0, indicator=True),
        Means("Straße, Nr.", ("",), {"a": (1.0,), "b": (2.0,)}, (0.0,)),
        Words("constant/0", ("x", "y"), strict=False),
    )
    saved = saved_network(columns)
    model = as_onnx(saved, {"study": "mine"})
    onnx.checker.check_model(model, full_check=True)
    session = InferenceSession(model.SerializeToString())
    assert [(each.name, each.type) for each in session.get_inputs()] == [
        ("label", "tensor(double)"),
        ("Straße, Nr.", "tensor(string)"),
        ("constant/0", "tensor(string)"),
    ]
    assert [each.name for each in session.get_outputs()] == ["label_", "probabilities"]
    about = session.get_modelmeta().custom_metadata_map
    assert about["study"] == "mine"
    assert json.loads(about["classes"]) == ["ant", "bee", "Zoë, tame"]


def test_a_network_of_complete_numbers_takes_one_array():
    saved = saved_network((Numbers("a"), Numbers("second")))
    x = np.column_stack([np.arange(5.0), DAY + np.arange(5.0)])
    session = InferenceSession(as_onnx(saved, {}).SerializeToString())
    (found,) = session.run(["probabilities"], {"X": x})
    np.testing.assert_allclose(found, saved.network.predict(saved.scaler(x)), atol=1e-6)


def test_dates_and_free_text_are_refused_by_name():
    columns = (Numbers("a", 0.0), Dates("sold", (0.0,) * 4), Text("note", ("good",), (1.0,)))
    with pytest.raises(DataError) as raised:
        as_onnx(saved_network(columns), {})
    assert str(raised.value) == (
        "ONNX cannot read dates or free text, which columns 'sold' and 'note' hold; export the "
        'network as npz, or search again with drop = ["sold", "note"] in [data]'
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_a_file_that_differs_is_refused(loss):
    saved = saved_network(PLAIN, loss=loss)
    content = as_onnx(saved, {}).SerializeToString()
    check_agreement(content, saved, ROWS)
    shift = saved.scaler.shift + np.array([0.0, 100 * TOLERANCE])
    other = replace(saved, scaler=Scaler(shift, saved.scaler.factor))
    with pytest.raises(StudyError, match=r"^the ONNX file differs from the network by 0\.\d+ on"):
        check_agreement(content, other, ROWS)


# From a study


@pytest.fixture
def workspace(storage):
    return Workspace(storage, tracked=False)


def test_a_study_is_exported_and_predicts_from_raw_rows(workspace, study, table, tmp_path):
    network, model = tmp_path / "it.npz", tmp_path / "it.onnx"
    workspace.export(study.study_name, "npz", network)
    content = workspace.export(study.study_name, "onnx", model)
    assert model.read_bytes() == content
    expected = predict_table(network, table)
    frame, session = pd.read_csv(table, dtype={"code": str}), InferenceSession(model)
    inputs = {
        each.name: frame[[each.name]].to_numpy(str if each.type == "tensor(string)" else float)
        for each in session.get_inputs()
    }
    label, probabilities = session.run(["label", "probabilities"], inputs)
    assert label.tolist() == expected.labels.tolist()
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-6)
    about = session.get_modelmeta()
    assert about.custom_metadata_map["study"] == study.study_name
    assert about.producer_name == "hpsearch"
    assert json.loads(about.custom_metadata_map["columns"]) == ["second", "size", "colour", "code"]


def test_a_difference_writes_no_file(workspace, study, tmp_path, monkeypatch):
    monkeypatch.setattr("hpsearch.export.onnx.TOLERANCE", -1.0)
    with pytest.raises(StudyError, match="export the network as npz"):
        workspace.export(study.study_name, "onnx", tmp_path / "it.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_a_missing_library_is_one_sentence_before_anything_is_trained(
    workspace, study, monkeypatch, library
):
    monkeypatch.setattr(
        "hpsearch.export.onnx.find_spec", lambda name: None if name == library else name
    )
    monkeypatch.setattr(
        "hpsearch.export.network.winner_with_network", lambda *_: pytest.fail("trained")
    )
    with pytest.raises(SettingsError, match=r"pip install 'hpsearch\[onnx\]'"):
        workspace.export(study.study_name, "onnx")
    assert len(own_trials(study)) == 4
