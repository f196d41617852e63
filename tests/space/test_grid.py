import pytest

from hpsearch.space.grid import grid_point, grid_size
from hpsearch.space.ranges import SpaceError
from hpsearch.trainables.network_keys import network_space


def test_points_are_all_combinations_and_the_first_key_varies_slowest():
    space = network_space(
        {
            "epochs": 2,
            "optimizer": {"choices": ["sgd", "adam"]},
            "hidden_layer_sizes": {"choices": [[8, 4], []]},
            "dropout": {"low": 0.1, "high": 0.3, "step": 0.1},
            "batch_size": {"low": 19, "high": 21},
        }
    )
    points = [grid_point(space, number) for number in range(grid_size(space))]
    assert points == [
        {"optimizer": rule, "hidden_layer_sizes": sizes, "dropout": dropout, "batch_size": rows}
        for rule in ("sgd", "adam")
        for sizes in ("8-4", "none")
        for dropout in (0.1, 0.2, 0.3)
        for rows in (19, 20, 21)
    ]


def test_points_of_a_range_are_its_steps():
    space = network_space({"hidden_units": {"low": 10, "high": 40, "step": 15}})
    assert [grid_point(space, n)["hidden_units"] for n in range(grid_size(space))] == [10, 25, 40]


def test_a_huge_grid_is_counted_without_building_it():
    keys = ("batch_size", "hidden_units", "early_stopping")
    space = network_space({key: {"low": 1, "high": 10**6} for key in keys})
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
    with pytest.raises(SpaceError) as error:
        grid_size(network_space({key: given}))
    assert str(error.value) == f"{key}: a grid needs choices or a step here, but got {text}"
