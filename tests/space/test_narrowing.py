import math
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.settings.study import parse_settings
from hpsearch.space.narrowing import CrowdedEnd, Narrowing, narrow
from hpsearch.space.ranges import Choices, Range, SpaceError
from hpsearch.trainables.network_keys import network_space

RATE = {"low": 1e-6, "high": 1.0, "log": True}
MOMENTUM = {"low": 0.9, "high": 0.999, "log": "complement"}
OPTIMIZER = {"choices": ["sgd", "momentum", "adam"]}
SHAPES = {"choices": [[178, 46], [100], []]}


def narrowed(key, table, values, **options):
    """Return one key after narrowing, as a study file writes it."""
    space = network_space({key: table})
    result = narrow(space, [{key: value} for value in values], **options)
    return result.space.as_table()[key]


def warnings(key, table, values, **options):
    space = network_space({key: table})
    return [
        str(end) for end in narrow(space, [{key: value} for value in values], **options).crowded
    ]


# Expected results, worked out by hand.


@pytest.mark.parametrize(
    ("key", "table", "values", "expected"),
    [
        # The width is 6 decades and the margin 0.6: 10^-4.6 = 2.51e-5 and 10^-2.4 = 3.98e-3;
        # rounded outwards to few digits, 2e-5 and 4e-3.
        ("learning_rate", RATE, [1e-4, 1e-3], RATE | {"low": 2e-5, "high": 4e-3}),
        # Distances from 1 are 0.1 to 0.001, two decades: 0.01 ∓ 0.2 decades is 0.0063 to 0.0158.
        ("momentum", MOMENTUM, [0.99], MOMENTUM | {"low": 0.984, "high": 0.9937}),
        ("dropout", {"low": 0.0, "high": 0.5}, [0.2, 0.3], {"low": 0.15, "high": 0.35}),
        ("dropout", {"low": 0.0, "high": 0.5}, [0.02, 0.3], {"low": 0.0, "high": 0.35}),
        ("dropout", {"low": 0.0, "high": 0.5}, [0.0, 0.5, 0.3], {"low": 0.0, "high": 0.5}),
        ("hidden_units", {"low": 20, "high": 220}, [50, 100], {"low": 30, "high": 120}),
        # The width is one decade and the margin 0.1: 50 / 1.26 = 39.7 and 100 · 1.26 = 125.9.
        (
            "hidden_units",
            {"low": 20, "high": 200, "log": True},
            [50, 100],
            {"low": 40, "high": 126, "log": True},
        ),
        (
            "batch_size",
            {"low": 10, "high": 110, "step": 10},
            [30, 50],
            {"low": 20, "high": 60, "step": 10},
        ),
        (
            "rho",
            {"low": 0.1, "high": 0.9, "step": 0.1},
            [0.1 + 2 * 0.1, 0.5],
            {"low": 0.2, "high": 0.6, "step": 0.1},
        ),
    ],
)
def test_a_range_becomes_the_span_of_the_best_with_a_tenth_on_either_side(
    key, table, values, expected
):
    assert narrowed(key, table, values) == expected


@pytest.mark.parametrize(
    ("margin", "expected"),
    [(0, {"low": 0.2, "high": 0.3}), (0.2, {"low": 0.1, "high": 0.4})],
)
def test_the_margin_is_a_share_of_the_old_width(margin, expected):
    assert narrowed("dropout", {"low": 0, "high": 0.5}, [0.2, 0.3], margin=margin) == expected


@pytest.mark.parametrize(
    ("key", "table", "value", "expected"),
    [
        ("dropout", {"low": 0.0, "high": 0.5}, 0.2, {"low": 0.195, "high": 0.205}),
        ("hidden_layers", {"low": 1, "high": 5}, 3, {"low": 2, "high": 4}),
        ("hidden_layers", {"low": 1, "high": 5}, 1, {"low": 1, "high": 2}),
        ("hidden_layers", {"low": 1, "high": 2}, 2, {"low": 1, "high": 2}),
        (
            "hidden_units",
            {"low": 4, "high": 8, "log": True},
            8,
            {"low": 7, "high": 8, "log": True},
        ),
        (
            "batch_size",
            {"low": 10, "high": 100, "step": 30},
            100,
            {"low": 70, "high": 100, "step": 30},
        ),
    ],
)
def test_a_single_value_keeps_its_neighbours_even_without_a_margin(key, table, value, expected):
    assert narrowed(key, table, [value, value], margin=0) == expected


