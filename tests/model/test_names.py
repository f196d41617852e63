import pytest

from model.names import unknown_name

COLOURS = {"red": 1, "green": 2, "blue": 3}


def test_offers_the_closest_match_and_lists_all_known_names():
    sentence = "'gren' is not a colour; did you mean 'green'? (red, green, blue)"
    assert unknown_name("gren", COLOURS, "a colour") == sentence


@pytest.mark.parametrize("name", ["xyz", "", 5, None])
def test_without_a_close_match_offers_no_guess(name):
    assert unknown_name(name, COLOURS, "a colour") == f"{name!r} is not a colour (red, green, blue)"
