import optuna
import pytest
from optuna.trial import TrialState

from hpsearch.errors import SettingsError
from hpsearch.samplers.registry import build_sampler, fix_parameters
from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings
from hpsearch.space.grid import grid_point, grid_size
from hpsearch.space.ranges import SpaceError
from hpsearch.space.space import SearchSpace

TABLE = {
    "epochs": 2,
    "optimizer": {"choices": ["sgd", "adam"]},
    "hidden_layer_sizes": {"choices": [[8, 4], []]},
    "dropout": {"low": 0.1, "high": 0.3, "step": 0.1},
    "batch_size": {"low": 19, "high": 21},
}
SPACE = SearchSpace.from_table(TABLE)


def parse(search=None, trial=None, **rest):
    table = {"name": "n", "search": {"sampler": "grid"} | (search or {}), "trial": trial or TABLE}
    return parse_settings(table | rest, "f")


def refusal(*arguments, **options):
    with pytest.raises(SettingsError) as error:
        parse(*arguments, **options)
    return str(error.value)


def test_the_points_are_all_combinations_and_the_first_key_varies_slowest():
    points = [grid_point(SPACE, number) for number in range(grid_size(SPACE))]
    assert points == [
        {"optimizer": rule, "hidden_layer_sizes": sizes, "dropout": dropout, "batch_size": rows}
        for rule in ("sgd", "adam")
        for sizes in ("8-4", "none")
        for dropout in (0.1, 0.2, 0.3)
        for rows in (19, 20, 21)
    ]


def test_steps_of_whole_numbers():
    space = SearchSpace.from_table({"hidden_units": {"low": 10, "high": 40, "step": 15}})
    assert [grid_point(space, n)["hidden_units"] for n in range(grid_size(space))] == [10, 25, 40]


def test_a_huge_grid_is_counted_not_made():
    keys = ("batch_size", "hidden_units", "early_stopping")
    space = SearchSpace.from_table({key: {"low": 1, "high": 10**6} for key in keys})
    assert grid_size(space) == 10**18
    assert set(grid_point(space, 10**18 - 1).values()) == {10**6}


@pytest.mark.parametrize(
    ("key", "given", "text"),
    [
        ("dropout", {"low": 0.1, "high": 0.5}, "0.1..0.5"),
        ("learning_rate", {"low": 0.1, "high": 0.5, "log": True}, "0.1..0.5 (log)"),
        ("hidden_units", {"low": 1, "high": 8, "log": True}, "1..8 (log)"),
        ("momentum", {"low": 0.1, "high": 0.5, "log": "complement"}, "0.1..0.5 (log of 1 - x)"),
    ],
)
def test_a_range_without_points_is_refused(key, given, text):
    sentence = f"{key}: a grid needs choices or a step here, but got {text}"
    with pytest.raises(SpaceError) as error:
        grid_size(SearchSpace.from_table({key: given}))
    assert str(error.value) == sentence
    assert refusal(trial={key: given}) == f"f: trial.{sentence}"


def test_a_grid_has_as_many_trials_as_points_unless_told_otherwise():
    assert parse().search.trials == 36
    assert parse({"trials": 10}).search.trials == 10
    assert parse({"trials": 36}).search.trials == 36
    assert parse(trial={"epochs": 2}).search.trials == 1
    assert parse(enqueue=[{"optimizer": "sgd"}, {"epochs": 9}]).search.trials == 38


def test_the_number_follows_the_space_and_the_sampler():
    read = parse()
    assert read.replace(trial={"optimizer": "sgd"}).search.trials == 18
    assert read.replace(search={"sampler": "random"}).search.trials == 100
    assert read.replace(search={"sampler": "random"}).replace(search={"sampler": "grid"}) == read
    assert read.replace(search={"trials": 5}).replace(name="m").search.trials == 5


