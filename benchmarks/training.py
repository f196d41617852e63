"""Compare the speed of a training in hpsearch, scikit-learn, PyTorch and JAX.

    python benchmarks/training.py [--quick] [--repeats 11] [--threads 2] [--only digits]

Each contender runs in its own process, pinned to one core with one BLAS thread (`--threads` gives
it more). They train in turn, so that a noisy moment affects all of them, and a ratio is the median
of the turns' ratios. Before the first turn, each trains once unmeasured, so that compilation does
not count. Accuracies on the validation rows, or R² of a number, are printed beside the times.

MNIST must be in $HPSEARCH_DATA/mnist. PyTorch and JAX take part if they are installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing.connection import Connection
from statistics import median
from time import perf_counter
from typing import Any

# Only the contenders' processes import NumPy, after their number of threads is set.
PACKAGES = {"scikit-learn": "sklearn", "PyTorch": "torch", "JAX": "jax"}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
REPEATS, QUICK_REPEATS = 11, 3


@dataclass(frozen=True)
class Workload:
    """A network to train; `aims` says how many times as fast as each peer it should be."""

    title: str
    source: str
    options: dict[str, Any]
    aims: dict[str, float] = field(default_factory=dict)
    train_limit: int | None = None

    @property
    def measure(self) -> str:
        """What a contender's score is."""
        return "R²" if self.options.get("loss") == "squared_error" else "accuracy"


WORKLOADS = [
    Workload(
        "digits 64-100-10 ReLU, batch 32, momentum, 20 epochs",
        "digits",
        {"batch_size": 32},
        {"scikit-learn": 4.5, "PyTorch": 6, "JAX": 0.8},
    ),
    Workload(
        "digits 64-100-10 ReLU, batch 100, Adam, 20 epochs",
        "digits",
        {"optimizer": "adam", "learning_rate": 0.001},
        {"scikit-learn": 4, "PyTorch": 4, "JAX": 0.8},
    ),
    Workload(
        "784-6×100-10 ReLU, 400 MNIST rows, batch 100, SGD, 50 epochs",
        "mnist",
        {"hidden_layer_sizes": (100,) * 6, "optimizer": "sgd", "epochs": 50},
        {"scikit-learn": 1.7, "PyTorch": 1.4, "JAX": 0.85},
        train_limit=400,
    ),
    Workload(
        "784-178-46-10 tanh, dropout, batch 60, momentum, one epoch of 48,000 rows",
        "mnist",
        {"hidden_layer_sizes": (178, 46), "activation": "tanh", "dropout": 0.2, "batch_size": 60}
        | {"epochs": 1},
        {"scikit-learn": 1.7, "PyTorch": 1.9, "JAX": 0.9},
    ),
    Workload(
        "784-512-512-10 ReLU, batch 128, Adam, one epoch of 48,000 rows",
        "mnist",
        {"hidden_layer_sizes": (512, 512), "optimizer": "adam", "learning_rate": 0.001}
        | {"batch_size": 128, "epochs": 1},
        {"scikit-learn": 1.5, "PyTorch": 1, "JAX": 0.8},
    ),
    Workload(
        "784-100-100-10 ReLU, batch norm, batch 100, momentum, one epoch of 48,000 rows",
        "mnist",
        {"hidden_layer_sizes": (100, 100), "batch_norm": "before", "epochs": 1},
        {"PyTorch": 1},
    ),
    Workload(
        "784-100-100-10 ReLU, dropout, batch 100, momentum, one epoch of 48,000 rows",
        "mnist",
        {"hidden_layer_sizes": (100, 100), "dropout": 0.5, "epochs": 1},
        {"PyTorch": 1},
    ),
    Workload(
        "diabetes 10-100-1 ReLU, a number, batch 32, Adam, 50 epochs",
        "diabetes",
        {"loss": "squared_error", "optimizer": "adam", "learning_rate": 0.001, "batch_size": 32}
        | {"epochs": 50},
        {"scikit-learn": 5, "PyTorch": 8},
    ),
]


