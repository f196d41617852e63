"""Keys that apply only where other keys have certain values."""

import optuna
import pytest
from optuna.trial import FixedTrial

from hpsearch import run_study
from hpsearch.settings.definition import definition
from hpsearch.settings.study import parse_settings
from hpsearch.space.grid import grid_point, grid_size
from hpsearch.space.keys import FreeKeys
from hpsearch.space.narrowing import narrow
from hpsearch.space.ranges import SpaceError
from hpsearch.space.space import SearchSpace
from hpsearch.trainables.network_keys import network_space

OPTIMIZER = {"choices": ["sgd", "momentum", "adam"]}
MOMENTUM = {"low": 0.5, "high": 0.99, "when": {"optimizer": ["momentum", "sgd"]}}
TABLE = {"optimizer": OPTIMIZER, "momentum": MOMENTUM}


def free(table):
    return SearchSpace.from_table(table, FreeKeys())


def points(space):
    return [grid_point(space, number) for number in range(grid_size(space))]


def test_a_key_that_does_not_apply_is_not_sampled():
    for optimizer in OPTIMIZER["choices"]:
        trial = FixedTrial({"optimizer": optimizer, "momentum": 0.7})
        config = free(TABLE).suggest(trial)
        applies = optimizer != "adam"
        assert config == {"optimizer": optimizer} | ({"momentum": 0.7} if applies else {})
        assert ("momentum" in trial.params) is applies


def test_the_network_trains_with_the_default_of_a_key_that_does_not_apply():
    space = network_space(TABLE)
    assert space.suggest(FixedTrial({"optimizer": "adam"})).momentum == 0.9
    assert space.suggest(FixedTrial({"optimizer": "momentum", "momentum": 0.7})).momentum == 0.7


def test_conditions_may_depend_on_conditions_in_any_order():
    space = free(
        {
            "c": {"low": 0.0, "high": 1.0, "when": {"b": True}},
            "b": {"choices": [True, False], "when": {"a": 1}},
            "a": {"low": 0, "high": 1},
        }
    )
    assert space.suggest(FixedTrial({"a": 0})) == {"a": 0}
    assert space.suggest(FixedTrial({"a": 1, "b": False})) == {"a": 1, "b": False}
    assert space.suggest(FixedTrial({"a": 1, "b": True, "c": 0.5})) == {"a": 1, "b": True, "c": 0.5}


def test_a_fixed_value_may_have_a_condition():
    table = {"kind": {"choices": ["a", "b"]}, "x": {"value": 3, "when": {"kind": "a"}}}
    space = free(table)
    assert space.suggest(FixedTrial({"kind": "a"})) == {"kind": "a", "x": 3}
    assert space.suggest(FixedTrial({"kind": "b"})) == {"kind": "b"}
    assert space.as_table() == table


def test_a_space_comes_back_from_its_table():
    for space in (free(TABLE), network_space(TABLE)):
        assert SearchSpace.from_table(space.as_table(), space.keys) == space


def test_a_space_without_conditions_samples_in_the_order_of_its_table():
    asked = []

    class Trial(FixedTrial):
        def suggest_float(self, name, *arguments, **options):
            asked.append(name)
            return super().suggest_float(name, *arguments, **options)

    names = ["z", "a", "m"]
    free({name: {"low": 0.0, "high": 1.0} for name in names}).suggest(
        Trial(dict.fromkeys(names, 0.5))
    )
    assert asked == names


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ("adam", "momentum: when must be a table, such as when = { optimizer ="),
        ({}, "momentum: when must be a table"),
        (
            {"optimiser": "adam"},
            "momentum: when: 'optimiser' is not another key of [trial]; did you",
        ),
        ({"momentum": 0.9}, "momentum: when: 'momentum' is not another key"),
        ({"optimizer": []}, "momentum: when: optimizer has no value"),
        ({"optimizer": "adm"}, "momentum: when: optimizer"),
        (
            {"optimizer": ["adam", "rmsprop"]},
            "optimizer is never rmsprop; it is one of sgd, momentum",
        ),
        ({"epochs": 4}, "momentum: when: epochs is never 4; it is 3"),
        ({"width": 100}, "momentum: when: width is never 100; it is searched from 1..9"),
    ],
)
def test_a_wrong_condition_is_one_sentence(when, sentence):
    table = {**TABLE, "epochs": 3, "width": {"low": 1, "high": 9}}
    table["momentum"] = {**MOMENTUM, "when": when}
    with pytest.raises(SpaceError) as error:
        free(table)
    assert sentence in str(error.value)


