"""A service that is killed loses nothing: its studies go on, and nothing runs twice."""

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import psutil
import pytest
from service_server import ELSEWHERE, until

from hpsearch.client import Client
from hpsearch.service.dispatcher import CHILD

SLOW = ELSEWHERE.replace('name = "elsewhere"', 'name = "slow"').replace(
    "clients = true", 'train = "slow.py:train"'
)
CODE = """\
import time
from pathlib import Path

def train(config, *, epochs):
    for epoch in range(epochs):
        time.sleep(0.02)
        while Path("wait").exists() and config["rate"] < 0.5:
            time.sleep(0.02)
        yield {"val/loss": config["rate"] / (epoch + 1)}
"""


@contextmanager
def process(folder, *options):
    """Run `hpsearch serve` in a folder; yields the process, and a client of it."""
    command = [sys.executable, "-m", "hpsearch", "serve", "--no-browser", "--no-tracking", *options]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as service:
        try:
            with Client(service.stdout.readline().strip(), patience=30) as client:
                yield service, client
        finally:
            service.kill()


@pytest.fixture
def folder(tmp_path):
    """A folder with a slow model, in which no process of a study is left behind."""
    (tmp_path / "slow.py").write_text(CODE)
    yield tmp_path
    for child in children(tmp_path):
        child.kill()


def children(folder):
    """The processes of studies that services in a folder have started."""
    found = (p for p in psutil.process_iter() if _is_child(p, folder))
    return [p for p in found if p.status() != psutil.STATUS_ZOMBIE]


def _is_child(candidate, folder):
    try:
        return CHILD in candidate.cmdline() and candidate.cwd() == str(folder)
    except psutil.Error:
        return False


def state(client, name):
    return client.study(name).state()["state"]


def test_studies_go_on_and_the_queue_stays(folder):
    options = ("--port", "0", "--trainables", str(folder), "--studies", "1")
    (folder / "wait").touch()
    with process(folder, *options) as (service, client):
        for name, priority in (("a", 0), ("b", 0), ("c", 1)):
            client.submit(SLOW, name=name, priority=priority)
        until(lambda: client.study("a").state()["running"])
        assert state(client, "b") == state(client, "c") == "queued"
        service.kill()
        service.wait()
    (child,) = children(folder)
    with process(folder, *options) as (service, client):
        until(lambda: state(client, "a") == "running")
        assert state(client, "b") == state(client, "c") == "queued"
        assert [each.pid for each in children(folder)] == [child.pid]
        (folder / "wait").unlink()
        until(lambda: {each["state"] for each in client.studies()} == {"finished"}, 120)
        began = {n: client.study(n).trials()[0]["started"] for n in "abc"}
        assert began["a"] < began["c"] < began["b"]
        for name in "abc":
            trials = client.study(name).trials()
            assert Counter(t["slot"] for t in trials if t["state"] == "complete") == Counter(
                range(6)
            )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_and_the_next_start_goes_on(folder, number):
    options = ("--port", "0", "--trainables", str(folder))
    with process(folder, *options) as (service, client):
        client.submit(SLOW, name="a")
        client.submit(ELSEWHERE, name="e")
        trial = client.study("e").ask("w")
        until(lambda: client.study("a").state()["complete"] >= 1)
        service.send_signal(number)
        assert service.wait(30) == 0
    assert children(folder) == []
    with process(folder, *options) as (_, client):
        assert client.study("e").ask("w").number == trial.number
        until(lambda: state(client, "a") == "finished", 120)
        trials = client.study("a").trials()
        assert Counter(t["slot"] for t in trials if t["state"] == "complete") == Counter(range(6))


def test_a_study_whose_process_dies_again_and_again_is_given_up(folder):
    (folder / "slow.py").write_text(
        "import os, signal\n\ndef train(config):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with process(folder, "--port", "0", "--trainables", str(folder)) as (_, client):
        study = client.submit(SLOW, name="a")
        found = until(lambda: study.state()["state"] == "failed" and study.state(), 120)
    assert found["said"] == "its process died 3 times, the last time with signal 9"


def test_a_study_of_the_command_line_is_shown_and_stopped(folder):
    command = [sys.executable, "-m", "hpsearch", "study", "slow.toml", "--no-tracking"]
    (folder / "slow.toml").write_text(SLOW.replace("trials = 6", "trials = 500"))
    with (
        process(folder, "--port", "0") as (_, client),
        subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as study,
    ):
        until(lambda: [each["state"] for each in client.studies()] == ["running"])
        assert client.studies()[0]["holder"].startswith(f"process {study.pid} on ")
        client.study("slow-random").stop()
        _, shown = study.communicate(timeout=30)
        assert study.returncode == 0
        assert "stopped on request with" in shown
        until(lambda: state(client, "slow-random") == "stopped")


def test_a_port_that_is_taken_is_one_sentence(folder):
    with process(folder, "--port", "0") as (_, client):
        port = client.url.rpartition(":")[2]
        command = [sys.executable, "-m", "hpsearch", "serve", "--port", port, "--no-browser"]
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env=dict(os.environ), check=False
        )
        assert run.returncode == 1
        sentence = f"Error: --port: 127.0.0.1:{port} cannot be used: Address already in use"
        assert run.stderr.startswith(sentence)
