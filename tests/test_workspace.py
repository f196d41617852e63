"""The workspace: the commands as Python methods, and a lost database as a one-line error."""

import inspect
import shutil
import sqlite3
from contextlib import closing

import optuna
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from hpsearch import Workspace
from hpsearch.cli import COMMANDS, cli
from hpsearch.errors import (
    Interrupted,
    SettingsError,
    StorageError,
    StudyError,
    TrackingError,
)
from hpsearch.storage.journal import open_journal
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


def test_run_draws_figures_writes_reports_and_tracks(workspace, make_settings):
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


def test_files_that_cannot_be_written_are_refused_before_anything_runs(
    workspace, make_settings, tmp_path
):
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


def test_evaluate_logs_the_evaluation(workspace, make_settings):
    workspace.run(make_settings())
    result = workspace.evaluate(NAME, top=2, seeds=2, save="plots")
    assert [path.name for path in result.figures] == [
        "evaluation.png",
        "confusion.png",
        "calibration.png",
    ]
    (run,) = runs_of_kind(workspace, "evaluation")
    assert run.data.metrics["test/accuracy"] == result.evaluation.test_scores("network").accuracy
    with pytest.raises(Interrupted):
        workspace.evaluate(NAME, top=2, seeds=5, should_stop=lambda: True)


def test_an_evaluation_that_is_not_in_mlflow_names_no_run(workspace, make_settings, monkeypatch):
    def away(*_):
        raise TrackingError("tracking store 'x': away")

    workspace.run(make_settings())
    with monkeypatch.context() as patch:
        patch.setattr("hpsearch.tracking.evaluation.log_evaluation", away)
        assert workspace.evaluate(NAME, top=1, seeds=2).tracked_as is None
    assert str(workspace.evaluate(NAME, top=1, seeds=2).tracked_as).endswith("run evaluation")


def test_an_evaluation_reports_its_result_before_it_saves_figures(workspace, make_settings):
    seen = []
    workspace.run(make_settings())
    result = workspace.evaluate(NAME, top=1, seeds=2, save="plots", on_result=seen.append)
    assert (seen[0].evaluation, seen[0].figures) == (result.evaluation, ())
    assert len(result.figures) == 3


def test_an_error_in_on_result_is_not_a_storage_error(workspace, make_settings):
    def print_result(_):
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        workspace.run(make_settings(), on_result=print_result)
    with pytest.raises(BrokenPipeError):
        workspace.evaluate(NAME, top=1, seeds=2, on_result=print_result)


def test_every_use_case_opens_the_journal_once(workspace, make_settings, monkeypatch):
    opened = []

    def counting(path, patience, *, create):
        opened.append(path)
        return open_journal(path, patience, create=create)

    monkeypatch.setattr("hpsearch.storage.open.open_journal", counting)
    uses = [
        lambda: workspace.run(make_settings(), report=True),
        lambda: workspace.evaluate(NAME, top=1, seeds=2),
        lambda: workspace.report(NAME, force=True),
        lambda: workspace.export(NAME, "npz"),
        lambda: workspace.export_notes(NAME),
        lambda: workspace.best(NAME),
        lambda: workspace.studies(),
        lambda: workspace.compare([NAME]),
        lambda: workspace.sync(NAME),
        lambda: workspace.delete(NAME),
    ]
    for number, use in enumerate(uses, start=1):
        use()
        assert len(opened) == number


@pytest.mark.parametrize(("argument", "value"), [("jobs", 0), ("rounds", 0), ("jobs", -1)])
def test_less_than_one_job_or_round_is_refused(workspace, make_settings, argument, value):
    with pytest.raises(SettingsError, match=rf"^{argument}: must be at least 1, but got {value}$"):
        workspace.run(make_settings(), **{argument: value})
    assert workspace.studies() == []


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


def test_delete_asks_first_and_keeps_everything_if_refused(workspace, make_settings):
    workspace.run(make_settings())
    asked = []

    def refuse(deletion):
        asked.append(deletion)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workspace.delete(NAME, confirm=refuse)
    assert (asked[0].studies, asked[0].trials, asked[0].runs) == ([NAME], 4, 4)
    assert len(workspace.study(NAME).trials) == len(runs_of_kind(workspace, "trial")) == 4
    assert workspace.delete(NAME) == [NAME]
    assert workspace.studies() == []


def test_reading_creates_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace("s.journal", f"sqlite:///{tmp_path / 'm.db'}")
    assert workspace.studies() == []
    for look in (workspace.study, workspace.summary, workspace.best, workspace.sync):
        with pytest.raises(StorageError, match="does not exist; hpsearch study makes one"):
            look(NAME)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_study_is_listed_with_the_known_ones(workspace, make_settings):
    workspace.run(make_settings())
    with pytest.raises(StudyError, match=rf"'tiny-randon' is not a study .*'{NAME}'"):
        workspace.best("tiny-randon")


@pytest.mark.parametrize("argument", ["top", "seeds"])
def test_an_evaluation_of_nothing_is_refused(workspace, make_settings, argument):
    workspace.run(make_settings())
    with pytest.raises(SettingsError, match=rf"^{argument}: must be at least 1, but got 0$"):
        workspace.evaluate(NAME, **{argument: 0})
    assert workspace.study(NAME).study_name == NAME
    assert [study.name for study in workspace.studies()] == [NAME]


# A lost database


@pytest.fixture(scope="module")
def unreadable(tmp_path_factory, make_settings):
    """A folder with a database that opens but cannot be read, and a study file."""
    folder, settings = tmp_path_factory.mktemp("broken"), make_settings()
    Workspace(f"sqlite:///{folder / 's.db'}", tracked=False).run(settings)
    (folder / "tiny.toml").write_text(settings.to_toml())
    with closing(sqlite3.connect(folder / "s.db")) as database:
        database.execute("ALTER TABLE trials RENAME COLUMN datetime_start TO lost")
    return folder


@pytest.fixture
def broken(unreadable, tmp_path, monkeypatch):
    """The URL of a copy of that database; the study file lies beside it."""
    shutil.copytree(unreadable, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
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
def test_a_lost_database_is_a_one_line_error_in_every_command(
    broken, mlflow_uri, monkeypatch, command
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    result = CliRunner().invoke(cli, [*USES[command], "--storage", broken])
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("Error: storage 'sqlite:///s.db': ")
    assert "no such column: trials.datetime_start" in errors[0]
    assert "Traceback" not in result.output


def test_every_command_that_reads_the_storage_is_tested():
    others = {"check", "init", "look", "predict", "score", "token", "ui"}
    others |= {"compact", "storage"}  # tests/storage/
    others |= {"serve", "stop"}  # tests/service/
    assert USES.keys() == COMMANDS.keys() - others


@pytest.mark.usefixtures("workspace")
def test_every_use_case_has_a_docstring():
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
