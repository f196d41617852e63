import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial
from scipy.stats import kstest

from hpsearch.space.ranges import (
    Choices,
    Range,
    SpaceError,
    field_name,
    read_searched,
    shape_name,
)
from hpsearch.trainables.network_keys import NETWORK
from model.config import FIELD_TYPES

BELOW_ONE = math.nextafter(1, 0)
MOMENTUM = Range(low=0.9, high=0.999, log="complement")
SHAPES = Choices(((178, 46), (100,), ()))


def draws(searched, name, n=400):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    return [searched.suggest(study.ask(), name) for _ in range(n)]


@pytest.mark.parametrize(
    ("key", "table", "distribution"),
    [
        ("weight_std", {"low": 0.1, "high": 0.5}, FloatDistribution(0.1, 0.5)),
        ("weight_std", {"low": 1, "high": 2, "log": False}, FloatDistribution(1, 2)),
        (
            "learning_rate",
            {"low": 1e-6, "high": 1e-2, "log": True},
            FloatDistribution(1e-6, 1e-2, log=True),
        ),
        (
            "momentum",
            {"low": 0.5, "high": 0.9, "step": 0.1},
            FloatDistribution(0.5, 0.9, step=0.1),
        ),
        ("learning_rate", {"low": 1, "high": 7, "step": 2}, FloatDistribution(1, 7, step=2)),
        ("epochs", {"low": 1, "high": 30}, IntDistribution(1, 30)),
        ("hidden_layers", {"low": 1, "high": 3}, IntDistribution(1, 3)),
        (
            "hidden_units",
            {"low": 20, "high": 200, "log": True},
            IntDistribution(20, 200, log=True),
        ),
        ("batch_size", {"low": 10, "high": 100, "step": 30}, IntDistribution(10, 100, step=30)),
        ("optimizer", {"choices": ["sgd", "adam"]}, CategoricalDistribution(["sgd", "adam"])),
        ("batch_size", {"choices": [32, 100]}, CategoricalDistribution([32, 100])),
        ("weight_decay", {"choices": [0, 1e-4]}, CategoricalDistribution([0.0, 1e-4])),
        (
            "hidden_layer_sizes",
            {"choices": [[178, 46], [100], []]},
            CategoricalDistribution(["178-46", "100", "none"]),
        ),
    ],
)
def test_is_sampled_by_optuna_under_its_own_name(key, table, distribution):
    trial = optuna.create_study().ask()
    value = read_searched(key, table, NETWORK).suggest(trial, key)
    assert trial.distributions == {key: distribution}
    assert value in read_searched(key, table, NETWORK)
    assert NETWORK.check(key, value) == value


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        (0.9, 0.999, (0.001, 0.1)),
        (0.5, 0.99, (0.01, 0.5)),
        (0.0, 0.9, (0.1, 1.0)),
        (0.1, 0.7, (0.3, 0.9)),
        (0.9, 0.9999999999999, (1e-13, 0.1)),
    ],
)
def test_the_complement_scale_is_a_logarithmic_parameter_with_clean_ends(low, high, ends):
    trial = optuna.create_study().ask()
    table = {"low": low, "high": high, "log": "complement"}
    read_searched("momentum", table, NETWORK).suggest(trial, "momentum")
    assert trial.distributions == {"one_minus_momentum": FloatDistribution(*ends, log=True)}


@pytest.mark.parametrize(("sampled", "value"), [(0.001, 0.999), (0.1, 0.9), (0.03, 0.97)])
def test_the_complement_scale_returns_a_value_as_it_was_written(sampled, value):
    trial = FixedTrial({"one_minus_momentum": sampled})
    assert MOMENTUM.suggest(trial, "momentum") == value
    assert MOMENTUM.to_optuna(value) == sampled


def test_the_complement_scale_is_uniform_in_the_logarithm_of_the_distance_from_one():
    distances = [math.log(1 - value) for value in draws(MOMENTUM, "momentum")]
    low, high = math.log(0.001), math.log(0.1)
    assert kstest([(d - low) / (high - low) for d in distances], "uniform").pvalue > 0.05


@settings(deadline=None)
@given(
    st.lists(st.floats(0, BELOW_ONE), min_size=2, max_size=2, unique=True).map(sorted),
    st.floats(0, 1),
)
def test_the_complement_scale_never_leaves_its_range(ends, share):
    searched = Range(low=ends[0], high=ends[1], log="complement")
    least, most = searched.to_optuna(ends[1]), searched.to_optuna(ends[0])
    assert 0 < least <= most <= 1
    sampled = min(most, max(least, least + share * (most - least)))
    assert searched.suggest(FixedTrial({"one_minus_beta1": sampled}), "beta1") in searched


@pytest.mark.parametrize(
    ("searched", "name", "scale"),
    [
        (Range(low=1e-6, high=1e-2, log=True), "learning_rate", math.log),
        (Range(low=0.1, high=0.5), "weight_std", float),
    ],
)
def test_is_uniform_on_its_scale(searched, name, scale):
    low, high = scale(searched.low), scale(searched.high)
    shares = [(scale(value) - low) / (high - low) for value in draws(searched, name)]
    assert kstest(shares, "uniform").pvalue > 0.05


