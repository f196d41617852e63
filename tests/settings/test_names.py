import pytest

from hpsearch.errors import SettingsError
from hpsearch.settings.names import MAX_LENGTH, as_name, check_name, valid_name, with_suffix
from hpsearch.settings.study import parse_settings

RULE = "is no name for a study; use up to 100 letters, digits, '.', '_' and '-'"


def refusal(function, *arguments, **options):
    with pytest.raises(SettingsError) as error:
        function(*arguments, **options)
    return str(error.value)


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "x" * 100, ".a"])
def test_accepts_a_name(name):
    assert check_name(name) == parse_settings({"name": name}, "place").name == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a b", "a/b", "ü", "a\n", "x" * 101, "#1", "$(id)", "a\\b"]
)
def test_refuses_a_name(name):
    assert refusal(check_name, name) == f"name: {name!r} {RULE}"
    assert refusal(parse_settings, {"name": name}, "f") == f"f: name: {name!r} {RULE}"


def test_a_suffix_is_appended_and_a_long_name_is_cut_to_keep_it():
    assert with_suffix("digits", ".r2") == "digits.r2"
    long, other = "x" * MAX_LENGTH, "x" * (MAX_LENGTH - 1) + "y"
    assert with_suffix("x" * (MAX_LENGTH - 3), ".r2") == "x" * (MAX_LENGTH - 3) + ".r2"
    for name in (long, other):
        assert len(with_suffix(name, ".r2")) == MAX_LENGTH
        assert check_name(with_suffix(name, ".r2")).endswith(".r2")
    assert with_suffix(long, ".r2") != with_suffix(other, ".r2")  # the digest tells them apart


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("digits-tpe", "digits-tpe"),
        ("my study (1)", "my-study-1"),
        ("größe 2", "gr-e-2"),
        ("..", "study-"),
        ("данные", "study-"),
        ("x" * 300, "x" * 91),
    ],
)
def test_a_file_may_be_called_anything(text, name):
    found = as_name(text)
    assert found.startswith(name)
    assert valid_name(found) == found == as_name(found)
