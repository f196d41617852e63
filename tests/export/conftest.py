"""A study of four trials on a small table, for everything that is exported."""

import numpy as np
import pandas as pd
import pytest

from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings

DAY = 1_700_000_000  # float32 cannot tell this number from the next one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def table(folder):
    """A table with large and small numbers, words, and words that look like numbers."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    frame = pd.DataFrame(
        {
            "second": DAY + 10 * y + rng.normal(0, 4, 200),
            "size": y + rng.normal(0, 1, 200),
            "colour": np.array(["red", "green", "blue"])[(y + (rng.random(200) < 0.3)) % 3],
            "code": np.array(["01", "02", "x"])[(y + (rng.random(200) < 0.3)) % 3],
            "kind": np.array(["ant", "bee", "cat, tame"])[y],
        }
    )
    frame.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


@pytest.fixture(scope="module")
def storage(folder):
    """The storage of the study."""
    return str(folder / "one.journal")


@pytest.fixture(scope="module")
def study(storage, table):
    """A finished study on the table; its training uses everything that draws at random."""
    tables = {
        "name": "tiny",
        "data": {"source": str(table), "target": "kind"},
        "search": {"sampler": "random", "pruner": "none", "trials": 4},
        "trial": {
            "epochs": 6,
            "hidden_layer_sizes": [8],
            "dropout": 0.1,
            "batch_norm": "before",
            "schedule": "cosine",
            "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
            "momentum": {"low": 0.5, "high": 0.99, "log": "complement"},
        },
    }
    return run_study(parse_settings(tables, "test"), storage=storage).study
