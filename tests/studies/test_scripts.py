"""The scripts of studies/ that draw: what they print, and where their figures go."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

STUDIES = Path(__file__).parents[2] / "studies"
ENDS = r"^(\w+) +from \(-7, 2\) to \(([-\d.]+), ([-\d.]+)\) in 30 steps$"
PNG = b"\x89PNG"


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return subprocess.run(
        [sys.executable, str(STUDIES / script), *arguments],
        cwd=cwd,
        env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_optimizer_paths(tmp_path: Path) -> None:
    result = run("optimizer_paths.py", "--save", "plots", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    ends = {name: (float(x), float(y)) for name, x, y in re.findall(ENDS, result.stdout, re.M)}
    assert ends.keys() == {"SGD", "Momentum", "AdaGrad", "Adam"}
    # By hand, of SGD: x shrinks by 1 - 0.95/10 a step, y turns by 1 - 2 · 0.95.
    assert ends["SGD"] == pytest.approx((-7 * 0.905**30, 2 * (-0.9) ** 30), abs=1e-4)
    x, y, vx, vy = -7.0, 2.0, 0.0, 0.0
    for _ in range(30):
        vx, vy = 0.9 * vx - 0.1 * x / 10, 0.9 * vy - 0.1 * 2 * y
        x, y = x + vx, y + vy
    assert ends["Momentum"] == pytest.approx((x, y), abs=1e-4)
    for end in ends.values():
        assert abs(end[0]) < 1
        assert abs(end[1]) < 0.5
    assert re.search(r"^\(w - 5\)². +from 0 to 5\.000000 in 1,000 steps", result.stdout, re.M)
    assert (tmp_path / "plots" / "optimizer_paths.png").read_bytes().startswith(PNG)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("optimizer_paths")
    assert experiment is not None
    (figures,) = client.search_runs([experiment.experiment_id])
    (artifact,) = client.list_artifacts(figures.info.run_id)
    assert (figures.info.run_name, artifact.path) == ("figures", "optimizer_paths.png")


def test_activation_histograms(tmp_path: Path) -> None:
    arguments = ["--no-tracking", "--save", "plots", "--seeds", "9"]
    result = run("activation_histograms.py", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^layer (\d)  (\S+)  text (\S+)  ratio", result.stdout, re.M)
    assert [int(layer) for layer, _, _ in rows] == [1, 2, 3, 4, 5]
    assert [float(text) for _, _, text in rows] == [0.0396, 0.0029, 0.000197, 1.32e-5, 9.46e-7]
    for _, mean, text in rows:
        assert float(mean) == pytest.approx(float(text), rel=0.3)  # nine seeds, where 100 come near
    assert [path.name for path in tmp_path.iterdir()] == ["plots"]
    saved = sorted((tmp_path / "plots").iterdir())
    names = ["activations_relu.png", "activations_sigmoid.png", "activations_tanh.png"]
    assert [path.name for path in saved] == names
    assert all(path.read_bytes().startswith(PNG) for path in saved)


def test_the_medians_of_a_hundred_seeds_are_the_texts(tmp_path: Path) -> None:
    result = run("activation_histograms.py", "--no-tracking", cwd=tmp_path)
    ratios = [float(ratio) for ratio in re.findall(r"ratio (\S+)", result.stdout)]
    assert ratios == pytest.approx([1] * 5, abs=0.1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", ["optimizer_paths.py", "activation_histograms.py"])
def test_a_script_overwrites_with_force_alone(tmp_path: Path, script: str) -> None:
    taken = "activations_tanh" if script.startswith("activation") else "optimizer_paths"
    (tmp_path / f"{taken}.png").write_text("mine")
    seeds = ["--seeds", "1"] if script.startswith("activation") else []
    arguments = ["--no-tracking", "--save", ".", *seeds]
    refused = run(script, *arguments, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (f"Error: --save: {taken}.png exists already; --force overwrites it\n")
    assert (tmp_path / f"{taken}.png").read_text() == "mine"
    assert run(script, *arguments, "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / f"{taken}.png").read_bytes().startswith(PNG)
