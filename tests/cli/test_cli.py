"""The command line: what each command prints to which stream, and its exit code."""

import json
import re
import signal
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from optuna.trial import TrialState, create_trial
from sklearn.datasets import load_iris

from hpsearch.cli import COMMANDS, cli
from hpsearch.errors import TrackingError
from hpsearch.settings.study import STUDIES
from hpsearch.storage.leases import leased
from hpsearch.storage.open import open_storage
from hpsearch.trials.metrics import METRICS

STUDY = """
name = "flowers"
[data]
source = "iris"
[search]
sampler = "random"
pruner = "none"
trials = 6
[trial]
epochs = 3
hidden_units = { low = 5, high = 20 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def client(database: str) -> MlflowClient:
    """MLflow's client, with an absolute path: it caches connections by the URL that it gets."""
    return MlflowClient(f"sqlite:///{Path(database).absolute()}")


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `hpsearch study flowers.toml` has been run."""
    folder = tmp_path_factory.mktemp("flowers")
    (folder / "flowers.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = run("study", "flowers.toml")
    assert result.exit_code == 0, result.output
    (folder / "stdout").write_text(result.stdout)
    (folder / "stderr").write_text(result.stderr)
    return folder


@pytest.fixture
def here(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(flowers)
    return flowers


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_study_prints_the_best_five_and_everything_else_on_stderr(here: Path) -> None:
    heading, *rows = (here / "stdout").read_text().splitlines()
    assert heading.split() == [
        *["trial", "val/accuracy", "at", "epoch", "epochs", "hidden_units", "learning_rate"]
    ]
    assert len(rows) == 5
    values = [float(row.split()[1]) for row in rows]
    assert values == sorted(values, reverse=True)
    said = (here / "stderr").read_text()
    assert "0/6 trials\n" in said
    assert "6/6 trials · best " in said
    assert re.search(
        r"^flowers-random: all 6 trials are done \(6 complete, 0 pruned, \d+ s\)$", said, re.M
    )
    assert "hpsearch ui flowers-random" in said


def test_a_finished_study_names_the_option_that_continues_it(here: Path) -> None:  # noqa: ARG001
    result = run("study", "flowers.toml")
    assert result.exit_code == 0
    assert "all 6 trials are already done; --trials 12 continues it" in result.stderr


def test_study_prints_json(here: Path) -> None:  # noqa: ARG001
    record = json.loads(run("study", "flowers.toml", "--json").stdout)
    assert (record["study"], record["stopped"]) == ("flowers-random", "finished")
    assert (record["done"], record["total"], record["given_up"]) == (6, 6, [])
    assert record["best"][0]["value"] == max(trial["value"] for trial in record["best"])
    assert record["best"][0]["config"]["epochs"] == 3


def test_options_override_the_file(empty: Path) -> None:
    (empty / "flowers.toml").write_text(STUDY)
    options = ["--sampler", "tpe", "--pruner", "median", "--trials", "2", "--epochs", "1"]
    options += ["--seed", "7", "--name", "mine", "--no-tracking", "--storage", "other.journal"]
    assert run("study", "flowers.toml", *options).exit_code == 0
    assert sorted(path.name for path in empty.iterdir()) == ["flowers.toml", "other.journal"]
    shown = run("show", "mine", "--storage", "other.journal").stdout
    settings = tomllib.loads(shown)
    given = {"sampler": "tpe", "pruner": "median", "trials": 2, "seed": 7}
    assert {key: settings["search"][key] for key in given} == given
    assert settings["trial"]["epochs"] == 1


def test_jobs_and_rounds(empty: Path) -> None:  # noqa: ARG001
    options = ["digits", "--trials", "3", "--epochs", "2", "--no-tracking"]
    result = run("study", *options, "--jobs", "2", "--rounds", "2")
    assert result.exit_code == 0
    assert "\ndigits-tpe: all 3 trials are done" in result.stderr
    assert "\ndigits-tpe.r2: all 3 trials are done" in result.stderr
    assert re.search(r"^digits-tpe(\.r2)?#[012] ", result.stdout, re.MULTILINE)
    record = json.loads(run("study", *options, "--rounds", "2", "--json").stdout)
    assert record["rounds"] == ["digits-tpe", "digits-tpe.r2"]
    values = [trial["value"] for trial in record["best"]]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--target", "0.1"], "stopped by --target 0.1, reached after 1 of 30 trials"),
        (["--patience", "1"], r"stopped by --patience 1, without a better trial, after \d+ of 30"),
        (["--timeout", "1s"], r"stopped by --timeout with \d+ of 30 trials done; the same command"),
    ],
)
def test_the_rule_that_stopped_a_study_is_printed(
    empty: Path,  # noqa: ARG001
    options: list[str],
    reason: str,
) -> None:
    epochs = "100000" if "--timeout" in options else "1"
    always = ["study", "--trials", "30", "--epochs", epochs, "--no-tracking", "--sampler", "random"]
    result = run(*always, *options)
    assert result.exit_code == 0
    assert re.search(rf"^digits-random: {reason}", result.stderr, re.MULTILINE), result.stderr


@pytest.mark.parametrize("value", ["0", "5x", "-1", "m", "1d", ""])
def test_a_duration_is_checked(empty: Path, value: str) -> None:
    result = run("study", "--timeout", value)
    assert result.exit_code == 2
    assert f"{value!r} is not a length of time; use 90, 90s, 15m or 2h" in result.stderr
    assert list(empty.iterdir()) == []


def test_a_grid_prints_how_many_points_it_has_and_tries_them_all(empty: Path) -> None:
    rates = STUDY.replace("{ low = 1e-3, high = 1e-1, log = true }", "{ choices = [0.01, 0.1] }")
    grid = rates.replace("high = 20 }", "high = 20, step = 5 }").replace("trials = 6\n", "")
    (empty / "flowers.toml").write_text(grid)
    result = run("study", "flowers.toml", "--sampler", "grid", "--epochs", "1", "--no-tracking")
    assert result.stderr.startswith("grid: 8 points\n")
    assert "flowers-grid: all 8 trials are done" in result.stderr


def test_one_point_and_one_trial_are_in_the_singular(empty: Path) -> None:
    rates = STUDY.replace("{ low = 1e-3, high = 1e-1, log = true }", "{ choices = [0.1] }")
    grid = rates.replace("{ low = 5, high = 20 }", "8").replace("trials = 6\n", "")
    (empty / "flowers.toml").write_text(grid)
    options = ["flowers.toml", "--sampler", "grid", "--no-tracking"]
    first, again = (run("study", *options).stderr for _ in range(2))
    assert first.startswith("grid: 1 point\n")
    assert "flowers-grid: its one trial is done (1 complete" in first
    assert "flowers-grid: its one trial is already done (1 complete" in again
    refused = run("study", *options, "--trials", "2")
    assert "search.trials: is 2, but the grid has 1 point; leave" in refused.stderr


def test_a_grid_without_ranges_prints_no_number_of_points(empty: Path) -> None:
    (empty / "twice.toml").write_text(REPEATED)
    assert "grid: " not in run("study", "twice.toml", "--no-tracking", "--name", "it").stderr


def test_the_help_explains_how_to_list_the_included_studies() -> None:
    said = " ".join(run("study", "--help").stdout.split())
    assert "such as digits or mnist; an unknown name lists them all" in said
    listed = run("study", "none-of-them").stderr
    assert all(file.stem in listed for file in STUDIES.glob("*.toml"))


def test_options_for_the_sampler_of_the_file_are_ignored_with_another_sampler(empty: Path) -> None:
    options = 'sampler = "qmc"\nsampler_options = { qmc_type = "halton" }\n'
    (empty / "flowers.toml").write_text(STUDY.replace('sampler = "random"\n', options))
    arguments = ["study", "flowers.toml", "--trials", "2", "--epochs", "1", "--no-tracking"]
    for sampler, written in (("qmc", {"qmc_type": "halton"}), ("random", None)):
        assert run(*arguments, "--sampler", sampler).exit_code == 0
        shown = tomllib.loads(run("show", f"flowers-{sampler}").stdout)
        assert shown["search"].get("sampler_options") == written


def test_options_override_the_environment(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_STORAGE", "from-environment.journal")
    (empty / "flowers.toml").write_text(STUDY)
    options = ["flowers.toml", "--trials", "1", "--no-tracking"]
    assert run("study", *options).exit_code == 0
    assert run("study", *options, "--storage", "from-option.journal").exit_code == 0
    assert (empty / "from-environment.journal").exists()
    assert (empty / "from-option.journal").exists()


def test_list_shows_the_studies(here: Path) -> None:  # noqa: ARG001
    heading, row = run("list").stdout.splitlines()
    assert heading.split()[:3] == ["study", "planned", "complete"]
    assert row.split()[:6] == ["flowers-random", "6", "6", "0", "0", "18"]
    (record,) = json.loads(run("list", "--json").stdout)
    assert (record["study"], record["complete"], record["epochs"]) == ("flowers-random", 6, 18)
    assert record["trials"] == 6


def test_list_without_a_storage_creates_nothing(empty: Path) -> None:
    assert run("list").stderr == "no studies yet; hpsearch study starts one\n"
    assert json.loads(run("list", "--json").stdout) == []
    assert list(empty.iterdir()) == []


def test_show_prints_a_study_file_that_runs(here: Path) -> None:
    shown = run("show", "flowers-random").stdout
    assert shown.startswith("# flowers-random: 6 complete, 0 pruned; 18 epochs trained\n")
    (here / "again.toml").write_text(shown)
    result = run("study", "again.toml")
    assert "all 6 trials are already done" in result.stderr


def test_show_one_trial(here: Path) -> None:  # noqa: ARG001
    shown = run("show", "flowers-random#4").stdout
    assert re.match(r"complete after 3 epochs; the best is epoch [123]\n", shown)
    assert "\nepochs = 3\n" in shown
    assert [line.split()[0] for line in shown.splitlines()[-4:]] == ["epoch", "1", "2", "3"]
    record = json.loads(run("show", "flowers-random#4", "--json").stdout)
    assert record["slot"] == 4
    assert len(record["curves"]["val/accuracy"]) == 3
    accuracies = record["curves"]["val/accuracy"]
    assert record["value"] == max(accuracies) == accuracies[record["best_epoch"] - 1]


@pytest.mark.parametrize(
    ("state", "reason", "curve", "said"),
    [
        (TrialState.PRUNED, "pruned at epoch 2", [0.5, 0.6], "pruned at epoch 2; the best is e"),
        (
            TrialState.PRUNED,
            "diverged at epoch 2",
            [0.5],
            "pruned (diverged at epoch 2) after 1 epoch; the best is epoch 1\n",
        ),
        (TrialState.FAIL, "process died", [], "fail (process died) after 0 epochs\n"),
    ],
)
def test_show_prints_once_how_a_trial_ended(
    empty: Path,  # noqa: ARG001
    state: TrialState,
    reason: str,
    curve: list[float],
    said: str,
) -> None:
    study = optuna.create_study(study_name="s", storage=open_storage("hpsearch.journal"))
    setup = {"config": {"epochs": 3}, "metric": "val/accuracy"}
    attributes = {"slot": 0, "setup": setup, "reason": reason}
    curves = dict.fromkeys(("train/loss", "train/accuracy", "val/loss", "val/accuracy"), curve)
    attributes["curves"] = curves | {"times": [0] * len(curve)}
    study.add_trial(create_trial(state=state, user_attrs=attributes))
    assert run("show", "s#0").stdout.startswith(said)


def test_best_shows_the_best_trials(here: Path) -> None:  # noqa: ARG001
    assert len(run("best", "flowers-random", "--top", "3").stdout.splitlines()) == 4
    best = json.loads(run("best", "flowers-random", "--json").stdout)
    study = optuna.load_study(study_name="flowers-random", storage=open_storage("hpsearch.journal"))
    assert best[0]["value"] == study.best_value


def test_narrow_prints_the_next_study_file(here: Path) -> None:
    narrowed = run("narrow", "flowers-random", "--top", "3")
    assert narrowed.exit_code == 0
    assert narrowed.stdout.startswith("# flowers-random around the best 3 of 6 completed trials")
    old, new = tomllib.loads(STUDY), tomllib.loads(narrowed.stdout)
    assert new["name"] == "flowers.r2"
    assert new["search"]["trials"] == 6
    for key in ("hidden_units", "learning_rate"):
        was, now = old["trial"][key], new["trial"][key]
        assert was["low"] <= now["low"] < now["high"] <= was["high"]
    for line in narrowed.stderr.splitlines():
        assert f"# {line}\n" in narrowed.stdout
    (here / "finer.toml").write_text(narrowed.stdout)
    storage = ["--storage", "finer.journal"]  # the other tests count the studies of theirs
    second = run("study", "finer.toml", "--trials", "2", "--no-tracking", *storage)
    assert second.exit_code == 0, second.output
    assert "flowers.r2-random: all 2 trials are done" in second.stderr
    assert 'name = "flowers.r3"' in run("narrow", "flowers.r2-random", *storage).stdout


def test_narrow_names_the_crowded_ends_and_widens_them(empty: Path) -> None:
    two_values = STUDY.replace("high = 20 }", "high = 6 }")  # so any is at an end
    (empty / "flowers.toml").write_text(two_values)
    assert run("study", "flowers.toml", "--trials", "1", "--no-tracking").exit_code == 0
    said, wider = (run("narrow", "flowers-random", *options) for options in ([], ["--widen"]))
    end = re.search(
        r"^hidden_units's best values crowd the (lower|upper) end ([56]): ", said.stderr, re.M
    )
    assert end is not None
    moved = {"lower": "4", "upper": "7"}[end[1]]
    assert f"{end[0]}widen it\n" in said.stderr
    assert f"{end[0]}widened to {moved}\n" in wider.stderr
    assert moved in wider.stdout.partition("hidden_units = ")[2].splitlines()[0]


def test_list_shows_planned_and_complete_trials(empty: Path) -> None:
    (empty / "flowers.toml").write_text(STUDY.replace("trials = 6", "trials = 40"))
    options = ["--target", "0", "--no-tracking"]  # which the first trial reaches
    assert run("study", "flowers.toml", *options).exit_code == 0
    heading, row = (line.split() for line in run("list").stdout.splitlines())
    assert heading[:3] == ["study", "planned", "complete"]
    assert row[:3] == ["flowers-random", "40", "1"]


def test_narrow_counts_the_other_trials_that_are_as_good(empty: Path) -> None:
    # From zeros, by steps that small, any network says the same of every row.
    alike = STUDY.replace("{ low = 1e-3, high = 1e-1, log = true }", "1e-9\ninitializer = 'zeros'")
    (empty / "flowers.toml").write_text(alike)
    assert run("study", "flowers.toml", "--no-tracking").exit_code == 0
    narrowed = run("narrow", "flowers-random", "--top", "2")
    (said,) = re.findall(r"^4 more have val/accuracy .*$", narrowed.stderr, re.M)
    assert said.endswith(" too: hpsearch narrow flowers-random --top 6 takes all")
    assert f"\n# {said}\n" in narrowed.stdout
    assert "takes all" not in run("narrow", "flowers-random", "--top", "6").output


def test_narrow_refuses_a_study_that_it_cannot_narrow(empty: Path) -> None:
    store = open_storage("hpsearch.journal")
    optuna.create_study(study_name="theirs", storage=store)
    for arguments, sentence in (
        (["theirs"], "Error: study 'theirs' was not started by hpsearch, so its space is not "),
        (["their"], "Error: 'their' is not a study in this storage; did you mean 'theirs'?"),
        (["theirs", "--storage", "no.journal"], "Error: storage 'no.journal' does not exist"),
    ):
        refused = run("narrow", *arguments)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith(sentence)
        assert refused.stderr.count("\n") == 1
    assert [path.name for path in empty.iterdir()] == ["hpsearch.journal"]


def test_sync_writes_the_missing_runs(here: Path) -> None:  # noqa: ARG001
    elsewhere = ["--tracking-uri", "sqlite:///rebuilt.db"]
    for options, written in (([], 0), (elsewhere, 6), (elsewhere, 0)):
        said = run("sync", "flowers-random", *options).stderr
        assert said.splitlines()[-1] == f"flowers-random: {written} runs written"
    runs = [
        {
            run.info.run_name: (run.data.params, run.data.metrics, run.info.status)
            for run in store.search_runs(
                [store.get_experiment_by_name("flowers-random").experiment_id]
            )
        }
        for store in (client("mlflow.db"), client("rebuilt.db"))
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) == 6


def test_delete_includes_the_rounds_of_a_study(empty: Path) -> None:  # noqa: ARG001
    options = ["--trials", "2", "--epochs", "1", "--no-tracking", "--rounds", "2"]
    run("study", "digits", *options)
    asked = run("delete", "digits-tpe", "--no-tracking")
    assert "Delete study 'digits-tpe' and 'digits-tpe.r2' with 4 trials?" in asked.stderr
    assert run("delete", "digits-tpe.r2", "--no-tracking", "--yes").exit_code == 0
    assert [study["study"] for study in json.loads(run("list", "--json").stdout)] == ["digits-tpe"]
    run("study", "digits", *options)
    assert run("delete", "digits-tpe", "--no-tracking", "--yes").exit_code == 0
    assert json.loads(run("list", "--json").stdout) == []


@pytest.mark.parametrize("command", [["sync"], ["delete", "--yes"]])
def test_a_running_study_is_not_touched(empty: Path, command: list[str]) -> None:  # noqa: ARG001
    run("study", "digits", "--trials", "1", "--epochs", "1", "--no-tracking")
    study = optuna.load_study(study_name="digits-tpe", storage=open_storage("hpsearch.journal"))
    with leased(study._storage, study):
        result = run(command[0], "digits-tpe", *command[1:])
    assert result.exit_code == 1
    assert "study 'digits-tpe' is being run by process" in result.stderr
    assert len(study.trials) == 1


def test_delete_asks_and_then_deletes_in_both_stores(empty: Path) -> None:
    (empty / "flowers.toml").write_text(STUDY)
    assert run("study", "flowers.toml", "--trials", "1").exit_code == 0
    store = client("mlflow.db")

    asked = run("delete", "flowers-random")  # standard input is empty: nobody said yes
    assert "Delete study 'flowers-random' with 1 trial and 1 run in MLflow?" in asked.stderr
    assert asked.exit_code == 1
    assert store.get_experiment_by_name("flowers-random").lifecycle_stage == "active"

    assert run("delete", "flowers-random", "--yes").exit_code == 0
    assert json.loads(run("list", "--json").stdout) == []
    assert store.get_experiment_by_name("flowers-random") is None
    assert run("study", "flowers.toml", "--trials", "1").exit_code == 0  # the name is free again


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["study", "digitz"], "'digitz' is not a study file or a shipped study; did you mean 'dig"),
        (["study", "no.toml"], "no.toml: cannot be read: No such file or directory"),
        (["study", "--name", "a b"], "--name: 'a b' is no name for a study; use up to 100 letters"),
        (["study", "--storage", "no/folder"], "storage 'no/folder': there is no folder 'no'"),
        (["study", "--storage", "nosql://u:secret@h/d"], "storage 'nosql://u:***@h/d': no datab"),
        (["study", "--tracking-uri", "http://127.0.0.1:9"], "tracking store 'http://127.0.0.1:9'"),
        (
            ["study", "--tracking-uri", "sqlite:///no/x.db"],
            "tracking store 'sqlite:///no/x.db': th",
        ),
        (["show", "nothing"], "storage 'hpsearch.journal' does not exist; hpsearch study makes"),
        (["best", "nothing"], "storage 'hpsearch.journal' does not exist; hpsearch study makes"),
        (["sync", "nothing"], "storage 'hpsearch.journal' does not exist; hpsearch study makes"),
        (
            ["export", "nothing", "-f", "npz"],
            "storage 'hpsearch.journal' does not exist; hpsearch study makes",
        ),
        (["predict", "no.npz", "no.csv"], "no.npz: cannot be read: No such file or directory"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing_behind(
    empty: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {sentence}")
    assert result.stderr.count("\n") == 1
    assert list(empty.iterdir()) == []


def test_gp_without_torch_leaves_nothing_behind(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("study", "--sampler", "gp")
    assert result.exit_code == 1
    assert result.stderr.endswith(
        "needs torch, which is not installed; pip install 'hpsearch[gp]'\n"
    )
    assert list(empty.iterdir()) == []


def test_an_unknown_study_name_gets_a_suggestion(here: Path) -> None:  # noqa: ARG001
    result = run("show", "flower-random")
    assert result.stderr == (
        "Error: 'flower-random' is not a study in this storage; did you mean 'flowers-random'? "
        "(flowers-random)\n"
    )
    assert run("show", "flowers-random#99").stderr == (
        "Error: study 'flowers-random' has no trial 99\n"
    )


def test_a_changed_space_is_refused_with_what_changed(here: Path) -> None:
    wider = STUDY.replace("high = 20 }", "high = 50 }")
    (here / "wider.toml").write_text(wider)
    assert run("study", "wider.toml").stderr == (
        "Error: study 'flowers-random' was started with trial.hidden_units 5..20, now 5..50; "
        "use --name for a new study\n"
    )


@pytest.mark.parametrize(
    "arguments", [["study", "--trials", "0"], ["study", "--sampler", "best"], ["nonsense"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_every_command_has_a_help_with_an_example() -> None:
    for name in COMMANDS:
        help_text = run(name, "--help").stdout
        assert f"hpsearch {name}" in help_text.split("\n\n", 1)[1], name


def python_m(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hpsearch", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_python_m_is_the_same_command(empty: Path) -> None:
    assert python_m("--version", cwd=empty).stdout.startswith("hpsearch, version ")


def test_a_module_that_hides_the_package_is_named(empty: Path) -> None:
    (empty / "model.py").write_text("")
    assert python_m("list", cwd=empty).returncode == 0
    result = python_m("study", "--no-tracking", cwd=empty)
    assert result.returncode == 1
    assert f"{empty / 'model.py'}: this hides the package 'model'" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ui_serves_the_study_until_it_is_stopped(here: Path, number: int) -> None:
    command = [sys.executable, "-m", "hpsearch", "ui", "flowers-random", "--no-browser"]
    ui = subprocess.Popen([*command, "--port", "0"], cwd=here, stdout=subprocess.PIPE, text=True)
    try:
        assert ui.stdout is not None
        address = ui.stdout.readline().strip()
        children = psutil.Process(ui.pid).children(recursive=True)
        server, _, page = address.partition("/#/")
        assert server.startswith("http://127.0.0.1:")
        experiment = client("mlflow.db").get_experiment_by_name("flowers-random")
        assert page.startswith(f"experiments/{experiment.experiment_id}/runs?")
        assert "searchFilter=tags.%60hpsearch.kind%60%20%3D%20%27trial%27" in page
        assert "orderByKey=metrics.%60val%2Faccuracy_best%60" in page
        with urllib.request.urlopen(f"{server}/", timeout=10) as answer:
            assert b"<html" in answer.read()
        ui.send_signal(number)
        assert ui.wait(timeout=20) == 0
    finally:
        ui.kill()
        ui.communicate()
    assert children
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_two_processes_cannot_run_one_study(empty: Path) -> None:
    (empty / "flowers.toml").write_text(STUDY.replace("epochs = 3", "epochs = 100000"))
    command = [sys.executable, "-m", "hpsearch", "study", "flowers.toml", "--no-tracking"]
    first = subprocess.Popen(command, cwd=empty, stderr=subprocess.PIPE)
    try:
        journal = empty / "hpsearch.journal"
        while not journal.exists() or b"intermediate_value" not in journal.read_bytes():
            assert first.poll() is None
        second = python_m("study", "flowers.toml", "--no-tracking", cwd=empty)
        assert second.returncode == 1
        assert f"'flowers-random' is being run by process {first.pid}" in second.stderr
    finally:
        first.kill()
        first.communicate()


def test_an_interrupt_while_figures_are_drawn_exits_with_130(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    (empty / "flowers.toml").write_text(STUDY)
    with monkeypatch.context() as patch:
        patch.setattr("hpsearch.figures.declared.draw", interrupted)
        result = run("study", "flowers.toml", "--no-tracking", "--save", "plots")
    assert (result.exit_code, len(result.stdout.splitlines())) == (130, 6), result.output
    monkeypatch.setattr("hpsearch.figures.evaluation.draw_evaluation", interrupted)
    evaluate = ("evaluate", "flowers-random", "--top", "1", "--seeds", "2", "--no-tracking")
    result = run(*evaluate, "--save", "plots")
    assert (result.exit_code, "Test set of 30 rows" in result.stdout) == (130, True)
    assert not (empty / "plots").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "arguments", [["list"], ["best", "flowers-random"], ["show", "flowers-random#0"]]
)
def test_commands_that_only_read_do_not_import_mlflow(arguments: list[str]) -> None:
    code = f"import sys; from hpsearch.cli import cli; cli({arguments}, standalone_mode=False)"
    code += "; print(sorted({'mlflow', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_an_interrupt_during_the_start_exits_with_130(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpsearch.settings.study.load_settings", interrupted)
    assert run("study").exit_code == 130
    assert list(empty.iterdir()) == []


REPEATED = """
[data]
source = "iris"
[search]
sampler = "grid"
pruner = "none"
seeds = 3
[trial]
epochs = 3
[[enqueue]]
label = "too slow"
learning_rate = 1e-6
[[enqueue]]
label = "fast"
learning_rate = 0.1
"""


def test_repeated_configurations_are_compared_by_their_means(empty: Path) -> None:
    (empty / "twice.toml").write_text(REPEATED)
    result = run("study", "twice.toml", "--no-tracking")
    assert result.exit_code == 0, result.output
    heading, best, other = result.stdout.splitlines()
    assert heading.split() == [
        *["configuration", "val/accuracy", "±", "lowest", "highest", "repeats"]
    ]
    assert best.startswith("fast ")
    assert best.endswith(" 3 of 3")
    assert other.startswith("too slow ")
    assert "twice-grid: all 6 trials are done (6 complete" in result.stderr
    again = run("study", "twice.toml", "--no-tracking").stderr
    assert "twice-grid: all 6 trials are already done (6 complete" in again

    assert run("best", "twice-grid").stdout == result.stdout
    records = json.loads(run("best", "twice-grid", "--json").stdout)
    assert [record["label"] for record in records] == ["fast", "too slow"]
    assert [record["slots"] for record in records] == [[3, 4, 5], [0, 1, 2]]
    assert records[0]["mean"] == pytest.approx(sum(records[0]["values"]) / 3)
    shown = run("show", "twice-grid").stdout
    mean, deviation = records[0]["mean"], records[0]["deviation"]
    assert f"# best val/accuracy {mean:.4g} ± {deviation:.2g} in fast\n" in shown
    (listed,) = json.loads(run("list", "--json").stdout)
    assert (listed["seeds"], listed["best"], listed["best_slot"]) == (3, mean, None)


def test_a_study_with_repeats_is_not_narrowed(empty: Path) -> None:
    (empty / "s.toml").write_text(STUDY.replace("trials = 6", "trials = 2\nseeds = 2"))
    assert run("study", "s.toml", "--no-tracking").exit_code == 0
    result = run("narrow", "flowers-random")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "search.seeds: is 2, but rounds narrow ranges around single trials" in result.stderr


PANELS = """
[[figure]]
kind = "panels"
panels = "learning_rate"
[[figure]]
kind = "best"
"""


def test_a_figure_that_cannot_be_drawn_does_not_stop_the_others(empty: Path) -> None:
    (empty / "s.toml").write_text(STUDY.replace("trials = 6", "trials = 40") + PANELS)
    result = run("study", "s.toml", "--no-tracking", "--epochs", "1", "--save", "plots")
    assert result.exit_code == 0, result.output
    assert [file.name for file in (empty / "plots").iterdir()] == ["best.png"]


def test_rounds_with_repeats_are_refused(empty: Path) -> None:
    (empty / "s.toml").write_text(STUDY.replace("trials = 6", "trials = 6\nseeds = 2"))
    result = run("study", "s.toml", "--rounds", "2", "--no-tracking")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "Error: search.seeds: is 2, but rounds narrow ranges around single trials; use seeds = 1 "
        "or one round"
    )
    assert not (empty / "hpsearch.journal").exists()


FIGURE = '\n[[figure]]\nkind = "curves"\n\n[[figure]]\nkind = "values"\n'


def figure_run(database: str, experiment: str) -> tuple[MlflowClient, Any]:
    """The one run of an experiment that holds figures, and the client that knows it."""
    store = client(database)
    found = store.get_experiment_by_name(experiment)
    assert found is not None
    (run,) = store.search_runs([found.experiment_id], "tags.`hpsearch.kind` = 'figures'")
    return store, run


def logged(database: str, experiment: str) -> list[str]:
    store, run = figure_run(database, experiment)
    return sorted(artifact.path for artifact in store.list_artifacts(run.info.run_id))


def test_without_declared_figures_the_best_trials_are_drawn(here: Path) -> None:
    drawn = run("figures", "flowers-random")
    assert (drawn.exit_code, drawn.stdout) == (0, "")
    assert drawn.stderr == "in MLflow: experiment flowers-random, run figures\n"
    saved = run("figures", "flowers-random", "--save", "plots")
    assert saved.stdout == "plots/best.png\n"
    assert (here / "plots" / "best.png").read_bytes().startswith(b"\x89PNG")
    assert logged("mlflow.db", "flowers-random") == ["best.png"]
    assert run("sync", "flowers-random").stderr == "flowers-random: 0 runs written\n"


def test_figures_overwrite_only_with_force(here: Path) -> None:
    (here / "taken").mkdir()
    (here / "taken" / "best.png").write_text("mine")
    arguments = ["figures", "flowers-random", "--save", "taken", "--no-tracking"]
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == (
        "Error: --save: taken/best.png exists already; --force overwrites it\n"
    )
    assert (here / "taken" / "best.png").read_text() == "mine"
    assert run(*arguments, "--force").stdout == "taken/best.png\n"
    assert (here / "taken" / "best.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["flower-random"], 1, "did you mean 'flowers-random'?"),
        (
            ["flowers-random", "--no-tracking"],
            2,
            "--no-tracking needs --save, a folder for the figures",
        ),
        (["flowers-random", "--tracking-uri", "sqlite:///no/m.db"], 1, "there is no folder 'no'"),
    ],
)
def test_figures_that_cannot_be_saved_are_refused(
    here: Path, arguments: list[str], code: int, sentence: str
) -> None:
    save = [] if "--no-tracking" in arguments else ["--save", "nowhere"]
    refused = run("figures", *arguments, *save)
    assert (refused.exit_code, refused.stdout) == (code, "")
    assert sentence in refused.stderr.splitlines()[-1]
    assert not (here / "nowhere").exists()


def test_a_study_draws_the_declared_figures_at_its_end(empty: Path) -> None:
    (empty / "flowers.toml").write_text(STUDY + FIGURE)
    result = run("study", "flowers.toml", "--save", "plots", "--trials", "3")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (empty / "plots").iterdir()) == ["curves.png", "values.png"]
    assert logged("mlflow.db", "flowers-random") == ["curves.png", "values.png"]
    said = [line for line in result.stderr.splitlines() if line.startswith("Figures: ")]
    assert [line.split(maxsplit=1)[1] for line in said] == [
        *["plots/curves.png", "plots/values.png"],
        "in MLflow: experiment flowers-random, run figures",
    ]
    before = (empty / "hpsearch.journal").read_bytes()
    again = run("study", "flowers.toml", "--save", "plots", "--trials", "5")
    assert again.stderr.startswith("Error: --save: plots/curves.png exists already; --force")
    assert (empty / "hpsearch.journal").read_bytes() == before  # nothing was begun
    assert run("study", "flowers.toml", "--save", "plots", "--force").exit_code == 0


def test_a_study_without_declared_figures_draws_only_with_save(empty: Path) -> None:
    (empty / "flowers.toml").write_text(STUDY)
    arguments = ["study", "flowers.toml", "--trials", "2", "--no-tracking"]
    assert "Figures" not in run(*arguments).stderr
    assert "Figures:            plots/best.png\n" in run(*arguments, "--save", "plots").stderr


def test_the_first_of_several_rounds_is_drawn(empty: Path) -> None:
    (empty / "flowers.toml").write_text(STUDY + FIGURE)
    result = run("study", "flowers.toml", "--trials", "2", "--rounds", "2")
    assert "in MLflow: experiment flowers-random, run figures\n" in result.stderr
    assert logged("mlflow.db", "flowers-random") == ["curves.png", "values.png"]
    assert run("figures", "flowers-random.r2", "--save", "second").exit_code == 0
    assert sorted(path.name for path in (empty / "second").iterdir()) == [
        *["curves.png", "values.png"]
    ]


def test_a_study_without_a_complete_trial_has_no_figures(empty: Path) -> None:
    diverging = STUDY.replace("{ low = 1e-3, high = 1e-1, log = true }", "1e30")
    (empty / "flowers.toml").write_text(diverging + FIGURE)
    result = run("study", "flowers.toml", "--trials", "1", "--no-tracking", "--save", "plots")
    assert result.exit_code == 1
    assert "all 1 trials" not in result.stderr
    assert "its one trial is done (0 complete, 1 pruned (1 diverged)" in result.stderr
    assert (
        "No trial ran to its end: the losses became infinite. Try lower learning" in result.stderr
    )
    assert "hpsearch best" not in result.stderr
    assert "Figures:            none: no trial of flowers-random ran to its end\n" in result.stderr
    assert not (empty / "plots").exists()
    refused = run("figures", "flowers-random", "--save", "plots")
    assert refused.stderr == (
        "Error: study 'flowers-random' has no completed trial yet, so there is nothing to draw\n"
    )


def test_figures_are_saved_when_the_tracking_store_is_lost_at_the_end(
    empty: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> None:
        raise TrackingError("tracking store 'x': away")

    monkeypatch.setattr("hpsearch.tracking.artifacts.log_study_figures", away)
    (empty / "flowers.toml").write_text(STUDY + FIGURE)
    result = run("study", "flowers.toml", "--trials", "2", "--save", "plots")
    assert result.exit_code == 0
    assert len(list((empty / "plots").iterdir())) == 2
    assert caplog.messages[-1] == (
        "tracking store 'x': away; `hpsearch figures flowers-random` puts the figures there later"
    )


def test_the_winner_is_exported_and_trained_again(empty: Path, flowers: Path) -> None:
    storage = ["--storage", str(flowers / "hpsearch.journal")]
    best = json.loads(run("best", "flowers-random", "--json", *storage).stdout)[0]
    record = json.loads(run("export", "flowers-random", "-f", "json", *storage).stdout)
    assert {key: record[key] for key in best} == best

    (empty / "winner.toml").write_text(
        run("export", "flowers-random", "-f", "toml", *storage).stdout
    )
    said = f"# Trial {best['slot']} of flowers-random: val/accuracy {best['value']:.4g} at epoch"
    assert (empty / "winner.toml").read_text().startswith(said)
    again = json.loads(run("study", "winner.toml", "--json", "--no-tracking").stdout)
    assert again["best"][0] == best | {"slot": 0, "number": 0, "study": again["study"]} | {
        "params": {}
    }

    slot = ["--slot", "1", "-o", "one.json"]
    assert run("export", "flowers-random", "-f", "json", *slot, *storage).stdout == "one.json\n"
    assert json.loads((empty / "one.json").read_text())["slot"] == 1


def test_a_better_round_is_named(empty: Path) -> None:
    (empty / "s.toml").write_text(STUDY)
    options = ["--trials", "2", "--epochs", "1", "--no-tracking", "--rounds", "2"]
    assert run("study", "s.toml", *options, "--name", "co").exit_code == 0
    store = open_storage("hpsearch.journal")
    first, second = (optuna.load_study(study_name=name, storage=store) for name in ("co", "co.r2"))

    def add(study: optuna.Study, value: float) -> None:
        attributes = study.trials[-1].user_attrs  # of its own, carried from no other round
        study.add_trial(optuna.trial.create_trial(value=value, user_attrs=attributes))

    add(first, 2.0)  # no accuracy, so that nothing found is as good
    assert run("export", "co", "-f", "json").stderr == ""
    add(second, 3.0)
    for kind in ("toml", "json"):
        named = f"co.r2 is better: hpsearch export co.r2 -f {kind}\n"
        assert run("export", "co", "-f", kind).stderr == named
        assert run("export", "co.r2", "-f", kind).stderr == ""
        assert run("export", "co", "-f", kind, "--slot", "0").stderr == ""
    named = "co.r2 is better: hpsearch report co.r2"
    assert run("report", "co", "--no-tracking").stderr.splitlines()[1:] == [named]
    head = (empty / "co.html").read_text().partition("</header>")[0]
    assert f"<p>{named}</p>" in head
    assert "is better" not in run("report", "co.r2", "--no-tracking").stderr
    assert "is better" not in (empty / "co.r2.html").read_text()


def test_the_network_is_exported_and_predicts(empty: Path, flowers: Path) -> None:
    command = ["export", "flowers-random", "-f", "npz"]
    command += ["--storage", str(flowers / "hpsearch.journal")]
    assert run(*command).stdout == "flowers-random.npz\n"
    refused = run(*command)
    assert refused.exit_code == 1
    sentence = "--output: flowers-random.npz exists already; --force overwrites it"
    assert refused.stderr == f"Error: {sentence}\n"
    assert run(*command, "--force").exit_code == 0
    assert [path.name for path in empty.iterdir()] == ["flowers-random.npz"]

    load_iris(as_frame=True).frame.to_csv("iris.csv", index=False)
    result = run("predict", "flowers-random.npz", "iris.csv")
    labels = result.stdout.splitlines()
    assert len(labels) == 150
    assert set(labels) <= {"setosa", "versicolor", "virginica"}
    assert result.stderr == "iris.csv: ignored what the network was not trained on: 'target'\n"
    proba = run("predict", "flowers-random.npz", "iris.csv", "--proba").stdout.splitlines()
    assert proba[0] == "setosa,versicolor,virginica"
    rows = [[float(cell) for cell in line.split(",")] for line in proba[1:]]
    assert [proba[0].split(",")[row.index(max(row))] for row in rows] == labels
    assert all(abs(sum(row) - 1) < 1e-6 for row in rows)


def test_the_network_is_registered_in_mlflow(
    empty: Path, flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["export", "flowers-random", "-f", "mlflow"]
    store = ["--storage", str(flowers / "hpsearch.journal")]
    result = run(*command, *store)
    assert result.exit_code == 0, result.output
    assert result.stdout == "models:/flowers-random@champion\n"
    use = 'in Python: mlflow.pyfunc.load_model("models:/flowers-random@champion").predict(rows)'
    assert result.stderr.splitlines()[-1] == f"version 1; {use}"
    again = run(*command, *store)
    assert again.stdout == result.stdout
    assert again.stderr.endswith(f"version 1, which is this network already; {use}\n")
    version = client(str(empty / "mlflow.db")).get_model_version_by_alias(
        "flowers-random", "champion"
    )
    other = str((int(version.tags["hpsearch.slot"]) + 1) % 6)
    took = f"version 2, the champion instead of version 1 (trial {version.tags['hpsearch.slot']}); "
    assert took in run(*command, *store, "--slot", other).stderr

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///no/x.db")
    away = run(*command, *store)
    assert away.exit_code == 1
    assert away.stderr == "Error: tracking store 'sqlite:///no/x.db': there is no folder 'no'\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-f", "mlflow", "-o", "it"], "-f mlflow writes no file, so it takes no --output"),
        (["-f", "mlflow", "--force"], "-f mlflow writes no file, so it takes no --force"),
        (["-f", "npz", "--tracking-uri", "x"], "--tracking-uri goes with -f mlflow"),
    ],
)
def test_options_of_another_format_are_refused(arguments: list[str], sentence: str) -> None:
    result = run("export", "flowers-random", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


# Comparing


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two repetitions of one study, one of another sampler, and one of losses."""
    folder = tmp_path_factory.mktemp("ways")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("flowers.toml").write_text(STUDY)
        Path("losses.toml").write_text(STUDY.replace("[search]", '[search]\nmetric = "val/loss"'))
        for options in (
            ["flowers.toml", "--name", "a-0"],
            ["flowers.toml", "--name", "a-1", "--seed", "1"],
            ["flowers.toml", "--name", "b", "--sampler", "tpe", "--epochs", "2"],
            ["losses.toml", "--name", "losses"],
        ):
            assert run("study", *options, "--no-tracking").exit_code == 0
    return folder


