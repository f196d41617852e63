"""How much the service takes: clients that ask, report and tell, and listeners, on this machine.

    python benchmarks/service.py [--clients 200] [--trials 2000] [--epochs 5] [--think 0.5]
                                 [--listeners 0] [--kills 0] [--sampler random] [--storage URL]

The clients are in a process of their own. Each trains one trial after the other: after each epoch
it waits for about --think seconds, as one that trains would, and reports. With --kills the service
is killed by SIGKILL so many times in between, and starts again at the same port; clients try again
until it answers. At the end everything that was acknowledged is compared with what the service
knows: told values, epochs, and each slot done once.

Prints requests a second, the time of an answer in the middle and of the slowest in a hundred, CPU a
request, and memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from machine import processor

from hpsearch.client import API, Client

STUDY = """\
name = "load"
[model]
clients = true
[search]
metric = "val/loss"
pruner = "none"
sampler = "{sampler}"
trials = {trials}
[trial]
epochs = {epochs}
rate = {{ low = 1e-4, high = 1.0, log = true }}
momentum = {{ low = 0.1, high = 0.9 }}
optimizer = {{ choices = ["sgd", "adam"] }}
"""
PAUSE = 0.1  # seconds between two tries of a request


@dataclass
class Load:
    """What the clients do, and what they have seen."""

    port: int
    epochs: int
    think: float
    told: dict[int, float] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[str] = field(default_factory=Counter)
    events: int = 0


class Connection:
    """One connection, which is opened again when it breaks: HTTP/1.1 with as little as it takes."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def post(self, what: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return the status and the answer; try again while there is none."""
        data = json.dumps(body).encode()
        head = f"POST {API}{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.load.port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        while True:
            started = time.perf_counter()
            try:
                status, answer = await self._send(head.encode() + data)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                self.load.refused["broken connection"] += 1
                self._close()
                await asyncio.sleep(PAUSE)
                continue
            self.load.seconds[what].append(time.perf_counter() - started)
            if status < 500:
                return status, answer
            self.load.refused[str(status)] += 1
            await asyncio.sleep(PAUSE)

    async def _send(self, request: bytes) -> tuple[int, Any]:
        if self.writer is None or self.reader is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.load.port)
        self.writer.write(request)
        await self.writer.drain()
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    def _close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


async def train(load: Load, name: str) -> None:
    """Train trials until there are no more."""
    connection = Connection(load)
    await asyncio.sleep(random.uniform(0, load.epochs * load.think))  # clients come one by one
    while True:
        _, given = await connection.post("ask", "/studies/load/trials", {"client_id": name})
        if given["done"]:
            return
        if given["trial"] is None:
            await asyncio.sleep(given["wait_seconds"])
            continue
        await train_trial(load, connection, name, given)


async def train_trial(load: Load, connection: Connection, name: str, given: Any) -> None:
    """Report every epoch of a trial, and complete it."""
    path = f"/studies/load/trials/{given['trial']}"
    losses = [{"val/loss": given["config"]["rate"] / epoch} for epoch in range(1, load.epochs + 1)]
    known = given["reported"]
    while known < load.epochs:
        await asyncio.sleep(load.think * random.uniform(0.5, 1.5))
        body = {"client_id": name, "first": known + 1, "epochs": [losses[known]]}
        status, answer = await connection.post("report", f"{path}/epochs", body)
        if status == 200:
            known = answer["reported"]
            continue
        load.refused[str(status)] += 1
        if status != 409:
            return
        _, again = await connection.post("ask", "/studies/load/trials", {"client_id": name})
        if again["trial"] != given["trial"]:
            return
        known = again["reported"]  # of a service that was killed: it gets the rest once more
    body = {"client_id": name, "epochs": load.epochs}
    status, answer = await connection.post("tell", f"{path}/complete", body)
    if status == 200:
        load.told[given["trial"]] = answer["value"]
    else:
        load.refused[str(status)] += 1  # asking again gives the trial back


