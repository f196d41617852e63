"""The pages as HTML: what they show, how they escape it, and their errors."""

import asyncio
import html
import re

import httpx
import optuna
import pytest
from fastapi import FastAPI

from hpsearch.service.api.schemas import EXAMPLE_SPACE
from hpsearch.service.pages.routes import pages_router
from hpsearch.service.tokens import User
from hpsearch.storage.open import open_storage
from hpsearch.workspace import Workspace

PAGES = [
    "/",
    "/new",
    "/new?narrow=small",
    "/studies/small",
    "/studies/small/trials/0",
    "/studies/small/trials/6",
    "/compare?names=small&names=small",
    "/studies/nope",
]


@pytest.mark.parametrize("address", PAGES)
def test_a_page_has_no_code_of_its_own_and_loads_from_here(client, address):
    answer = client.get(address)
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    scripts = re.findall(r"<script([^>]*)>", answer.text)
    assert all("src=" in each or 'type="application/json"' in each for each in scripts)
    assert not re.search(r"<[^>]*\s(on\w+|style)\s*=", answer.text)
    for place in re.findall(r'(?:src|href)="([^"]*)"', answer.text):
        assert place.startswith(("/", "#", "data:,")), place
        if place.startswith("/static"):
            assert client.get(place).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "/studies/small",
        "/studies/small/table",
        "/studies/small/trials/0",
        "/studies/small/trials/6",
        "/studies/small/trials/6/live",
    ],
)
def test_texts_of_a_study_are_shown_and_not_run(client, evil, address):
    answer = client.get(address)
    text = answer.json()["html"] if address.endswith("live") else answer.text
    assert evil not in text
    assert html.escape(evil) in text


def test_charts_escape_what_plotly_would_render(client, evil):
    charts = client.get("/studies/small/charts").text
    assert evil not in charts
    assert evil not in client.get("/studies/small/live").text
    assert html.escape(evil) in charts


def test_the_list_shows_progress_and_filters(client):
    everything = client.get("/rows").json()
    assert [*everything["rows"]] == ["small"]
    row = everything["rows"]["small"]
    assert re.search(r'<progress max="6" value="\d"', row)
    assert 'class="badge is-' in row
    assert "<polyline points=" in row
    assert [*client.get("/rows?search=SMA").json()["rows"]] == ["small"]
    assert client.get("/rows?search=large").json() == {"rows": {}, "total": 0, "all": 1}
    assert client.get("/rows?state=queued").json()["total"] == 0
    assert 'id="none" class="soft">' in client.get("/?search=large").text


def test_an_empty_service_invites_to_a_first_study(serve, tmp_path):
    with serve(tmp_path / "j") as (_, address):
        text = httpx.get(address).text
    assert '<section id="empty" class="empty">' in text
    assert '<div id="some" hidden>' in text
    assert re.search(r'href="/new">Start the first study', text)


def test_the_page_of_a_study_shows_its_state_and_what_can_be_done(client):
    text = client.get("/studies/small").text
    assert "<h1>small</h1>" in text
    for action in ("more", "evaluate", "export", "delete"):
        assert f'data-action="{action}"' in text
    assert 'data-action="stop"' not in text  # nothing runs
    assert 'href="/new?narrow=small"' in text
    assert "Delete the study small?" in text
    assert re.search(r'in <a data-key="best" href="/studies/small/trials/\d">', text)


@pytest.mark.parametrize("address", ["/studies/nope", "/compare?names=nope", "/new?narrow=nope"])
def test_an_unknown_study_is_a_page_with_the_sentence(client, address):
    answer = client.get(address)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "&#39;nope&#39; is not a study in this storage" in answer.text


def test_a_comparison_of_nothing_says_where_to_choose(client):
    answer = client.get("/compare")
    assert answer.status_code == 404
    assert "Choose the studies to compare" in answer.text


