"""Live and dead processes are recognized, and at most one process at a time runs a study."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import optuna
import psutil
import pytest

from hpsearch.errors import StudyError
from hpsearch.storage.leases import (
    LEASE_SECONDS,
    Lease,
    holder,
    is_dead,
    leased,
    this_process,
)
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import LeaseRecord, ProcessId, new_lease_key, write_lease

OTHER = new_lease_key()


@pytest.fixture
def child():
    """Another process, and its id."""
    code = (
        "import json, sys; from dataclasses import asdict; "
        "from hpsearch.storage.leases import this_process; "
        "print(json.dumps(asdict(this_process())), flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        yield process, ProcessId(**json.loads(process.stdout.readline()))
        process.kill()


def test_this_process_is_alive():
    assert this_process().pid == os.getpid()
    assert this_process() == this_process()
    assert not is_dead(this_process())
    stored = json.loads(json.dumps(asdict(this_process())))
    assert not is_dead(ProcessId(**stored))


def test_a_killed_process_is_dead_first_as_a_zombie_and_then_gone(child):
    process, described = child
    assert described.pid == process.pid
    assert not is_dead(described)

    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # wait, but leave it unreaped
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert is_dead(described)

    process.wait()
    assert not psutil.pid_exists(process.pid)
    assert is_dead(described)


@pytest.mark.parametrize(
    ("change", "dead"),
    [
        ({"started": 1.5e9}, True),  # another process has its number now
        ({"host": "elsewhere"}, False),  # nothing is known about it
        ({"host": "elsewhere", "started": 1.5e9}, False),
    ],
)
def test_a_process_is_known_by_host_and_start(change, dead):
    assert is_dead(replace(this_process(), **change)) is dead


def test_a_trial_without_a_process_counts_as_dead():
    assert is_dead(None)


# Who runs a study


@pytest.fixture(params=["s.journal", "sqlite:///{}/s.db"])
def reopen(request, tmp_path):
    """A function that opens a study as another process would."""
    url = request.param.format(tmp_path)
    url = url if "://" in url else str(tmp_path / url)
    optuna.create_study(storage=open_storage(url), study_name="s")
    return lambda: optuna.load_study(storage=open_storage(url), study_name="s")


def leave_lease(reopen, renewed=None, **changes):
    """Leave the lease of another process."""
    process = replace(this_process(), **changes)
    record = LeaseRecord(process, time.time() - 100, time.time() if renewed is None else renewed)
    write_lease(reopen(), OTHER, record)


def test_a_study_is_held_for_as_long_as_it_is_leased(reopen):
    study = reopen()
    assert holder(study) is None
    with leased(study):
        held = holder(reopen())
        assert held.process == this_process()
        with pytest.raises(StudyError) as error, leased(reopen()):
            pass
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(held.since))
    assert str(error.value) == (
        f"study 's' is being run by process {os.getpid()} on {held.process.host} since {since}; "
        "stop that first"
    )
    assert holder(reopen()) is None
    with leased(reopen()):
        pass


def test_an_error_releases_the_study(reopen):
    with pytest.raises(RuntimeError), leased(reopen()):
        raise RuntimeError
    assert holder(reopen()) is None


def test_a_dead_process_holds_nothing(reopen):
    leave_lease(reopen, started=1.5e9)
    with leased(reopen()):
        pass


def test_a_lease_from_another_host_holds_while_it_is_renewed(reopen):
    leave_lease(reopen, host="elsewhere")
    with pytest.raises(StudyError, match="on elsewhere since"):
        Lease(reopen()).acquire()
    leave_lease(reopen, host="elsewhere", renewed=time.time() - LEASE_SECONDS - 1)
    with leased(reopen()):
        pass


def test_one_of_two_simultaneous_starts_runs_and_the_other_names_it(reopen):
    holding, refused, together, leave = [], [], threading.Barrier(2), threading.Event()

    def start():
        study = reopen()
        together.wait()
        try:
            with leased(study):
                holding.append(holder(study))
                leave.wait(20)
        except StudyError as error:
            refused.append(str(error))
            leave.set()

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(holding), len(refused)) == (1, 1)
    assert "is being run by process" in refused[0]
