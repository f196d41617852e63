"""Where MLflow's tracking store is. This module imports nothing of MLflow, which takes 150 MB."""

from __future__ import annotations

import os

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"


def tracking_uri(given: str | None = None) -> str:
    """Return the URI of the tracking store: `given`, else MLFLOW_TRACKING_URI, else the default."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


def is_server(uri: str) -> bool:
    """Return whether a store is a tracking server, which has pages of its own."""
    return uri.startswith(("http://", "https://"))
