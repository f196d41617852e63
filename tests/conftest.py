"""What tests share: a small study, an MLflow database to copy, small MNIST files, a browser."""

import os

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before anything imports mlflow
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # a closed port stays closed

import gzip
import re
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from hpsearch.data.sources import IDX_FILES
from hpsearch.settings.study import parse_settings

sys.path.append(str(Path(__file__).parent))
pytest_plugins = [
    "dask_cluster",
    "postgres_server",
    "service_server",
]  # servers that run in processes of their own

threadpool_limits(1)  # pytest-xdist runs a process a core: further BLAS threads wait for each other

TRAIN_ROWS = 600
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
HERE = re.compile(r"http://127\.0\.0\.1:|file:|data:|blob:|about:")
MLFLOWS_OWN = (  # errors that MLflow's pages make whatever they show
    re.compile(r"/mlflow/users/current"),  # who is signed in? a server without accounts: 404
    re.compile(r"ResizeObserver loop"),  # a chart was resized while it was being drawn
)
LONG = (
    "test_docs.py",
    "test_benchmarks.py",
    "test_kill.py",
    "test_cluster.py",
    "test_interruption.py",
    "test_killed.py",
    "test_in_a_browser.py",
    "test_mlflow_server.py",
)  # files of minutes: they start first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that no worker waits for one of them at the end."""
    items.sort(key=lambda item: item.path.name not in LONG)  # and is stable


def idx_bytes(values: NDArray[Any]) -> bytes:
    header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for $HPSEARCH_DATA: digits of 8 × 8 pixels in the four files of MNIST."""
    folder = tmp_path_factory.mktemp("data") / "mnist"
    folder.mkdir()
    images, labels = load_digits(return_X_y=True)
    images = (images * 15).reshape(-1, 8, 8)
    parts = np.s_[:TRAIN_ROWS], np.s_[TRAIN_ROWS : TRAIN_ROWS + 200]
    arrays = [values[part] for part in parts for values in (images, labels)]
    for name, values in zip(IDX_FILES, arrays, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(values)))
    return folder.parent


@pytest.fixture(scope="module")  # Playwright's event loop would be in other modules' way
def browser() -> Iterator[Any]:
    """Headless Chromium, where there is one; never a download of Playwright's."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install it")
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        pytest.skip("no Chromium: apt install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a fresh browser, which reaches this machine alone and must make no error."""
    context = browser.new_context()
    context.set_default_timeout(60_000)
    outside: list[str] = []
    errors: list[str] = []

    def refuse(route: Any) -> None:
        outside.append(route.request.url)
        route.abort()

    def listen(message: Any) -> None:
        if message.type == "error":
            errors.append(f"{message.text} {message.location.get('url', '')}")

    context.route(lambda url: not HERE.match(url), refuse)
    page = context.new_page()
    page.on("console", listen)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert outside == []
    assert [e for e in errors if not any(own.search(e) for own in MLFLOWS_OWN)] == []


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory):
    """An MLflow database without an experiment; creating one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_uri(empty_mlflow, tmp_path):
    """The URI of an MLflow store of this test's own."""
    return f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"


@pytest.fixture(scope="session")
def make_settings():
    """A function to the settings of a study of tiny trials, with tables to merge into them."""

    def make(*, name="tiny", data=None, search=None, trial=None, **rest):
        table = {
            "name": name,
            "data": {"source": "digits", "limit": 120} | (data or {}),
            "search": {"sampler": "random", "pruner": "none", "trials": 4} | (search or {}),
            "trial": {
                "epochs": 3,
                "hidden_layer_sizes": [8],
                "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
                "momentum": {"low": 0.5, "high": 0.99, "log": "complement"},
            }
            | (trial or {}),
        }
        return parse_settings(table | rest, "test")

    return make


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory; what tests import from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
