"""`hpsearch check`: what it finds of models that keep the protocol, and of those that do not."""

import re

import pytest
from click.testing import CliRunner

from hpsearch.cli import cli
from hpsearch.errors import SettingsError
from hpsearch.search.check import check_study
from hpsearch.settings.study import parse_settings

GOOD = """
import json, random
def train(config, *, epochs, seed, resume=None):
    rng, start, total = random.Random(seed), 0, 0.0
    if resume:
        start, total, state = json.loads(resume.read_text())
        rng.setstate((state[0], tuple(state[1]), state[2]))
    for epoch in range(start + 1, epochs + 1):
        total += config["x"] * rng.random()
        def save(path):
            path.write_text(json.dumps([epoch, total, rng.getstate()]))
        yield {"val/loss": total}, save
"""


@pytest.fixture
def find(working_folder):
    """A function that checks a model, and returns what it found as lines."""

    def found(code, *, epochs=3, **trial):
        (working_folder / "net.py").write_text(code)
        table = {
            "model": {"train": "net.py:train"},
            "search": {"metric": "val/loss", "trials": 5, "sampler": "random"},
            "trial": {"epochs": 10, "x": {"low": 0.5, "high": 1.0}} | trial,
        }
        settings = parse_settings({"name": "own", **table}, "own.toml")
        return [f"{each.level} {each.text}" for each in check_study(settings, epochs)]

    return found


def test_a_model_that_keeps_everything(find, working_folder):
    loaded, epochs, pace, same, resumed = find(GOOD)
    assert re.fullmatch(r"ok net.py:train is loaded after \d\.\d s", loaded)
    assert epochs == "ok 3 of 10 epochs: val/loss"
    assert re.fullmatch(
        r"ok an epoch takes \S+ ms, the first \S+ ms; 5 trials take up to \d s one by one", pace
    )
    assert same == "ok the same seed gives the same curves"
    assert re.fullmatch(
        r"ok killed after epoch 1, it goes on from a checkpoint of [\d,]+ bytes to the same curves",
        resumed,
    )
    assert [path.name for path in working_folder.iterdir() if path.suffix != ".py"] in (
        [],
        ["__pycache__"],
    )


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        # What is lost on the way: the state of the random numbers, or all of it.
        (
            ("rng.setstate(", "("),
            r"note killed after epoch 1, it goes on from .*, but val/loss is .* without a break",
        ),
        (
            ("start, total, state = json.loads(resume.read_text())", "return (yield 1.0)"),
            r"note .*, but val/loss is .*, and 1 here",
        ),
        (
            ("if resume:", "if False:"),
            "fail killed after epoch 1 and given `resume`, it begins anew",
        ),
        (("path.write_text(", "str("), r"fail `save` wrote nothing at .*checkpoint, as it should"),
        (("path.write_text(", "int("), r"fail ValueError in epoch 1: invalid literal.*…$"),
        (("json.loads(resume", "json.loads('{' + resume"), "fail from its checkpoint: JSONDecode"),
        ((", resume=None", ", resume=None, other=1"), "ok killed after epoch 1"),
        (("}, save", "}"), "note net.py:train yields no `save`: a killed trial begins anew"),
        ((", resume=None", ""), r"fail NameError in epoch 1: name 'resume' is not defined"),
        (
            ("random.Random(seed)", "random.Random()"),
            "note the same seed gives other curves: val/l",
        ),
    ],
)
def test_what_is_lost_is_named(find, changed, finding):
    assert changed[0] in GOOD
    lines = find(GOOD.replace(*changed))
    assert any(re.match(finding, line) for line in lines), lines


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("def train(config):\n    yield 1.0", "note trial.x has not been read; a search over it"),
        ("def train(config):\n    yield float('nan')", "note this configuration diverged"),
        ("def train(config):\n    yield {'loss': 1.0}", "fail search.metric: 'val/loss' is not a"),
        ("def train(config):\n    yield 1 / 0", "fail ZeroDivisionError in epoch 1: division by"),
        (
            "import os\ndef train(config):\n    os._exit(3)",
            "fail its process died with exit code 3",
        ),
        ("def train(config):\n    return 1.0", "note net.py:train has no checkpoints"),
        (
            "import sys\ndef train(config):\n    sys.exit(2)",
            r"fail net.py:train called sys.exit\(2",
        ),
    ],
)
def test_what_breaks_a_study_is_named(find, code, finding):
    lines = find(code)
    assert any(re.match(finding, line) for line in lines), lines


def test_a_model_that_cannot_be_imported_is_an_error(find):
    with pytest.raises(SettingsError, match=r"net.py cannot be imported: .*line 1"):
        find("import missing_module")


def test_the_built_in_network_passes(working_folder):  # noqa: ARG001
    settings = parse_settings({"name": "own", "data": {"source": "iris"}}, "own.toml")
    lines = [f"{each.level} {each.text}" for each in check_study(settings)]
    assert lines[3] == "ok the same seed gives the same curves"
    assert lines[4].startswith("note the network has no checkpoints")


def test_the_command_fails_where_the_model_does(working_folder):
    (working_folder / "own.toml").write_text(
        '[model]\ntrain = "net.py:train"\n[search]\nmetric = "val/loss"\n[trial]\nx = 1\n'
    )
    (working_folder / "net.py").write_text("def train(config):\n    return config['x']\n")
    good = CliRunner().invoke(cli, ["check", "own.toml"])
    assert (good.exit_code, good.output.splitlines()[3]) == (
        0,
        "ok    the same seed gives the same curves",
    )
    (working_folder / "net.py").write_text("def train(config):\n    return config['y']\n")
    bad = CliRunner().invoke(cli, ["check", "own.toml"])
    assert bad.exit_code == 1
    assert "fail  config: 'y' is not a key of [trial] (x)" in bad.output
