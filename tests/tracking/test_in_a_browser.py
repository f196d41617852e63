"""MLflow's pages of a study, in a real browser."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

STUDY = """
[data]
source = "digits"

[search]
sampler = "random"
trials = 12

[trial]
epochs = 5
optimizer = { choices = ["sgd", "momentum"] }
hidden_units = { low = 20, high = 100, log = true }
learning_rate = { low = 1e-3, high = 1e3, log = true }    # some diverge

[[figure]]
kind = "values"
"""
CURVES = ("train/accuracy", "train/loss", "val/accuracy", "val/loss")
WIDE = {"width": 3000, "height": 1500}  # MLflow draws only what is in view
TRIAL = re.compile(r"trial-\d{4}")


@pytest.fixture(scope="module")
def folder(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """The working directory of a finished study; depends on a browser, so none means no study."""
    folder = tmp_path_factory.mktemp("seen")
    (folder / "seen.toml").write_text(STUDY)
    command = [sys.executable, "-m", "hpsearch", "study", "seen.toml", "--name", "seen"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[Any]:
    """The study's trials in MLflow, the best first."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("seen")
    assert experiment is not None
    best = ["metrics.`val/accuracy_best` DESC"]
    which = "tags.`hpsearch.kind` = 'trial'"
    return list(client.search_runs([experiment.experiment_id], which, order_by=best))


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The address that `hpsearch ui seen` prints and opens."""
    command = [sys.executable, "-m", "hpsearch", "ui", "seen", "--no-browser", "--port", "0"]
    ui = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert ui.stdout is not None
        yield ui.stdout.readline().strip()
    finally:
        ui.send_signal(signal.SIGINT)
        ui.communicate(timeout=30)


def open_page(page: Any, address: str) -> None:
    # Otherwise MLflow's assistant opens beside the first page of a server that a browser shows.
    page.add_init_script("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1'] = 'true'")
    page.set_viewport_size(WIDE)
    page.goto(address)
    page.get_by_role("grid").get_by_text(TRIAL).first.wait_for()


def test_ui_lands_on_the_trials_and_their_curves(page: Any, address: str, runs: list[Any]) -> None:
    open_page(page, address)
    assert f"/experiments/{runs[0].info.experiment_id}/runs" in page.url
    page.get_by_text("12 matching runs").wait_for()  # without the run `figures`
    shown = page.get_by_role("grid").get_by_text(TRIAL).all_inner_texts()
    assert sorted(shown) == sorted(run.info.run_name for run in runs)
    for name in CURVES:
        card = page.get_by_test_id("experiment-view-compare-runs-card").filter(
            has=page.get_by_text(name, exact=True)
        )
        card.scroll_into_view_if_needed()
        card.locator("svg path.js-line").first.wait_for(
            state="attached"
        )  # a flat one has no height
        # A run with a single epoch is a dot.
        long = [run for run in runs[:10] if run.data.metrics["epochs"] > 1]
        assert card.locator("svg path.js-line").count() >= len(long)


def test_the_table_has_data_parameters_and_states(page: Any, address: str, runs: list[Any]) -> None:
    open_page(page, address.replace("=CHART", "=TABLE"))
    grid = page.get_by_role("grid")
    data = grid.get_by_text(re.compile(r"digits \([0-9a-f]{8}\)"))
    data.first.wait_for()
    assert data.count() == len(runs)
    page.get_by_text(re.compile("Show more")).first.click()  # MLflow shows no parameters at first
    for name in ("learning_rate", "val/accuracy_best", "hpsearch.state"):
        page.get_by_placeholder("Search columns").fill(name)
        page.get_by_text(name, exact=True).last.click()
        grid.get_by_text(name, exact=True).first.wait_for()
    for run in runs[:3]:
        row = grid.get_by_role("row").filter(has_text=run.data.params["learning_rate"])
        row.get_by_text(run.data.tags["hpsearch.state"], exact=True).first.wait_for()


def test_a_trials_page_shows_its_parameters_and_how_it_ended(
    page: Any, address: str, runs: list[Any]
) -> None:
    assert {run.data.tags["hpsearch.state"] for run in runs} == {"complete", "pruned"}
    diverged = next(run for run in runs if "diverged" in run.data.tags.get("hpsearch.reason", ""))
    open_page(page, address)
    page.get_by_role("grid").get_by_text(diverged.info.run_name, exact=True).click()
    page.get_by_role("heading", name=diverged.info.run_name).wait_for()
    for text in ("learning_rate", diverged.data.params["learning_rate"], "Finished"):
        page.get_by_text(text, exact=True).first.wait_for()
    page.get_by_text(re.compile(diverged.data.tags["hpsearch.reason"])).first.wait_for()
    page.get_by_text("hpsearch.state").first.wait_for()
    page.get_by_role("tab", name="Model metrics").click()
    page.locator("svg path.js-line").first.wait_for()


def test_the_description_has_the_best_trials_and_the_study_file(
    page: Any, address: str, runs: list[Any]
) -> None:
    open_page(page, address)
    note = page.locator("table").filter(has_text="learning_rate")
    best = next(run for run in runs if run.data.tags["hpsearch.state"] == "complete")
    note.get_by_text(best.info.run_name, exact=True).wait_for(state="attached")
    for text in ("learning_rate 0.001..1000", "hpsearch study study.toml --name seen", "[trial]"):
        page.get_by_text(text).first.wait_for(state="attached")
