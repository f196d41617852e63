"""The workspace: what the commands do, from Python; and a lost database is one sentence."""

import inspect
import sqlite3
from contextlib import closing

import optuna
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from hpsearch import Workspace
from hpsearch.cli import COMMANDS, cli
from hpsearch.errors import Interrupted, SettingsError, StorageError, StudyError
from model import MLPClassifier

NAME = "tiny-random"


@pytest.fixture
def workspace(tmp_path, monkeypatch, mlflow_uri):
    monkeypatch.chdir(tmp_path)
    return Workspace("s.journal", mlflow_uri)


def runs_of_kind(workspace, kind):
    client = MlflowClient(workspace.tracking_store.uri)
    experiment = client.get_experiment_by_name(NAME).experiment_id
    return client.search_runs([experiment], f"tags.`hpsearch.kind` = '{kind}'")


def test_running_draws_reports_and_tracks(workspace, make_settings):
    seen = []
    settings = make_settings(figure=[{"kind": "curves"}])
    result = workspace.run(settings, save="plots", report=True, on_result=seen.append)
    assert result.last.reason == "finished"
    assert [str(path) for path in result.figures.files] == ["plots/curves.png"]
    assert str(result.figures.tracked_as) == f"experiment {NAME}, run figures"
    (report,) = result.reports
    assert [str(path) for path in report.files] == [f"{NAME}.html"]
    assert (seen[0].outcomes, seen[0].figures) == (result.outcomes, None)  # before it drew
    for kind, number in [("trial", 4), ("figures", 1), ("report", 1)]:
        assert len(runs_of_kind(workspace, kind)) == number
    assert result.best.records()[0]["value"] == workspace.study(NAME).best_value


def test_what_cannot_be_written_is_refused_before_anything_runs(workspace, make_settings, tmp_path):
    (tmp_path / f"{NAME}.html").write_text("mine")
    with pytest.raises(SettingsError, match=r"^report: .* exists already; force=True overwrites"):
        workspace.run(make_settings(), report=True)
    (tmp_path / "best.png").write_text("mine")
    with pytest.raises(SettingsError, match=r"^save: best.png exists already"):
        workspace.run(make_settings(), save=".")
    assert workspace.studies() == []


def test_an_interrupted_run_draws_nothing(workspace, make_settings):
    result = workspace.run(make_settings(), save="plots", report=True, should_stop=lambda: True)
    assert (result.last.reason, result.figures, result.reports) == ("interrupted", None, ())


def test_evaluating_logs_the_evaluation(workspace, make_settings):
    workspace.run(make_settings())
    result = workspace.evaluate(NAME, top=2, seeds=2, save="plots")
    assert [path.name for path in result.figures] == ["evaluation.png", "confusion.png"]
    (run,) = runs_of_kind(workspace, "evaluation")
    assert run.data.metrics["test/accuracy"] == result.evaluation.test_scores("network").accuracy
    with pytest.raises(Interrupted):
        workspace.evaluate(NAME, top=2, seeds=5, should_stop=lambda: True)


def test_an_untracked_workspace_leaves_mlflow_alone(tmp_path, monkeypatch, make_settings):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace("s.journal", tracked=False)
    workspace.run(make_settings())
    workspace.evaluate(NAME, top=1, seeds=2)
    assert workspace.report(NAME).tracked_as is None
    with pytest.raises(SettingsError, match=r"^save: is missing"):
        workspace.figures(NAME)
    assert {path.name for path in tmp_path.iterdir()} == {"s.journal", f"{NAME}.html"}


def test_a_network_is_exported_to_a_file(workspace, make_settings):
    workspace.run(make_settings())
    data = workspace.export(NAME, "npz", "winner.npz")
    with open("winner.npz", "rb") as file:
        assert file.read() == data
    assert len(MLPClassifier.load("winner.npz").classes_) == 10
    with pytest.raises(SettingsError, match=r"^output: winner.npz exists already; force=True"):
        workspace.export(NAME, "toml", "winner.npz")


def test_deleting_asks_first_and_keeps_everything_on_a_no(workspace, make_settings):
    workspace.run(make_settings())
    asked = []

    def refuse(deletion):
        asked.append(deletion)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workspace.delete(NAME, confirm=refuse)
    assert (asked[0].studies, asked[0].trials, asked[0].tracked) == ([NAME], 4, True)
    assert len(workspace.study(NAME).trials) == len(runs_of_kind(workspace, "trial")) == 4
    assert workspace.delete(NAME) == [NAME]
    assert workspace.studies() == []


def test_nothing_is_created_by_looking(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace("s.journal", f"sqlite:///{tmp_path / 'm.db'}")
    assert workspace.studies() == []
    for look in (workspace.study, workspace.summary, workspace.best, workspace.sync):
        with pytest.raises(StorageError, match="does not exist; hpsearch study makes one"):
            look(NAME)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_study_is_named_with_those_there_are(workspace, make_settings):
    workspace.run(make_settings())
    with pytest.raises(StudyError, match=rf"'tiny-randon' is not a study .*'{NAME}'"):
        workspace.best("tiny-randon")


# A lost database


@pytest.fixture
def broken(tmp_path, monkeypatch, make_settings):
    """The URL of a database that opens, but cannot be read; a study file lies beside it."""
    monkeypatch.chdir(tmp_path)
    settings = make_settings()
    Workspace("sqlite:///s.db", tracked=False).run(settings)
    (tmp_path / "tiny.toml").write_text(settings.to_toml())
    with closing(sqlite3.connect("s.db")) as database:
        database.execute("ALTER TABLE trials RENAME COLUMN datetime_start TO lost")
    return "sqlite:///s.db"


USES = {
    "best": ["best", NAME],
    "compare": ["compare", NAME],
    "delete": ["delete", NAME, "--yes", "--no-tracking"],
    "evaluate": ["evaluate", NAME, "--no-tracking"],
    "export": ["export", NAME, "-f", "json"],
    "figures": ["figures", NAME, "--no-tracking", "--save", "plots"],
    "list": ["list"],
    "narrow": ["narrow", NAME],
    "report": ["report", NAME, "--no-tracking"],
    "show": ["show", NAME],
    "study": ["study", "tiny.toml", "--no-tracking"],
    "sync": ["sync", NAME],
}


@pytest.mark.parametrize("command", USES)
def test_a_lost_database_is_one_sentence_in_every_command(broken, mlflow_uri, monkeypatch, command):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    result = CliRunner().invoke(cli, [*USES[command], "--storage", broken])
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("Error: storage 'sqlite:///s.db': ")
    assert "no such column: trials.datetime_start" in errors[0]
    assert "Traceback" not in result.output


def test_every_command_that_reads_the_storage_was_tried():
    assert USES.keys() == COMMANDS.keys() - {"predict", "ui"}


@pytest.mark.usefixtures("workspace")
def test_every_use_case_says_what_it_does():
    public = [m for name, m in inspect.getmembers(Workspace) if not name.startswith("_")]
    assert len(public) > 15
    assert all(inspect.getdoc(method) for method in public)


def test_a_study_of_another_program_is_shown(workspace):
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend("s.journal")
        ),
        study_name="theirs",
    )
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=3)
    (summary,) = workspace.studies()
    assert (summary.name, summary.counts.complete, summary.file) == ("theirs", 3, None)
    assert workspace.best("theirs").records()[0]["value"] == study.best_value
