"""MLflow's pages below /mlflow: passed on whole, both ways, and without our secrets."""

import asyncio
import contextlib
import re
import shutil
import tempfile
import time

import httpx
import pytest
from mlflow import MlflowClient
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Mount, Route

from hpsearch.service.access import Access
from hpsearch.service.limits import Limits
from hpsearch.service.login import login_routes
from hpsearch.service.mlflow_proxy import MlflowProxy
from hpsearch.service.mlflow_server import MlflowServer
from hpsearch.service.tokens import Tokens, add_token


class At:
    """A server that answers at a socket, or does not."""

    def __init__(self, socket, state=""):
        self.socket, self.state = socket, state


def echo_app(seen):
    """An application that says what it was asked."""

    async def echo(request):
        body = await request.body()
        seen.append((request.method, request.scope["raw_path"], request.url.query, len(body)))
        shown = [f"{name}: {value}" for name, value in request.headers.items()]
        return PlainTextResponse("\n".join(sorted(shown)), 201, {"X-Mlflow": "yes"})

    async def endless(_):
        async def parts():
            for number in range(1000):
                yield b"x" * 10_000
                if number == 5:
                    raise ConnectionResetError

        return StreamingResponse(parts())

    async def moved(request):
        return RedirectResponse(f"{request.base_url}mlflow/there")

    routes = [Route("/mlflow/moved", moved), Route("/mlflow/broken", endless)]
    every = ["GET", "POST", "PUT", "DELETE"]
    return Starlette(routes=[*routes, Route("/{path:path}", echo, methods=every)])


@pytest.fixture
def seen():
    return []


@pytest.fixture
def behind(serve, seen):
    """The socket of an application that stands for MLflow's server."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(echo_app(seen), log_level="critical", uds=f"{folder}/mlflow") as socket,
    ):
        yield socket


def passed_on(server, method, path, *, client=("127.0.0.1", 1), **rest):
    """The answer to a request that a proxy passes on to a server."""

    async def send():
        proxy = MlflowProxy(server)
        transport = httpx.ASGITransport(proxy, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            answer = await http.request(method, path, **rest)
        await proxy.aclose()
        return answer

    return asyncio.run(send())


def app_of(proxy, tokens=None, **access):
    """The application of a service that has nothing but a proxy and a login, behind the gate."""

    @contextlib.asynccontextmanager
    async def lifespan(_):
        yield
        await proxy.aclose()

    routes = [*login_routes(tokens), Mount("/mlflow", proxy)]
    return Access(Starlette(routes=routes, lifespan=lifespan), tokens=tokens, **access)


SECRETS = {
    "Authorization": "Bearer hps_secret",
    "Cookie": "hpsearch_token=hps_secret",
    "Origin": "https://search.example",
    "X-Forwarded-For": "6.6.6.6",
    "Connection": "keep-alive",
    "Accept-Encoding": "zstd",
}


def test_a_request_is_passed_on_without_what_is_ours(behind, seen):
    path = "/mlflow/api/a%2Fb%20c?filter=x%3D1&y"
    client = ("10.0.0.9", 1)
    answer = passed_on(At(behind), "PUT", path, headers=SECRETS, content=b"abc", client=client)
    assert seen == [("PUT", b"/mlflow/api/a%2Fb%20c", "filter=x%3D1&y", 3)]
    assert (answer.status_code, answer.headers["X-Mlflow"]) == (201, "yes")
    assert "secret" not in answer.text
    assert "search.example" not in answer.text
    assert "host: localhost\n" in answer.text
    assert "accept-encoding: zstd\n" in answer.text
    assert "x-forwarded-for: 10.0.0.9" in answer.text
    assert "server" not in answer.headers


def test_a_redirect_stays_with_the_service(behind):
    answer = passed_on(At(behind), "GET", "/mlflow/moved")
    assert answer.headers["Location"] == "/mlflow/there"
    answer = passed_on(At(behind), "GET", "/mlflow")
    assert (answer.status_code, answer.headers["Location"]) == (307, "/mlflow/")


@pytest.mark.parametrize(
    "path",
    [
        "/mlflow/../secret",
        "/mlflow/%2e%2e/secret",
        "/mlflow/a%2F..%2F..%2Fb",
        "/mlflow/ajax-api/3.0/mlflow/assistant/message",
        "/mlflow/ajax-api/3.0/mlflow/assistant/providers/x/health",
    ],
)
def test_some_paths_are_not_passed_on(behind, seen, path):
    async def send():
        sent, raw = [], path.encode()
        scope = {
            "type": "http",
            "method": "GET",
            "path": httpx.URL(f"http://a{path}").path if "%" in path else path,
            "raw_path": raw,
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")],
        }

        async def receive():
            return {"type": "http.request"}

        async def note(message):
            sent.append(message)

        await MlflowProxy(At(behind))(scope, receive, note)
        return sent[0]["status"]

    assert asyncio.run(send()) == 404
    assert seen == []


def test_while_it_starts_it_says_so():
    answer = passed_on(At("", "it is starting"), "GET", "/mlflow/")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "it is starting"
    assert answer.headers["Retry-After"] == "5"


def test_one_that_does_not_answer_is_a_sentence():
    answer = passed_on(At("/no/socket"), "GET", "/mlflow/")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("MLflow's server does not answer")


def test_an_answer_that_breaks_off_does_not_look_whole(serve, behind):
    with (
        serve(app_of(MlflowProxy(At(behind))), log_level="critical") as address,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        httpx.get(f"{address}/mlflow/broken")


def test_a_body_that_is_too_large_is_refused_on_its_way(serve, behind):
    def parts():
        for _ in range(100):
            yield b"x" * 1000

    app = app_of(MlflowProxy(At(behind)), limits=Limits(upload=10_000))
    with serve(app, log_level="critical") as address:
        answer = httpx.put(f"{address}/mlflow/upload", content=parts())
    assert answer.status_code == 413


# With MLflow itself --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """A token file, and a token of role run in it."""
    file = tmp_path_factory.mktemp("tokens") / "tokens.txt"
    return file, add_token(file, "tracker")


@pytest.fixture(scope="module")
def service(serve, token, empty_mlflow, tmp_path_factory):
    """The address of a service whose /mlflow is MLflow's own server, behind tokens."""
    folder = tmp_path_factory.mktemp("service")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)  # where MLflow puts artifacts
    uri = f"sqlite:///{shutil.copy(empty_mlflow, folder / 'mlflow.db')}"
    with MlflowServer(uri) as server:
        app = app_of(MlflowProxy(server), tokens=Tokens(token[0]))
        until = time.monotonic() + 90
        while server.state:
            assert time.monotonic() < until, server.state
            time.sleep(0.1)
        with serve(app, log_level="critical") as address:
            yield address
    patch.undo()


