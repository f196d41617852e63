"""How a page is made: its template, who may do what on it, and an error as a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from hpsearch import __version__
from hpsearch.errors import HpsearchError
from hpsearch.formatting import capitalized, counted, format_value
from hpsearch.report.facts import duration
from hpsearch.report.page import breakable
from hpsearch.service.access import EVERYBODY
from hpsearch.service.errors import status_of
from hpsearch.service.pages import assets

if TYPE_CHECKING:
    from hpsearch.service.tokens import Role, User

# plotly.js styles its elements inline; nothing else comes from anywhere but this host.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
FRESH = {"Cache-Control": "no-store"}
HEADERS = {
    **FRESH,
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def can(request: Request, role: Role) -> bool:
    """Whether the user of a request has a role; without users, everybody has all."""
    user = user_of(request)
    return user is None or user.may(role)


def user_of(request: Request) -> User | None:
    """Return who sends a request, None where `Access` is not in front of the pages."""
    user: User | None = getattr(request.state, "user", None)
    return user


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page."""
    user = user_of(request)
    signed_in = user is not None and user is not EVERYBODY
    content = rendered(
        template,
        may_run=can(request, "run"),
        user=user.name if user is not None and signed_in else "",
        **values,
    )
    return HTMLResponse(content, status, HEADERS)


def rendered(template: str, **values: Any) -> str:
    """Return what a template makes of values, which it escapes."""
    return environment().get_template(template).render(**values)


class Page(APIRoute):
    """A route whose errors are a page too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def answer_or_say(request: Request) -> Response:
            try:
                return await answer(request)
            except HpsearchError as error:
                status, said = status_of(error), capitalized(str(error))
                return page(request, "error.html", status=status, said=said)

        return answer_or_say


def data(values: dict[str, Any]) -> JSONResponse:
    """Return data for a page's script."""
    return JSONResponse(values, headers=FRESH)


@cache
def environment() -> Environment:
    """Return the environment of all templates."""
    made = Environment(
        loader=PackageLoader("hpsearch.service.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "ago": ago,
        "breakable": breakable,
        "capitalized": lambda text: capitalized(text) if text else "",
        "duration": duration,
        "moment": moment,
        "segment": lambda text: quote(str(text), safe=""),
        "value": lambda value: "" if value is None else format_value(value),
    }
    made.globals |= {
        "asset": assets.address,
        "counted": counted,
        "plotly": assets.PLOTLY,
        "version": __version__,
    }
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return made


def moment(seconds: float) -> str:
    """Return a moment, in seconds since 1970, as the date and time of the service's machine."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def ago(seconds: float) -> str:
    """Return how long ago a moment was, so coarsely that it rarely changes."""
    passed = time.time() - seconds
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if passed >= size:
            return f"{counted(int(passed // size), name)} ago"
    return "just now"
