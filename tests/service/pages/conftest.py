"""Fixtures of the pages' tests: a service over a storage, answering on a port of this machine."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from optuna.trial import TrialState, create_trial

from hpsearch.search.study import run_study
from hpsearch.service.app import create_app
from hpsearch.service.dispatcher import RunPlan
from hpsearch.service.service import Service
from hpsearch.service.submission import Allowed
from hpsearch.workspace import Workspace

EVIL = "<img src=x onerror=window.hacked=1>"
SECONDS = 30


@contextmanager
def serving(storage, *, allowed=None, at_once=1, port=0) -> Iterator[tuple[Service, str]]:
    """Serve a storage in a thread; yield the service, and its address."""
    workspace = Workspace(str(storage), keep_open=True, tracked=False)
    service = Service(workspace, RunPlan(at_once=at_once), allowed or Allowed())
    config = uvicorn.Config(
        create_app(service), port=port, log_level="warning", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.02)
    assert server.started
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield service, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="package")
def make_small(make_settings):
    """A function that runs a small study with texts in it that would do harm as HTML."""

    def make(storage, name="small"):
        settings = make_settings(
            search={"trials": 6, "pruner": "median", "pruner_options": {"n_startup_trials": 2}},
            trial={"activation": {"choices": ["relu", "tanh"]}},
            enqueue=[{"label": EVIL, "learning_rate": 0.3}],
        )
        study = run_study(settings, storage=str(storage), name=name).study
        first = study.trials[0]
        kept = {key: first.user_attrs[key] for key in ("setup", "curves")}
        failed = {"slot": 6, "reason": f"ValueError: {EVIL}", "traceback": f"Traceback {EVIL}"}
        study.add_trial(
            create_trial(
                state=TrialState.FAIL,
                params=first.params,
                distributions=first.distributions,
                user_attrs=kept | failed,
            )
        )
        return study

    return make


@pytest.fixture(scope="package")
def served(make_small, tmp_path_factory):
    """A service that has the small study, and its address."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "data").mkdir()
    rows = [f"{n % 7},{n % 5},{'yes' if n % 3 else 'no'}" for n in range(600)]
    (folder / "data" / "flowers.csv").write_text("\n".join(["a,b,kind", *rows]))
    make_small(folder / "j")
    with serving(folder / "j", allowed=Allowed(data=folder / "data")) as made:
        yield made


@pytest.fixture
def service(served):
    """The service."""
    return served[0]


@pytest.fixture
def client(served):
    """A client of the service."""
    with httpx.Client(base_url=served[1], timeout=SECONDS) as made:
        yield made


@pytest.fixture(scope="package")
def serve():
    """`serving`, for tests with a storage of their own."""
    return serving


@pytest.fixture(scope="package")
def evil():
    """The text that would do harm."""
    return EVIL