def test_mlflows_pages_load_with_their_files(service, token):
    with httpx.Client(headers={"Authorization": f"Bearer {token[1]}"}) as browser:
        page = browser.get(f"{service}/mlflow", follow_redirects=True)
        assert page.status_code == 200
        assert "<title>MLflow</title>" in page.text
        files = re.findall(r'(?:src|href)="([^"]+\.(?:js|css|json|ico))"', page.text)
        assert len(files) >= 3
        for file in files:
            answer = browser.get(f"{service}/mlflow/{file}")
            assert answer.status_code == 200
            assert answer.content


def test_without_a_token_mlflow_is_closed(service):
    assert httpx.get(f"{service}/mlflow/").status_code == 401
    search = f"{service}/mlflow/api/2.0/mlflow/experiments/search"
    assert httpx.post(search, json={"max_results": 1}).status_code == 401


def test_a_client_tracks_through_it_and_moves_artifacts_both_ways(
    service, token, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token[1])
    client = MlflowClient(f"{service}/mlflow")
    experiment = client.create_experiment("through the proxy")
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "val/loss", 0.25, step=3)
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(range(256)) * 20_000)  # 5 MB: more than the service takes elsewhere
    client.log_artifact(run, str(large))
    assert [file.path for file in client.list_artifacts(run)] == ["large.bin"]
    (tmp_path / "back").mkdir()
    back = client.download_artifacts(run, "large.bin", str(tmp_path / "back"))
    with open(back, "rb") as file:
        assert file.read() == large.read_bytes()
    assert client.get_run(run).data.metrics == {"val/loss": 0.25}
    assert [each.info.run_id for each in client.search_runs([experiment])] == [run]
    with pytest.raises(Exception, match="403"):
        client.delete_experiment(experiment)  # role run


def test_a_browser_signs_in_and_sees_mlflows_pages(page, service, token):
    # Otherwise MLflow's assistant opens beside the first page of a server that a browser shows.
    page.add_init_script("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1'] = 'true'")
    page.goto(f"{service}/mlflow/#/experiments?workflowType=machine_learning")
    page.get_by_label("Token").fill(token[1])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Default").first.wait_for()
    assert page.url.startswith(f"{service}/mlflow/")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
