"""Errors as HTTP answers: problem details (RFC 9457) with the sentence of the command line."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from hpsearch.errors import (
    DataError,
    GoneError,
    HpsearchError,
    SettingsError,
    StorageError,
    StudyError,
    TrackingError,
    UnknownStudyError,
)

if TYPE_CHECKING:
    from fastapi import Request
    from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
STATUS: list[tuple[type[HpsearchError], int]] = [
    (UnknownStudyError, 404),
    (GoneError, 410),
    (StudyError, 409),
    (SettingsError, 422),
    (DataError, 422),
    (StorageError, 503),
    (TrackingError, 503),
    (HpsearchError, 400),
]
LONGEST = 2_000  # characters of a sentence that quotes what was sent

logger = logging.getLogger(__name__)


def problem(
    status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Return an answer with problem details."""
    table = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return JSONResponse(
        {**table, "detail": detail[:LONGEST], **more},
        status_code=status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def add_handlers(app: FastAPI) -> None:
    """Answer every error of an app with problem details."""
    app.add_exception_handler(HpsearchError, _said)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(404, _http)
    app.add_exception_handler(405, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)


def status_of(error: HpsearchError) -> int:
    """Return the HTTP status for an error."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def _said(_: Request, error: Exception) -> Response:
    assert isinstance(error, HpsearchError)
    return problem(status_of(error), str(error))


def _http(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    detail = str(getattr(error, "detail", "") or HTTPStatus(status).phrase)
    return problem(status, detail, headers=getattr(error, "headers", None))


def _invalid(_: Request, error: Exception) -> Response:
    """Return one sentence about the first thing that is wrong, and a list of all."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {"place": ".".join(str(part) for part in each["loc"][1:]), "message": each["msg"]}
        for each in error.errors()
    ]
    first = errors[0]
    place = f"{first['place']}: " if first["place"] else ""
    return problem(422, f"{place}{first['message']}", errors=errors[:20])


def _failed(request: Request, error: Exception) -> Response:
    """Answer a bug of hpsearch without showing its insides."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "this is a bug in hpsearch; the service's log says where")
