"""The README is the contract: its commands run, in its order, and it shows every command."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.cli import cli
from model.config import FIELD_TYPES, TrainConfig
from model.initializers import INITIALIZERS
from model.layers import ACTIVATIONS
from model.losses import LOSSES
from model.optimizers import OPTIMIZERS
from model.outputs import OUTPUTS
from model.schedules import SCHEDULES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SETS_UP = "python3 -m venv"  # the two commands that .ci/run runs


def commands() -> list[str]:
    """The lines of the README's shell blocks, without those that set up an environment."""
    lines = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
    return [line for line in lines if not line.startswith(SETS_UP)]


def environment() -> dict[str, str]:
    """As in an activated one: python, hpsearch and the rest are this interpreter's own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    known = os.environ | {"PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {k: v for k, v in known.items() if k not in ("HPSEARCH_STORAGE", "MLFLOW_TRACKING_URI")}


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def serve(command: str, folder: Path) -> str:
    """The first line that a server prints, which is then stopped as by Ctrl-C."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command} --no-browser --port 0"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    return line


def test_the_readme_runs_from_top_to_bottom(
    tmp_path: Path, small_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_DATA", str(small_mnist))
    run("hpsearch study --sampler random", tmp_path)  # what its first command does after set-up
    for kind, block in BLOCKS:
        if kind == "toml":
            name = block.split()[1]
            (tmp_path / name).write_text(block)
        elif kind == "python":
            (tmp_path / "block.py").write_text(block)
            result = run("python block.py", tmp_path)
            assert result.returncode == 0, result.stderr
        for command in block.splitlines() if kind == "bash" else []:
            if command.startswith(SETS_UP):
                continue
            if command.startswith("hpsearch ui"):
                assert serve(command, tmp_path).startswith("http://127.0.0.1:")
                continue
            result = run(command, tmp_path)
            assert result.returncode == 0, f"{command}\n{result.stderr}"
            assert "Traceback" not in result.stderr, f"{command}\n{result.stderr}"


def test_the_error_it_quotes_is_the_error(tmp_path: Path) -> None:
    (study,) = (block for _, block in BLOCKS if block.startswith("# flowers.toml"))
    (tmp_path / "flowers.toml").write_text(study.replace("{ low = 1e-4", "{ lo = 1e-4"))
    quoted = re.search(r"^    (Error: .*)$", README, re.MULTILINE)
    assert quoted is not None
    assert run("hpsearch study flowers.toml", tmp_path).stderr == f"{quoted[1]}\n"
    assert not (tmp_path / "hpsearch.journal").exists()


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_is_shown(name: str) -> None:
    assert any(command.startswith(f"hpsearch {name}") for command in commands())


def test_every_technique_is_shown() -> None:
    registries = [ACTIVATIONS, INITIALIZERS, LOSSES, OUTPUTS, OPTIMIZERS, SCHEDULES]
    names = {*FIELD_TYPES, *(name for registry in registries for name in registry)}
    rows = "".join(line for line in README.splitlines() if line.startswith("|"))
    assert {name for name in names if f"`{name}`" not in rows} == set()


def test_the_defaults_it_states_are_the_defaults() -> None:
    stated = re.findall(r"`(\w+)` \(([\d.e-]+)\)", README)
    assert len(stated) > 10
    for name, value in stated:
        assert getattr(TrainConfig, name) == float(value), name


def test_every_shown_file_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_two_commands_set_up_an_environment_each() -> None:
    lines = [line for line in README.splitlines() if line.startswith(SETS_UP)]
    assert len(lines) == 2
    assert lines[0].endswith("hpsearch study --sampler random")
    assert "pytest" in lines[1]
