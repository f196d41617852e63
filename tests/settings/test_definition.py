import pytest

from hpsearch.settings.definition import definition, differences
from hpsearch.settings.study import parse_settings

RATE = {"low": 1e-6, "high": 1e-2, "log": True}
WIDER = {"low": 1e-5, "high": 0.1, "log": True}


def define(digest="d1", **tables):
    return definition(parse_settings({"name": "n", **tables}, "test"), digest)


def changes(was, now):
    return differences(define(**was), define(**now))


@pytest.mark.parametrize(
    "now",
    [
        {"name": "other"},
        {"search": {"trials": 5, "sampler": "random", "pruner": "none"}},
        {"data": {"source": "a/copy/of/digits.csv"}},
        {"data": {"scale": "standardize", "split_seed": 0}},
        {"search": {"metric": "val/accuracy", "seed": 0}},
        {"search": {"first_draw": 0}},
        {"trial": {"epochs": 20, "momentum": 0.9, "hidden_layer_sizes": [100]}},
        {"trial": {"hidden_layers": 1}},
        {"trial": {"hidden_units": 100, "hidden_layers": 1}},
    ],
)
def test_budget_sampler_pruner_location_and_explicit_defaults_are_no_difference(now):
    assert changes({}, now) == []


@pytest.mark.parametrize(
    ("was", "now", "sentences"),
    [
        ({}, {"digest": "d2"}, ["other data (digest d1, now d2)"]),
        ({}, {"data": {"limit": 500}}, ["data.limit not set, now 500"]),
        ({"data": {"limit": 500}}, {}, ["data.limit 500, now not set"]),
        ({}, {"data": {"target": "label"}}, ["data.target not set, now label"]),
        ({}, {"data": {"scale": "unit"}}, ["data.scale standardize, now unit"]),
        ({}, {"data": {"split_seed": 3}}, ["data.split_seed 0, now 3"]),
        (
            {},
            {"search": {"metric": "val/loss", "seed": 1}},
            ["search.metric val/accuracy, now val/loss", "search.seed 0, now 1"],
        ),
        ({}, {"search": {"first_draw": 7}}, ["search.first_draw 0, now 7"]),
        ({}, {"trial": {"epochs": 30}}, ["trial.epochs 20, now 30"]),
        (
            {"trial": {"learning_rate": RATE}},
            {"trial": {"learning_rate": WIDER}},
            ["trial.learning_rate 1e-06..0.01 (log), now 1e-05..0.1 (log)"],
        ),
        (
            {"trial": {"learning_rate": RATE}},
            {"trial": {"learning_rate": RATE | {"log": False}}},
            ["trial.learning_rate 1e-06..0.01 (log), now 1e-06..0.01"],
        ),
        (
            {"trial": {"learning_rate": RATE}},
            {},
            ["trial.learning_rate 1e-06..0.01 (log), now 0.01"],
        ),
        (
            {},
            {"trial": {"optimizer": {"choices": ["sgd", "adam"]}}},
            ["trial.optimizer momentum, now one of sgd, adam"],
        ),
        (
            {"trial": {"hidden_layer_sizes": [178, 46]}},
            {"trial": {"hidden_layer_sizes": []}},
            ["trial.hidden_layer_sizes 178-46, now none"],
        ),
        ({"trial": {"hidden_units": 50}}, {}, ["trial.hidden_units 50, now 100"]),
        (
            {},
            {"enqueue": [{"label": "a", "learning_rate": 0.5}]},
            ["enqueue[0] not set, now a {'learning_rate': 0.5}"],
        ),
        (
            {"enqueue": [{"label": "a", "epochs": 5}]},
            {"enqueue": [{"label": "b", "epochs": 5}]},
            ["enqueue[0] a {'epochs': 5}, now b {'epochs': 5}"],
        ),
    ],
)
def test_describes_the_differences(was, now, sentences):
    assert changes(was, now) == sentences


def test_the_order_of_keys_is_no_difference():
    entry = {"label": "a", "epochs": 5, "momentum": 0.5}
    was = {"trial": {"epochs": 5, "momentum": 0.9}, "enqueue": [entry]}
    now = {
        "trial": dict(reversed(was["trial"].items())),
        "enqueue": [dict(reversed(entry.items()))],
    }
    assert changes(was, now) == []


def test_a_definition_is_plain_text():
    assert {type(text) for pair in define(trial={"epochs": 5}).items() for text in pair} == {str}