def test_an_unknown_trial_is_a_page_too(client):
    answer = client.get("/studies/small/trials/99")
    assert answer.status_code == 404
    assert "has no trial 99" in answer.text


def test_scripts_get_problem_details(client):
    answer = client.get("/studies/nope/live")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("'nope' is not a study")


def test_a_trial_that_failed_shows_why(client):
    text = client.get("/studies/small/trials/6").text
    assert '<span class="badge is-failed">failed</span>' in text
    assert "<h2>Traceback</h2>" in text
    assert 'rel="prev" href="/studies/small/trials/5"' in text
    assert 'rel="next"' not in text


def test_who_may_only_read_sees_no_button_that_changes(service):
    app = FastAPI()
    app.include_router(pages_router(service))

    async def seen_by(role, address):
        async def with_user(scope, receive, send):
            scope.setdefault("state", {})["user"] = User("ann", role)
            await app(scope, receive, send)

        transport = httpx.ASGITransport(with_user)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get(address)).text

    read = asyncio.run(seen_by("read", "/studies/small"))
    run = asyncio.run(seen_by("run", "/studies/small"))
    assert 'data-action="more"' in run
    assert 'data-action="delete"' not in run
    assert 'data-action="delete"' in asyncio.run(seen_by("admin", "/studies/small"))
    assert 'href="/new"' in run
    assert "<span>ann</span>" in run
    assert not {*re.findall(r'data-action="(\w+)"', read)} - {"export"}
    assert "/new" not in read
    assert "/new" not in asyncio.run(seen_by("read", "/"))


def test_what_is_tracked_links_to_mlflow(service, client, monkeypatch):
    assert "MLflow<" not in client.get("/studies/small").text
    monkeypatch.setattr(service.workspace, "tracked", True)
    link = "/api/v1/studies/small/trials/1/mlflow"
    assert f'href="{link}"' in client.get("/studies/small/trials/1").text
    assert 'href="/api/v1/studies/small/mlflow"' in client.get("/studies/small").text


def test_studies_that_others_have_made_are_shown(serve, tmp_path):
    workspace = Workspace(str(tmp_path / "j"), tracked=False)
    storage = open_storage(workspace.storage_url)
    plain = optuna.create_study(storage=storage, study_name="plain")
    plain.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=3)
    both = ["minimize", "maximize"]
    several = optuna.create_study(storage=storage, study_name="several", directions=both)
    several.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=2)
    with serve(tmp_path / "j") as (_, address), httpx.Client(base_url=address) as client:
        for name in ("plain", "several"):
            for part in (
                "",
                "/live",
                "/charts",
                "/table?sort=value",
                "/trials/1",
                "/trials/1/live",
            ):
                answer = client.get(f"/studies/{name}{part}")
                assert answer.status_code == 200, (name, part)
        assert "has 2 objectives" in client.get("/studies/several/charts").json()["note"]
        assert {*client.get("/rows").json()["rows"]} == {"plain", "several"}


def test_clients_at_work_are_shown(serve, tmp_path, evil):
    with serve(tmp_path / "j") as (_, address), httpx.Client(base_url=address) as client:
        api = "/api/v1/studies"
        client.post(api, json={"file": EXAMPLE_SPACE, "name": "cl"}).raise_for_status()
        asked = client.post(f"{api}/cl/trials", json={"client_id": evil}).json()
        told = {"client_id": evil, "first": 1, "epochs": [{"val/loss": 0.5}, {"val/loss": 0.4}]}
        client.post(f"{api}/cl/trials/{asked['trial']}/epochs", json=told).raise_for_status()
        text = client.get("/studies/cl").text
        (curves, _) = client.get("/studies/cl/live").json()["panels"]
    assert "clients at work" in text
    assert evil not in text
    assert f"{html.escape(evil)} (" in text
    assert ", 2 epochs)" in text
    assert curves["charts"][0]["data"][0]["y"] == [0.5, 0.4]
    assert curves["keys"] == {"running": "line-running"}
