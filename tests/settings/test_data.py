import pytest

from hpsearch.data.loading import load_dataset
from hpsearch.errors import SettingsError
from hpsearch.settings.study import parse_settings


def parse(**tables):
    return parse_settings({"name": "n", **tables}, "place")


def test_the_table_holds_the_arguments_of_load_dataset():
    read = parse(data={"source": "iris", "limit": 60, "train_limit": 30})
    assert len(load_dataset(**read.data.arguments()).x_train) == 30


def test_draw_first_needs_a_limit():
    with pytest.raises(SettingsError) as error:
        parse(data={"draw": "first"})
    assert str(error.value) == (
        "place: data: draw = 'first' chooses the rows that limit keeps; "
        "set limit, or leave draw out"
    )
