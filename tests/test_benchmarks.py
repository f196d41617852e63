"""The benchmarks run, and say what they compare. How fast is not for a test to say."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "HPSEARCH_DATA"}
    command = [sys.executable, "benchmarks/training.py", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_contenders_train_side_by_side() -> None:
    printed = run("--repeats", "1", "--only", "digits 64-100-10 ReLU, batch 100")
    found = dict(re.findall(r"^  ([\w-]+) +[\d.]+ ms  accuracy ([\d.]+)", printed, re.MULTILINE))
    assert {"ours", "scikit-learn"} <= found.keys() <= {"ours", "scikit-learn", "PyTorch", "JAX"}
    assert all(float(accuracy) > 0.9 for accuracy in found.values())
    for name in {"PyTorch", "JAX"} - found.keys():
        assert re.search(rf"^  {name} +not installed$", printed, re.MULTILINE)
    assert re.search(
        r"^\| digits 64-100-10 .* \| [\d.]+ \| [\d.]+ \(\d+%\) \|", printed, re.MULTILINE
    )


def test_what_cannot_run_here_is_skipped_with_the_reason() -> None:
    printed = run("--quick", "--only", "784-512")
    assert "  skipped: HPSEARCH_DATA is not set" in printed


def test_searches_side_by_side() -> None:
    printed = run("search.py", "--rounds", "1", "--trials", "4", "--grown", "42", "--only", "hpsea")
    rows = re.findall(r"^\| (hpsearch[^|]*?) +\| +([\d.]+) (?:\| +[\d.]+ ){3}\| +([\d.]+) \|", printed, re.M)
    assert [name for name, *_ in rows] == [
        "hpsearch, untracked",
        "hpsearch, 2 jobs, untracked",
        "hpsearch",
        "hpsearch, 2 jobs",
    ]
    assert all(float(rate) > 0 for _, rate, _ in rows)
    assert len({accuracy for *_, accuracy in rows}) == 1  # the same search, however it is run


