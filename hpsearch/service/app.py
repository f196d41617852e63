"""The app: the API, the page, what monitors read and MLflow's pages, over one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio.to_thread
from fastapi import FastAPI
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from hpsearch import __version__
from hpsearch.client import API
from hpsearch.service.api.studies import studies_router
from hpsearch.service.api.trials import trials_router
from hpsearch.service.errors import add_handlers
from hpsearch.service.login import login_routes
from hpsearch.service.metrics import Measured, Monitor
from hpsearch.service.pages.routes import pages_router
from hpsearch.service.roles import is_mlflow

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from hpsearch.service.mlflow_proxy import MlflowProxy
    from hpsearch.service.service import Service
    from hpsearch.service.tokens import Tokens

THREADS = 16  # more would wait for the same storage


def create_app(
    service: Service, *, tokens: Tokens | None = None, proxy: MlflowProxy | None = None
) -> ASGIApp:
    """Return the app of a service, which it starts and closes. Access is not its business.

    tokens: those with which people sign in. proxy: what answers below /mlflow.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        service.start()
        yield
        await anyio.to_thread.run_sync(service.close)
        if proxy is not None:
            await proxy.aclose()

    app = FastAPI(
        title="hpsearch",
        version=__version__,
        summary="Studies by HTTP.",
        lifespan=lifespan,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # it would load its scripts from another host
        redoc_url=None,
    )
    add_handlers(app)
    monitor = Monitor(service)
    app.add_middleware(Measured, monitor=monitor)
    app.include_router(studies_router(service), prefix=API)
    app.include_router(trials_router(service), prefix=API)
    app.include_router(pages_router(service))

    @app.get("/health", tags=["monitoring"])
    def health() -> dict[str, bool]:
        """Whether the service and its storage answer."""
        service.states()
        return {"ok": True}

    @app.get("/metrics", tags=["monitoring"], response_class=Response)
    def metrics() -> Response:
        """Counts for Prometheus."""
        return Response(monitor.exposition(), media_type=CONTENT_TYPE_LATEST)

    app.routes.extend(login_routes(tokens))
    return app if proxy is None else _Beside(app, proxy)


class _Beside:
    """Passes what lies below /mlflow to a proxy, past everything that the app does to requests."""

    def __init__(self, app: ASGIApp, proxy: MlflowProxy) -> None:
        self.app, self.proxy = app, proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        is_for_proxy = scope["type"] == "http" and is_mlflow(scope["path"])
        await (self.proxy if is_for_proxy else self.app)(scope, receive, send)
