"""Compare storages that many processes share: what the reports of a trial cost.

    python benchmarks/storage.py postgresql://USER@HOST:PORT/DATABASE [--workers 1 8 32]
        [--trials 160] [--only "journal file"]

Each worker is a process with a connection of its own. A trial does what one of hpsearch does: its
slot and its process, four parameters, its configuration, twenty reports and its curves. Nothing is
trained, so that the storage is all there is. The time is that from the begin of the first trial to
the end of the last one. That of the processor is the workers' own; the server's is beside it, if it
runs on this machine. Each measurement has a schema of its own in the database, which is removed.

With Debian's PostgreSQL, in a temporary folder:

    python benchmarks/storage.py --start
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna
import psutil
import psycopg
from machine import processor

from hpsearch.execution.worker import SlotStorage
from hpsearch.storage.open import open_storage

REPORTS = 20
RDB, FILE, JOURNAL = "Optuna's tables in PostgreSQL", "journal file", "journal in PostgreSQL"
CONFIG = {f"key_{number}": number / 7 for number in range(26)}


@dataclass(frozen=True)
class Measurement:
    """What a trial cost, in milliseconds."""

    wall: float
    cpu: float
    server_cpu: float
    trials: int

    def row(self, name: str, workers: int) -> str:
        """Return a line of the table."""
        rate = 1000 * REPORTS / self.wall
        cells = (f"{self.wall:.1f}", f"{self.cpu:.1f}", f"{self.server_cpu:.1f}", f"{rate:,.0f}")
        return f"| {name} | {workers} | {' | '.join(cells)} |"


def objective(trial: optuna.Trial) -> float:
    """Report twenty epochs, and what else hpsearch stores of a trial."""
    total = sum(trial.suggest_float(f"x{number}", 0, 1) for number in range(4))
    trial.set_user_attr("setup", {"config": CONFIG, "metric": "val/accuracy", "seed": 0})
    for epoch in range(REPORTS):
        trial.report(total / (epoch + 1), epoch)
        trial.should_prune()
    trial.set_user_attr("curves", {"values": {"val/accuracy": [1 / 7] * REPORTS}})
    return total


def work(url: str, trials: int, together: Barrier, results: Queue[Any]) -> None:
    """Run trials; report the times of the first begin and of the last end, and that of the CPU."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    study = optuna.load_study(
        study_name="s",
        storage=SlotStorage(open_storage(url, patient=True)),
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.NopPruner(),
    )
    study.get_trials(deepcopy=False)
    together.wait()
    began, cpu = time.time(), time.process_time()
    study.optimize(objective, n_trials=trials)
    results.put((began, time.time(), time.process_time() - cpu))


def measure(url: str, workers: int, trials: int, postmaster: int | None) -> Measurement:
    """Run about `trials` trials in so many processes."""
    each = max(1, trials // workers)
    optuna.create_study(study_name="s", storage=open_storage(url))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hpsearch.storage.open", "psycopg", "sqlalchemy.orm"])
    together, results = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=work, args=(url, each, together, results)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    before = server_seconds(postmaster)
    found = [results.get(timeout=1200) for _ in processes]
    server = server_seconds(postmaster) - before
    for process in processes:
        process.join()
    done = optuna.load_study(study_name="s", storage=open_storage(url)).get_trials(deepcopy=False)
    assert len(done) == each * workers
    assert all(len(trial.intermediate_values) == REPORTS for trial in done)
    wall = max(end for _, end, _ in found) - min(began for began, _, _ in found)
    cpu = sum(seconds for *_, seconds in found)
    return Measurement(*(1000 * each / len(done) for each in (wall, cpu, server)), len(done))


def server_seconds(postmaster: int | None) -> float:
    """Return the seconds that a server on this machine has used, also in processes that ended."""
    if postmaster is None:
        return 0.0
    process = psutil.Process(postmaster)
    own = process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in process.children():
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return float(total)


@contextmanager
def place(name: str, address: str) -> Iterator[str]:
    """Make a place for a storage, yield its URL, and remove it."""
    if name == FILE:
        with tempfile.TemporaryDirectory() as folder:
            yield str(Path(folder) / "s.journal")
        return
    schema = f"benchmark_{uuid4().hex[:12]}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'create schema "{schema}"'.encode())
        try:
            if name == JOURNAL:
                yield f"journal+{address}?schema={schema}"
            else:
                driver = address.replace("postgresql:", "postgresql+psycopg:", 1)
                yield f"{driver}?options=-csearch_path%3D{schema}"
        finally:
            connection.execute(f'drop schema "{schema}" cascade'.encode())


def postmaster_of(address: str) -> int | None:
    """Return the process of the server if it runs on this machine."""
    with psycopg.connect(address) as connection:
        row = connection.execute("select pg_backend_pid()").fetchone()
        try:
            process = psutil.Process(row[0] if row else 0)
            return process.ppid() if "postgres" in process.name() else None
        except psutil.NoSuchProcess:
            return None


@contextmanager
def started_server() -> Iterator[str]:
    """Run a server of Debian's in a temporary folder while the block runs; yield its address."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None:
        sys.exit("no PostgreSQL: apt install postgresql, or give the address of a server")
    folder = tempfile.mkdtemp(dir="/tmp")
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    control = [*user, str(programs / "pg_ctl"), "-D", f"{folder}/data", "-w"]
    options = f"-k {folder} -p {port} -c listen_addresses=127.0.0.1 -c max_connections=100"

    def run(*words: str) -> None:
        subprocess.run([*control, *words], check=True, stdout=subprocess.DEVNULL, cwd=folder)

    run("init", "-o", "-U postgres -A trust")
    run("start", "-o", options, "-l", f"{folder}/log")
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        run("stop", "-m", "fast")
        shutil.rmtree(folder)


def compare(address: str, chosen: list[str], workers: list[int], trials: int) -> None:
    """Print the table."""
    print(f"{processor()}; a trial of {REPORTS} reports\n")
    print("| storage | workers | ms a trial | CPU ms | CPU ms of the server | reports a second |")
    print("|---|---|---|---|---|---|", flush=True)
    postmaster = postmaster_of(address)
    for name in chosen:
        for number in workers:
            with place(name, address) as url:
                server = None if name == FILE else postmaster
                print(measure(url, number, trials, server).row(name, number), flush=True)


def main() -> None:
    """Parse the command line, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("address", nargs="?", help="of a PostgreSQL server")
    parser.add_argument("--start", action="store_true", help="start a server of Debian's")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--trials", type=int, default=160)
    parser.add_argument("--only", nargs="+", default=[], help="only storages with these words")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    chosen = [
        name
        for name in (RDB, FILE, JOURNAL)
        if not given.only or any(each in name for each in given.only)
    ]
    if given.start:
        with started_server() as address:
            compare(address, chosen, given.workers, given.trials)
    elif given.address:
        compare(given.address, chosen, given.workers, given.trials)
    else:
        parser.error("give the address of a server, or --start")


if __name__ == "__main__":
    main()
