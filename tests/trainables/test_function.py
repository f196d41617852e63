"""A user's own model: what it may yield, what it is given, and what each mistake is told."""

# ruff: noqa: ARG001, ARG005  (a trainable need not use what it is given; `folder` is where it is)

import contextlib
import os
import pickle
import re
import subprocess
import sys
import textwrap
import time

import optuna
import psutil
import pytest
from optuna.trial import FixedTrial, TrialState

from hpsearch import Objective, StudySettings, load_settings, run_study
from hpsearch.errors import HpsearchError, SettingsError
from hpsearch.settings.study import parse_settings
from hpsearch.storage.open import open_storage
from hpsearch.trainables.configuration import Configuration
from hpsearch.trainables.errors import ModelError
from hpsearch.trials.records import curves_of, reason_of, setup_of, traceback_of

HERE = """
import math, os, random, sys, time

def rising(config, *, epochs):
    for epoch in range(1, epochs + 1):
        yield {"train/rmse": 2.0 - epoch * config["x"], "val/rmse": 1.0 - epoch * config["x"]}
"""


@pytest.fixture
def folder(working_folder):
    """The working directory, with a function that trains in net.py."""
    (working_folder / "net.py").write_text(HERE)
    return working_folder


def settings_for(train, *, metric="val/rmse", trial=None, model=None, **search):
    table = {
        "name": "own",
        "model": {"train": train, **(model or {})},
        "search": {"metric": metric, "sampler": "random", "pruner": "none", "trials": 3} | search,
        "trial": {"epochs": 4, "x": 0.1} if trial is None else trial,
    }
    return parse_settings(table, "own.toml")


def run(train, **options):
    """Return the value and the frozen trial of one training."""
    objective = Objective(settings_for(train, **options))
    study = optuna.create_study(direction=objective.settings.search.direction)
    study.optimize(objective, n_trials=1, catch=(ModelError,))
    return study.trials[0]


def test_a_generator_yields_the_metrics_of_each_epoch(folder):
    trial = run("net.py:rising")
    assert trial.value == pytest.approx(0.6)
    assert curves_of(trial).of("train/rmse") == pytest.approx([1.9, 1.8, 1.7, 1.6])
    assert trial.intermediate_values == pytest.approx({1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6})
    setup = setup_of(trial)
    assert (setup.model, setup.config, setup.data) == (
        "net.py:rising",
        {"epochs": 4, "x": 0.1},
        None,
    )
    assert len(setup.code) == 16


def test_the_best_epoch_counts_whatever_comes_later(folder):
    (folder / "net.py").write_text(
        "def train(config, epochs):\n    for e in (3.0, 1.0, 2.0): yield {'val/rmse': e}\n"
    )
    assert run("net.py:train").value == 1.0


def test_a_number_alone_is_the_metric(folder):
    assert run(lambda config: config["x"] * 2).value == pytest.approx(0.2)
    assert run(lambda config: {"val/rmse": 0.5, "train/rmse": 0.4}).value == 0.5


def test_a_loop_that_somebody_else_owns_reports(folder):
    def train(config, *, epochs, report):
        for epoch in range(epochs):
            report({"val/rmse": 4.0 - epoch})

    trial = run(train)
    assert (trial.value, len(curves_of(trial))) == (1.0, 4)


def test_what_a_function_reports_after_the_last_epoch_ends_it(folder):
    ended = []

    def train(config, *, report):
        try:
            for _ in range(100):
                report({"val/rmse": 1.0})
        finally:
            ended.append(True)

    assert len(curves_of(run(train))) == 4
    assert ended == [True]


def test_a_generator_is_closed_after_the_last_epoch(folder):
    closed = []

    def train(config):
        try:
            while True:
                yield {"val/rmse": 1.0}
        finally:
            closed.append(True)

    assert len(curves_of(run(train))) == 4
    assert closed == [True]


def test_a_trial_without_epochs_has_one(folder):
    assert len(curves_of(run(lambda config: 1.0, trial={"x": 0.5}))) == 1