def test_more_trials_than_points_are_refused():
    assert refusal({"trials": 100}) == (
        "f: search.trials: is 100, but the grid has 36 points; leave trials out to try them all"
    )
    assert refusal({"trials": 38}, enqueue=[{"optimizer": "sgd"}]) == (
        "f: search.trials: is 38, but the grid has 36 points (and 1 labelled configuration); "
        "leave trials out to try them all"
    )


def test_who_wants_a_huge_grid_says_how_much_of_it():
    trial = {"hidden_units": {"low": 1, "high": 10**6}}
    assert refusal(trial=trial) == (
        "f: search.trials: the grid has 1,000,000 points; set how many of them to try"
    )
    assert parse({"trials": 20_000}, trial).search.trials == 20_000


def test_the_number_of_trials_is_written_to_the_file():
    assert "trials = 36" in parse().to_toml()


def sampled(name, seed, slots, first=0, labelled=None):
    """The parameters of each slot; those before `first` have `labelled` given."""
    sampler = build_sampler(name, seed, space=SPACE, first=first)
    study = optuna.create_study(sampler=sampler)
    for slot in slots:
        study.sampler = fix_parameters(sampler, (labelled or {}) if slot < first else {})
        trial = study.ask()
        trial.set_user_attr("slot", slot)
        SPACE.suggest(trial)
        study.tell(trial, 0.0)
    return {trial.user_attrs["slot"]: trial.params for trial in study.trials}


def test_slot_n_is_point_n_in_any_order():
    found = sampled("grid", 0, [35, 7, 0])
    assert found == {slot: grid_point(SPACE, slot) for slot in (0, 7, 35)}


@pytest.mark.parametrize("name", ["grid", "qmc"])
def test_labelled_configurations_come_before_the_points(name):
    labelled = {"optimizer": "adam", "batch_size": 20}
    alone, after = sampled(name, 0, range(36)), sampled(name, 0, range(38), 2, labelled)
    assert {slot - 2: params for slot, params in after.items() if slot >= 2} == alone
    for slot in (0, 1):
        assert after[slot] | labelled == after[slot]
        assert after[slot].keys() == alone[0].keys()


def test_slot_n_is_point_n_of_the_quasi_random_sequence_in_any_order_and_start():
    whole = sampled("qmc", 3, range(8))
    assert sampled("qmc", 3, [5, 2, 7, 0, 1, 6, 3, 4]) == whole
    assert sampled("qmc", 3, [6]) == {6: whole[6]}
    assert sampled("qmc", 4, range(8)) != whole


def test_a_quasi_random_sequence_is_spread_evenly():
    found = [params["optimizer"] for params in sampled("qmc", 0, range(16)).values()]
    assert found.count("sgd") == 8
    pairs = {
        (p["optimizer"], p["hidden_layer_sizes"]) for p in sampled("qmc", 0, range(4)).values()
    }
    assert len(pairs) == 4


def test_a_grid_study_tries_every_point_once(tmp_path):
    trial = {key: value for key, value in TABLE.items() if key != "dropout"}
    settings = parse(
        trial=trial,
        data={"source": "iris"},
        enqueue=[{"label": "an old friend", "optimizer": "adam"}],
    )
    journal = str(tmp_path / "g.journal")
    run_study(settings.replace(search={"trials": 6}), storage=journal)
    outcome = run_study(settings, storage=journal)
    trials = outcome.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    points = [grid_point(settings.trial, number) for number in range(12)]
    assert [trial.params for trial in trials[1:]] == points
    assert trials[0].user_attrs["setup"]["label"] == "an old friend"
    assert trials[0].params["optimizer"] == "adam"


def test_where_nothing_is_searched_the_labelled_configurations_are_all_there_is():
    entries = [{"label": "slow", "learning_rate": 0.001}, {"label": "fast"}]
    assert parse(trial={"epochs": 2}, enqueue=entries).search.trials == 2
    assert parse(trial={"epochs": 2}).search.trials == 1
    assert "the grid has 0 points (and 2 labelled configurations)" in refusal(
        {"trials": 3}, {"epochs": 2}, enqueue=entries
    )
