"""The tracking store: how MLflow is reached, and the experiments it holds."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Experiment
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, ErrorCode
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from hpsearch.errors import Argument, TrackingError
from hpsearch.internals import database_engine
from hpsearch.settings.names import NUMBERED_ROUND
from hpsearch.storage.open import redact
from hpsearch.tracking.projection import BEST, TRIALS

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"
VIEW = "workflowType=machine_learning"  # MLflow may open its pages for language models instead


def tracking_uri(given: str | None = None) -> str:
    """Return the tracking store: as given, or MLFLOW_TRACKING_URI, or the default database."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


class TrackingStore:
    """MLflow at one address, its experiments by name. Every method raises TrackingError."""

    def __init__(self, uri: str | None = None) -> None:
        self.uri = tracking_uri(uri)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client for this store; raises TrackingError."""
        try:
            client = MlflowClient(tracking_uri=_absolute(self.uri))
        except (ImportError, ValueError) as error:
            # A ValueError is about a port that is no number, and may quote a misplaced password.
            what = "its port is no number" if isinstance(error, ValueError) else error
            raise TrackingError(f"tracking store '{redact(self.uri)}': {what}") from None
        if _sqlite_file(self.uri):
            _commit_fast(client)
        return client

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn whatever the store throws into a TrackingError."""
        try:
            yield
        except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError) as error:
            uri = redact(self.uri)
            what = str(getattr(error, "orig", None) or error).replace(self.uri.rstrip("/"), uri)
            raise TrackingError(
                f"tracking store '{uri}': {' '.join(what.split())[:300]}"
            ) from error

    def check(self, experiment: str) -> None:
        """Make sure that `experiment` can be written to; create nothing.

        The store has to answer, or its database to have a folder; a deleted experiment is refused.
        """
        file = _sqlite_file(self.uri)
        if file is None or file.exists():
            self.prepare()
            with self.errors():
                found = self.client.get_experiment_by_name(experiment)
            if found is not None:
                _refuse_deleted(found)
        else:
            self._refuse_unwritable(file)

    def prepare(self) -> None:
        """Make sure that the store answers; create a database that does not exist yet."""
        if file := _sqlite_file(self.uri):
            self._refuse_unwritable(file)
        with self.errors():
            if file:
                _write_ahead(file)  # of a file that is no database, MLflow would try for minutes
            self.client.search_experiments(max_results=1)

    def exists(self) -> bool:
        """Whether there is a database, if it is a file; a server is taken to be there."""
        file = _sqlite_file(self.uri)
        return file is None or file.exists()

    def _refuse_unwritable(self, file: Path) -> None:
        if not file.parent.is_dir():
            raise TrackingError(f"tracking store '{self.uri}': there is no folder '{file.parent}'")
        place = file if file.exists() else file.parent
        if not os.access(place, os.W_OK):
            raise TrackingError(f"tracking store '{self.uri}': '{place}' cannot be written to")

    def open_experiment(self, name: str) -> str:
        """Return the id of the experiment called `name`, which is made if there is none."""
        with self.errors():
            found = self.client.get_experiment_by_name(name) or self._create(name)
        _refuse_deleted(found)
        return str(found.experiment_id)

    def _create(self, name: str) -> Experiment:
        try:
            tags = {"mlflow.experimentKind": "custom_model_development"}
            return self.client.get_experiment(self.client.create_experiment(name, tags=tags))
        except MlflowException:
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return found  # another thread or process of the study's was faster

    def log_inputs(self, run_id: str, inputs: list[DatasetInput]) -> None:
        """Say what data a run had.

        Of several processes that bring the same data for the first time, MLflow refuses all but
        one ("UNIQUE constraint failed"): the second time it finds them.
        """
        with self.errors():
            try:
                self.client.log_inputs(run_id, inputs)
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(BAD_REQUEST):
                    raise
                self.client.log_inputs(run_id, inputs)

    def delete(self, experiment: str) -> bool:
        """Delete the experiment called `experiment`; return whether there was one."""
        with self.errors():
            found = self.client.get_experiment_by_name(experiment)
            if found is None:
                return False
            if found.lifecycle_stage == "deleted":  # and so could not be renamed
                self.client.restore_experiment(found.experiment_id)
            # A deleted experiment keeps its name until `mlflow gc`: free it for a new study.
            number, now = found.experiment_id, time.strftime("%Y-%m-%d %H:%M:%S")
            self.client.rename_experiment(number, f"{experiment} (deleted {now}, id {number})")
            self.client.delete_experiment(number)
            return True

    def experiment_names(self) -> list[str]:
        """Return the names of the experiments, without the empty one that MLflow starts with."""
        with self.errors():
            experiments = self.client.search_experiments()
        return [e.name for e in experiments if e.name != "Default"]

    def experiment_id(self, name: str) -> str | None:
        """Return the id of the experiment called `name`, if there is one to look at."""
        with self.errors():
            found = self.client.get_experiment_by_name(name)
        return found.experiment_id if found and found.lifecycle_stage == "active" else None

    @property
    def is_server(self) -> bool:
        """Whether the store is a tracking server, with pages of its own."""
        return self.uri.startswith(("http://", "https://"))

    def page(self, name: str | None = None) -> str:
        """Return the page with the curves of a study's trials, or that of all experiments.

        It is relative to the server. The best trials come first, since MLflow shows ten. Runs of
        other kinds, such as figures, appear when the filter in the search box is cleared.
        """
        names = [name] if name else self.experiment_names()
        if len(names) != 1:
            return f"#/experiments?{VIEW}"
        experiment = self.experiment_id(names[0])
        if experiment is None and (numbered := NUMBERED_ROUND.fullmatch(names[0])):
            experiment = self.experiment_id(numbered[1])  # later rounds are in that of the first
        if experiment is None:
            raise TrackingError(
                f"MLflow has no experiment '{names[0]}'; hpsearch list shows the studies"
            )
        metric = self.best_metric(experiment)
        ascending = str("loss" in metric).lower()
        order = {"orderByKey": f"metrics.`{metric}`", "orderByAsc": ascending} if metric else {}
        parts = {"compareRunsMode": "CHART", "searchFilter": TRIALS, **order}
        query = urlencode(parts, quote_via=quote)
        return f"#/experiments/{experiment}/runs?{VIEW}&{query}"

    def best_metric(self, experiment_id: str) -> str:
        """Return the metric that the experiment's trials are judged by, "" if it has none yet."""
        with self.errors():
            runs = self.client.search_runs([experiment_id], TRIALS, max_results=100)
        names = (name for run in runs for name in run.data.metrics if name.endswith(BEST))
        return next(names, "")


