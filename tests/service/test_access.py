"""Who gets in: hosts, tokens, roles, other sites, large bodies, rates, and the way to the login."""

import asyncio
import socket
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hpsearch.errors import SettingsError
from hpsearch.service.access import Access, check_binding, is_loopback
from hpsearch.service.limits import Limits, RateLimit
from hpsearch.service.login import local_path, login_routes
from hpsearch.service.problems import Refused
from hpsearch.service.roles import needed_role
from hpsearch.service.tokens import Tokens, add_token, remove_token

PAGE = {"Accept": "text/html,application/xhtml+xml"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tokens.txt"


@pytest.fixture
def tokens(file):
    """The tokens of a reader, a runner and an admin, by their roles."""
    return {role: add_token(file, f"{role}er", role) for role in ("read", "run", "admin")}


def gate(tokens=None, **options):
    """An application that says who has sent what, behind the gate."""

    async def echo(request):
        user = request.state.user
        name = f"{user.name} {user.role}" if user else "nobody"
        return PlainTextResponse(f"{name} {len(await request.body())}")

    async def framed(_):
        return Response(headers={"Content-Security-Policy": "default-src 'none'"})

    every = ["GET", "POST", "PUT", "DELETE"]
    routes = [*login_routes(tokens), Route("/own-policy", framed)]
    app = Starlette(routes=[*routes, Route("/{path:path}", echo, methods=every)])
    return Access(app, tokens=tokens, **options)


@pytest.fixture
def guarded(file, tokens):
    """A function that makes the application with the gate that the tokens open."""
    assert tokens
    return partial(gate, Tokens(file))


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def cookie(token):
    return {"Cookie": f"hpsearch_token={token}"}


# Where it listens ----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_token(host):
    assert is_loopback(host)
    check_binding(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "lab.example", ""])
def test_another_host_needs_tokens(host, file, caplog):
    with pytest.raises(SettingsError) as error:
        check_binding(host, None)
    assert "`hpsearch token NAME` and name its file with --token-file" in (
        error.value.for_command_line
    )
    assert "let everybody in with --no-auth" in error.value.for_command_line
    add_token(file, "ann")
    check_binding(host, Tokens(file))
    assert not caplog.records
    check_binding(host, None, no_auth=True)
    assert "everybody who can reach" in caplog.text


def test_a_proxy_in_front_needs_tokens_too():
    check_binding("127.0.0.1", None, allow_hosts=["localhost"])
    with pytest.raises(SettingsError, match=r"^allow_host: others can reach search\.example"):
        check_binding("127.0.0.1", None, allow_hosts=["search.example"])


def test_no_auth_with_tokens_is_a_contradiction(file):
    add_token(file, "ann")
    with pytest.raises(SettingsError, match="leave one of them out"):
        check_binding("0.0.0.0", Tokens(file), no_auth=True)


# Host ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000"])
def test_loopback_names_are_the_services(ask, host):
    assert ask(gate(), "GET", "/", headers={"Host": host}).text == "local admin 0"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1"],
)
def test_a_forged_host_is_refused(ask, host):
    answer = ask(gate(), "GET", "/", headers={"Host": host})
    assert answer.status_code == 421
    assert "--allow-host" in answer.json()["detail"]


@pytest.mark.parametrize(
    "host", ["", "[::1", "http://x", "a@localhost", "127.0.0.1/static/", "localhost?", "localhost#"]
)
def test_a_host_that_is_none_is_refused(ask, guarded, host):
    # Starlette reads 127.0.0.1/static/ as the beginning of the path, which needs no token.
    for app in (gate(), guarded()):
        assert ask(app, "GET", "/api/v1/studies", headers={"Host": host}).status_code == 400


def test_an_allowed_name_and_the_bound_one_are_the_services(ask):
    app = gate(host="10.0.0.5", allow_hosts=["Lab.example"])
    for host in ("lab.example:8000", "10.0.0.5", "localhost"):
        assert ask(app, "GET", "/", headers={"Host": host}).status_code == 200
    assert ask(app, "GET", "/", headers={"Host": "10.0.0.6"}).status_code == 421


def test_a_service_on_all_addresses_has_every_address_and_no_name(ask):
    app = gate(host="0.0.0.0")
    assert ask(app, "GET", "/", headers={"Host": "10.0.0.6:8000"}).status_code == 200
    assert ask(app, "GET", "/", headers={"Host": "evil.example"}).status_code == 421