def test_arguments_are_given_by_name(folder):
    given = {}

    def train(settings, seed, *, epochs, verbose=False, **more):
        given.update(settings=dict(settings), seed=seed, epochs=epochs, more=more)
        return 0.5

    run(train)
    assert given["settings"] == {"epochs": 4, "x": 0.1}
    assert isinstance(given["seed"], int)
    assert (given["epochs"], given["more"]) == (4, {})


def test_the_same_slot_has_the_same_seed_and_global_states(folder):
    (folder / "net.py").write_text(
        "import random, numpy as np\n"
        "def train(config, *, seed):\n"
        "    return {'val/rmse': random.random(), 'a': np.random.rand(), 'b': seed}\n"
    )
    first, again = (curves_of(run("net.py:train")) for _ in range(2))
    assert first.values == again.values
    assert curves_of(run("net.py:train", seed=1)).values != first.values


def test_gaps_are_no_failure(folder):
    def train(config, *, epochs):
        for epoch in range(epochs):
            yield {"val/rmse": None if epoch % 2 else 4.0 - epoch, "val/auc": float("nan")}

    trial = run(train)
    assert trial.value == 2.0
    assert curves_of(trial).values == {"val/rmse": [4.0, None, 2.0, None], "val/auc": [None] * 4}
    assert trial.intermediate_values == {1: 4.0, 3: 2.0}


@pytest.mark.parametrize("what", ["val/rmse", "train/loss"])
def test_a_metric_or_loss_that_is_not_finite_prunes_the_trial(folder, what):
    def train(config, *, epochs):
        yield {"val/rmse": 1.0, "train/loss": 1.0}
        yield {"val/rmse": 1.0, "train/loss": 1.0, what: float("inf")}

    trial = run(train)
    assert (trial.state, reason_of(trial)) == (TrialState.PRUNED, "diverged at epoch 2")


def test_a_pruned_loop_is_ended_even_if_it_catches_exceptions(folder):
    calls = []

    def train(config, *, report):
        for epoch in range(4):
            calls.append(epoch)
            try:
                report({"val/rmse": float("inf") if epoch else 1.0})
            except Exception:
                calls.append("caught")

    assert run(train).state is TrialState.PRUNED
    assert calls == [0, 1]


def test_a_configuration_that_does_not_fit_into_memory_is_not_tried_again(folder):
    def train(config):
        yield {"val/rmse": 1.0}
        raise MemoryError

    trial = run(train)
    assert (trial.state, reason_of(trial)) == (TrialState.PRUNED, "out of memory in epoch 2")


def test_changed_code_is_pointed_out_when_a_study_goes_on(folder, caplog):
    def start(trials):
        sys.modules.pop("net", None)
        return run_study(settings_for("net.py:rising", trials=trials), storage="s.journal")

    def said():
        return [r.getMessage() for r in caplog.records if r.name.startswith("hpsearch")]

    start(1)
    start(2)
    assert said() == []
    (folder / "net.py").write_text(HERE.replace("1.0", "1.5"))
    outcome = start(3)
    (warning,) = said()
    assert warning.startswith("study 'own-random': net.py:rising has changed since the last trial")
    assert (outcome.reason, outcome.best.value) == ("finished", pytest.approx(0.6))
    assert len(outcome.trials_dataframe()) == 3