def test_compare_prints_a_line_for_each_study(ways: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ways)
    result = run("compare", "a-0", "b", "a-1", "--save", "plots/ways.png")
    assert result.exit_code == 0, result.output
    heading, group, other = result.stdout.splitlines()
    assert heading.split()[:5] == ["study", "trials", "epochs", "seconds", "running"]
    assert "  best val/accuracy  lowest  highest  epochs to " in heading
    assert group.startswith("a-0 (median of 2)       6      18 ")
    assert group.endswith(" 0 of 2")
    assert other.split()[:3] == ["b", "6", "12"]
    assert result.stderr.splitlines() == [
        "a-0 (median of 2): a-0, a-1",
        "not quite comparable, from a-0 to b: trial.epochs 3, now 2",
        "figure: plots/ways.png",
    ]
    assert (ways / "plots" / "ways.png").read_bytes().startswith(b"\x89PNG")


def test_compare_prints_json(ways: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ways)
    options = ["--json", "--target", "2", "--each"]
    record = json.loads(run("compare", "a-0", "a-1", "b", *options).stdout)
    assert [group["label"] for group in record["groups"]] == ["a-0", "a-1", "b"]
    assert [group["never"] for group in record["groups"]] == [1, 1, 1]
    assert record["groups"][0]["epochs_to_target"] is None
    (study,) = record["groups"][0]["studies"]
    assert study["improvements"][-1]["value"] == study["best"]
    assert 0 < study["seconds"] < 600
    table = run("compare", "a-0", "b", "--target", "2").stdout.splitlines()
    assert table[0].split()[-4:] == ["epochs", "to", "2", "never"]
    assert table[1].split()[-4:] == ["never", "1", "of", "1"]


