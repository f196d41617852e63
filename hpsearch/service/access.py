"""Who may use the service: a gate in front of the whole application, MLflow's pages included."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hpsearch.errors import Argument, Command, SettingsError
from hpsearch.service.limits import Body, Limits, RateLimit, too_large
from hpsearch.service.problems import Refused
from hpsearch.service.roles import SAFE_METHODS, is_mlflow, needed_role
from hpsearch.service.tokens import TOKEN, Tokens, User

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "hpsearch_token"
EVERYBODY = User("local", "admin")  # where no token is needed
HOST, ALLOW_HOST = Argument("host"), Argument("allow_host")
TOKEN_FILE, NO_AUTH = Argument("token_file"), Argument("no_auth", "=True")
HOST_HEADER = re.compile(r"(?:([\w.-]+)|\[([0-9A-Fa-f:.]+)\])(?::\d*)?", re.ASCII)
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # addresses that stand for all of this machine's
TOKEN_KEYS = frozenset({"token", "access_token", "api_key", "apikey", "authorization"})
BODY_TYPES = frozenset({"application/json", "application/toml"})

CONTENT_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# MLflow's pages bring scripts and styles inline, and show artifacts in frames of their own.
MLFLOW_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"
)
# An artifact is a file of anybody's: opened as a page, it may do nothing in the service's name.
ARTIFACT_POLICY = "sandbox; default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'"
ARTIFACTS = ("get-artifact", "mlflow-artifacts", "get-trace-artifact", "files")

logger = logging.getLogger(__name__)


def check_binding(
    host: str, tokens: Tokens | None, *, allow_hosts: Collection[str] = (), no_auth: bool = False
) -> None:
    """Raise SettingsError if others can reach a service that has no tokens.

    This machine alone needs none. Other names in `allow_hosts` mean a proxy in front, through which
    others come. no_auth: let everybody in, with a warning.
    """
    if no_auth and tokens is not None:
        raise SettingsError(NO_AUTH, " needs no ", TOKEN_FILE, "; leave one of them out")
    reached = next((name for name in (host, *allow_hosts) if not is_loopback(name)), None)
    if tokens is not None or reached is None:
        return
    if not no_auth:
        raise SettingsError(
            HOST if reached == host else ALLOW_HOST,
            f": others can reach {reached or 'every address'}, so the service needs tokens; make "
            "one with `",
            Command("token", "NAME"),
            "` and name its file with ",
            TOKEN_FILE,
            ", or let everybody in with ",
            NO_AUTH,
        )
    logger.warning(
        "WARNING: everybody who can reach %s can start, change and delete studies here", reached
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


class Access:
    """An ASGI application that lets those requests through to another one that may pass.

    tokens: None lets everybody in as an admin, as on a loopback address. host: where the service
    listens. allow_hosts: other names that it is reached by. The user is `request.state.user`; it is
    None for a page that everybody may see.

    Silent connections are the server's business; see `connections.server_options`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens | None,
        host: str = "127.0.0.1",
        allow_hosts: Collection[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self.app, self.tokens = app, tokens
        self.limits = limits or Limits()
        self._names = LOOPBACK_NAMES | {name.lower() for name in (host, *allow_hosts)}
        self._any_address = host in WILDCARDS
        self._rate = RateLimit(self.limits.rate, self.limits.burst)
        self._logins = RateLimit(self.limits.logins, self.limits.login_burst)
        self._broken = ""  # what was last said about the token file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks WebSocket, and a page elsewhere could
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        request, path = Request(scope), scope["path"]
        send = _with_security_headers(send, path)
        try:
            user = self._admit(request)
        except Refused as refused:
            await _answer(request, refused)(scope, receive, send)
            return
        most = self.limits.upload if is_mlflow(path) else self.limits.body
        body = Body(receive, send, most, self.limits.body_seconds)
        state = {**scope.get("state", {}), "user": user}
        try:
            await self.app({**scope, "state": state}, body.receive, body.send)
        except Exception:
            if body.refused is None:
                raise
        if body.refused is not None and not body.started:
            await body.refused.response(path)(scope, receive, send)

    def _admit(self, request: Request) -> User | None:
        """Return who sends a request; raise Refused if it may not pass."""
        # Not request.url: Starlette puts that together with the Host header, which may hold a path.
        path, headers = request.scope["path"], request.headers
        self._check_host(headers)
        _check_query(request)
        needed = needed_role(request.method, path)
        token, by_program = _token_of(request)
        user = EVERYBODY if self.tokens is None else self._user_of(token)
        self._rate.check(f"token {user.name}" if user and self.tokens else _address_of(request))
        if request.method not in SAFE_METHODS:
            if not by_program:
                _check_same_origin(headers)
            if path == "/login":
                self._logins.check(_address_of(request))
            self._check_body(path, headers)
        if needed is None:
            return user
        if user is None:
            what = "this token is not known" if token else "a token is needed"
            raise Refused(
                401,
                f"{what}; send one as the header 'Authorization: Bearer TOKEN', or sign in at "
                "/login",
                {"WWW-Authenticate": "Bearer"},
            )
        if not user.may(needed):
            raise Refused(
                403, f"token '{user.name}' has the role {user.role}, and this needs {needed}"
            )
        return user

    def _user_of(self, token: str) -> User | None:
        assert self.tokens is not None
        try:
            user = self.tokens.user_of(token)
        except SettingsError as error:
            if str(error) != self._broken:
                logger.error("%s; until it is mended nobody can sign in", error)
            self._broken = str(error)
            raise Refused(503, "the service cannot read its token file; its log says why") from None
        self._broken = ""
        return user

    def _check_host(self, headers: Headers) -> None:
        """Refuse a name that is not the service's.

        A page of another site can have its own name lead to this machine (DNS rebinding), and the
        browser then takes the service for a part of that site. It cannot do so with an address.
        """
        given = headers.getlist("host")
        name = _host_name(given[0]) if len(given) == 1 else ""
        if not name:
            raise Refused(400, "the request has no Host header that can be read")
        if name in self._names or (self._any_address and _address(name) is not None):
            return
        raise Refused(
            421,
            f"this service is not called {name!r}; if it is, start it with --allow-host {name}",
        )

    def _check_body(self, path: str, headers: Headers) -> None:
        size = headers.get("content-length", "0")
        most = self.limits.upload if is_mlflow(path) else self.limits.body
        if size.isdecimal() and int(size[:20]) > most:
            raise too_large(most)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = size != "0" or "transfer-encoding" in headers
        if path.startswith("/api/") and has_body and kind not in BODY_TYPES:
            # What a form of another site could send as well is not taken for a call.
            raise Refused(
                415,
                f"the body is sent as {kind or 'nothing'!r}; use the header "
                "'Content-Type: application/json'",
            )


def _answer(request: Request, refused: Refused) -> Response:
    """Return the answer to a refused request; a browser without a token is led to the login."""
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    page = request.method in SAFE_METHODS and "text/html" in request.headers.get("accept", "")
    if refused.status == 401 and page and "authorization" not in request.headers:
        target = quote(f"{path}?{query}" if query else path, safe="/")
        return RedirectResponse(f"/login?next={target}", 303)
    return refused.response(path)


def _token_of(request: Request) -> tuple[str, bool]:
    """Return the token of a request, "" if it has none, and whether a header carries it."""
    if given := request.headers.get("authorization"):
        kind, _, token = given.partition(" ")
        if kind.lower() == "bearer" and token.strip():
            return token.strip(), True
        raise Refused(
            401,
            "the Authorization header cannot be read; send 'Authorization: Bearer TOKEN'",
            {"WWW-Authenticate": "Bearer"},
        )
    return request.cookies.get(COOKIE, ""), False


def _check_query(request: Request) -> None:
    """Refuse a token in the address, which logs, histories and other sites get to see."""
    query = request.scope["query_string"].decode("latin-1")
    if TOKEN.search(query) or TOKEN_KEYS & {*map(str.lower, parse_qs(query, True))}:
        raise Refused(
            400,
            "a token does not belong in an address, which logs and histories keep; send it as the "
            "header 'Authorization: Bearer TOKEN', and replace this one with `hpsearch token NAME "
            "--force`",
        )


def _check_same_origin(headers: Headers) -> None:
    """Refuse a change that a page of another site has sent with this browser's cookie.

    The rules of Go's http.CrossOriginProtection: browsers say where a request comes from, in
    Sec-Fetch-Site or, older ones, in Origin. What has neither is no browser.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    same = urlsplit(origin).netloc == headers["host"] if origin else True
    if (site in ("same-origin", "none")) if site else same:
        return
    raise Refused(403, "this request was sent by a page of another site; open the service's own")


def _address_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _host_name(header: str) -> str:
    """Return the name in a Host header in lower case without its port, "" for anything else."""
    found = HOST_HEADER.fullmatch(header)
    return (found[1] or found[2]).lower().rstrip(".") if found else ""


def _with_security_headers(send: Send, path: str) -> Send:
    """Return `send` for answers with the headers that keep browsers careful.

    An application may set its own.
    """
    policy = CONTENT_POLICY
    if is_mlflow(path):
        files = any(word in ARTIFACTS for word in path.split("/"))
        policy = ARTIFACT_POLICY if files else MLFLOW_POLICY
    added: Mapping[str, str] = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in added.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
