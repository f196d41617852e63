"""The parts of MLflow's model folder: its example and its signature."""

import pandas as pd

from hpsearch.data.columns import Numbers, Words, as_plain
from hpsearch.export.examples import example_rows
from hpsearch.export.flavor import signature_of
from hpsearch.settings.study import parse_settings
from model import MLPClassifier


def test_the_example_has_rows_of_the_training_data(table):
    data = {"source": str(table), "target": "kind"}
    example = example_rows(parse_settings({"name": "t", "data": data}, "test").data, 5)
    frame = pd.read_csv(table, dtype={"code": str}).drop(columns="kind")
    assert len(example) == 5
    assert len(frame.merge(example.drop_duplicates())) >= len(example.drop_duplicates())


def test_the_signature_takes_anything_in_every_column():
    winner = MLPClassifier()
    winner.columns_ = as_plain([Numbers("n"), Words("word", ("a", "b", "c"))])
    winner.target_names_ = ("kind",)
    inputs = signature_of(winner).inputs.to_dict()
    assert [(each["name"], each["type"]) for each in inputs] == [("n", "any"), ("word", "any")]
