"""Errors of the service as RFC 9457 problem details: one sentence, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

PROBLEM = "application/problem+json"


def problem(
    status: int, detail: str, *, instance: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the response of an error.

    detail: a sentence for a person. instance: the path that was asked for.
    """
    content = {
        "type": "about:blank",  # the status says what kind of problem it is
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if instance:
        content["instance"] = instance
    return JSONResponse(content, status, headers, media_type=PROBLEM)


class Refused(Exception):  # noqa: N818
    """A request that is answered with a problem instead of being served."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers

    def response(self, instance: str) -> JSONResponse:
        """Return the answer to the request for the path `instance`."""
        return problem(self.status, self.detail, instance=instance, headers=self.headers)