def serve(pipe: Connection, name: str, workload: Workload, threads: int) -> None:
    """Run a contender: train at each request, and answer with the seconds and the score."""
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    from contenders import CONTENDERS, Task, sgemm_peak

    from model import TrainConfig, load_dataset

    data = load_dataset(workload.source, train_limit=workload.train_limit)
    task = Task(data, TrainConfig(**workload.options), threads)
    run = CONTENDERS[name](task)
    run()
    pipe.send((task.flops, sgemm_peak()))
    while pipe.recv():
        start = perf_counter()
        predict = run()
        pipe.send((perf_counter() - start, task.score(predict)))


class Opponent:
    """A contender in its own process, warmed up and waiting for its turns."""

    def __init__(self, name: str, workload: Workload, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, workload, threads))
        self.process.start()
        theirs.close()
        self.flops, self.peak = self.pipe.recv()
        self.seconds: list[float] = []
        self.score = 0.0

    def turn(self) -> None:
        """Train once, and record the seconds and the score."""
        self.pipe.send(True)
        seconds, self.score = self.pipe.recv()
        self.seconds.append(seconds)

    def stop(self) -> None:
        """End the process."""
        self.pipe.send(False)
        self.process.join()


def compete(workload: Workload, threads: int, repeats: int) -> dict[str, Opponent]:
    """Let all installed contenders train in turn, and return them."""
    peers = [name for name in workload.aims if find_spec(PACKAGES[name])]
    opponents = {name: Opponent(name, workload, threads) for name in ["ours", *peers]}
    for _ in range(repeats):
        for opponent in opponents.values():
            opponent.turn()
    for opponent in opponents.values():
        opponent.stop()
    return opponents


def ratio(peer: Opponent, ours: Opponent) -> float:
    """Return how many times as fast ours is: the median over the turns."""
    return median(theirs / own for theirs, own in zip(peer.seconds, ours.seconds, strict=True))


def report(workload: Workload, opponents: dict[str, Opponent]) -> str:
    """Print a line for each contender; return the workload's row of the table."""
    ours = opponents["ours"]
    speed, peak = ours.flops / median(ours.seconds) / 1e9, ours.peak / 1e9
    cells = [workload.title, milliseconds(ours), f"{speed:.1f} ({speed / peak:.0%})"]
    print(
        result("ours", ours, workload),
        f"{speed:.1f} GFLOP/s, {speed / peak:.0%} of sgemm's {peak:.0f}",
    )
    for name in PACKAGES:
        cell = ""
        if name in opponents:
            cell = f"{ratio(opponents[name], ours):.2f}"
            aim = f"ours is {cell}x as fast (aim {workload.aims[name]:g}x)"
            print(result(name, opponents[name], workload), aim)
        elif name in workload.aims:
            cell = "not installed"
            print(f"  {name:13}{cell}")
        cells.append(cell)
    print(flush=True)
    return f"| {' | '.join(cells)} |"


def result(name: str, opponent: Opponent, workload: Workload) -> str:
    """Return a contender's time and score as a line."""
    time = milliseconds(opponent)
    return f"  {name:13}{time:>8} ms  {workload.measure} {opponent.score:.4f} "


def milliseconds(opponent: Opponent) -> str:
    """Return the median time of the turns."""
    return f"{1000 * median(opponent.seconds):.1f}"


def reason_to_skip(workload: Workload) -> str:
    """Return why the workload cannot run here, or "" if it can."""
    if workload.source == "mnist" and "HPSEARCH_DATA" not in os.environ:
        return "HPSEARCH_DATA is not set to the folder that holds mnist"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_REPEATS} turns, not {REPEATS}"
    )
    parser.add_argument("--repeats", type=int, help="number of turns")
    parser.add_argument("--threads", type=int, default=1, help="cores and BLAS threads for each")
    parser.add_argument("--only", default="", help="workloads with this in their title")
    options = parser.parse_args()
    repeats = options.repeats or (QUICK_REPEATS if options.quick else REPEATS)
    os.environ.pop("OPENBLAS_CORETYPE", None)  # every library chooses its own kernels
    os.environ |= dict.fromkeys(THREADS, str(options.threads))
    rows = []
    for workload in WORKLOADS:
        if options.only in workload.title:
            print(workload.title, flush=True)
            if why := reason_to_skip(workload):
                print(f"  skipped: {why}\n")
            else:
                rows.append(report(workload, compete(workload, options.threads, repeats)))
    print("| Workload | ms | GFLOP/s (of sgemm) | ÷ scikit-learn | ÷ PyTorch | ÷ JAX |")
    print("|---|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
