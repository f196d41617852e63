import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from hpsearch.space.ranges import SpaceError
from hpsearch.trainables.network_keys import network_space
from model.config import TrainConfig

COUNTS = st.integers(1, 1000)
SHARES = st.floats(1e-9, 0.999)
SIZES = st.lists(COUNTS, max_size=3)
OPTIMIZERS = st.sampled_from(["sgd", "momentum", "adam"])


def ranges(values, scales):
    ends = st.lists(values, min_size=2, max_size=2, unique=True).map(sorted)
    return st.builds(
        lambda ends, scale: {"low": ends[0], "high": ends[1]} | scale,
        ends,
        st.sampled_from([{}, *({"log": log} for log in scales)]),
    )


def choices(values):
    return st.fixed_dictionaries(
        {"choices": st.lists(values, min_size=1, max_size=4, unique_by=repr)}
    )


STEPPED = st.builds(
    lambda low, step, steps: {"low": low, "high": low + step * steps, "step": step},
    *(COUNTS, COUNTS, COUNTS),
)
TABLES = st.fixed_dictionaries(
    {},
    optional={
        "epochs": COUNTS | choices(COUNTS) | ranges(COUNTS, [True]),
        "batch_size": COUNTS | STEPPED,
        "hidden_layer_sizes": SIZES | choices(SIZES),
        "optimizer": OPTIMIZERS | choices(OPTIMIZERS),
        "learning_rate": SHARES | choices(SHARES) | ranges(SHARES, [True]),
        "momentum": SHARES | ranges(SHARES, ["complement"]),
    },
)


def space(**table):
    return network_space(table)


def sentence(function, *arguments):
    with pytest.raises(SpaceError) as error:
        function(*arguments)
    return str(error.value)


@settings(deadline=None)
@given(TABLES)
def test_a_table_comes_back_as_it_was_read(table):
    read = network_space(table)
    assert read.as_table() == table
    assert network_space(read.as_table()) == read


@settings(deadline=None, max_examples=50)
@given(TABLES)
def test_every_space_can_be_sampled_and_trained(table):
    read = network_space(table)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    config = read.suggest(study.ask())
    for name, value in vars(config).items():
        if name in read.searched:
            assert value in read.searched[name]
        else:
            assert value == read.fixed.get(name, getattr(TrainConfig(), name))
    assert config.epochs <= read.max_epochs()


def test_separates_fixed_values_from_what_is_searched():
    read = space(epochs=3, learning_rate={"low": 0.1, "high": 1.0})
    assert dict(read.fixed) == {"epochs": 3}
    assert list(read.searched) == ["learning_rate"]


def test_an_empty_space_trains_the_defaults():
    assert space().suggest(FixedTrial({})) == TrainConfig()


def test_a_fixed_trial_gives_the_configuration():
    read = space(
        epochs=5,
        optimizer={"choices": ["sgd", "momentum"]},
        learning_rate={"low": 1e-3, "high": 1.0, "log": True},
        momentum={"low": 0.5, "high": 0.99, "log": "complement"},
        hidden_layer_sizes={"choices": [[178, 46], []]},
    )
    trial = FixedTrial(
        {
            "optimizer": "momentum",
            "learning_rate": 0.1,
            "one_minus_momentum": 0.05,
            "hidden_layer_sizes": "178-46",
        }
    )
    assert read.suggest(trial) == TrainConfig(
        epochs=5,
        optimizer="momentum",
        learning_rate=0.1,
        momentum=0.95,
        hidden_layer_sizes=(178, 46),
    )


@pytest.mark.parametrize(
    ("table", "params", "shape"),
    [
        ({}, {}, (100,)),
        ({"hidden_layer_sizes": []}, {}, ()),
        ({"hidden_layer_sizes": [178, 46]}, {}, (178, 46)),
        ({"hidden_layers": 3}, {}, (100, 100, 100)),
        ({"hidden_units": 50}, {}, (50,)),
        ({"hidden_layers": {"low": 1, "high": 3}}, {"hidden_layers": 2}, (100, 100)),
        (
            {"hidden_layers": {"low": 1, "high": 3}, "hidden_units": {"choices": [50, 100]}},
            {"hidden_layers": 3, "hidden_units": 50},
            (50, 50, 50),
        ),
        ({"hidden_layers": 2, "hidden_units": {"low": 5, "high": 9}}, {"hidden_units": 7}, (7, 7)),
    ],
)
def test_depth_and_width_describe_a_shape(table, params, shape):
    assert space(**table).suggest(FixedTrial(params)).hidden_layer_sizes == shape


def test_overrides_replace_fixed_values_and_defaults():
    read = space(epochs=3, learning_rate={"low": 0.1, "high": 1.0})
    config = read.suggest(FixedTrial({"learning_rate": 0.5}), {"epochs": 7, "beta1": 0.5})
    assert config == TrainConfig(epochs=7, learning_rate=0.5, beta1=0.5)