def test_small_losses_are_printed_with_enough_digits(empty: Path) -> None:
    (empty / "s.toml").write_text(STUDY.replace("[search]", '[search]\nmetric = "val/loss"'))
    assert run("study", "s.toml", "--no-tracking", "--name", "small").exit_code == 0
    study = optuna.load_study(study_name="small", storage=open_storage("hpsearch.journal"))
    curves = {key: [0.5, 0.25, 1.25e-5] for key in METRICS} | {"times": [0, 0, 0]}
    attributes = {"slot": 6, "setup": {"metric": "val/loss", "config": {}}, "curves": curves}
    study.add_trial(optuna.trial.create_trial(value=1.25e-5, user_attrs=attributes))
    heading, row = run("compare", "small").stdout.splitlines()
    assert "  best val/loss  epochs to 1.25e-05" in heading
    assert "  1.25e-05  " in row
    shown = run("show", "small#6").stdout.splitlines()
    assert shown[-3].split() == ["1", "0.5", "0.5000", "0.5", "0.5000"]
    assert shown[-1].split() == ["3", "1.25e-05", "0.0000", "1.25e-05", "0.0000"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["a-0", "losses"],
            "study 'losses' has the metric val/loss and study 'a-0' has val/accuracy; ",
        ),
        (["a-0", "a-2"], "'a-2' is not a study in this storage; did you mean 'a-"),
        (["a-0", "--target", "nan"], "--target: must be a finite number, but got nan"),
        (["a-0", "--save", "new/a.jpg"], "--save: 'new/a.jpg' is no name of a PNG file"),
        (["a-0", "--save", "taken.png"], "--save: taken.png exists already; --force overwrites it"),
        (["a-0", "--save", "flowers.toml/a.png"], "--save: "),
    ],
)
def test_compare_refuses_in_one_sentence_and_writes_nothing(
    ways: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(ways)
    (ways / "taken.png").write_text("mine")
    refused = run("compare", *arguments)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"Error: {sentence}")
    assert refused.stderr.count("\n") == 1
    assert (ways / "taken.png").read_text() == "mine"
    assert not (ways / "new").exists()