def test_stepped_and_whole_ranges_sample_both_ends_and_nothing_off_the_steps():
    stepped = Range(low=10, high=100, step=30)
    assert set(draws(stepped, "batch_size", 100)) == {10, 40, 70, 100}
    assert set(draws(Range(low=1, high=4, log=True), "epochs", 100)) == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("searched", "spacing", "values"),
    [
        (Range(low=10, high=100, step=30), 30, [10, 40, 70, 100]),
        (Range(low=1, high=3, log=True), 1, [1, 2, 3]),
        (Range(low=0.1, high=0.3, step=0.1), 0.1, [0.1, 0.2, 0.3]),  # 0.1 + 2 * 0.1 is not 0.3
    ],
)
def test_steps_are_counted_from_the_low_end(searched, spacing, values):
    assert searched.spacing == spacing
    assert [searched.at_step(number) for number in range(len(values))] == values
    assert [searched.steps_to(value) for value in values] == [*range(len(values))]


def test_a_range_of_real_numbers_has_no_steps():
    assert Range(low=0.1, high=0.5).spacing is None


def test_shapes_are_text_for_optuna_and_tuples_for_the_network():
    trial = FixedTrial({"hidden_layer_sizes": "178-46"})
    assert SHAPES.suggest(trial, "hidden_layer_sizes") == (178, 46)
    assert set(draws(SHAPES, "hidden_layer_sizes", 50)) == {(178, 46), (100,), ()}
    assert [SHAPES.to_optuna(shape) for shape in SHAPES.values] == ["178-46", "100", "none"]
    assert [shape_name(shape) for shape in SHAPES.values] == ["178-46", "100", "none"]


@pytest.mark.parametrize(
    ("searched", "inside", "outside"),
    [
        (Range(low=1, high=3), [1, 2, 3], [0, 4]),
        (Range(low=0.5, high=0.9, step=0.1), [0.5, 0.6, 0.7, 0.8, 0.9], [0.4, 0.65, 1.0]),
        (Range(low=10, high=100, step=30), [10, 40, 100], [20, 130]),
        (MOMENTUM, [0.9, 0.95, 0.999], [0.89, 0.9999]),
        (SHAPES, [(178, 46), ()], [(178,), (46, 178)]),
        (Choices(("sgd", "adam")), ["adam"], ["momentum"]),
    ],
)
def test_contains_the_values_that_can_be_sampled(searched, inside, outside):
    assert all(value in searched for value in inside)
    assert not any(value in searched for value in outside)


@pytest.mark.parametrize(
    ("key", "table", "text"),
    [
        ("epochs", {"low": 1, "high": 3}, "1..3"),
        ("learning_rate", {"low": 1e-6, "high": 1e-2, "log": True}, "1e-06..0.01 (log)"),
        (
            "momentum",
            {"low": 0.9, "high": 0.999, "log": "complement"},
            "0.9..0.999 (log of 1 - x)",
        ),
        ("batch_size", {"low": 10, "high": 40, "step": 10}, "10..40 step 10"),
        ("optimizer", {"choices": ["sgd", "adam"]}, "one of sgd, adam"),
        ("hidden_layer_sizes", {"choices": [[178, 46], []]}, "one of 178-46, none"),
    ],
)
def test_is_written_as_a_table_and_as_text(key, table, text):
    searched = read_searched(key, table, NETWORK)
    assert str(searched) == text
    assert searched.as_table() == table


def test_parameter_and_field_names_convert_both_ways():
    assert MOMENTUM.parameter("momentum") == "one_minus_momentum"
    assert Range(low=1, high=2, log=True).parameter("epochs") == "epochs"
    assert SHAPES.parameter("hidden_layer_sizes") == "hidden_layer_sizes"
    assert [field_name("one_minus_momentum"), field_name("epochs")] == ["momentum", "epochs"]


def test_the_ends_have_the_type_of_the_key():
    rate = read_searched("learning_rate", {"low": 1, "high": 2}, NETWORK)
    units = read_searched("hidden_units", {"low": 1, "high": 2}, NETWORK)
    assert [type(end) for end in (rate.low, rate.high, units.low, units.high)] == [
        float,
        float,
        int,
        int,
    ]