BROKEN = {
    "nothing": ("def train(config): pass", "returned nothing; it yields the metrics of each epoch"),
    "empty": ("def train(config):\n    return\n    yield", "returned nothing"),
    "text": ("def train(config): return 'good'", "yielded 'good'; an epoch is a mapping"),
    "a list": ("def train(config): return [{'val/rmse': 1}]", "an epoch is a mapping of metrics"),
    "a triple": ("def train(config): yield 1, 2, 3", "an epoch is a mapping"),
    "another metric": (
        "def train(config): yield {'val/rsme': 1.0}",
        "search.metric: 'val/rmse' is not a metric of net.py:train; did you mean 'val/rsme'?",
    ),
    "text in a metric": (
        "def train(config): yield {'val/rmse': '0.3'}",
        "= '0.3', which is no number",
    ),
    "two numbers": (
        "import numpy as np\ndef train(config): yield {'val/rmse': np.ones(2)}",
        "which is no number",
    ),
    "a bad name": (
        "def train(config): yield {'val/rmse': 1.0, 'F1 (b)': 1}",
        "a metric called 'F1 (b)'",
    ),
    "a reserved name": ("def train(config): yield {'val/rmse': 1.0, 'times': 1}", "called 'times'"),
    "a missing key": (
        "def train(config): return config['lr']",
        "config: 'lr' is not a key of [trial] (epochs, x)",
    ),
    "no value": (
        "def train(config, epochs):\n    for _ in range(2): yield {'val/rmse': None}",
        "ended after 2 epochs without a value of val/rmse",
    ),
    "an exit": ("import sys\ndef train(config): sys.exit(3)", "called sys.exit(3)"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_mistake_is_one_sentence(folder, mistake):
    source, sentence = BROKEN[mistake]
    (folder / "net.py").write_text(source)
    trial = run("net.py:train")
    assert trial.state is TrialState.FAIL
    assert sentence in reason_of(trial)
    assert "net.py:train" in reason_of(trial) or "config" in sentence


def test_an_exception_keeps_its_traceback_and_says_the_epoch(folder):
    (folder / "net.py").write_text(
        "def train(config):\n    yield {'val/rmse': 1.0}\n    raise RuntimeError('out of memory')\n"
    )
    with pytest.raises(HpsearchError, match="#0 failed: RuntimeError in epoch 2: out of memory; "):
        run_study(settings_for("net.py:train"), storage="s.journal")
    (trial,) = optuna.load_study(study_name="own-random", storage=open_storage("s.journal")).trials
    assert "raise RuntimeError('out of memory')" in traceback_of(trial)
    assert curves_of(trial).of("val/rmse") == [1.0]


UNLOADABLE = {
    "no file": ("gone.py:train", "there is no file 'gone.py'"),
    "no module": ("gone.net:train", "there is no module 'gone.net'"),
    "no function": ("net.py:rise", "'rise' is not a function of net.py; did you mean 'rising'?"),
    "not callable": ("net.py:math", "'math' is not a function of net.py"),
    "a syntax error": ("bad.py:train", "bad.py cannot be imported: SyntaxError: "),
    "an import error": (
        "broken.py:train",
        "ModuleNotFoundError: No module named 'gone' (broken.py, line 2)",
    ),
    "an exit": ("exits.py:train", "exits.py cannot be imported: SystemExit: 1 (exits.py, line 1)"),
    "an argument": (
        "wants.py:train",
        "wants.py:train asks for 'learning_rate', which nothing gives",
    ),
    "no configuration": ("wants.py:none", "must take the configuration as its first argument"),
    "async": ("wants.py:asynchronous", "is async; it must be a plain function or generator"),
    "no program": (["no-such-program"], "there is no program 'no-such-program'"),
}


@pytest.mark.parametrize("mistake", UNLOADABLE)
def test_what_cannot_be_called_is_said_before_anything_is_created(folder, mistake):
    (folder / "bad.py").write_text("def train(config:\n")
    (folder / "broken.py").write_text("\nimport gone\n")
    (folder / "exits.py").write_text("raise SystemExit(1)\n")
    (folder / "wants.py").write_text(
        "def train(config, learning_rate): ...\ndef none(): ...\nasync def asynchronous(c): ...\n"
    )
    train, sentence = UNLOADABLE[mistake]
    with pytest.raises(SettingsError) as error:
        run_study(settings_for(train), storage="s.journal")
    assert str(error.value).startswith("model.train: ")
    assert sentence in str(error.value)
    assert not (folder / "s.journal").exists()


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"model": {}}, "model: must have either train"),
        ({"model": {"train": "net.py"}}, 'model.train: must be "net.py:train"'),
        ({"model": {"train": 3}}, "model.train: must be "),
        ({"model": {"train": []}}, "model.train: must be "),
        ({"model": {"train": "net.py:train", "thread": 2}}, "did you mean 'threads'?"),
        ({"search": {"metric": "val/steps"}}, "search.direction: is missing; write 'maximize'"),
        (
            {"search": {"metric": "val/rmse", "direction": "down"}},
            "search.direction: 'down' is not",
        ),
        ({"trial": {"epochs": 0}}, "trial.epochs: must be a whole number of at least 1"),
        ({"trial": {"x": [[1]]}}, "trial.x: must be a list of numbers or texts"),
        ({"trial": {"x": float("nan")}}, "trial.x: must be a number"),
        ({"trial": {"x": {"low": 1, "high": "b"}}}, "trial.x: is not a number"),
        ({"trial": {"x": {"choices": [[1, 2], ["1", 2]]}}}, "trial.x: choices name '1-2' twice"),
        ({"trial": {"1x": 1}}, "trial.1x: is no name for a key"),
    ],
)
def test_a_wrong_study_file_is_one_sentence(table, sentence):
    whole = {"name": "own", "model": {"train": "net.py:train"}, "search": {"metric": "val/rmse"}}
    with pytest.raises(SettingsError) as error:
        parse_settings(whole | table, "own.toml")
    assert sentence in str(error.value)


