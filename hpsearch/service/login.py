"""Signing in: a page that takes a token and keeps it in a cookie that no script can read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, FileSystemLoader
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from hpsearch.service.access import COOKIE

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from hpsearch.service.tokens import Tokens

COOKIE_SECONDS = 30 * 24 * 3600
HOME = "/"


def login_routes(tokens: Tokens | None) -> list[BaseRoute]:
    """Return the routes /login and /logout. tokens: None where nobody needs one.

    `Access` stands in front of them: it limits how often an address may try.
    """
    folder = Path(__file__).parent / "templates"
    template = Environment(loader=FileSystemLoader(folder), autoescape=True)

    def page(request: Request, target: str, *, wrong: bool = False) -> Response:
        user = getattr(request.state, "user", None)
        html = template.get_template("login.html").render(next=target, wrong=wrong, user=user)
        return HTMLResponse(html, 401 if wrong else 200, {"Cache-Control": "no-store"})

    async def login_page(request: Request) -> Response:
        target = local_path(request.query_params.get("next", HOME))
        return page(request, target) if tokens is not None else RedirectResponse(target, 303)

    async def login(request: Request) -> Response:
        form = parse_qs((await request.body()).decode(errors="replace"))
        target = local_path(form.get("next", [HOME])[0])
        token = form.get("token", [""])[0].strip()
        if tokens is not None and tokens.user_of(token) is None:
            return page(request, target, wrong=True)
        response = RedirectResponse(target, 303)
        response.set_cookie(
            COOKIE,
            token,
            max_age=COOKIE_SECONDS,
            secure=request.scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    async def logout(_: Request) -> Response:
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return [
        Route("/login", login_page, methods=["GET"]),
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
    ]


def local_path(given: str) -> str:
    """Return `given` if it is a path of this service, else the path of the first page.

    A link to the login could otherwise lead to another site afterwards. Browsers read a backslash
    as a slash, and skip tabs and line breaks.
    """
    parts = urlsplit(given)
    local = given.startswith("/") and not given.startswith("//") and not parts.netloc
    return given if local and given.isprintable() and "\\" not in given else HOME
