"""Nonsense gets a problem, and no bug: requests that follow the OpenAPI document, and break it."""

from contextlib import suppress

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from service_server import ELSEWHERE

from hpsearch.client import API

EXAMPLES = 12  # of each kind, of each route
SLOW = (
    "events",
    "report",
    "export",
    "compare",
    "journal",
    "narrow",
    "mlflow",
)  # they read or train


def test_no_request_is_a_bug(client):
    study = client.submit(ELSEWHERE.replace("trials = 6", "trials = 500"), name="e")
    study.ask("a").report({"val/loss": 0.5})
    study.ask("b").complete({"val/loss": 0.4})
    schema = schemathesis.openapi.from_url(f"{client.url}{API}/openapi.json")
    seen = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.rpartition("/")[2] in SLOW:
            continue
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            with suppress(Unsatisfiable):  # a request without a part that could be wrong
                try_out(operation, mode, seen)
    assert len(seen) >= 16
    bugs = {name: codes for name, codes in seen.items() if any(code >= 500 for code in codes)}
    assert bugs == {}
    assert study.state()["state"] in ("running", "stopped", "finished", "deleting")


def try_out(operation, mode, seen):
    """Send requests to an operation, and note the status of each answer."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case):
        answer = case.call(timeout=30)
        seen.setdefault(operation.label, set()).add(answer.status_code)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == ["application/problem+json"]

    send()