def test_keys_are_free_and_ranges_take_their_type_from_their_ends(folder):
    table = {
        "epochs": {"low": 1, "high": 3},
        "width": {"low": 8, "high": 64, "log": True},
        "rate": {"low": 0, "high": 1.5},
        "sizes": {"choices": [[8, 8], [16]]},
        "note": "text",
    }
    seen = []

    def train(config):
        seen.append(dict(config))
        return 1.0

    run(train, trial=table)
    (config,) = seen
    assert isinstance(config["width"], int)
    assert isinstance(config["rate"], float)
    assert config["sizes"] in ([8, 8], [16])
    assert config["note"] == "text"
    assert settings_for(train, trial=table).trial.as_table() == table


def test_a_key_that_nothing_reads_is_pointed_out_once(folder, caplog):
    objective = Objective(settings_for("net.py:rising", trial={"x": 0.1, "lr": 1.0, "epochs": 2}))
    for _ in range(2):
        objective(FixedTrial({}))
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == ["trial.lr: net.py:rising has not read it; is it misspelt?"]


@pytest.mark.parametrize(
    "read",
    [
        dict,
        lambda c: {**c},
        lambda c: c.copy(),
        lambda c: [*c],
        lambda c: pickle.loads(pickle.dumps(c)),
    ],
)
def test_a_configuration_that_is_read_as_a_whole_has_no_unread_key(read):
    config = Configuration({"a": 1, "b": 2})
    assert config.unread == ["a", "b"]
    assert config["a"] == 1
    assert config.get("c", 3) == 3
    assert config.unread == ["b"]
    read(config)
    assert config.unread == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_generator_that_yields_on_is_pointed_out(folder, caplog):
    def train(config):
        while True:
            with contextlib.suppress(GeneratorExit):
                yield {"val/rmse": 1.0}

    assert run(train).value == 1.0
    assert "yields on after it was closed; let GeneratorExit pass" in caplog.text


def test_a_file_beside_the_study_file_is_found_from_another_folder(folder):
    (folder / "sub").mkdir()
    (folder / "net.py").rename(folder / "sub" / "net.py")
    (folder / "sub" / "own.toml").write_text(
        '[model]\ntrain = "net.py:rising"\n[search]\nmetric = "val/rmse"\n[trial]\nx = 0.1\n'
    )
    settings = load_settings("sub/own.toml")
    assert settings.model.train.name == "net.py:rising"
    assert Objective(settings)(FixedTrial({})) == pytest.approx(0.9)


SCRIPT = """
from hpsearch import load_settings, run_study

def train(config, *, epochs):
    for epoch in range(epochs):
        yield {"val/rmse": config["x"] - 0.01 * epoch}

outcome = run_study(load_settings("own.toml", train=train), storage="s.journal", jobs=2)
print(outcome.reason, outcome.counts.complete)
"""


