"""What Prometheus reads: studies and trials by state, and how long requests take."""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from hpsearch.service.service import Service

STATES = ("complete", "pruned", "failed", "running")


class Monitor:
    """The counts of one app."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "hpsearch_request_seconds",
            "Time until an answer begins.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.registry.register(_Studies(service))

    def exposition(self) -> bytes:
        """Return all counts, in Prometheus' text format."""
        return generate_latest(self.registry)


class Measured:
    """ASGI middleware: notes how long an app takes until its answer begins."""

    def __init__(self, app: ASGIApp, monitor: Monitor) -> None:
        self.app, self.monitor = app, monitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")  # no name that a client chose
                labels = scope["method"], route, str(message["status"])
                self.monitor.seconds.labels(*labels).observe(time.perf_counter() - started)
            await send(message)

        await self.app(scope, receive, measured)


class _Studies(Collector):
    """Counts the studies and trials when they are asked for."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def describe(self) -> list[Metric]:
        """Return nothing: what there is depends on the storage."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield how many studies and trials there are in each state, and the epochs."""
        states = self.service.states()
        studies = GaugeMetricFamily("hpsearch_studies", "Studies by state.", labels=["state"])
        for state, number in sorted(Count(each.state for each in states).items()):
            studies.add_metric([state], number)
        yield studies
        trials = GaugeMetricFamily("hpsearch_trials", "Trials by state.", labels=["state"])
        for state in STATES:
            total = sum(getattr(each.summary.counts, state) for each in states)
            trials.add_metric([state], total)
        yield trials
        epochs = sum(each.summary.epochs for each in states)
        yield GaugeMetricFamily("hpsearch_epochs", "Epochs trained in all studies.", value=epochs)
        queued = sum(each.state == "queued" for each in states)
        yield GaugeMetricFamily("hpsearch_queue_length", "Studies that wait.", value=queued)
