"""The benchmarks run, and say what they compare. How fast is not for a test to say."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest

from hpsearch.storage.open import open_storage

ROOT = Path(__file__).parent.parent


def run(script: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "HPSEARCH_DATA"}
    command = [sys.executable, f"benchmarks/{script}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_contenders_train_side_by_side() -> None:
    printed = run("training.py", "--repeats", "1", "--only", "digits 64-100-10 ReLU, batch 100")
    found = dict(re.findall(r"^  ([\w-]+) +[\d.]+ ms  accuracy ([\d.]+)", printed, re.MULTILINE))
    assert {"ours", "scikit-learn"} <= found.keys() <= {"ours", "scikit-learn", "PyTorch", "JAX"}
    assert all(float(accuracy) > 0.9 for accuracy in found.values())
    for name in {"PyTorch", "JAX"} - found.keys():
        assert re.search(rf"^  {name} +not installed$", printed, re.MULTILINE)
    assert re.search(
        r"^\| digits 64-100-10 .* \| [\d.]+ \| [\d.]+ \(\d+%\) \|", printed, re.MULTILINE
    )


def test_a_number_is_predicted_as_well_by_all() -> None:
    printed = run("training.py", "--repeats", "1", "--only", "diabetes")
    found = dict(re.findall(r"^  ([\w-]+) +[\d.]+ ms  R² ([\d.]+)", printed, re.MULTILINE))
    assert {"ours", "scikit-learn"} <= found.keys() <= {"ours", "scikit-learn", "PyTorch"}
    assert all(abs(float(each) - float(found["ours"])) < 0.03 for each in found.values())
    if "PyTorch" in found:  # from the same weights, through the same batches
        assert abs(float(found["PyTorch"]) - float(found["ours"])) < 0.001


def test_what_cannot_run_here_is_skipped_with_the_reason() -> None:
    printed = run("training.py", "--quick", "--only", "784-512")
    assert "  skipped: HPSEARCH_DATA is not set" in printed


def test_searches_run_side_by_side_and_find_the_same() -> None:
    names = ("scikit-learn, n_jobs=2", "Randomized", "hpsearch, 2 jobs")
    sizes = ("--rounds", "1", "--trials", "4", "--grown", "42")
    printed = run("search.py", *sizes, "--only", *names)
    rows = re.findall(r"^\| (\w.*?) +\| +(.*) \|$", printed, re.MULTILINE)
    cells = {name: [float(cell) for cell in row.split("|")] for name, row in rows}
    assert list(cells) == [
        "usual stack, scikit-learn, n_jobs=2",
        "RandomizedSearchCV, n_jobs=2, untracked",
        "hpsearch, 2 jobs, untracked",
        "hpsearch, 2 jobs",
    ]
    for rate, milliseconds, cpu, in_all, best in cells.values():
        assert min(rate, milliseconds, cpu, in_all) > 0
        assert 0.9 < best <= 1
    assert cells["hpsearch, 2 jobs"][-1] == cells["hpsearch, 2 jobs, untracked"][-1]
    assert re.search(r"÷ usual stack +[\d.]+   goal: at least 10, \w+$", printed, re.MULTILINE)

    profile = dict(re.findall(r"^  (\w.*?) +([\d.]+) ms", printed, re.MULTILINE))
    parts = {name: float(profile[name]) for name in ("training", "MLflow: log_batch")}
    assert 0 < min(parts.values()) <= sum(parts.values()) < float(profile["in all"])
    assert re.search(r"^  around trial 40 +[\d.]+ ms\n  ratio [\d.]+ ", printed, re.MULTILINE)


def quality_rows(printed: str) -> dict[str, list[str]]:
    rows = re.findall(r"^\| (\w.*?) \| (.* of .*) \|$", printed, re.M)
    return {name: cells.split(" | ") for name, cells in rows}


def test_methods_of_search_are_compared_by_their_epochs(tmp_path: Path) -> None:
    folder, figure = tmp_path / "kept", tmp_path / "quality.png"
    folder.mkdir()
    only = ("--variants", "--only", "TPE + median", "3 rounds, random")
    arguments = ("--quick", *only, "--folder", str(folder), "--figure", str(figure))
    printed = run("search_quality.py", *arguments)
    assert (
        "digits, 4 epochs: trained, seeds 10 to 11\nbudget 12 epochs, counted up to 36" in printed
    )
    target, random = re.search(
        r"^target (0\.\d{4}), .* needs (\d+) epochs$", printed, re.M
    ).groups()
    assert re.search(rf"^\| random \| {random} \| \d+ to \d+ \| 1 \| \d+% \|", printed, re.M)
    rows = quality_rows(printed)
    assert list(rows) == ["TPE + halving", "TPE + median", "3 rounds, random"]
    for epochs, _, _, missed, mean, _, budget, longest, first in rows.values():
        never = int(missed.removesuffix(" of 2"))
        assert (epochs == "> 36") is (never > 0)  # of two runs, the median is the later
        assert 1 <= float(mean) <= 36
        (best_soon, *_), (best, *_) = (re.findall(r"0\.\d{4}", text) for text in (budget, longest))
        assert best_soon <= best
        assert best >= target or never
        assert int(first.partition(", ")[0]) >= 1
    assert figure.stat().st_size > 10_000

    kept = (folder / "runs.jsonl").read_text()
    assert len(kept.splitlines()) == 2 * len(rows)
    assert run("search_quality.py", *arguments) == printed
    assert (folder / "runs.jsonl").read_text() == kept  # nothing was run again
    short = quality_rows(run("search_quality.py", *arguments, "--budget-only"))
    assert [row[6] for row in short.values()] == [row[6] for row in rows.values()]


def test_methods_of_search_are_chosen_on_tabulated_curves(tmp_path: Path) -> None:
    printed = run(
        "search_quality.py", "--quick", "--pool", "--only", "TPE", "--folder", str(tmp_path)
    )
    assert "from the pool of tabulated curves" in printed
    rows = quality_rows(printed)
    assert [*rows][:2] == ["TPE + halving", "TPE + median"]
    assert len(rows) == 5
    curves = optuna.load_study(
        storage=open_storage(str(tmp_path / "curves.journal")), study_name="curves-digits-4"
    )
    best = max(trial.value for trial in curves.trials if trial.value is not None)
    assert all(0 < float(row[7][:6]) <= best for row in rows.values())  # it trained nothing else


def test_a_peer_that_is_not_installed_is_named(tmp_path: Path) -> None:
    arguments = ("--quick", "--peers", "--budget-only", "--folder", str(tmp_path))
    printed = run("search_quality.py", *arguments, "--only", "DEHB")
    found = "DEHB" in quality_rows(printed)
    assert found is (find_spec("dehb") is not None)
    assert ("DEHB: its package is not installed" in printed) is not found


def test_a_benchmark_without_its_data_says_so() -> None:
    command = [sys.executable, "benchmarks/search_quality.py"]
    environment = {name: value for name, value in os.environ.items() if name != "HPSEARCH_DATA"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "HPSEARCH_DATA is not set" in done.stderr


def test_engines_run_side_by_side() -> None:
    sizes = ("--rounds", "1", "--trials", "12", "--sleepers", "5")
    printed = run("engines.py", *sizes, "--only", "loky")
    rows = re.findall(r"^\| ([\w ]+) \| (\w+) \| ([\d. |]+) \|$", printed, re.MULTILINE)
    names = [f"{engine}, {how}" for engine, how, _ in rows]
    assert names == ["loky, untracked", "loky, tracked"]
    assert all(float(cell) > 0 for *_, cells in rows for cell in cells.split("|"))
    assert "5 workers that sleep for 1 s: " in printed


def test_storages_are_shared_side_by_side() -> None:
    if not [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]:
        pytest.skip("no PostgreSQL: apt install postgresql")
    printed = run("storage.py", "--start", "--workers", "2", "--trials", "4")
    rows = re.findall(r"^\| (\w.*?) +\| 2 \| +(.*) \|$", printed, re.MULTILINE)
    assert [name for name, _ in rows] == [
        "Optuna's tables in PostgreSQL",
        "journal file",
        "journal in PostgreSQL",
    ]
    for _, row in rows:
        milliseconds, cpu, _, rate = (float(cell.replace(",", "")) for cell in row.split("|"))
        assert min(milliseconds, cpu, rate) > 0


def test_a_service_that_is_killed_under_load_loses_nothing() -> None:
    sizes = ("--clients", "8", "--trials", "40", "--think", "0.02", "--kills", "1")
    printed = run("service.py", *sizes, "--listeners", "3")
    assert "acknowledged trials 40: lost 0, epochs missing 0; slots done twice 0" in printed
    assert ", of 40 not done 0" in printed
    for what in ("ask", "report", "tell"):
        assert re.search(rf"^{what} +\d+ +p50 +[\d.]+ ms +p99 +[\d.]+ ms$", printed, re.MULTILINE)
    assert re.search(r"^3 listeners read [1-9]\d* events$", printed, re.MULTILINE)