def test_a_function_of_a_script_without_a_guard_runs_in_workers(folder):
    (folder / "own.toml").write_text(
        '[search]\nmetric = "val/rmse"\nsampler = "random"\npruner = "none"\ntrials = 4\n'
        "[trial]\nepochs = 2\nx = { low = 0.0, high = 1.0 }\n"
    )
    (folder / "script.py").write_text(SCRIPT)
    ran = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("finished 4\n", 0), ran.stderr


def test_a_study_of_another_model_never_imports_the_training_core(folder):
    (folder / "model.py").write_text(HERE)
    (folder / "own.toml").write_text(
        '[model]\ntrain = "model.py:rising"\n[search]\nmetric = "val/rmse"\ntrials = 4\n'
        "[trial]\nepochs = 2\nx = { low = 0.0, high = 0.1 }\n"
    )
    uses = [
        ["study", "own.toml", "--jobs", "2"],
        ["study", "own.toml", "--rounds", "2", "--trials", "5"],
        ["list"],
        ["best", "own-tpe"],
        ["show", "own-tpe#0"],
        ["narrow", "own-tpe"],
        ["compare", "own-tpe", "own-tpe.r2"],
        ["evaluate", "own-tpe", "--top", "2", "--seeds", "2"],
        ["report", "own-tpe"],
        ["figures", "own-tpe"],
        ["export", "own-tpe", "-f", "toml", "-o", "best.toml"],
        ["export", "own-tpe", "-f", "json"],
        ["sync", "own-tpe"],
        ["delete", "own-tpe", "--yes"],
        ["study", "best.toml", "--no-tracking"],
    ]
    code = textwrap.dedent(
        """
        import sys
        from hpsearch.cli import cli
        for use in {uses!r}:
            cli(use, standalone_mode=False)
        ours = [name for name in sys.modules if name.startswith("model.")]
        print(ours, sys.modules["model"].__file__, file=sys.stderr)
        """
    ).format(uses=uses)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1] == f"[] {folder / 'model.py'}"


def test_threads_of_a_trial_are_limited_before_the_import(folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    (folder / "net.py").write_text(
        "import os\nN = os.environ['OMP_NUM_THREADS']\ndef train(c): return int(N)\n"
    )
    assert run("net.py:train", model={"threads": 2}).value == 2


def test_changed_code_has_another_digest_and_comments_have_not(folder):
    def code():
        sys.modules.pop("net", None)
        return Objective(settings_for("net.py:rising")).model.code

    first = code()
    (folder / "net.py").write_text(f"# a remark\n{HERE}\n\n")
    assert code() == first
    (folder / "net.py").write_text(HERE.replace("1.0", "1.5"))
    assert code() != first


PROGRAM = """
import json, os, sys, time
config = json.load(sys.stdin)
for epoch in range(1, config["epochs"] + 1):
    print(json.dumps({"val/rmse": config["x"] + epoch, "seed": config["seed"]}), flush=True)
"""


def program(folder, source=PROGRAM, *words):
    (folder / "prog.py").write_text(source)
    return [sys.executable, "prog.py", *words]


def test_a_program_prints_an_epoch_a_line(folder):
    trial = run(program(folder))
    assert curves_of(trial).of("val/rmse") == [1.1, 2.1, 3.1, 4.1]
    assert curves_of(trial).of("seed")[0] > 0
    assert setup_of(trial).model.endswith("prog.py")


def test_keys_in_the_words_of_a_program_are_filled_in(folder):
    source = "import json, sys\nprint(json.dumps({'val/rmse': float(sys.argv[1][4:])}))"
    assert run(program(folder, source, "--x={x}")).value == 0.1


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import sys; sys.exit('no GPU')", "ended with exit code 1: no GPU"),
        ("print('epoch 1: 0.5')", "printed 'epoch 1: 0.5'; on stdout it prints one line of JSON"),
        ("import os; os.kill(os.getpid(), 11)", "ended with SIGSEGV"),
        ("pass", "returned nothing"),
        ("print('[1]')", "printed '[1]'"),
    ],
)
def test_what_a_program_does_wrong_is_one_sentence(folder, source, sentence):
    trial = run(program(folder, source))
    assert trial.state is TrialState.FAIL
    assert sentence in reason_of(trial)


