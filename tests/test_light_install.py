"""A machine that only predicts and scores needs few libraries; the docs name them."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.columns import Dates, Means, Numbers, Words, as_plain
from hpsearch.prediction import predict_table, score_table
from model.checkpoint import Checkpoint
from model.config import TrainConfig
from model.network import Network
from model.scaling import Scaler
from model.training import build_optimizer

ROOT = Path(__file__).parent.parent
IMPORTED_AS = {"scikit-learn": "sklearn"}
BLOCKING = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def needed() -> set[str]:
    """The packages that hpsearch depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {re.split(r"[^\w-]", each)[0] for each in project["dependencies"]}


def light() -> set[str]:
    """The packages that the docs install on such a machine."""
    text = (ROOT / "docs" / "using-the-winner.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^pip install (click .*)$", text, re.MULTILINE)
    return {*line.split()}


def hpsearch(*arguments: str, code: str = "from hpsearch.cli import main; main()"):
    """Run the command where only what the docs install can be imported."""
    absent = {IMPORTED_AS.get(name, name) for name in needed() - light()}
    code = BLOCKING.format(absent=absent | {"sqlalchemy", "alembic", "torch"}) + code
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A network with columns of many kinds, and a table with labels for it, rows.csv."""
    monkeypatch.chdir(tmp_path)
    columns = (
        Numbers("size", 1.0, indicator=True),
        Words("town", ("Bergen", "Oslo"), others=True, absent=True, strict=False),
        Means("street", ("",), {"a": (0.1,), "b": (0.9,)}, (0.5,)),
        Dates("sold", (2024.0, 1.0, 0.0, 19723.0)),
    )
    rng, config = np.random.default_rng(0), TrainConfig()
    d = sum(len(column.feature_names) for column in columns)
    built = Network(d, 2, config, rng)
    Checkpoint(
        network=built,
        optimizer=build_optimizer(config, built.params),
        scaler=Scaler(np.zeros(d), np.full(d, 1e-3)),
        curves={},
        notes={"test_scores": {"test/accuracy": 0.9}},
        classes=np.array(["no", "yes"]),
        target_names=("dear",),
        columns=as_plain(columns),
    ).save("it.npz")
    rows = {
        "size": rng.choice([1.5, 80.0, np.nan], 30),
        "town": rng.choice(["Oslo", "Bodo", None], 30),
        "street": rng.choice(["a", "b", "c"], 30),
        "sold": pd.date_range("2024-01-01", periods=30).astype(str),
        "dear": rng.choice(["no", "yes"], 30),
    }
    pd.DataFrame(rows).to_csv("rows.csv", index=False)
    return "it.npz"


def test_it_predicts_the_same(network: str) -> None:
    run = hpsearch("predict", network, "rows.csv")
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == predict_table(network, "rows.csv").labels.tolist()
    written = hpsearch("predict", network, "rows.csv", "--proba", "--keep", "town", "-o", "out.csv")
    assert written.returncode == 0, written.stderr
    assert [*pd.read_csv("out.csv").columns] == ["town", "no", "yes"]


def test_it_scores_the_same(network: str) -> None:
    run = hpsearch("score", network, "rows.csv", "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["now"] == score_table(network, "rows.csv").now
    table = hpsearch("score", network, "rows.csv", "--metric", "accuracy", "--max-drop", "0")
    assert table.returncode == 1
    assert "accuracy is worse by" in table.stderr


@pytest.mark.usefixtures("network")
def test_python_predicts_too() -> None:
    code = "from hpsearch.prediction import predict_table; predict_table('it.npz', 'rows.csv')"
    run = hpsearch(code=code)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "command", ["study digits", "list", "best x", "export x -f npz", "look rows.csv --target dear"]
)
@pytest.mark.usefixtures("network")
def test_other_commands_say_what_to_install(command: str) -> None:
    run = hpsearch(*command.split())
    assert run.returncode == 1
    said = r"Error: this command needs (\w+), which is not installed; `pip install hpsearch` in.*\n"
    found = re.fullmatch(said, run.stderr)
    assert found is not None, run.stderr
    assert found[1] in needed() - light()
    assert not Path("hpsearch.journal").exists()


def test_a_module_that_hpsearch_does_not_need_is_no_such_sentence() -> None:
    code = """
from hpsearch import cli
cli.Commands.get_command = lambda *_: __import__("torch")
cli.main()
"""
    run = hpsearch("list", code=code)
    assert "ModuleNotFoundError: No module named 'torch'" in run.stderr


@pytest.mark.usefixtures("network")
def test_a_parquet_file_names_what_it_needs() -> None:
    pd.read_csv("rows.csv").to_parquet("rows.parquet")
    run = hpsearch("predict", "it.npz", "rows.parquet")
    expected = "Error: rows.parquet: a .parquet file needs pyarrow: pip install pyarrow\n"
    assert (run.returncode, run.stderr) == (1, expected)