def test_compare_overwrites_with_force(ways: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ways)
    (ways / "old.png").write_text("mine")
    assert run("compare", "b", "--save", "old.png", "--force").exit_code == 0
    assert (ways / "old.png").read_bytes().startswith(b"\x89PNG")


def test_a_label_with_markup_is_shown_as_it_is(empty: Path) -> None:
    entry = '[[enqueue]]\nlabel = "[red] one"\nlearning_rate = 0.05\n'
    (empty / "flowers.toml").write_text(f"{STUDY}\n{entry}")
    studied = run("study", "flowers.toml", "--no-tracking")
    assert "[red] one" in studied.stdout
    assert run("best", "flowers-random").stdout.count("[red] one") == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("two", "study 'two' has 2 objectives"),
        ("infinite", "study 'infinite' has completed trials, but no finite value"),
    ],
)
def test_a_study_without_a_single_best_trial_is_named_as_such(
    empty: Path, name: str, reason: str
) -> None:
    store = open_storage("hpsearch.journal")
    two = optuna.create_study(study_name="two", storage=store, directions=["minimize", "maximize"])
    two.add_trial(create_trial(values=[0.5, 0.5]))
    infinite = optuna.create_study(study_name="infinite", storage=store)
    infinite.add_trial(create_trial(value=float("inf")))
    assert reason in run("best", name).stderr
    assert f"# {reason}" in run("show", name).stdout
    assert run("show", f"{name}#0").stdout.startswith("complete after 0 epochs")
    for command in (["figures", name, "--save", "plots"], ["report", name]):
        refused = run(*command, "--no-tracking")
        assert refused.exit_code == 1
        assert refused.stderr.startswith(f"Error: {reason}")
    assert not (empty / "plots").exists()