ENDLESS = """
import json, os, subprocess, sys, time
child = subprocess.Popen(["sleep", "300"])
open("pids", "w").write(f"{os.getpid()} {child.pid}")
while True:
    print(json.dumps({"val/rmse": 1.0}), flush=True)
    time.sleep(0.01)
"""


def wait_until_gone(folder):
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    until = time.monotonic() + 20
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
        assert time.monotonic() < until, "the program or what it started is still running"
        time.sleep(0.05)


def test_a_program_and_what_it_started_end_with_the_trial(folder):
    assert run(program(folder, ENDLESS)).value == 1.0
    wait_until_gone(folder)


def test_a_program_dies_with_a_killed_worker(folder):
    words = program(folder, ENDLESS)
    code = (
        "from hpsearch.trainables.program import program_function\n"
        f"epochs = program_function({words!r})[0]({{}}, seed=0)\n"
        "next(epochs); print('running', flush=True); import time; time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout.readline() == "running\n"
        os.kill(worker.pid, 9)
    wait_until_gone(folder)


def test_a_study_in_python_prints_as_the_command_does(folder, capsys):
    def train(config, *, epochs):
        for epoch in range(1, epochs + 1):
            yield {"val/loss": config["x"] / epoch}

    settings = StudySettings(
        name="own",
        model={"train": train},
        search={"metric": "val/loss", "sampler": "random", "pruner": "none", "trials": 6},
        trial={"epochs": 2, "x": {"low": 1.0, "high": 2.0}},
    )
    outcome = run_study(settings, storage="h.journal", show_progress_bar=True)
    assert "6/6" in capsys.readouterr().err
    first, blank, heading, *rows = str(outcome).splitlines()
    assert re.fullmatch(r"own-random: all 6 trials are done \(6 complete, 0 pruned, \d s\)", first)
    assert (blank, heading.split()) == ("", ["trial", "val/loss", "at", "epoch", "epochs", "x"])
    assert len(rows) == 5
    best = outcome.best
    assert rows[0].split() == [
        str(best.number),
        f"{best.value:.4g}",
        "2",
        "2",
        f"{best.params['x']:.4g}",
    ]
    again = str(run_study(settings, storage="h.journal")).splitlines()[0]
    assert "all 6 trials are already done; trials 12 continues it" in again


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_configuration_that_fails_ends_no_other_trial(folder, caplog, jobs):
    (folder / "net.py").write_text(
        "def train(config, *, epochs):\n"
        "    for epoch in range(epochs):\n"
        "        yield {'val/rmse': 1 / (1.5 - config['x']) if config['x'] != 1.5 else 1 // 0}\n"
    )
    trial = {"epochs": 2, "x": {"choices": [0.5, 1.0, 1.5]}}
    settings = settings_for("net.py:train", trial=trial, sampler="grid")
    outcome = run_study(settings, storage="h.journal", jobs=jobs)
    assert outcome.reason == "given up"
    assert (outcome.counts.complete, outcome.counts.failed, outcome.slots.given_up) == (2, 3, [2])
    assert "own-grid#2 failed: ZeroDivisionError: integer division" in caplog.text
    assert "given up after three tries: trial 2; retry_failed=True tries again" in str(outcome)


def test_a_model_that_fails_from_the_start_ends_the_study_at_once(folder):
    (folder / "net.py").write_text("def train(config):\n    return 1 // 0\n")
    with pytest.raises(HpsearchError, match=r"own-random#0 failed: ZeroDivisionError"):
        run_study(settings_for("net.py:train"), storage="h.journal")
    study = optuna.load_study(study_name="own-random", storage=open_storage("h.journal"))
    assert len(study.trials) == 1
