"""The parts of MLflow's model folder: its example and its signature."""

import pandas as pd

from hpsearch.export.flavor import decode, example_rows, signature_of
from hpsearch.settings.study import parse_settings
from model.columns import Column, encode


def test_the_example_has_rows_of_the_training_data(table):
    data = {"source": str(table), "target": "kind"}
    example = example_rows(parse_settings({"name": "t", "data": data}, "test").data)
    frame = pd.read_csv(table, dtype={"code": str}).drop(columns="kind")
    assert len(example) == 5
    assert len(frame.merge(example.drop_duplicates())) >= len(example.drop_duplicates())


def test_decode_reverses_encode():
    columns = (Column("n"), Column("word", ("a", "b", "c")), Column("m"))
    frame = pd.DataFrame({"n": [1.5, 2.0], "word": ["c", "a"], "m": [0.0, -1.0]})
    pd.testing.assert_frame_equal(decode(encode(frame, columns), columns), frame, check_dtype=False)
    inputs = signature_of(columns).inputs.to_dict()
    assert [(each["name"], each["type"]) for each in inputs] == [
        ("n", "any"),
        ("word", "any"),
        ("m", "any"),
    ]