# Trials that fail or diverge


def test_a_trial_that_failed_three_times_is_retried_on_request(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty / "flowers.toml").write_text(STUDY.replace("trials = 6", "trials = 1"))
    study = ["study", "flowers.toml", "--no-tracking"]

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of order")

    with monkeypatch.context() as patch:
        patch.setattr("hpsearch.trainables.network.NetworkModel.start_training", fail)
        for _ in range(3):
            failed = run(*study)
            assert (failed.exit_code, failed.stdout) == (1, "")
            assert "trial flowers-random#0 failed: RuntimeError: out of order; " in failed.stderr
    given_up = run(*study)
    assert given_up.exit_code == 1
    assert "given up after three tries: trial 0; --retry-failed tries again" in given_up.stderr
    assert "No trial ran to its end; `hpsearch show flowers-random#0` shows" in given_up.stderr
    retried = run(*study, "--retry-failed")
    assert retried.exit_code == 0
    assert "its one trial is done (1 complete, 0 pruned, 3 failed" in retried.stderr
    assert run(*study).exit_code == 0


def test_a_study_in_which_all_trials_diverged_says_what_usually_helps(empty: Path) -> None:
    lost = STUDY.replace("low = 1e-3, high = 1e-1", "low = 1e30, high = 1e35")
    (empty / "flowers.toml").write_text(lost)
    result = run("study", "flowers.toml", "--no-tracking")
    assert result.exit_code == 1
    assert "the losses became infinite. Try lower learning rates, and scaled" in result.stderr
    assert "More of the best" not in result.stderr