async def listen(load: Load) -> None:
    """Read the events of the study as they come."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
            path, host = f"{API}/studies/load/events", f"127.0.0.1:{load.port}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            while line := await reader.readline():
                load.events += line.startswith(b"event:")
        except OSError:
            await asyncio.sleep(PAUSE)


async def run_clients(load: Load, clients: int, listeners: int) -> None:
    """Run all clients to their end, with listeners beside them."""
    listening = [asyncio.create_task(listen(load)) for _ in range(listeners)]
    await asyncio.gather(*(train(load, f"client-{number}") for number in range(clients)))
    for each in listening:
        each.cancel()
    await asyncio.gather(*listening, return_exceptions=True)


class Served:
    """The service, in a process of its own, which can be killed."""

    def __init__(self, folder: str, storage: str, port: int = 0) -> None:
        self.folder, self.storage = folder, storage
        self.cpu = 0.0
        self.start(port)

    def start(self, port: int) -> None:
        """Start it, and wait until it answers."""
        options = ["--port", str(port), "--no-browser", "--no-tracking", "--storage", self.storage]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hpsearch", "serve", *options],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rpartition(":")[2])
        self.known = psutil.Process(self.process.pid)

    def kill(self) -> None:
        """Kill it, and start it again at the same port."""
        self.cpu += self.seconds()
        self.process.kill()
        self.process.wait()
        self.start(self.port)

    def seconds(self) -> float:
        """Return the CPU that its process has used."""
        times = self.known.cpu_times()
        return float(times.user + times.system)

    def megabytes(self) -> float:
        """Return the memory of its process."""
        return float(self.known.memory_info().rss) / 1e6


async def measure(given: argparse.Namespace, served: Served) -> Load:
    """Run the clients, kill the service in between, and return what they have seen."""
    load = Load(served.port, given.epochs, given.think)
    running = asyncio.create_task(run_clients(load, given.clients, given.listeners))
    for number in range(given.kills):
        share = (number + 1) / (given.kills + 1)
        while len(load.told) < share * given.trials and not running.done():
            await asyncio.sleep(0.05)
        await asyncio.to_thread(served.kill)
    await running
    return load


def check(load: Load, served: Served, trials: int) -> str:
    """Return what is wrong with what the service knows, compared with what it acknowledged."""
    with Client(served.url) as client:
        known = {each["number"]: each for each in client.study("load").trials()}
    lost = [number for number, value in load.told.items() if known[number]["value"] != value]
    short = [n for n in load.told if known[n]["epochs"] != load.epochs]
    done = Counter(each["slot"] for each in known.values() if each["state"] == "complete")
    twice = [slot for slot, times in done.items() if times > 1]
    return (
        f"acknowledged trials {len(load.told)}: lost {len(lost)}, epochs missing {len(short)}; "
        f"slots done twice {len(twice)}, of {trials} not done {trials - len(done)}"
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--think", type=float, default=0.5)
    parser.add_argument("--listeners", type=int, default=0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--storage", default="load.journal")
    given = parser.parse_args()
    print(processor())
    with TemporaryDirectory() as folder:
        served = Served(folder, given.storage)
        try:
            file = STUDY.format(sampler=given.sampler, trials=given.trials, epochs=given.epochs)
            with Client(served.url) as client:
                client.submit(file, name="load")
            before, began = served.seconds(), time.perf_counter()
            memory = served.megabytes()
            load = asyncio.run(measure(given, served))
            seconds = time.perf_counter() - began
            cpu = served.cpu + served.seconds() - before
            requests = sum(map(len, load.seconds.values()))
            print(
                f"{given.clients} clients, {given.sampler}: {requests} requests in "
                f"{seconds:.1f} s, {requests / seconds:.0f} a second; "
                f"{1000 * cpu / requests:.2f} ms of CPU a request"
            )
            print(f"memory {memory:.0f} MB before, {served.megabytes():.0f} MB after")
            for what, times in load.seconds.items():
                ordered = sorted(times)
                middle, slow = (1000 * ordered[int(q * (len(ordered) - 1))] for q in (0.5, 0.99))
                print(f"{what:7} {len(times):7}   p50 {middle:6.1f} ms   p99 {slow:7.1f} ms")
            if given.listeners:
                print(f"{given.listeners} listeners read {load.events} events")
            if load.refused:
                print("tried again:", ", ".join(f"{n} {what}" for what, n in load.refused.items()))
            print(check(load, served, given.trials))
        finally:
            served.process.kill()


if __name__ == "__main__":
    main()