# Tokens and roles ----------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["read", "run", "admin"])
def test_a_program_sends_a_header_and_a_page_a_cookie(ask, guarded, tokens, role):
    app = guarded()
    for headers in (bearer(tokens[role]), cookie(tokens[role])):
        assert ask(app, "GET", "/", headers=headers).text == f"{role}er {role} 0"


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("hps_wrong"), cookie("hps_wrong"), {"Authorization": "Basic YTpi"}, bearer("")],
)
@pytest.mark.parametrize("path", ["/", "/api/v1/studies", "/mlflow/", "/metrics", "/unknown"])
def test_without_a_token_nothing_is_served(ask, guarded, headers, path):
    answer = ask(guarded(), "GET", path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": answer.json()["detail"],
        "instance": path,
    }


@pytest.mark.parametrize("path", ["/health", "/login", "/static/page.js"])
def test_some_pages_need_no_token(ask, guarded, path):
    assert ask(guarded(), "GET", path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/health", None),
        ("GET", "/static/page.js", None),
        ("POST", "/login", None),
        ("GET", "/metrics", "read"),
        ("GET", "/healthy", "read"),
        ("GET", "/api/v1/studies", "read"),
        ("HEAD", "/api/v1/studies/a/events", "read"),
        ("POST", "/api/v1/studies", "run"),
        ("POST", "/api/v1/studies/a/trials", "run"),
        ("PATCH", "/api/v1/studies/a", "run"),
        ("DELETE", "/api/v1/studies/a", "admin"),
        ("POST", "/studies/a/stop", "run"),
        ("POST", "/studies/a/delete", "admin"),
        ("GET", "/mlflow/", "read"),
        ("GET", "/mlflow", "read"),
        ("POST", "/mlflow/ajax-api/2.0/mlflow/runs/search", "read"),
        ("POST", "/mlflow/graphql", "read"),
        ("POST", "/mlflow/api/2.0/mlflow/runs/create", "run"),
        ("POST", "/mlflow/api/2.0/mlflow/runs/delete", "run"),
        ("POST", "/mlflow/api/2.0/mlflow/experiments/set-experiment-tag", "run"),
        ("POST", "/mlflow/api/2.0/mlflow/experiments/delete", "admin"),
        ("DELETE", "/mlflow/api/2.0/mlflow/registered-models/delete", "admin"),
        ("PUT", "/mlflow/api/2.0/mlflow-artifacts/artifacts/1/a.txt", "run"),
        ("DELETE", "/mlflow/api/2.0/mlflow-artifacts/artifacts/1/a.txt", "admin"),
        ("POST", "/mlflow/api/2.0/mlflow/webhooks", "admin"),
        ("POST", "/mlflow/ajax-api/3.0/mlflow/gateway/secrets/create", "admin"),
        ("POST", "/mlflow/anything", "admin"),
        ("POST", "/mlflow-artifacts", "run"),
    ],
)
def test_which_role_a_request_needs(method, path, role):
    assert needed_role(method, path) == role


def test_a_wrong_role_is_refused_with_a_sentence(ask, guarded, tokens):
    app = guarded()
    post = ask(app, "POST", "/api/v1/studies", headers=bearer(tokens["read"]) | JSON, content="{}")
    assert post.status_code == 403
    assert post.json()["detail"] == "token 'reader' has the role read, and this needs run"
    assert ask(app, "DELETE", "/api/v1/studies/a", headers=bearer(tokens["run"])).status_code == 403
    delete = ask(app, "DELETE", "/api/v1/studies/a", headers=bearer(tokens["admin"]))
    assert delete.status_code == 200


def test_a_removed_token_stops_working_at_once(ask, file, guarded, tokens):
    app = guarded()
    assert ask(app, "GET", "/", headers=bearer(tokens["run"])).status_code == 200
    remove_token(file, "runer")
    assert ask(app, "GET", "/", headers=bearer(tokens["run"])).status_code == 401


def test_while_the_file_is_broken_no_token_works(ask, file, guarded, tokens, caplog):
    app, before = guarded(), file.read_text()
    file.write_text(before + "broken\n")
    for _ in range(2):
        answer = ask(app, "GET", "/", headers=bearer(tokens["admin"]))
        assert answer.status_code == 503
        assert "its log says why" in answer.json()["detail"]
    assert [f"{file}, line 4" in record.getMessage() for record in caplog.records] == [True]
    file.write_text(before)
    assert ask(app, "GET", "/", headers=bearer(tokens["admin"])).status_code == 200


@pytest.mark.parametrize("key", ["token", "access_token", "Token", "q"])
def test_a_token_in_the_address_is_refused(ask, guarded, tokens, key):
    answer = ask(guarded(), "GET", f"/api/v1/studies?{key}={tokens['run']}")
    assert answer.status_code == 400
    assert "Authorization: Bearer" in answer.json()["detail"]
    assert tokens["run"] not in answer.text