@pytest.mark.parametrize(
    ("key", "table", "sentence"),
    [
        (
            "optimizer",
            {"values": ["sgd"]},
            "unknown key 'values'; a list of values is { choices = [...] }",
        ),
        (
            "optimizer",
            {"choice": ["sgd"]},
            "unknown key 'choice'; a list of values is { choices = [...] }",
        ),
        ("learning_rate", {"lo": 1}, "unknown key 'lo'; a range has low, high, log, step"),
        ("optimizer", {"lo": 1}, "unknown key 'lo'; a range has low, high, log, step"),
        ("learning_rate", {}, "a range needs both low and high"),
        ("learning_rate", {"low": 1}, "a range needs both low and high"),
        ("learning_rate", {"high": 1}, "a range needs both low and high"),
        (
            "optimizer",
            {"low": 1, "high": 2},
            "is not a number; search it with { choices = [...] }",
        ),
        (
            "hidden_layer_sizes",
            {"low": 1, "high": 2},
            "is not a number; search it with { choices = [...] }",
        ),
        ("learning_rate", {"low": 0, "high": 1}, "must be in (0, inf), but got 0"),
        ("momentum", {"low": 0.5, "high": 1}, "must be in [0, 1), but got 1"),
        ("momentum", {"low": "a", "high": 0.5}, "must be a number in [0, 1), but got 'a'"),
        ("epochs", {"low": 0, "high": 5}, "must be a whole number of at least 1, but got 0"),
        (
            "hidden_units",
            {"low": 1.0, "high": 5},
            "must be a whole number of at least 1, but got 1.0",
        ),
        ("epochs", {"low": 5, "high": 2}, "low 5 is above high 2"),
        (
            "learning_rate",
            {"low": 0.1, "high": 0.1},
            "low and high are both 0.1; write learning_rate = 0.1 to fix it",
        ),
        (
            "learning_rate",
            {"low": 0.1, "high": 1, "log": "yes"},
            "log must be true, false or \"complement\", but got 'yes'",
        ),
        (
            "learning_rate",
            {"low": 0.1, "high": 1, "log": 1},
            'log must be true, false or "complement", but got 1',
        ),
        (
            "learning_rate",
            {"low": 0.1, "high": 1, "log": [True]},
            'log must be true, false or "complement", but got [True]',
        ),
        (
            "weight_decay",
            {"low": 0, "high": 1, "log": True},
            "a log range starts above 0, but low is 0.0",
        ),
        (
            "learning_rate",
            {"low": 0.1, "high": 1, "log": "complement"},
            'log = "complement" is for values below 1, but high is 1.0',
        ),
        (
            "epochs",
            {"low": 1, "high": 10, "log": "complement"},
            'log = "complement" is for values below 1, but high is 10',
        ),
        (
            "learning_rate",
            {"low": 0.1, "high": 1, "log": True, "step": 0.1},
            "log and step cannot be combined",
        ),
        (
            "momentum",
            {"low": 0.1, "high": 0.9, "log": "complement", "step": 0.1},
            "log and step cannot be combined",
        ),
        *(
            (
                "learning_rate",
                {"low": 0.1, "high": 1, "step": step},
                f"step must be a number above 0, but got {step!r}",
            )
            for step in (0, -0.1, True, "0.1", math.nan, math.inf)
        ),
        *(
            (
                "epochs",
                {"low": 1, "high": 9, "step": step},
                f"step must be a whole number of at least 1, but got {step!r}",
            )
            for step in (0, 2.0, True)
        ),
        *(
            (
                "learning_rate",
                {"low": 0.1, "high": 1, "step": step},
                f"high 1.0 is not reached from low 0.1 in steps of {step}",
            )
            for step in (0.4, 2, 5e-324, 10**400)
        ),
        (
            "epochs",
            {"low": 1, "high": 10, "step": 2},
            "high 10 is not reached from low 1 in steps of 2",
        ),
        ("optimizer", {"choices": []}, "choices must be a list of values, but got []"),
        ("optimizer", {"choices": "adam"}, "choices must be a list of values, but got 'adam'"),
        (
            "optimizer",
            {"choices": ["adam"], "log": True},
            "choices cannot be combined with 'log'",
        ),
        (
            "optimizer",
            {"choices": ["sgd", "adamm"]},
            "'adamm' is not an optimizer; did you mean 'adam'?"
            " (sgd, momentum, nesterov, adagrad, rmsprop, adam)",
        ),
        ("optimizer", {"choices": ["sgd", "adam", "sgd"]}, "choices name 'sgd' twice"),
        ("learning_rate", {"choices": [1, 1.0]}, "choices name 1.0 twice"),
        ("hidden_layer_sizes", {"choices": [[5], [5]]}, "choices name (5,) twice"),
        (
            "hidden_layer_sizes",
            {"choices": ["178-46"]},
            "must be a list of layer sizes like [100, 50], but got '178-46'",
        ),
    ],
)
def test_refuses_what_cannot_be_sampled(key, table, sentence):
    with pytest.raises(SpaceError) as error:
        read_searched(key, table, NETWORK)
    assert str(error.value) == f"{key}: {sentence}"


def test_a_number_too_large_for_a_float_is_outside_every_interval():
    with pytest.raises(SpaceError, match=r"^momentum: must be in \[0, 1\), but got 1000"):
        NETWORK.check("momentum", 10**400)


def test_names_an_unknown_key():
    with pytest.raises(SpaceError) as error:
        NETWORK.check("learning_rat", 0.1)
    assert str(error.value) == (
        "learning_rat: 'learning_rat' is not a training parameter; did you mean 'learning_rate'? "
        f"({', '.join([*FIELD_TYPES, 'hidden_layers', 'hidden_units'])})"
    )
