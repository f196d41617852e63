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
from hpsearch.storage import leases
from hpsearch.storage.leases import Lease, is_dead, leased, this_machine, this_process
from hpsearch.storage.open import open_storage
from hpsearch.trials import records
from hpsearch.trials.records import (
    LeaseRecord,
    ProcessId,
    leases_of,
    write_lease,
)

OTHER = "hpsearch.parent.0123"  # a key that no lease has


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
        ({"host": "elsewhere"}, False),  # a host can be renamed
        ({"machine": "elsewhere", "started": 1.5e9}, False),  # nothing is known about it
        ({"machine": "", "host": "elsewhere", "started": 1.5e9}, False),  # of version 0.1
        ({"machine": "", "started": 1.5e9}, True),
    ],
)
def test_a_process_is_known_by_machine_and_start(change, dead):
    assert is_dead(replace(this_process(), **change)) is dead


def test_a_trial_without_a_process_counts_as_dead():
    assert is_dead(None)


# Who runs a study


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(leases, "WATCH_SECONDS", 0.5)
    monkeypatch.setattr(leases, "WATCH_SECONDS_0_1", 0.5)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.02)


@pytest.fixture(params=["s.journal", "sqlite:///{}/s.db"])
def reopen(request, tmp_path):
    """A function that opens a study as another process would, and returns its storage as well."""
    url = request.param.format(tmp_path)
    url = url if "://" in url else str(tmp_path / url)
    optuna.create_study(storage=open_storage(url), study_name="s")

    def reopen():
        storage = open_storage(url)
        return storage, optuna.load_study(storage=storage, study_name="s")

    return reopen


def holders(reopen):
    return [lease.process for lease in leases_of(reopen()[1]).values()]


def leave_lease(reopen, renewed=0.0, key=OTHER, **changes):
    """Leave the lease of another process."""
    process = replace(this_process(), **changes)
    write_lease(reopen()[1], key, LeaseRecord(process, time.time() - 100, renewed))


def test_a_study_is_held_for_as_long_as_it_is_leased(reopen):
    with leased(*reopen()):
        (held,) = leases_of(reopen()[1]).values()
        assert held.process == this_process()
        with pytest.raises(StudyError) as error, leased(*reopen()):
            pass
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(held.since))
    assert str(error.value) == (
        f"study 's' is being run by process {os.getpid()} on {held.process.host} since {since}; "
        "stop that first"
    )
    assert holders(reopen) == []
    with leased(*reopen()):
        pass


def test_an_error_releases_the_study(reopen):
    with pytest.raises(RuntimeError), leased(*reopen()):
        raise RuntimeError
    assert holders(reopen) == []


@pytest.mark.parametrize("machine", [this_machine(), ""], ids=["now", "version 0.1"])
def test_a_dead_process_holds_nothing(reopen, machine):
    leave_lease(reopen, started=1.5e9, machine=machine)
    with leased(*reopen()):
        assert holders(reopen) == [this_process()]


@pytest.mark.parametrize(
    "elsewhere",
    [{"machine": "another boot"}, {"machine": "", "host": "elsewhere"}],
    ids=["a host of the same name", "version 0.1"],
)
def test_a_lease_on_another_machine_holds_while_it_is_renewed(reopen, elsewhere, caplog):
    leave_lease(reopen, **elsewhere)
    later = threading.Timer(0.1, leave_lease, [reopen, -5.0], elsewhere)  # by whatever clock
    later.start()
    with pytest.raises(StudyError, match="is being run by process"):
        Lease(*reopen()).acquire()
    later.join()
    assert "checking for up to" in caplog.text
    with leased(*reopen()):  # it was not renewed again
        assert holders(reopen) == [this_process()]


def test_a_released_lease_on_another_machine_is_not_waited_for(reopen, monkeypatch):
    monkeypatch.setattr(leases, "WATCH_SECONDS", 60.0)
    leave_lease(reopen, machine="another boot")
    threading.Timer(0.1, write_lease, [reopen()[1], OTHER, None]).start()
    started = time.monotonic()
    with leased(*reopen()):
        assert time.monotonic() - started < 30


def test_a_lease_is_renewed_while_its_holder_does_something_else(reopen):
    def renewed():
        (lease,) = leases_of(reopen()[1]).values()
        return lease.renewed

    with leased(*reopen()):
        before, until = renewed(), time.monotonic() + 20
        while renewed() == before:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_a_holder_that_was_taken_for_dead_finds_who_has_the_study(reopen, monkeypatch):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 60.0)
    with leased(*reopen()) as lease:
        assert lease.look()
        leave_lease(reopen, host="hostb", pid=12, machine="another boot")
        write_lease(reopen()[1], lease.key, None)
        assert not lease.look()
    assert str(lease.lost).startswith("study 's' was taken over by process 12 on hostb, which")
    (left,) = holders(reopen)
    assert left.host == "hostb"


def test_a_holder_that_was_frozen_finds_who_had_the_study_in_the_meantime(reopen, monkeypatch):
    times = {"RENEW_SECONDS": 60.0, "WATCH_SECONDS": 0.2, "POLL_SECONDS": 0.05}
    for name, seconds in times.items():
        monkeypatch.setattr(leases, name, seconds)
    with leased(*reopen()) as frozen:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(leases, "this_machine", lambda: "another boot")
            with leased(*reopen()) as taker:
                by = taker.record.process
        assert not frozen.look()
    sentence = f"study 's' was taken over by process {by.pid} on {by.host}, which had not seen"
    assert str(frozen.lost).startswith(sentence)


@pytest.mark.parametrize(("key", "loses"), [("~", True), (" ", False)])
def test_of_two_holders_that_both_go_on_one_stops(reopen, monkeypatch, key, loses):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 60.0)
    other = OTHER[: OTHER.rindex(".") + 1] + key  # sorts behind or before all others
    with leased(*reopen()) as lease:
        leave_lease(reopen, 1.0, other, machine="another boot")
        assert lease.look()
        leave_lease(reopen, 2.0, other, machine="another boot")
        assert lease.look() is not loses


def test_a_lease_that_gets_the_key_of_another_replaces_it(reopen, monkeypatch):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 60.0)
    with leased(*reopen()) as lease:
        leave_lease(reopen, key=lease.key, host="hostb", machine="another boot")
        assert not lease.look()
    assert "taken over by process" in str(lease.lost)
    (left,) = holders(reopen)
    assert left.host == "hostb"


def test_starts_leave_no_attribute_each(reopen, monkeypatch):
    monkeypatch.setattr(records, "LEASE_KEYS", 4)
    for _ in range(20):
        with leased(*reopen()):
            pass
    _, study = reopen()
    assert leases_of(study) == {}
    assert len(study.user_attrs) <= 4


def test_one_of_two_simultaneous_starts_runs_and_the_other_is_refused(reopen):
    holding, refused, together, leave = [], [], threading.Barrier(2), threading.Event()

    def start():
        opened = reopen()
        together.wait()
        try:
            with leased(*opened) as lease:
                holding.append(lease)
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
