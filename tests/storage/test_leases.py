"""The living are told from the dead, and of two processes one at most runs a study."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import optuna
import psutil
import pytest

from hpsearch.errors import StudyError
from hpsearch.storage.leases import (
    CLAIM,
    CLAIM_SECONDS,
    Claim,
    claimed,
    holder,
    is_dead,
    this_process,
)
from hpsearch.storage.open import open_storage


@pytest.fixture
def child():
    """Another process, and how it describes itself."""
    code = (
        "import json, sys; from hpsearch.processes import this_process; "
        "print(json.dumps(this_process()), flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        yield process, json.loads(process.stdout.readline())
        process.kill()


def test_this_process_is_alive():
    assert this_process()["pid"] == os.getpid()
    assert this_process() == this_process()
    assert not is_dead(this_process())
    assert not is_dead(json.loads(json.dumps(this_process())))


def test_a_killed_process_is_dead_first_as_a_zombie_and_then_gone(child):
    process, described = child
    assert described["pid"] == process.pid
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
        ({"started": 1.5e9}, True),  # its number went to another process
        ({"host": "elsewhere"}, False),  # nothing is known of it
        ({"host": "elsewhere", "started": 1.5e9}, False),
    ],
)
def test_a_process_is_known_by_host_and_start(change, dead):
    assert is_dead(this_process() | change) is dead


def test_a_trial_that_does_not_say_whose_it_is_has_nobody():
    assert is_dead(None)


# Who runs a study


@pytest.fixture(params=["s.journal", "sqlite:///{}/s.db"])
def reopen(request, tmp_path):
    """A function that opens a study as another process would."""
    url = request.param.format(tmp_path)
    url = url if "://" in url else str(tmp_path / url)
    optuna.create_study(storage=open_storage(url), study_name="s")
    return lambda: optuna.load_study(storage=open_storage(url), study_name="s")


def claim_of(reopen, **changes):
    """Leave a claim of another process, as it would have left it."""
    claim = {**this_process(), "since": time.time() - 100, "renewed": time.time(), **changes}
    reopen().set_user_attr(f"{CLAIM}other", claim)
    return claim


def test_a_study_is_held_for_as_long_as_it_is_claimed(reopen):
    study = reopen()
    assert holder(study) is None
    with claimed(study):
        held = holder(reopen())
        assert (held["pid"], held["host"]) == (os.getpid(), this_process()["host"])
        with pytest.raises(StudyError) as error, claimed(reopen()):
            pass
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(held["since"]))
    assert str(error.value) == (
        f"study 's' is being run by process {os.getpid()} on {held['host']} since {since}; "
        "stop that first"
    )
    assert holder(reopen()) is None
    with claimed(reopen()):
        pass


def test_an_error_releases_the_study(reopen):
    with pytest.raises(RuntimeError), claimed(reopen()):
        raise RuntimeError
    assert holder(reopen()) is None


def test_the_dead_hold_nothing(reopen):
    claim_of(reopen, started=1.5e9)
    with claimed(reopen()):
        pass


def test_a_claim_from_elsewhere_holds_while_it_is_renewed(reopen):
    claim_of(reopen, host="elsewhere")
    with pytest.raises(StudyError, match="on elsewhere since"):
        Claim(reopen()).take()
    claim_of(reopen, host="elsewhere", renewed=time.time() - CLAIM_SECONDS - 1)
    with claimed(reopen()):
        pass


def test_of_two_that_start_at_once_one_runs_and_the_other_says_who(reopen):
    holding, refused, together, leave = [], [], threading.Barrier(2), threading.Event()

    def start():
        study = reopen()
        together.wait()
        try:
            with claimed(study):
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
