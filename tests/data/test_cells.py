"""Numbers become the words that they were read from, and the word that spoils a column is found."""

import re

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.cells import known_words, strangest


@pytest.mark.parametrize(
    ("values", "known", "words"),
    [
        ([42, 7, 5], ("007", "42", "x"), ["42", "007", "5"]),
        ([42.0, 2.5], ("2.50", "42"), ["42", "2.50"]),
        ([1, 2], ("1.0", "2.0"), ["1.0", "2.0"]),
        ([True, False], ("TRUE", "false", "1", "0"), ["TRUE", "false"]),
        ([True, False], ("maybe",), ["True", "False"]),
        ([1, 10], ("1", "True", "1_0"), ["1", "10"]),
        ([10**16 + 1], (f"{10**16}", f"{10**16 + 1}"), [f"{10**16 + 1}"]),
        (["1", "7", "True"], ("1.0", "007", "TRUE"), ["1", "7", "True"]),
        (pd.array([7, 1], dtype="Int64"), ("007", "x"), ["007", "1"]),
        (pd.Categorical(["a", "b"]), ("a",), ["a", "b"]),
        (pd.Categorical([7, 1]), ("007", "1"), ["007", "1"]),
        (pd.Series([7, "x", True], dtype=object), ("007", "true", "x"), ["007", "x", "true"]),
        (pd.Series([np.int64(7), "x"], dtype=object), ("007", "x"), ["007", "x"]),
    ],
)
def test_numbers_become_the_words_that_are_known(values, known, words):
    assert known_words("code", pd.Series(values), known) == words


@pytest.mark.parametrize("text", [["007", "42"], ["1.0", "2.5"], ["TRUE", "false"]])
def test_a_file_read_with_types_or_as_text_gives_the_same_words(tmp_path, text):
    path = tmp_path / "code.csv"
    pd.DataFrame({"code": text}).to_csv(path, index=False)
    read = pd.read_csv(path)["code"]
    assert read.tolist() != text
    assert known_words("code", read, [*text, "x"]) == text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([42, 7], "column 'code' holds 7 in row 2, which may be '007' or '7'; read it as text"),
        ([True], "column 'code' holds True in row 1, which may be 'TRUE' or 'true'; read it as"),
        ([42.0, np.nan], "column 'code' has no value in row 2 (empty or nan)"),
        ([pd.Timestamp(0)], "column 'code' holds Timestamp values, not numbers or text"),
    ],
)
def test_ambiguous_missing_and_odd_values_are_refused(values, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        known_words("code", pd.Series(values), ("007", "42", "7", "TRUE", "true"))


@pytest.mark.parametrize(
    ("words", "row"),
    [
        (["1", "big", "2"], 1),
        (["True", "False", "maybe"], 2),
        (["12", "True"], 1),
        (["True", "12"], 0),
        (["1", "2"], 0),
    ],
)
def test_the_word_that_is_least_like_a_number(words, row):
    assert strangest(words) == row
