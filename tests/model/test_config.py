import json
from dataclasses import FrozenInstanceError, fields, replace
from fractions import Fraction

import numpy as np
import pytest

from model.config import CHECKS, FIELD_TYPES, TrainConfig

NAN, INF = float("nan"), float("inf")
COUNTS = ["epochs", "batch_size", "step_epochs", "plateau_patience"]
NAMES = ["activation", "initializer", "batch_norm", "loss", "output", "optimizer", "schedule"]
INTERVALS = {
    "leaky_slope": "[0, 1)",
    "weight_std": "(0, inf)",
    "weight_constant": "(-inf, inf)",
    "bias_std": "[0, inf)",
    "batch_norm_decay": "[0, 1)",
    "batch_norm_epsilon": "(0, inf)",
    "dropout": "[0, 1)",
    "learning_rate": "(0, inf)",
    "final_learning_rate": "(0, inf)",
    "step_factor": "(0, 1]",
    "plateau_factor": "(0, 1]",
    "momentum": "[0, 1)",
    "rho": "[0, 1)",
    "beta1": "[0, 1)",
    "beta2": "[0, 1)",
    "weight_decay": "[0, inf)",
}
SOME = TrainConfig(
    epochs=3,
    batch_size=7,
    steps_per_epoch=9,
    hidden_layer_sizes=(5, 4),
    activation="tanh",
    leaky_slope=0.75,
    initializer="glorot",
    weight_std=0.5,
    weight_constant=-0.5,
    bias_std=0.25,
    batch_norm="after",
    batch_norm_decay=0.625,
    batch_norm_epsilon=0.125,
    dropout=0.375,
    loss="mean_squared_error",
    output="sigmoid",
    optimizer="adam",
    learning_rate=1e-3,
    schedule="step",
    final_learning_rate=1e-6,
    step_epochs=4,
    step_factor=0.25,
    plateau_patience=2,
    plateau_factor=0.125,
    momentum=0.0,
    rho=0.95,
    beta1=0.8,
    beta2=0.99,
    weight_decay=1e-4,
    early_stopping=6,
)


def sentence(**options):
    with pytest.raises(ValueError, match=r"must be|must hold|is not") as error:
        TrainConfig(**options)
    return str(error.value)


def test_is_frozen_and_hashable():
    config = TrainConfig()
    with pytest.raises(FrozenInstanceError):
        config.epochs = 5
    assert hash(config) == hash(TrainConfig())


def test_every_field_is_checked_and_has_a_plain_type():
    names = [f.name for f in fields(TrainConfig)]
    assert list(CHECKS) == list(FIELD_TYPES) == names
    assert {name: type(value) for name, value in vars(SOME).items()} == FIELD_TYPES


def test_this_file_lists_exactly_the_fields():
    others = ["hidden_layer_sizes", "early_stopping", "steps_per_epoch"]
    assert {*COUNTS, *NAMES, *INTERVALS, *others} == set(FIELD_TYPES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"loss": "crossentropy"},
            "'crossentropy' is not a loss; did you mean 'cross_entropy'?"
            " (cross_entropy, binary_cross_entropy, mean_squared_error, multilabel_cross_entropy,"
            " squared_error, absolute_error, huber)",
        ),
        (
            {"output": "soft_max"},
            "'soft_max' is not an output; did you mean 'softmax'? (softmax, sigmoid, identity)",
        ),
        (
            {"early_stopping": -1},
            "early_stopping must be a whole number of at least 0, but got -1",
        ),
        ({"dropout": 1.2}, "dropout must be in [0, 1), but got 1.2"),
        (
            {"batch_norm": "befor"},
            "'befor' is not a batch_norm; did you mean 'before'? (none, before, after)",
        ),
        (
            {"batch_norm": "after", "batch_size": 1},
            "batch_size must be at least 2 with batch normalization: one row has no variance",
        ),
        ({"momentum": 1.2}, "momentum must be in [0, 1), but got 1.2"),
        ({"momentum": 1}, "momentum must be in [0, 1), but got 1"),
        ({"beta1": -0.1}, "beta1 must be in [0, 1), but got -0.1"),
        ({"beta2": 1.0}, "beta2 must be in [0, 1), but got 1.0"),
        ({"learning_rate": 0}, "learning_rate must be in (0, inf), but got 0"),
        ({"weight_std": 0.0}, "weight_std must be in (0, inf), but got 0.0"),
        ({"weight_decay": -1e-9}, "weight_decay must be in [0, inf), but got -1e-09"),
        (
            {"optimizer": "adamm"},
            "'adamm' is not an optimizer; did you mean 'adam'?"
            " (sgd, momentum, nesterov, adagrad, rmsprop, adam)",
        ),
        (
            {"activation": "rellu"},
            "'rellu' is not an activation; did you mean 'relu'?"
            " (relu, leaky_relu, relu6, sigmoid, tanh, identity)",
        ),
        (
            {"initializer": "glorat"},
            "'glorat' is not an initializer; did you mean 'glorot'?"
            " (auto, he, xavier, glorot, normal, zeros, constant)",
        ),
    ],
)
def test_says_what_is_wrong_and_what_would_be_right(options, message):
    assert sentence(**options) == message


