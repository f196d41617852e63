"""`hpsearch look`, and a study of a table that has no study file, from the look to predictions."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from hpsearch.cli import cli
from hpsearch.search.table_study import table_data, table_study
from hpsearch.trainables.scoring import known_scores
from hpsearch.trials.metrics import higher_is_better
from model import MLPRegressor

N = 200


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Houses: an id, words, gaps, dates, a price, and whether it is high."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": rng.permutation(9000)[:N],
            "area": rng.normal(120, 30, N).round(),
            "town": rng.choice(["Oslo", "Bergen", "Bodo"], N),
            "garden": rng.choice(["yes", None], N),
            "sold": pd.date_range("2023-01-01", periods=N).astype(str),
        }
    )
    price = 3000 * frame["area"] + 90_000 * (frame["town"] == "Oslo")
    frame["price"] = (price + rng.normal(0, 20_000, N)).round()
    frame["dear"] = np.where(price + rng.normal(0, 90_000, N) > 420_000, "yes", "no")
    frame.loc[::9, "area"] = None
    return frame


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: pd.DataFrame) -> Path:
    monkeypatch.chdir(tmp_path)
    table.to_csv("houses.csv", index=False)
    return tmp_path


def test_look_says_what_every_column_is_taken_for() -> None:
    result = run("look", "houses.csv", "--target", "price", "--drop", "dear")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:4] == ["houses.csv:", "200", "rows,", "12"]
    assert "rows:   128 train, 32 validation, 40 test" in result.stdout
    found = {line[0]: line[1:] for line in lines if line}
    assert found["area"][:2] == ["numbers", "2"]
    assert found["sold"][:2] == ["dates", "4"]
    assert found["dear"][:2] == ["left", "out"]
    assert "so this is a regression" in result.stderr
    assert 'id = ["id"] leaves it out' in result.stderr
    assert not Path("hpsearch.journal").exists()


def test_look_prints_json_and_takes_a_study_file() -> None:
    Path("s.toml").write_text('[data]\nsource = "houses.csv"\ntarget = "dear"\ndrop = ["price"]\n')
    found = json.loads(run("look", "s.toml", "--json").stdout)
    assert found["task"] == "classification"
    assert sum(found["targets"][0]["classes"].values()) == N
    assert sum(found["rows"].values()) == N
    kinds = {column["name"]: column["kind"] for column in found["columns"]}
    assert kinds["price"] == "dropped"
    assert sum(column["features"] for column in found["columns"]) == found["features"]
    assert json.loads(run("look", "digits", "--json").stdout)["features"] == 64


def test_a_study_of_numbers_from_a_table_alone_to_predictions(table: pd.DataFrame) -> None:
    options = ["--drop", "dear", "--id", "id", "--no-tracking"]
    result = run("study", "houses.csv", "--target", "price", *options, "--trials", "4")
    assert result.exit_code == 0, result.output
    assert 'metric = "val/rmse"' in result.stderr
    start = result.stderr.index("name =")
    toml = result.stderr[start : result.stderr.index("\n\n", result.stderr.index("[trial]"))]
    Path("houses.toml").write_text(toml)
    again = run("study", "houses.toml", "--no-tracking")
    assert "all 4 trials are already done" in again.stderr, again.output

    evaluated = run("evaluate", "houses-tpe", "--top", "1", "--seeds", "2", "--no-tracking")
    assert evaluated.exit_code == 0, evaluated.output
    assert re.search(r"^rmse +\d", evaluated.stdout, re.MULTILINE)
    assert run("export", "houses-tpe", "-f", "npz").exit_code == 0
    predicted = run("predict", "houses-tpe.npz", "houses.csv", "--keep", "id", "-o", "out.csv")
    assert predicted.exit_code == 0, predicted.output
    out = pd.read_csv("out.csv")
    assert [*out.columns] == ["id", "price"]
    assert out["id"].tolist() == table["id"].tolist()
    assert np.corrcoef(out["price"], table["price"])[0, 1] > 0.7
    regressor = MLPRegressor.load("houses-tpe.npz")
    found = regressor.predict(pd.read_csv("houses.csv"))
    np.testing.assert_allclose(found, out["price"], rtol=1e-5)
    lines = run("predict", "houses-tpe.npz", "houses.csv").stdout.splitlines()
    np.testing.assert_allclose([float(line) for line in lines], out["price"])
    refused = run("predict", "houses-tpe.npz", "houses.csv", "--proba")
    assert refused.exit_code == 1
    assert "the network predicts numbers, which have no probabilities" in refused.stderr
    kept = run("predict", "houses-tpe.npz", "houses.csv", "-o", "out.csv")
    assert (kept.exit_code, "--output: out.csv exists" in kept.stderr) == (1, True), kept.stderr


def test_several_numbers_are_predicted_together() -> None:
    run("study", "houses.csv", "--target", "price", "--target", "area", "--drop", "dear",
        "--trials", "2", "--no-tracking")  # fmt: skip
    assert run("export", "houses-tpe", "-f", "npz").exit_code == 0
    header, first, *_ = run("predict", "houses-tpe.npz", "houses.csv").stdout.splitlines()
    assert header == "price,area"
    assert len(first.split(",")) == 2


def test_the_space_and_the_metric_fit_the_table(table: pd.DataFrame) -> None:
    few = table_study(table_data("houses.csv", ["dear"], drop=["price"]))
    assert (few.search.metric, few.search.trials) == ("val/accuracy", 60)
    many = pd.concat([table] * 80)
    many["dear"] = np.where(np.arange(len(many)) % 12 == 0, "yes", "no")
    many.to_csv("many.csv", index=False)
    uneven = table_study(table_data("many.csv", ["dear"]))
    assert uneven.search.metric == "val/roc_auc"
    assert uneven.max_epochs < few.max_epochs
    chosen = table_study(table_data("houses.csv", ["dear"], drop=["price"]), "val/f1")
    assert chosen.search.metric == "val/f1"
    assert "val/accuracy" in chosen.search.metrics


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("look houses.csv", "data: houses.csv: target must name the column of the labels (id, "),
        ("look houses.csv --target prise", "'prise' is not a column; did you mean 'price'?"),
        ("look no.csv --target y", "data.source: no.csv: No such file or directory"),
        (
            "study houses.csv --target town --metric val/f1",
            "val/f1 is for two classes; use val/",
        ),
        ("study houses.csv --target price --metric f1", "is not a metric; did you mean 'val/f1'?"),
        ("study digits --target high", "it is the value at which the study stops"),
        (
            "study digits --drop x",
            "--drop, --id, --text, --groups, --time and --weight go with a table",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_and_creates_nothing(arguments: str, sentence: str) -> None:
    result = run(*arguments.split())
    assert result.exit_code in (1, 2)
    assert sentence in result.stderr.replace("\n", " "), result.stderr
    assert not Path("hpsearch.journal").exists()


@pytest.fixture
def exported() -> str:
    """The network of an evaluated study of two classes, and its file."""
    options = ["--drop", "price", "--id", "id", "--no-tracking"]
    run("study", "houses.csv", "--target", "dear", *options, "--trials", "2")
    run("evaluate", "houses-tpe", "--top", "1", "--seeds", "2", "--no-tracking")
    assert run("export", "houses-tpe", "-f", "npz").exit_code == 0
    return "houses-tpe.npz"


def test_a_network_is_scored_on_labelled_rows(exported: str, table: pd.DataFrame) -> None:
    found = json.loads(run("score", exported, "houses.csv", "--json").stdout)
    predicted = run("predict", exported, "houses.csv").stdout.splitlines()
    assert found["rows"] == N
    assert found["now"]["accuracy"] == np.mean(np.array(predicted) == table["dear"])
    evaluate = ["evaluate", "houses-tpe", "--top", "1", "--seeds", "2", "--no-tracking", "--json"]
    evaluation = json.loads(run(*evaluate).stdout)
    assert found["test_rows"]["accuracy"] == evaluation["test"]["network"]["accuracy"]
    shown = run("score", exported, "houses.csv").stdout
    assert shown.startswith("200 labelled rows")
    assert "on its test rows" in shown


def test_a_score_that_has_dropped_ends_with_exit_code_1(exported: str, table: pd.DataFrame) -> None:
    predicted = run("predict", exported, "houses.csv").stdout.splitlines()
    turned = table.assign(dear=np.where(np.array(predicted) == "yes", "no", "yes"))
    turned.loc[:4, "dear"] = None
    turned.to_csv("turned.csv", index=False)
    options = ["--metric", "accuracy", "--max-drop", "0.2"]
    assert run("score", exported, "houses.csv", *options).exit_code == 0
    dropped = run("score", exported, "turned.csv", *options)
    assert dropped.exit_code == 1
    assert "195 labelled rows" in dropped.stdout
    assert "accuracy is worse by 0." in dropped.stderr


def well_trained(*data: str) -> str:
    """The file of an evaluated network that predicts both classes. data: more lines of [data]."""
    lines = ["[data]", 'source = "houses.csv"', 'target = "dear"', 'drop = ["price", "id"]', *data]
    lines += ["[search]", 'sampler = "random"', "trials = 1", "[trial]", "epochs = 40"]
    Path("s.toml").write_text("\n".join(lines))
    run("study", "s.toml", "--no-tracking")
    run("evaluate", "s-random", "--top", "1", "--seeds", "2", "--no-tracking")
    assert run("export", "s-random", "-f", "npz").exit_code == 0
    return "s-random.npz"


def worse_by(network: str, table: str, metric: str) -> Result:
    return run("score", network, table, "--metric", metric, "--max-drop", "0")


def test_every_score_of_classes_has_a_drop_and_an_interval(table: pd.DataFrame) -> None:
    exported = well_trained()
    predicted = np.array(run("predict", exported, "houses.csv").stdout.splitlines())
    wrong = np.where(predicted == "yes", "no", "yes")
    mostly_wrong = np.where(np.arange(N) % 5, wrong, predicted)
    table.assign(dear=mostly_wrong).to_csv("turned.csv", index=False)
    found = json.loads(run("score", exported, "turned.csv", "--json").stdout)
    names = known_scores(("no", "yes"))
    assert [*found["now"]] == [*found["drops"]] == [*found["intervals"]] == names
    for name in names:
        sign = 1 if higher_is_better(name) else -1
        assert found["drops"][name] == sign * (found["test_rows"][name] - found["now"][name]) > 0
        low, high = found["intervals"][name]
        assert low < found["now"][name] < high
        assert worse_by(exported, "turned.csv", name).exit_code == 1, name
    assert np.ptp(found["intervals"]["accuracy"]) == pytest.approx(
        2 * 1.96 * np.sqrt(found["now"]["accuracy"] * (1 - found["now"]["accuracy"]) / N), rel=0.15
    )
    heading = run("score", exported, "turned.csv").stdout.splitlines()[2]
    columns = re.split(r" {2,}", heading.strip())
    assert columns == ["now", "95 % interval", "on its test rows", "drop"]


def test_every_score_of_numbers_has_a_drop(table: pd.DataFrame) -> None:
    options = ["--drop", "dear", "--id", "id", "--no-tracking"]
    run("study", "houses.csv", "--target", "price", *options, "--trials", "2")
    run("evaluate", "houses-tpe", "--top", "1", "--seeds", "2", "--no-tracking")
    run("export", "houses-tpe", "-f", "npz")
    table.assign(price=table["price"] * 3).to_csv("dearer.csv", index=False)
    found = json.loads(run("score", "houses-tpe.npz", "dearer.csv", "--json").stdout)
    assert [*found["drops"]] == [*found["intervals"]] == ["rmse", "mae", "r2", "mape"]
    for name in found["drops"]:
        assert worse_by("houses-tpe.npz", "dearer.csv", name).exit_code == 1, name


def test_rows_count_as_their_weights_say(table: pd.DataFrame) -> None:
    weighted = table.assign(times=np.arange(N) % 3)
    weighted.to_csv("times.csv", index=False)
    run("study", "times.csv", "--target", "dear", "--drop", "price", "--weight", "times",
        "--trials", "1", "--no-tracking")  # fmt: skip
    assert run("export", "times-tpe", "-f", "npz").exit_code == 0
    pd.concat([weighted[weighted["times"] >= least] for least in (1, 2)]).assign(times=1).to_csv(
        "repeated.csv", index=False
    )
    weights, rows = (
        json.loads(run("score", "times-tpe.npz", name, "--json").stdout)["now"]
        for name in ("times.csv", "repeated.csv")
    )
    assert weights == pytest.approx(rows)
    without = run("score", "times-tpe.npz", "houses.csv")
    assert "houses.csv: has no column 'times', which says how much a row counts" in without.stderr
    weighted.assign(times="many").to_csv("wrong.csv", index=False)
    wrong = run("score", "times-tpe.npz", "wrong.csv")
    assert wrong.exit_code == 1
    assert "wrong.csv: weight: column 'times' holds 'many' in row 1" in wrong.stderr


def test_few_rows_are_said_to_be_few(exported: str, table: pd.DataFrame) -> None:
    predicted = np.array(run("predict", exported, "houses.csv").stdout.splitlines())
    right = predicted == table["dear"]
    before = json.loads(run("score", exported, "houses.csv", "--json").stdout)["test_rows"]
    hits = int(before["accuracy"] * 10) - 1  # a little worse than on the test rows
    few = pd.concat([table[right][:hits], table[~right][: 10 - hits]])
    few.to_csv("few.csv", index=False)
    result = worse_by(exported, "few.csv", "accuracy")
    assert result.exit_code == 1
    assert "few.csv: 10 labelled rows, so few that chance alone" in result.stderr
    assert "more than 0; it may be chance, as the interval says" in result.stderr
    assert "so few" not in run("score", exported, "houses.csv").stderr


def test_a_score_that_the_rows_do_not_have_fails(exported: str, table: pd.DataFrame) -> None:
    table[table["dear"] == "yes"].to_csv("one.csv", index=False)
    result = worse_by(exported, "one.csv", "roc_auc")
    assert result.exit_code == 1
    assert "roc_auc cannot be computed on these rows" in result.stderr
    found = json.loads(run("score", exported, "one.csv", "--json").stdout)
    assert found["now"]["roc_auc"] is found["drops"]["roc_auc"] is None


def test_scores_are_about_the_positive_class_of_the_study(table: pd.DataFrame) -> None:
    trained = well_trained('positive = "no"')
    predicted = np.array(run("predict", trained, "houses.csv").stdout.splitlines())
    found = json.loads(run("score", trained, "houses.csv", "--json").stdout)
    recall = np.mean(predicted[table["dear"] == "no"] == "no")
    assert found["now"]["recall"] == pytest.approx(recall)
    assert "recall" in found["drops"]
    run("export", "s-random", "-f", "npz", "--slot", "0", "-o", "own.npz")  # not evaluated
    predicted = np.array(run("predict", "own.npz", "houses.csv").stdout.splitlines())
    own = json.loads(run("score", "own.npz", "houses.csv", "--json").stdout)
    assert own["now"]["recall"] == pytest.approx(np.mean(predicted[table["dear"] == "no"] == "no"))
    assert own["drops"] == {}
    other = run("score", trained, "houses.csv", "--positive", "yes", "--json")
    assert not {"f1", "recall", "average_precision"} & json.loads(other.stdout)["drops"].keys()
    assert "accuracy" in json.loads(other.stdout)["drops"]


def test_labels_may_be_numbers_of_another_type(table: pd.DataFrame) -> None:
    frame = table.assign(dear=(table["dear"] == "yes").astype(int)).drop(columns=["price", "id"])
    frame.to_csv("numbers.csv", index=False)
    run("study", "numbers.csv", "--target", "dear", "--trials", "1", "--no-tracking")
    run("export", "numbers-tpe", "-f", "npz")
    frame.assign(dear=frame["dear"].astype(float)).to_parquet("numbers.parquet")
    results = [run("score", "numbers-tpe.npz", f"numbers.{kind}") for kind in ("csv", "parquet")]
    assert results[0].exit_code == 0, results[0].output
    assert results[0].stdout == results[1].stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("houses.csv --metric f2 --max-drop 0.1", "'f2' has no score on test rows to compare with"),
        ("houses.csv --metric accuracy", "--metric and --max-drop go together"),
        ("other.csv", "other.csv: column 'dear' holds 'perhaps', which is none of the classes (no"),
        ("bare.csv", "bare.csv: 'dear' is not a column"),
        ("houses.csv --positive maybe", "data.positive: 'maybe' is not a class of these data"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(
    exported: str, table: pd.DataFrame, arguments: str, sentence: str
) -> None:
    table.assign(dear="perhaps").to_csv("other.csv", index=False)
    table.drop(columns="dear").to_csv("bare.csv", index=False)
    result = run("score", exported, *arguments.split())
    assert result.exit_code in (1, 2)
    assert sentence in result.stderr.replace("\n", " "), result.stderr