def test_choices_keep_those_that_were_used_in_their_order():
    assert narrowed("optimizer", OPTIMIZER, ["adam", "sgd", "adam"]) == {"choices": ["sgd", "adam"]}
    assert narrowed("optimizer", OPTIMIZER, ["adam"]) == {"choices": ["adam"]}
    assert narrowed("batch_size", {"choices": [16, 32, 64]}, [64, 32]) == {"choices": [32, 64]}
    assert narrowed("optimizer", OPTIMIZER, ["rmsprop"]) == OPTIMIZER


@pytest.mark.parametrize("used", ["178-46", [178, 46], (178, 46)])
def test_recognises_shapes_by_their_sizes_and_by_their_text(used):
    assert narrowed("hidden_layer_sizes", SHAPES, [used]) == {"choices": [[178, 46]]}
    assert narrowed("hidden_layer_sizes", SHAPES, [used, "none"]) == {"choices": [[178, 46], []]}


def test_values_outside_the_range_count_as_its_nearest_end():
    table = {"low": 0.0, "high": 0.5}
    assert narrowed("dropout", table, [0.9, 0.4]) == {"low": 0.35, "high": 0.5}
    assert narrowed("learning_rate", RATE, [1e-9]) == RATE | {"low": 1e-6, "high": 4e-6}


def test_a_key_that_no_trial_has_stays_and_one_that_some_have_narrows():
    space = network_space(
        {"momentum": MOMENTUM, "dropout": {"low": 0.0, "high": 0.5}, "rho": RATE | {"high": 0.9}}
    )
    found = narrow(space, [{"dropout": 0.2}, {"momentum": 0.99, "other": 1}, {}]).space.as_table()
    assert found["rho"] == RATE | {"high": 0.9}
    assert found["dropout"] == {"low": 0.15, "high": 0.25}
    assert found["momentum"] == MOMENTUM | {"low": 0.984, "high": 0.9937}
    assert narrow(space, []) == Narrowing(space, space, ())


def test_fixed_values_stay():
    space = network_space({"epochs": 7, "learning_rate": RATE})
    assert narrow(space, [{"learning_rate": 0.1}]).space.fixed == {"epochs": 7}


# Ends that the best values crowd.


@pytest.mark.parametrize(
    ("key", "table", "values", "sentence"),
    [
        (
            "learning_rate",
            {"low": 1e-4, "high": 1e-2, "log": True},
            [1e-2, 9e-3, 1e-3],
            "learning_rate's best values crowd the upper end 0.01: widen it",
        ),
        (
            "weight_decay",
            {"low": 1e-8, "high": 1e-2, "log": True},
            [1e-8],
            "weight_decay's best values crowd the lower end 1e-08: widen it",
        ),
        (
            "momentum",
            MOMENTUM,
            [0.9989, 0.9988],
            "momentum's best values crowd the upper end 0.999: widen it",
        ),
        (
            "hidden_layers",
            {"low": 1, "high": 3},
            [3, 3, 2],
            "hidden_layers's best values crowd the upper end 3: widen it",
        ),
    ],
)
def test_warns_of_an_end_that_is_near_more_than_half_of_the_best(key, table, values, sentence):
    assert warnings(key, table, values) == [sentence]


@pytest.mark.parametrize(
    ("key", "table", "values"),
    [
        ("dropout", {"low": 0.1, "high": 0.5}, [0.5, 0.2]),  # half of them only
        ("dropout", {"low": 0.1, "high": 0.5}, [0.44, 0.42, 0.3]),  # not near
        ("dropout", {"low": 0.0, "high": 0.5}, [0.0, 0.0]),  # there is nothing below
        ("hidden_layers", {"low": 1, "high": 3}, [1, 1]),
        ("step_factor", {"low": 0.5, "high": 1.0}, [1.0]),
        ("optimizer", OPTIMIZER, ["sgd"]),
    ],
)
def test_does_not_warn_without_cause(key, table, values):
    assert warnings(key, table, values) == []
    assert narrowed(key, table, values, widen=True) == narrowed(key, table, values)