@pytest.mark.parametrize(("name", "interval"), INTERVALS.items())
def test_a_number_lies_in_its_interval(name, interval):
    for value in (NAN, INF, -INF, np.float32("nan"), 10**400):
        assert sentence(**{name: value}) == f"{name} must be in {interval}, but got {value}"
    for value in (True, np.True_, "0.1", None, [0.1], 1j):
        expected = f"{name} must be a number in {interval}, but got {value!r}"
        assert sentence(**{name: value}) == expected


def test_a_number_is_judged_as_the_float_it_becomes():
    almost_one = 1 - Fraction(1, 10**30)
    assert sentence(momentum=almost_one) == f"momentum must be in [0, 1), but got {almost_one}"


@pytest.mark.parametrize(
    "name",
    ["leaky_slope", "dropout", "momentum", "rho", "beta1", "beta2", "bias_std", "weight_decay"],
)
def test_zero_is_inside_an_interval_that_includes_it(name):
    assert getattr(TrainConfig(**{name: 0}), name) == 0.0


@pytest.mark.parametrize("value", [0, -1, True, 1.0, 2.5, NAN, "3", None, np.True_])
def test_a_count_is_a_whole_number_of_at_least_one(value):
    tail = f"must be a whole number of at least 1, but got {value!r}"
    for name in COUNTS:
        assert sentence(**{name: value}) == f"{name} {tail}"
    held = f"must hold whole numbers of at least 1, but got {[10, value]!r}"
    assert sentence(hidden_layer_sizes=[10, value]) == f"hidden_layer_sizes {held}"


@pytest.mark.parametrize("value", ["100", 100, None, b"ab", {100: 50}, {100, 50}, np.array(100)])
def test_layer_sizes_are_a_list(value):
    assert sentence(hidden_layer_sizes=value) == (
        f"hidden_layer_sizes must be a list of layer sizes like [100, 50], but got {value!r}"
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [5, None, True, ["adam"]])
def test_a_name_is_a_string(name, value):
    article = "an" if name[0] in "aeiou" else "a"
    assert sentence(**{name: value}).startswith(f"{value!r} is not {article} {name}")


def test_numpy_scalars_become_plain_python():
    config = TrainConfig(
        epochs=np.int64(3),
        batch_size=np.uint8(7),
        steps_per_epoch=np.int64(9),
        hidden_layer_sizes=list(np.array([5, 4])),
        activation=np.str_("tanh"),
        leaky_slope=np.float32(0.75),
        initializer=np.str_("glorot"),
        weight_std=np.float32(0.5),
        weight_constant=np.float32(-0.5),
        bias_std=np.float64(0.25),
        batch_norm=np.str_("after"),
        batch_norm_decay=np.float32(0.625),
        batch_norm_epsilon=np.float32(0.125),
        dropout=np.float32(0.375),
        loss=np.str_("mean_squared_error"),
        output=np.str_("sigmoid"),
        optimizer=np.str_("adam"),
        learning_rate=np.float64(1e-3),
        schedule=np.str_("step"),
        final_learning_rate=np.float64(1e-6),
        step_epochs=np.int16(4),
        step_factor=np.float32(0.25),
        plateau_patience=np.int8(2),
        plateau_factor=np.float16(0.125),
        momentum=np.int32(0),
        rho=np.float64(0.95),
        beta1=np.float64(0.8),
        beta2=np.float64(0.99),
        weight_decay=np.float64(1e-4),
        early_stopping=np.uint8(6),
    )
    assert config == SOME
    assert {name: type(value) for name, value in vars(config).items()} == FIELD_TYPES
    assert {type(size) for size in config.hidden_layer_sizes} == {int}


def test_lists_become_tuples_and_whole_floats_stay_floats():
    assert TrainConfig(hidden_layer_sizes=[]).hidden_layer_sizes == ()
    assert TrainConfig(hidden_layer_sizes=[5]).hidden_layer_sizes == (5,)
    assert isinstance(TrainConfig(learning_rate=1).learning_rate, float)


def test_as_dict_goes_through_json_and_back():
    plain = SOME.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert TrainConfig(**plain) == SOME
    assert list(plain) == list(FIELD_TYPES)


def test_a_changed_copy_is_checked_too():
    with pytest.raises(ValueError, match="momentum must be in"):
        replace(SOME, momentum=2)


def test_arguments_for_picks_keyword_only_parameters():
    def rule(params, learning_rate, *, beta2, momentum):
        raise NotImplementedError

    assert SOME.arguments_for(rule) == {"beta2": 0.99, "momentum": 0.0}
    assert SOME.arguments_for(len) == {}