def test_splits_a_labelled_configuration_into_parameters_and_overrides():
    read = space(
        epochs=3,
        momentum={"low": 0.5, "high": 0.99, "log": "complement"},
        hidden_layer_sizes={"choices": [[178, 46], []]},
    )
    entry = read.check_entry({"momentum": 0.9, "hidden_layer_sizes": [], "epochs": 9, "beta1": 0})
    assert read.split(entry) == (
        {"one_minus_momentum": 0.1, "hidden_layer_sizes": "none"},
        {"epochs": 9, "beta1": 0.0},
    )


@pytest.mark.parametrize(
    ("epochs", "most"),
    [({}, 20), (7, 7), ({"low": 2, "high": 9}, 9), ({"choices": [4, 12, 8]}, 12)],
)
def test_max_epochs_is_the_largest_that_can_be_sampled(epochs, most):
    assert space(**({"epochs": epochs} if epochs else {})).max_epochs() == most


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"learning_rate": {"lo": 1}}, "unknown key 'lo'; a range has low, high, log, step"),
        (
            {"optimizer": "adamm"},
            "'adamm' is not an optimizer; did you mean 'adam'?"
            " (sgd, momentum, nesterov, adagrad, rmsprop, adam)",
        ),
        ({"momentum": 1.2}, "must be in [0, 1), but got 1.2"),
        ({"epochs": "5"}, "must be a whole number of at least 1, but got '5'"),
        (
            {"hidden_layer_sizes": "178-46"},
            "must be a list of layer sizes like [100, 50], but got '178-46'",
        ),
        *(
            (
                {"hidden_layer_sizes": [10], key: 2},
                "give either the shape or hidden_layers and hidden_units, not both",
            )
            for key in ("hidden_layers", "hidden_units")
        ),
    ],
)
def test_refuses_what_cannot_be_trained(table, message):
    assert sentence(network_space, table) == f"{next(iter(table))}: {message}"


@pytest.mark.parametrize("table", [{"low": 1, "high": 2}, 0.1])
def test_names_an_unknown_training_parameter(table):
    said = sentence(network_space, {"learn_rate": table})
    assert said.startswith(
        "learn_rate: 'learn_rate' is not a training parameter; did you mean 'learning_rate'? ("
    )


@pytest.mark.parametrize(
    ("table", "entry", "message"),
    [
        (
            {"learning_rate": {"low": 1e-3, "high": 1.0, "log": True}},
            {"learning_rate": 2},
            "learning_rate: 2.0 is outside the search space: 0.001..1.0 (log)",
        ),
        (
            {"hidden_layer_sizes": {"choices": [[178, 46], []]}},
            {"hidden_layer_sizes": [46]},
            "hidden_layer_sizes: 46 is outside the search space: one of 178-46, none",
        ),
        ({}, {"momentum": 1}, "momentum: must be in [0, 1), but got 1"),
        (
            {"hidden_units": {"low": 5, "high": 9}},
            {"hidden_layer_sizes": [7]},
            "hidden_layer_sizes: this study gives shapes as hidden_layers and hidden_units instead",
        ),
        (
            {"hidden_layers": 2},
            {"hidden_layer_sizes": [7]},
            "hidden_layer_sizes: this study gives shapes as hidden_layers and hidden_units instead",
        ),
        (
            {"hidden_layer_sizes": {"choices": [[7], []]}},
            {"hidden_units": 7},
            "hidden_units: this study gives shapes as hidden_layer_sizes instead",
        ),
        (
            {"hidden_layer_sizes": [7]},
            {"hidden_layers": 2},
            "hidden_layers: this study gives shapes as hidden_layer_sizes instead",
        ),
        (
            {},
            {"hidden_layer_sizes": [7], "hidden_layers": 2},
            "hidden_layer_sizes: give either the shape or hidden_layers and hidden_units, not both",
        ),
    ],
)
def test_refuses_a_labelled_configuration_that_does_not_fit(table, entry, message):
    assert sentence(space(**table).check_entry, entry) == message


@pytest.mark.parametrize(
    "table",
    [
        {"batch_norm": "before", "batch_size": 1},
        {"batch_norm": "after", "batch_size": {"low": 1, "high": 9}},
        {"batch_norm": {"choices": ["none", "after"]}, "batch_size": {"choices": [1, 32]}},
    ],
)
def test_batches_of_one_row_are_refused_where_they_may_be_normalized(table):
    assert sentence(network_space, table) == (
        "batch_size: must be at least 2 with batch normalization: one row has no variance"
    )


def test_batches_of_one_row_are_fine_without_normalization():
    space(batch_size=1, batch_norm={"choices": ["none"]})
    space(batch_size={"low": 2, "high": 9}, batch_norm="before")


def test_a_labelled_batch_of_one_row_is_refused_where_it_may_be_normalized():
    searched = space(batch_norm={"choices": ["none", "after"]}, batch_size=32)
    searched.check_entry({"batch_size": 1, "batch_norm": "none"})
    assert "must be at least 2" in sentence(searched.check_entry, {"batch_size": 1})
