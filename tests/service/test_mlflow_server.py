"""MLflow's server as a child of the service: it comes back when it dies, and ends when we do."""

import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpsearch.service import mlflow_server
from hpsearch.service.mlflow_server import MlflowServer, needs_server
from hpsearch.tracking import server, tied
from hpsearch.workspace import Workspace

ANSWERS = """
import asyncio, sys
async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
    writer.close()
async def main():
    async with await asyncio.start_unix_server(answer, sys.argv[1]) as server:
        await server.serve_forever()
asyncio.run(main())
"""


def until(true, seconds=60):
    """Wait until a function returns something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


@pytest.fixture
def run_instead(monkeypatch):
    """A function that replaces MLflow's server by other programs, one after the other."""
    started = []

    def run_instead(*programs):
        def start(_uri, options):
            assert options[:2] == ["--static-prefix", "/mlflow"]
            socket = shlex.split(options[-1])[-1]
            program = programs[min(len(started), len(programs) - 1)]
            command = [sys.executable, "-c", program, socket]
            started.append(
                subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
            )
            return started[-1]

        monkeypatch.setattr(server, "_start_server", start)
        monkeypatch.setattr(mlflow_server, "FIRST_WAIT", 0.05)
        return started

    return run_instead


def test_it_is_started_again_when_it_dies_and_ends_with_the_block(run_instead, mlflow_uri, caplog):
    started = run_instead(ANSWERS)
    with MlflowServer(mlflow_uri) as running:
        assert running.state.startswith("MLflow's server is starting")
        folder = Path(running.socket).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700  # nobody else's
        for number in range(3):
            until(lambda: not running.state)
            started[number].kill()
            until(lambda n=number: len(started) > n + 1)
        until(lambda: not running.state)
    assert not folder.exists()
    assert [process.poll() is not None for process in started] == [True] * 4
    assert [each.getMessage() for each in caplog.records] == [
        "MLflow's server ended with code -9; it is started again"
    ]


def test_one_that_cannot_start_says_so_once_and_is_tried_again(run_instead, mlflow_uri, caplog):
    started = run_instead("raise SystemExit(3)", "raise SystemExit(3)", ANSWERS)
    with MlflowServer(mlflow_uri) as running:
        until(lambda: not running.state)
    assert len(started) == 3
    (record,) = caplog.records
    assert record.getMessage().startswith("MLflow's server ended with code 3; run `mlflow server")


def test_it_can_be_ended_while_it_starts(run_instead, mlflow_uri):
    started = run_instead("import time; time.sleep(600)")
    with MlflowServer(mlflow_uri):
        until(lambda: started)
    assert started[0].poll() is not None
    assert len(started) == 1


def test_a_store_that_cannot_be_used_is_a_sentence(tmp_path, caplog):
    with MlflowServer(f"sqlite:///{tmp_path / 'no' / 'mlflow.db'}") as running:
        until(lambda: caplog.records)
        assert "mlflow.db" in running.state


STARTER = """
import subprocess, sys, time
command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
child = subprocess.Popen(
    [sys.executable, "-I", sys.argv[1], *command],
    stdin=subprocess.PIPE, start_new_session=True, stdout=subprocess.PIPE,
)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def group_is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    # Where nobody reaps orphans, what has ended stays as a zombie.
    states = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True).stdout
    left = [line.split() for line in states.splitlines()]
    return all(stat.startswith("Z") for pgid, stat in left if int(pgid) == group)


def test_what_is_tied_ends_when_its_starter_is_killed():
    command = [sys.executable, "-c", STARTER, tied.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        group = int(starter.stdout.readline())
        assert not group_is_gone(group)
        starter.kill()
    until(lambda: group_is_gone(group))


def test_what_is_tied_ends_by_a_signal_to_its_group_and_hands_on_the_exit_code():
    for program, code in [("raise SystemExit(3)", 3), ("import time; time.sleep(600)", None)]:
        command = [sys.executable, "-I", tied.__file__, sys.executable, "-c", program]
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
            if code is None:
                time.sleep(0.5)  # a signal before it listens ends it as well
                os.killpg(process.pid, signal.SIGTERM)
            ended = process.wait(timeout=60)
            assert ended == code if code is not None else ended != 0
            assert group_is_gone(process.pid)


def test_where_a_tracking_server_exists_none_is_started():
    assert not needs_server(Workspace("no.journal", "https://mlflow.example/team/"))
    assert needs_server(Workspace("no.journal", "sqlite:///mlflow.db"))
    assert not needs_server(Workspace("no.journal", "sqlite:///mlflow.db", tracked=False))
