"""Compare what the engines add to a trial: worker processes, loky and a Dask cluster.

    python benchmarks/engines.py [--rounds 3] [--trials 200] [--sleepers 200] [--only loky]

All run the same study of trials that take no time, on two workers of this machine, each engine in
a process of its own, with fresh stores in a temporary folder; they take turns. The trials of the
first quarter, in which workers are started, do not count. CPU is that of all processes, and the
coordinator's is that of the process that ran the study: it can start no more trials a second than
that allows.

With --sleepers the coordinator hands out slots to as many Dask workers that only sleep for a
second, which shows at how many trials a second it bends.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from machine import processor

ENGINES = ("worker processes", "loky", "Dask")
WORKERS = 2
EPOCHS = 20
SECONDS = 1.0  # that a sleeper sleeps
THREADS = 25  # sleepers in a process
Measured = dict[str, float]


def train(config: Any, *, epochs: int) -> Iterator[dict[str, float]]:
    """Yield a value for each epoch, and take no time for it."""
    for epoch in range(epochs):
        yield {"val/loss": config["rate"] / (1 + epoch)}


@contextmanager
def cluster(workers: int, threads: int = 1) -> Iterator[str]:
    """Provide the address of a Dask scheduler with so many workers, all processes of their own."""
    from distributed import Client

    file, dask = Path("scheduler.json"), [sys.executable, "-m", "dask"]
    options = ["--scheduler-file", str(file), "--no-dashboard"]
    commands = [
        [*dask, "scheduler", "--port", "0", "--host", "127.0.0.1", *options],
        [*dask, "worker", *options, "--nworkers", str(workers), "--nthreads", str(threads)],
    ]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen(command, **quiet) for command in commands]
    try:
        while not file.is_file() or not file.read_text():
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers)
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def measure(engine: str, tracked: bool, trials: int) -> Measured:
    """Run a study on an engine, in this process; return seconds and CPU seconds a trial."""
    from hpsearch import Tracker, load_settings, run_study

    (Path.cwd() / "own.toml").write_text(
        f'[model]\ntrain = "{Path(__file__).name}:train"\n[search]\nmetric = "val/loss"\n'
        f'sampler = "random"\npruner = "none"\ntrials = {trials}\n'
        f"[trial]\nepochs = {EPOCHS}\nrate = {{ low = 0.1, high = 1.0 }}\n"
    )
    (Path.cwd() / Path(__file__).name).write_bytes(Path(__file__).read_bytes())
    marks: list[tuple[int, float, float, float]] = []
    counts = [trials // 4, trials - WORKERS]  # before workers end, and their times are gone

    def mark(progress: Any) -> None:
        if len(marks) < len(counts) and progress.done >= counts[len(marks)]:
            marks.append((progress.done, time.perf_counter(), *_cpu()))

    with ExitStack() as stack:
        where: dict[str, Any] = {"jobs": WORKERS}
        if engine == "loky":
            from loky import get_reusable_executor

            where["executor"] = get_reusable_executor(WORKERS)
        elif engine == "Dask":
            where = {"cluster": stack.enter_context(cluster(WORKERS))}
        tracker = Tracker() if tracked else None
        settings = load_settings("own.toml")
        run_study(settings, storage="s.journal", tracker=tracker, on_progress=mark, **where)
    (first, start, own, everybody), (last, end, own_end, everybody_end) = marks
    count = last - first
    return {
        "seconds": (end - start) / count,
        "cpu": (everybody_end - everybody) / count,
        "coordinator": (own_end - own) / count,
    }


def _cpu() -> tuple[float, float]:
    """Return the CPU seconds of this process, and of it and all that it has started."""
    own = time.process_time()
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return own, own + sum(each.user + each.system for each in times)


def asleep(trial: Any) -> Any:
    """Sleep, and return the trial as the outcome of a slot."""
    from hpsearch.execution.engines.slot_task import SlotOutcome

    time.sleep(SECONDS)
    return SlotOutcome(trial)


def sleepers(workers: int, trials: int) -> Measured:
    """Hand out slots to workers that sleep; return trials a second, and the coordinator's CPU."""
    import optuna

    from hpsearch.execution.coordinator import Coordinator, RunOptions, Work
    from hpsearch.execution.engines.dask import DaskEngine
    from hpsearch.execution.objective import Objective
    from hpsearch.execution.worker import WorkerTask
    from hpsearch.settings.study import load_settings
    from hpsearch.storage.leases import leased
    from hpsearch.storage.open import open_storage

    class Sleepers(DaskEngine):
        def capacity(self) -> int:
            return workers

        def submit(self, _start: Any, slot: int) -> Future[Any]:
            trial = optuna.trial.create_trial(value=0.5, user_attrs={"slot": slot})
            trial.number = slot
            found: Future[Any] = self.executor.submit(asleep, trial)
            return found

    settings = load_settings("digits").replace(search={"trials": trials, "sampler": "random"})
    storage = open_storage("s.journal")
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    with cluster(max(1, workers // THREADS), THREADS) as address, leased(storage, study) as lease:
        work = Work(settings=settings, slots=range(trials))
        coordinator = Coordinator(storage, lease, work, RunOptions(storage="s.journal"))
        start, cpu = time.perf_counter(), time.process_time()
        objective = Objective(settings)
        Sleepers(address).run(coordinator, objective, WorkerTask("s", "s.journal", None))
        seconds, used = time.perf_counter() - start, time.process_time() - cpu
    return {"rate": trials / seconds, "coordinator": used / trials}


def in_own_process(*arguments: str) -> Measured:
    """Run this script with arguments in a process and a folder of its own."""
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(here.parent.parent), str(here.parent)])
    environment = os.environ | {"PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(here), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{arguments} failed:\n{done.stderr}")
    found: Measured = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run the engines in turn, and print their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--sleepers", type=int, nargs="*", default=[])
    parser.add_argument("--only", nargs="*", default=ENGINES)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--asleep", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], given.one[1] == "tracked", given.trials)))
        return
    if given.asleep:
        print(json.dumps(sleepers(given.asleep, given.trials)))
        return
    contenders = [(name, how) for how in ("untracked", "tracked") for name in given.only]
    measured: dict[tuple[str, str], list[Measured]] = {each: [] for each in contenders}
    for _ in range(given.rounds):
        for name, how in contenders:
            found = in_own_process("--trials", str(given.trials), "--one", name, how)
            measured[name, how].append(found)
    print(f"{processor()}; {WORKERS} workers, {given.trials} trials of {EPOCHS} reports\n")
    print("| engine | | ms a trial | CPU ms | coordinator's CPU ms | so at most, a second |")
    print("|---|---|---:|---:|---:|---:|")
    for (name, how), rounds in measured.items():
        middle = {key: 1000 * median(each[key] for each in rounds) for key in rounds[0]}
        print(
            f"| {name} | {how} | {middle['seconds']:.1f} | {middle['cpu']:.1f} | "
            f"{middle['coordinator']:.1f} | {1000 / middle['coordinator']:.0f} |"
        )
    for workers in given.sleepers:
        found = in_own_process("--trials", str(10 * workers), "--asleep", str(workers))
        print(
            f"\n{workers} workers that sleep for {SECONDS:g} s: {found['rate']:.0f} trials a "
            f"second, coordinator {1000 * found['coordinator']:.1f} ms of CPU a trial"
        )


if __name__ == "__main__":
    main()