@pytest.mark.parametrize(
    ("key", "table", "value", "expected"),
    [
        (
            "learning_rate",
            {"low": 1e-4, "high": 1e-2, "log": True},
            1e-2,
            {"low": 6.3e-3, "high": 0.1, "log": True},
        ),
        (
            "learning_rate",
            {"low": 1e-4, "high": 1e-2, "log": True},
            1e-4,
            {"low": 1e-5, "high": 1.6e-4, "log": True},
        ),
        ("momentum", MOMENTUM, 0.999, MOMENTUM | {"low": 0.9984, "high": 0.9999}),
        ("momentum", MOMENTUM, 0.9, MOMENTUM | {"low": 0.0, "high": 0.937}),
        ("hidden_units", {"low": 20, "high": 100}, 100, {"low": 92, "high": 140}),
        (
            "batch_size",
            {"low": 10, "high": 90, "step": 20},
            90,
            {"low": 70, "high": 130, "step": 20},
        ),
        ("hidden_layers", {"low": 2, "high": 3}, 2, {"low": 1, "high": 3}),
    ],
)
def test_widening_moves_a_crowded_end_by_half_the_old_width(key, table, value, expected):
    assert narrowed(key, table, [value], widen=True) == expected
    (said,) = warnings(key, table, [value], widen=True)
    which, end = ("upper", "high") if value == table["high"] else ("lower", "low")
    assert said == (
        f"{key}'s best values crowd the {which} end {value}: widened to {expected[end]}"
    )


@pytest.mark.parametrize(
    ("key", "table", "value"),
    [
        ("dropout", {"low": 0.1, "high": 0.9}, 0.9),
        ("dropout", {"low": 0.1, "high": 0.9}, 0.1),
        ("momentum", {"low": 0.1, "high": 0.99}, 0.99),
        ("momentum", {"low": 0.1, "high": 0.9, "step": 0.1}, 0.1),
        ("learning_rate", {"low": 0.001, "high": 1.0}, 0.001),
        ("epochs", {"low": 3, "high": 50}, 3),
        ("step_factor", {"low": 0.1, "high": 0.9}, 0.9),
    ],
)
def test_widening_stays_in_the_domain_of_the_key(key, table, value):
    wider = narrowed(key, table, [value], widen=True)
    end = "low" if value == table["low"] else "high"
    assert (wider[end] < value) if end == "low" else (wider[end] > value)
    network_space({key: wider})


def test_widening_does_not_reach_batches_of_one_row_that_are_normalized():
    table = {"batch_size": {"low": 2, "high": 20}, "batch_norm": "before"}
    best = [{"batch_size": 2}]
    assert narrow(network_space(table), best, widen=True).crowded == ()
    free = narrow(network_space(table | {"batch_norm": "none"}), best, widen=True)
    assert free.crowded == (CrowdedEnd("batch_size", -1, 2, 1),)


# Properties of every space and all values in it.

COUNTS = st.integers(1, 1000)
SHARES = st.floats(1e-9, 0.999)


def ranges(values, scales):
    ends = st.lists(values, min_size=2, max_size=2, unique=True).map(sorted)
    scale = st.sampled_from([{}, *({"log": log} for log in scales)])
    return st.builds(lambda ends, scale: {"low": ends[0], "high": ends[1]} | scale, ends, scale)


def stepped(low, step, steps):
    table = {"low": low, "high": low + step * steps, "step": step}
    return table if isinstance(low, int) else {k: round(v, 6) for k, v in table.items()}


def choices(values):
    return st.builds(
        lambda found: {"choices": found}, st.lists(values, min_size=1, max_size=4, unique_by=repr)
    )


ENTRIES = {
    "epochs": ranges(COUNTS, [True]),
    "batch_size": st.builds(stepped, COUNTS, COUNTS, COUNTS) | choices(COUNTS),
    "hidden_layer_sizes": choices(st.lists(COUNTS, max_size=3)),
    "optimizer": choices(st.sampled_from(["sgd", "momentum", "adam"])),
    "learning_rate": ranges(SHARES, [True]) | choices(SHARES),
    "momentum": ranges(SHARES, ["complement"]),
    "beta1": ranges(st.floats(0, math.nextafter(1, 0)), ["complement"]),
    "rho": st.builds(
        stepped, st.integers(1, 9).map((0.01).__mul__), st.just(0.01), st.integers(1, 80)
    ),
    "weight_constant": ranges(st.floats(-100, 100), []),
}


