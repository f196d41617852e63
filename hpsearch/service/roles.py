"""Which role a request needs: the one place that says who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.service.tokens import Role

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PUBLIC = frozenset({"/health", "/login", "/logout", "/favicon.ico"})
STATIC = "/static/"
MLFLOW = "/mlflow"

# MLflow asks for some lists with POST.
_MLFLOW_READS = frozenset({"search", "search-datasets", "graphql", "batchGetInfos"})
# What a program says that tracks a study; all else changes MLflow itself, or others' work.
_TRACKED = frozenset(
    {"experiments", "runs", "logged-models", "registered-models", "model-versions", "artifacts"}
)


def needed_role(method: str, path: str) -> Role | None:
    """Return the role that a request needs, None for what everybody may ask for.

    `read` sees everything. `run` also starts, stops and changes studies, asks and tells, and tracks
    runs in MLflow. `admin` also deletes.
    """
    if path in PUBLIC or path.startswith(STATIC):
        return None
    if method in SAFE_METHODS:
        return "read"
    if is_mlflow(path):
        return _mlflow_role(method, path.split("/"))
    deletes = method == "DELETE" or path.endswith("/delete")
    return "admin" if deletes else "run"


def is_mlflow(path: str) -> bool:
    """Whether MLflow's server answers this path."""
    return path == MLFLOW or path.startswith(f"{MLFLOW}/")


def _mlflow_role(method: str, words: list[str]) -> Role:
    """Return the role for a call such as /mlflow/api/2.0/mlflow/runs/create."""
    last = words[-1]
    if method == "POST" and last in _MLFLOW_READS:
        return "read"
    called = words[5:6] if words[4:5] == ["mlflow"] else []
    uploads = words[4:5] == ["mlflow-artifacts"] and method != "DELETE"
    if uploads or called == ["runs"]:  # a tracker deletes runs that it has written twice
        return "run"
    deletes = method == "DELETE" or last.startswith("delete")
    return "run" if not deletes and {*called} & _TRACKED else "admin"
