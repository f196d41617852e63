import tomllib

import pytest

from hpsearch.errors import SettingsError
from hpsearch.settings.study import parse_settings


def parse(**tables):
    return parse_settings({"name": "n", **tables}, "place")


def refusal(function, *arguments, **options):
    with pytest.raises(SettingsError) as error:
        function(*arguments, **options)
    return str(error.value)


@pytest.mark.parametrize(
    ("metric", "direction"), [("val/accuracy", "maximize"), ("val/loss", "minimize")]
)
def test_the_direction_follows_from_the_metric(metric, direction):
    assert parse(search={"metric": metric}).search.direction == direction


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        (
            {"sampler": "tpe", "sampler_options": {"n_startup": 5}},
            "sampler_options: 'n_startup' is not an option of 'tpe'; did you mean "
            "'n_startup_trials'? (n_startup_trials, n_ei_candidates, multivariate, group, "
            "constant_liar)",
        ),
        (
            {"sampler": "random", "sampler_options": {"scramble": True}},
            "sampler_options: 'random' takes no options, but got 'scramble'",
        ),
        (
            {"sampler_options": {"n_startup_trials": -1}},
            "sampler_options.n_startup_trials: must be at least 0, but got -1",
        ),
        (
            {"sampler_options": {"n_startup_trials": True}},
            "sampler_options.n_startup_trials: must be a whole number, but got True",
        ),
        (
            {"sampler_options": {"multivariate": 1}},
            "sampler_options.multivariate: must be true or false, but got 1",
        ),
        (
            {"sampler": "qmc", "sampler_options": {"qmc_type": "sobel"}},
            "sampler_options.qmc_type: must be 'sobol' or 'halton', but got 'sobel'",
        ),
        ({"sampler_options": 5}, "sampler_options: must be a table, but got 5"),
        (
            {"pruner": "halving", "pruner_options": {"reduction_factor": 1}},
            "pruner_options.reduction_factor: must be at least 2, but got 1",
        ),
        (
            {"pruner": "hyperband", "pruner_options": {"min_resource": 21}},
            "pruner_options.min_resource: is 21, but trials have 20 epochs",
        ),
    ],
)
def test_names_the_wrong_option(search, sentence):
    assert refusal(parse, search=search) == f"place: search.{sentence}"


@pytest.mark.parametrize(
    ("search", "pruner"),
    [
        ({}, "halving"),
        ({"trials": 50}, "halving"),
        ({"trials": 49}, "median"),
        ({"pruner_options": {"reduction_factor": 4}}, "halving"),
        ({"pruner_options": {"n_warmup_steps": 5}}, "median"),
        ({"sampler": "grid"}, "median"),
        ({"seeds": 2, "sampler": "random"}, "none"),
        ({"seeds": 2, "sampler": "random", "pruner": "median"}, "median"),
    ],
)
def test_the_default_pruner_fits_the_rest(search, pruner):
    read = parse(search=search, trial={"learning_rate": {"choices": [0.1, 0.2]}})
    assert read.search.pruner == pruner
    stored = parse_settings(tomllib.loads(read.to_toml()), "copy").search
    assert stored.model_dump() == read.search.model_dump()
    assert read.replace(search={"seed": 3}).search.pruner == pruner


def test_a_default_pruner_changes_with_what_it_fits():
    short = parse(search={"trials": 10})
    assert short.replace(search={"trials": 100}).search.pruner == "halving"
    assert parse().replace(search={"trials": 10}).search.pruner == "median"
    named = parse(search={"trials": 10, "pruner": "median"})
    assert named.replace(search={"trials": 100}).search.pruner == "median"


def test_options_of_another_pruner_are_refused():
    search = {"pruner": "halving", "pruner_options": {"n_warmup_steps": 5}}
    with pytest.raises(SettingsError, match="'n_warmup_steps' is not an option of 'halving'"):
        parse(search=search)


def test_options_survive_toml_and_are_dropped_with_their_sampler():
    read = parse(
        search={
            "sampler_options": {"n_startup_trials": 5, "group": False},
            "pruner": "halving",
            "pruner_options": {"reduction_factor": 2},
        }
    )
    assert "[search.sampler_options]\nn_startup_trials = 5\n" in read.to_toml()
    assert parse_settings(tomllib.loads(read.to_toml()), "copy") == read
    assert read.replace(search={"sampler": "tpe"}).search == read.search
    other = read.replace(search={"sampler": "random"}).search
    assert (other.sampler_options, other.pruner_options) == ({}, {"reduction_factor": 2})
    own = {"sampler": "qmc", "sampler_options": {"scramble": False}}
    assert read.replace(search=own).search.sampler_options == {"scramble": False}
    assert read.replace(search={"pruner": "none"}).search.pruner_options == {}
