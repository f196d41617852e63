"""The `report` command: its file, its MLflow run and its errors."""

import html
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from hpsearch.cli import cli
from hpsearch.errors import TrackingError
from hpsearch.report.page import is_report_of, report_page
from hpsearch.search.rounds import run_rounds
from hpsearch.storage.catalog import load_study
from hpsearch.storage.open import open_storage
from hpsearch.tracking.artifacts import log_study_report
from hpsearch.tracking.tracker import Tracker

STUDY = """
name = "tiny"
[data]
source = "digits"
limit = 120
[search]
sampler = "random"
pruner = "none"
trials = 2
[trial]
epochs = 2
hidden_layer_sizes = [8]
learning_rate = { low = 0.01, high = 0.5 }
"""


def run(*arguments):
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory, which contains a study file."""
    monkeypatch.chdir(tmp_path)
    for name in ("HPSEARCH_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tiny.toml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def studied(here):
    """The working directory after the study has run."""
    assert run("study", "tiny.toml", "--no-tracking").exit_code == 0
    return here


def test_the_command_writes_the_page_and_prints_its_path(studied):
    result = run("report", "tiny-random", "--no-tracking", "--top", "1")
    assert (result.exit_code, result.stdout) == (0, "tiny-random.html\n")
    assert result.stderr.startswith("4.") or result.stderr.startswith("5.")
    assert " MB in " in result.stderr
    page = (studied / "tiny-random.html").read_text()
    assert 'id="chart-learning-1"' in page
    assert 'id="chart-learning-2"' not in page
    assert is_report_of("tiny-random.html", "tiny-random")
    assert not is_report_of("tiny-random.html", "tiny")
    assert run("report", "tiny-random", "-o", "x.html", "--no-tracking").stdout == "x.html\n"


def test_the_command_on_the_page_repeats_the_study(here, monkeypatch):
    store = str(here / "elsewhere.journal")
    command = ["study", "tiny.toml", "--no-tracking", "--rounds", "2", "--storage", store]
    assert run(*command).exit_code == 0
    assert run("report", "tiny-random.r2", "--no-tracking", "--storage", store).exit_code == 0
    page = (here / "tiny-random.r2.html").read_text()
    pre = {
        name: html.unescape(re.search(f'<pre id="{name}">(.*?)</pre>', page, re.DOTALL)[1])
        for name in ("command", "study-file")
    }
    (here / "again").mkdir()
    monkeypatch.chdir(here / "again")
    Path("study.toml").write_text(pre["study-file"])
    monkeypatch.setenv("HPSEARCH_STORAGE", store)
    assert run(*shlex.split(pre["command"])[1:], "--no-tracking").exit_code == 0
    studies = [
        load_study(open_storage(where), "tiny-random.r2")
        for where in (store, str(here / "again" / "hpsearch.journal"))
    ]
    then, now = ([trial.params for trial in study.trials] for study in studies)
    assert then == now


def test_a_file_is_only_overwritten_with_force(studied, monkeypatch):
    (studied / "tiny-random.html").write_text("mine")
    with monkeypatch.context() as patch:  # it is refused before anything is drawn
        patch.setattr("hpsearch.report.page.report_page", lambda *_, **__: pytest.fail("worked"))
        result = run("report", "tiny-random", "--no-tracking")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: --output: tiny-random.html exists already; --force overwrites it\n"
    )
    assert (studied / "tiny-random.html").read_text() == "mine"
    assert run("report", "tiny-random", "--no-tracking", "--force").exit_code == 0
    assert is_report_of("tiny-random.html", "tiny-random")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none"], "'none' is not a study in this storage"),
        (["tiny-random", "-o", "nowhere/x.html"], "nowhere is not a folder"),
        (["tiny-random", "--tracking-uri", "sqlite:///no/where.db"], "there is no folder"),
    ],
)
def test_a_refused_report_leaves_no_file(studied, arguments, sentence):
    result = run("report", *arguments)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not list(studied.glob("**/*.html"))


def test_a_study_has_one_run_for_its_report(make_settings, mlflow_uri, here):
    tracker, client = Tracker(mlflow_uri), MlflowClient(mlflow_uri)
    rounds = run_rounds(make_settings(search={"trials": 2}), 2, storage="j", tracker=tracker)
    first, second = (outcome.study for outcome in rounds)
    for study, page in [(first, "old"), (first, report_page(first)), (second, "second")]:
        log_study_report(tracker.store, study, page)
    experiment = client.get_experiment_by_name("tiny-random").experiment_id
    runs = client.search_runs([experiment], "tags.`hpsearch.kind` = 'report'")
    by_name = {each.info.run_name: each for each in runs}
    assert by_name.keys() == {"report", "r2-report"}
    assert {each.info.status for each in runs} == {"FINISHED"}
    run_id = by_name["report"].info.run_id
    assert [each.path for each in client.list_artifacts(run_id)] == ["report.html"]
    path = client.download_artifacts(run_id, "report.html", str(here))
    assert is_report_of(path, "tiny-random")
    assert tracker.sync(first) == 0  # the run is not a trial
    tracker.delete([second])
    left = client.search_runs([experiment], "tags.`hpsearch.kind` = 'report'")
    assert [each.info.run_name for each in left] == ["report"]


@pytest.mark.usefixtures("studied")
def test_the_command_names_the_mlflow_run(mlflow_uri):
    result = run("report", "tiny-random", "--tracking-uri", mlflow_uri)
    assert result.stderr.endswith("in MLflow: experiment tiny-random, run report\n")


@pytest.mark.usefixtures("here")
def test_a_study_writes_its_report_at_the_end_and_again_when_continued():
    first = run("study", "tiny.toml", "--no-tracking", "--report")
    assert first.exit_code == 0
    assert "Report:             tiny-random.html (" in first.stderr
    assert "2</dd><dt>trials" in Path("tiny-random.html").read_text()
    again = run("study", "tiny.toml", "--no-tracking", "--report", "--trials", "3")
    assert again.exit_code == 0
    assert "3</dd><dt>trials" in Path("tiny-random.html").read_text()


@pytest.mark.usefixtures("here")
def test_each_round_has_a_report():
    result = run("study", "tiny.toml", "--no-tracking", "--report", "--rounds", "2")
    assert result.exit_code == 0
    assert is_report_of("tiny-random.html", "tiny-random")
    assert is_report_of("tiny-random.r2.html", "tiny-random.r2")


@pytest.mark.parametrize("name", ["tiny-random.html", "tiny-random.r2.html"])
def test_a_study_that_could_not_write_its_report_does_not_start(here, name):
    (here / name).write_text("mine")
    command = ["study", "tiny.toml", "--no-tracking", "--report", "--rounds", "2"]
    result = run(*command)
    assert result.exit_code == 1
    assert result.stderr == f"Error: --report: {name} exists already; --force overwrites it\n"
    assert not (here / "hpsearch.journal").exists()
    assert run(*command, "--force").exit_code == 0
    assert is_report_of(name, name.removesuffix(".html"))


@pytest.mark.usefixtures("here")
def test_a_report_is_written_if_mlflow_cannot_be_reached(monkeypatch, mlflow_uri, caplog):
    def away(*_, **__):
        raise TrackingError("tracking store 'x': away")

    monkeypatch.setattr("hpsearch.tracking.artifacts.log_study_report", away)
    result = run("study", "tiny.toml", "--report", "--tracking-uri", mlflow_uri)
    assert result.exit_code == 0
    assert is_report_of("tiny-random.html", "tiny-random")
    assert "away; `hpsearch report tiny-random --force` puts the report there later" in caplog.text
    assert "run report" not in result.stderr


def test_a_study_without_a_completed_trial_has_no_report(here):
    (here / "tiny.toml").write_text(
        STUDY.replace("low = 0.01, high = 0.5", "low = 1e30, high = 1e35")
    )
    result = run("study", "tiny.toml", "--no-tracking", "--report")
    assert "none: no trial of tiny-random ran to its end" in result.stderr
    assert not list(here.glob("*.html"))
    refused = run("report", "tiny-random", "--no-tracking")
    assert "study 'tiny-random' has no completed trial yet" in refused.stderr