def test_mlflows_page_token_is_no_token(ask):
    assert ask(gate(), "GET", "/mlflow/ajax-api?page_token=abc").status_code == 200


# Other sites ---------------------------------------------------------------------------------

FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9000"},  # another program on this machine
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
    {"Sec-Fetch-Site": "same-site"},
]
OWN = [
    {"Origin": "http://127.0.0.1:8000"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("origin", FOREIGN)
def test_another_sites_page_changes_nothing(ask, guarded, tokens, origin, method):
    for app in (gate(), guarded()):
        headers = cookie(tokens["admin"]) | JSON | origin
        answer = ask(app, method, "/api/v1/studies/a", headers=headers)
        assert answer.status_code == 403
        assert "a page of another site" in answer.json()["detail"]


@pytest.mark.parametrize("origin", [*OWN, {}])
def test_the_services_own_page_may(ask, guarded, tokens, origin):
    headers = cookie(tokens["run"]) | JSON | origin
    assert ask(guarded(), "POST", "/api/v1/studies", headers=headers).status_code == 200


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_programs_header_cannot_be_forged_by_a_page(ask, guarded, tokens, origin):
    headers = bearer(tokens["run"]) | JSON | origin
    assert ask(guarded(), "POST", "/api/v1/studies", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; b=1", ""]
)
def test_what_a_form_could_send_is_no_call(ask, kind):
    headers = {"Content-Type": kind}
    answer = ask(gate(), "POST", "/api/v1/studies", headers=headers, content="{}")
    assert answer.status_code == 415
    for good in ("application/json; charset=utf-8", "application/toml"):
        headers = {"Content-Type": good}
        answer = ask(gate(), "POST", "/api/v1/studies", headers=headers, content="{}")
        assert answer.text == "local admin 2"


def test_a_web_socket_is_refused():
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(gate()({"type": "websocket", "path": "/"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


# Bodies --------------------------------------------------------------------------------------


def chunks(size, sent):
    """A body without a Content-Length, which notes how much of it was read."""

    async def parts():
        for _ in range(size // 1000):
            sent.append(1000)
            yield b"x" * 1000

    return parts()


def test_a_large_body_is_refused_by_its_length(ask):
    app = gate(limits=Limits(body=10_000))
    assert ask(app, "POST", "/form", content=b"x" * 10_000).text == "local admin 10000"
    answer = ask(app, "POST", "/form", content=b"x" * 10_001)
    assert answer.status_code == 413
    assert "larger than 10,000 bytes" in answer.json()["detail"]


def test_a_large_body_without_a_length_is_refused_as_it_comes(ask):
    app, sent = gate(limits=Limits(body=10_000)), []
    assert ask(app, "POST", "/form", content=chunks(10_000, sent)).text == "local admin 10000"
    sent.clear()
    answer = ask(app, "POST", "/form", content=chunks(1_000_000, sent))
    assert answer.status_code == 413
    assert sum(sent) < 20_000


def test_mlflow_may_upload_more(ask):
    app = gate(limits=Limits(body=10, upload=1000))
    assert ask(app, "PUT", "/mlflow/upload", content=b"x" * 1000).status_code == 200
    assert ask(app, "PUT", "/mlflow/upload", content=b"x" * 1001).status_code == 413
    assert ask(app, "PUT", "/mlflow-other", content=b"x" * 1000).status_code == 413


def test_a_body_that_stops_coming_is_refused(serve):
    app = gate(limits=Limits(body_seconds=0.2))
    with serve(app, log_level="critical") as address:
        port = urlsplit(address).port
        with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
            slow.sendall(b"POST /form HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nabc")
            assert slow.recv(100).startswith(b"HTTP/1.1 408 ")


# Rates ---------------------------------------------------------------------------------------


def test_a_bucket_holds_a_burst_and_fills_with_time():
    now = [0.0]
    limit = RateLimit(rate=2, burst=3, clock=lambda: now[0])

    def passed(key="a"):
        try:
            limit.check(key)
        except Refused as refused:
            return refused.status != 429
        return True

    assert [passed() for _ in range(5)] == [True, True, True, False, False]
    assert passed("b")
    now[0] = 0.5
    assert [passed() for _ in range(2)] == [True, False]
    now[0] = 100
    assert [passed() for _ in range(4)] == [True, True, True, False]


def test_buckets_at_rest_are_forgotten():
    now = [0.0]
    limit = RateLimit(rate=1, burst=1, clock=lambda: now[0])
    for number in range(10_000):
        limit.check(str(number))
    now[0] = 5
    limit.check("another")
    assert len(limit._full_at) == 1


def test_too_many_requests_say_when_to_come_again(ask, guarded, tokens):
    app = guarded(limits=Limits(rate=0.01, burst=2))
    statuses = [ask(app, "GET", "/", headers=bearer(tokens["run"])) for _ in range(3)]
    assert [each.status_code for each in statuses] == [200, 200, 429]
    assert 90 <= int(statuses[-1].headers["Retry-After"]) <= 100
    assert ask(app, "GET", "/", headers=bearer(tokens["read"])).status_code == 200


# The login -----------------------------------------------------------------------------------


def sign_in(ask, app, token, target="/", base="http://127.0.0.1:8000", **headers):
    form = {"token": token, "next": target}
    return ask(app, "POST", "/login", data=form, headers=headers, base=base)


def test_a_browser_without_a_token_is_led_to_the_login_and_back(ask, guarded, tokens):
    app = guarded()
    answer = ask(app, "GET", "/studies/a?tab=trials&top=5", headers=PAGE)
    assert answer.status_code == 303
    target = parse_qs(urlsplit(answer.headers["Location"]).query)["next"][0]
    assert target == "/studies/a?tab=trials&top=5"
    page = ask(app, "GET", answer.headers["Location"], headers=PAGE)
    assert page.status_code == 200
    assert 'value="/studies/a?tab=trials&amp;top=5"' in page.text
    done = sign_in(ask, app, tokens["run"], target)
    assert (done.status_code, done.headers["Location"]) == (303, target)
    crumb = done.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {*crumb.split("; ")}
    assert "Secure" not in crumb
    given = {"Cookie": crumb.partition(";")[0]}
    assert ask(app, "GET", target, headers=given).text == "runer run 0"
    out = ask(app, "POST", "/logout", headers=given)
    assert 'hpsearch_token=""' in out.headers["Set-Cookie"]
    assert "Max-Age=0" in out.headers["Set-Cookie"]


def test_a_wrong_token_of_a_browser_also_leads_to_the_login(ask, guarded):
    answer = ask(guarded(), "GET", "/", headers=PAGE | cookie("hps_old"))
    assert answer.status_code == 303


def test_under_https_the_cookie_is_for_https_alone(ask, guarded, tokens):
    answer = sign_in(ask, guarded(), tokens["run"], base="https://localhost")
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


def test_a_wrong_token_gets_no_cookie_and_few_tries(ask, guarded):
    app = guarded(limits=Limits(logins=0.001, login_burst=3))
    answers = [sign_in(ask, app, f"wrong{number}") for number in range(4)]
    assert [each.status_code for each in answers] == [401, 401, 401, 429]
    assert "This token is not known." in answers[0].text
    assert not any("Set-Cookie" in each.headers for each in answers)


def test_another_sites_page_signs_nobody_in(ask, guarded, tokens):
    answer = sign_in(ask, guarded(), tokens["run"], Origin="http://evil.example")
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


EVIL = [
    "http://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "javascript:alert(1)",
    "evil",
    "/a\r\nSet-Cookie: x=1",
    "",
]


@pytest.mark.parametrize("target", EVIL)
def test_the_login_leads_to_no_other_site(ask, guarded, tokens, target):
    assert local_path(target) == "/"
    app = guarded()
    assert sign_in(ask, app, tokens["run"], target).headers["Location"] == "/"
    page = ask(app, "GET", "/login", params={"next": target})
    assert 'name="next" value="/"' in page.text


@pytest.mark.parametrize("target", ["/", "/studies/a", "/studies/a?b=//c", "/a#b"])
def test_the_login_leads_back(target):
    assert local_path(target) == target


def test_a_path_on_the_login_page_is_shown_and_not_run(ask, guarded):
    page = ask(guarded(), "GET", "/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script>" not in page.text


# Headers and logs ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/login", "/unknown", "/?token=x", "/mlflow/"])
def test_every_answer_has_the_headers_of_a_careful_page(ask, guarded, path):
    answer = ask(guarded(), "GET", path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    framed = "frame-ancestors 'self'" if path == "/mlflow/" else "frame-ancestors 'none'"
    assert framed in policy


def test_a_page_may_have_a_policy_of_its_own(ask):
    answer = ask(gate(), "GET", "/own-policy")
    assert answer.headers.get_list("Content-Security-Policy") == ["default-src 'none'"]


def test_an_artifact_that_is_opened_as_a_page_is_in_a_sandbox(ask):
    for path in (
        "/mlflow/get-artifact?path=a.html",
        "/mlflow/api/2.0/mlflow-artifacts/artifacts/a",
    ):
        assert ask(gate(), "GET", path).headers["Content-Security-Policy"].startswith("sandbox;")