def test_keys_that_depend_on_each_other_are_refused():
    table = {
        "a": {"choices": [1, 2], "when": {"b": 1}},
        "b": {"choices": [1, 2], "when": {"a": 1}},
    }
    with pytest.raises(SpaceError, match=r"when: these depend on each other: [ab] → [ab] → [ab]"):
        free(table)


def test_a_grid_has_no_point_twice():
    space = free(
        {
            "layers": {"low": 1, "high": 3},
            "optimizer": OPTIMIZER,
            "momentum": {"choices": [0.5, 0.9], "when": {"optimizer": "momentum"}},
            "nesterov": {"choices": [True, False], "when": {"momentum": 0.9}},
        }
    )
    found = points(space)
    assert len(found) == grid_size(space) == 3 * (1 + (1 + 2) + 1)
    assert len({str(sorted(point.items())) for point in found}) == len(found)
    assert all(("nesterov" in point) is (point.get("momentum") == 0.9) for point in found)
    assert all(("momentum" in point) is (point["optimizer"] == "momentum") for point in found)


def test_a_grid_without_conditions_counts_like_the_digits_of_a_number():
    space = free({"a": {"low": 1, "high": 2}, "f": 3, "b": {"choices": ["x", "y", "z"]}})
    assert [(point["a"], point["b"]) for point in points(space)] == [
        (a, b) for a in (1, 2) for b in "xyz"
    ]


def test_narrowing_keeps_conditions_and_drops_keys_that_never_apply():
    best = [{"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "adam"}]
    narrowed = narrow(free(TABLE), best).space
    assert narrowed.as_table()["momentum"]["when"] == {"optimizer": "sgd"}
    only_adam = narrow(free(TABLE), [{"optimizer": "adam"}]).space
    assert only_adam.as_table() == {"optimizer": {"choices": ["adam"]}}


def test_a_condition_is_part_of_what_a_study_searches():
    def defined(table):
        settings = parse_settings({"name": "n", "trial": table}, "n.toml")
        return definition(settings, "digest")["trial.momentum"]

    assert defined(TABLE) == "0.5..0.99 when optimizer is momentum or sgd"
    assert defined({"momentum": {"low": 0.5, "high": 0.99}}) == "0.5..0.99"


def test_a_labelled_configuration_may_not_contradict_a_condition():
    space = free(TABLE)
    assert space.check_entry({"optimizer": "sgd", "momentum": 0.9})
    assert space.check_entry({"momentum": 0.9})
    with pytest.raises(
        SpaceError, match="momentum: applies only when optimizer is momentum or sgd"
    ):
        space.check_entry({"optimizer": "adam", "momentum": 0.9})


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "qmc", "grid"])
def test_every_sampler_searches_a_space_with_conditions(tmp_path, sampler):
    if sampler == "gp":
        pytest.importorskip("torch")
    momentum = {"choices": [0.5, 0.9], "when": {"optimizer": "momentum"}}
    settings = parse_settings(
        {
            "name": "c",
            "data": {"source": "iris"},
            "search": {"sampler": sampler, "pruner": "none"}
            | ({} if sampler == "grid" else {"trials": 14}),
            "trial": {"epochs": 1, "optimizer": OPTIMIZER, "momentum": momentum},
        },
        "c.toml",
    )
    outcome = run_study(settings, storage=str(tmp_path / "s.journal"))
    trials = outcome.study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len(trials) == (4 if sampler == "grid" else 14)
    for trial in trials:
        assert ("momentum" in trial.params) is (trial.params["optimizer"] == "momentum")
