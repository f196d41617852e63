"""Which answer each error of the app gets: problem details with the command line's sentence."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

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
from hpsearch.service.problems import problem

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response

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


def add_handlers(app: FastAPI) -> None:
    """Answer every error of an app with problem details."""
    app.add_exception_handler(HpsearchError, _said)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)


def status_of(error: HpsearchError) -> int:
    """Return the HTTP status for an error."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def _said(request: Request, error: Exception) -> Response:
    assert isinstance(error, HpsearchError)
    return problem(status_of(error), str(error)[:LONGEST], instance=_path(request))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    detail = str(error.detail or HTTPStatus(status).phrase)
    return problem(status, detail[:LONGEST], instance=_path(request), headers=error.headers)


def _invalid(request: Request, error: Exception) -> Response:
    """Return one sentence about the first thing that is wrong."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    detail = f"{place}: {first['msg']}" if place else str(first["msg"])
    return problem(422, detail[:LONGEST], instance=_path(request))


def _failed(request: Request, error: Exception) -> Response:
    """Answer a bug of hpsearch without showing its insides."""
    logger.error("%s %s failed", request.method, _path(request), exc_info=error)
    detail = "this is a bug in hpsearch; the service's log says where"
    return problem(500, detail, instance=_path(request))


def _path(request: Request) -> str:
    return str(request.scope["path"])