def values_in(entry):
    if isinstance(entry, Choices):
        return st.sampled_from([entry.to_optuna(value) for value in entry.values])
    if entry.step:
        last = round((entry.high - entry.low) / entry.step)
        values = st.integers(0, last).map(lambda n: min(entry.low + n * entry.step, entry.high))
    elif isinstance(entry.low, int):
        values = st.integers(entry.low, entry.high)
    else:
        values = st.floats(entry.low, entry.high)
    return values | st.sampled_from([entry.low, entry.high])


@st.composite
def spaces_and_best(draw):
    """Draw a space and the values of some trials in it, which may lack keys."""
    table = draw(st.fixed_dictionaries({}, optional=ENTRIES))
    space = network_space(table)
    one = {key: values_in(entry) for key, entry in space.searched.items()}
    return space, draw(st.lists(st.fixed_dictionaries({}, optional=one), min_size=1, max_size=6))


def contains(entry, value):
    if isinstance(entry, Choices):
        return value in [entry.to_optuna(known) for known in entry.values]
    if entry.step and isinstance(entry.low, float):
        value = round(value, 9)  # low + n · step carries the noise of binary fractions
    return value in entry


def is_inside(new, old):
    if isinstance(old, Choices):
        return [value for value in old.values if value in new.values] == list(new.values)
    on_grid = old.step is None or (new.low in old and new.high in old)
    return old.low <= new.low < new.high <= old.high and on_grid


@settings(deadline=None, max_examples=300)
@given(spaces_and_best(), st.sampled_from([0.0, 1e-9, 0.1, 0.3, 2.0]))
def test_the_new_space_is_inside_the_old_one_and_contains_the_best_values(found, margin):
    space, best = found
    new = narrow(space, best, margin=margin).space
    assert list(new.searched) == list(space.searched)
    for key, entry in new.searched.items():
        old = space.searched[key]
        assert all(contains(entry, values[key]) for values in best if key in values)
        assert is_inside(entry, old)
        assert type(entry) is type(old)
        if isinstance(entry, Range):
            assert (entry.log, entry.step) == (old.log, old.step)
            assert type(entry.low) is type(entry.high) is type(old.low)


@settings(deadline=None)
@given(spaces_and_best(), st.booleans())
def test_the_new_space_is_a_space_and_survives_its_study_file(found, widen):
    space, best = found
    new = narrow(space, best, widen=widen).space
    assert network_space(new.as_table()) == new
    file = parse_settings({"name": "next", "trial": new.as_table()}, "test").to_toml()
    assert parse_settings(tomllib.loads(file), "test").trial == new


@settings(deadline=None)
@given(spaces_and_best())
def test_narrowing_again_never_widens(found):
    space, best = found
    once = narrow(space, best).space
    twice = narrow(once, best).space
    for key, entry in twice.searched.items():
        assert is_inside(entry, once.searched[key])


@settings(deadline=None)
@given(spaces_and_best())
def test_widening_moves_the_crowded_ends_outwards_and_nothing_else(found):
    space, best = found
    plain, wide = narrow(space, best), narrow(space, best, widen=True)
    assert [(end.key, end.side) for end in plain.crowded] == [
        (end.key, end.side) for end in wide.crowded
    ]
    moved = {(end.key, end.side): end.widened for end in wide.crowded}
    for key, entry in wide.space.searched.items():
        if isinstance(entry, Range):
            old, new = space.searched[key], plain.space.searched[key]
            assert entry.low == moved.get((key, -1), new.low)
            assert entry.high == moved.get((key, 1), new.high)
            assert (key, -1) not in moved or entry.low < old.low
            assert (key, 1) not in moved or entry.high > old.high


def test_a_range_too_small_to_divide_stays():
    table = {"low": 0.5, "high": math.nextafter(0.5, 1)}
    assert narrowed("dropout", table, [0.5], margin=0) == table
    with pytest.raises(SpaceError):
        network_space({"dropout": table | {"high": 0.5}})