def _sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite address, None for any other."""
    try:
        database = make_url(uri).database if uri.startswith(SQLITE) else None
    except (ArgumentError, ValueError):
        return None
    return Path(database) if database else None


def _absolute(uri: str) -> str:
    """Fix a relative SQLite file to this folder: MLflow keeps connections by the address given."""
    file = _sqlite_file(uri)
    return uri.replace(str(file), str(file.absolute()), 1) if file else uri


def _refuse_deleted(experiment: Experiment) -> None:
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"MLflow experiment '{experiment.name}' was deleted; bring it back with `mlflow "
            f"experiments restore --experiment-id {experiment.experiment_id}`, or start a study "
            "under another name with ",
            Argument("name"),
        )


def _commit_fast(client: MlflowClient) -> None:
    """Have MLflow's own connections to its SQLite database not wait for the disk."""
    engine = database_engine(client)
    if engine is not None and not event.contains(engine, "connect", _commit_without_the_disk):
        event.listen(engine, "connect", _commit_without_the_disk)
        engine.dispose()  # connections that are open already would wait


def _commit_without_the_disk(connection: Any, _: object) -> None:
    """Let a commit return before the disk has it.

    The database stays consistent whatever happens, and runs that a power failure takes are written
    again.
    """
    connection.execute("PRAGMA synchronous = NORMAL")


def _write_ahead(file: Path) -> None:
    """Let readers and one writer work side by side; SQLite remembers it in the file."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
