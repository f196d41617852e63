"""The tracking store: MLflow at one address, and the experiments in it."""

from __future__ import annotations

import logging
import os
import shlex
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
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
from sqlalchemy.exc import SQLAlchemyError

from hpsearch.errors import Argument, Command, TrackingError
from hpsearch.internals import database_engine
from hpsearch.settings.names import NUMBERED_ROUND
from hpsearch.storage.open import redact, sqlite_file
from hpsearch.tracking.address import is_server, tracking_uri
from hpsearch.tracking.database import open_database
from hpsearch.tracking.projection import BEST, ID, TRIALS_FILTER
from hpsearch.trials.metrics import known_direction

VIEW = "workflowType=machine_learning"  # without it MLflow may open pages for language models
_RAISES = ContextVar("whether errors of MLflow's database are raised as errors", default=False)
_DATABASE_LOG = logging.getLogger("mlflow.store.db.utils")
_DATABASE_LOG.addFilter(lambda _: not _RAISES.get())


class TrackingStore:
    """MLflow at one address, with its experiments by name. Every method raises TrackingError."""

    def __init__(self, uri: str | None = None) -> None:
        self.uri = tracking_uri(uri)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client for this store; making it creates a database that does not exist yet."""
        with self.errors():
            try:
                client = self._open(_absolute(self.uri))
            except (ImportError, ValueError) as error:
                # A ValueError comes from a port that is no number; it may quote a password.
                what = "its port is no number" if isinstance(error, ValueError) else error
                raise TrackingError(f"tracking store '{redact(self.uri)}': {what}") from None
            if sqlite_file(self.uri):
                _commit_fast(client)
            return client

    def _open(self, uri: str) -> MlflowClient:
        file = sqlite_file(uri)
        return MlflowClient(tracking_uri=uri) if file is None else open_database(file, uri)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn every exception of MLflow and its database into a TrackingError.

        MLflow would also log those of the database, with a traceback.
        """
        token = _RAISES.set(True)
        try:
            yield
        except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError) as error:
            uri = redact(self.uri)
            what = _of_driver(error).replace(self.uri.rstrip("/"), uri)
            raise TrackingError(
                f"tracking store '{uri}': {' '.join(what.split())[:300]}"
            ) from error
        finally:
            _RAISES.reset(token)

    def check(self, experiment: str) -> None:
        """Make sure that `experiment` can be written to; create nothing.

        Raises TrackingError if the store does not answer, if the experiment was deleted, or if
        there is no database yet and no folder to create it in.
        """
        file = sqlite_file(self.uri)
        if file is None or file.exists():
            self.prepare()
            with self.errors():
                found = self.client.get_experiment_by_name(experiment)
            if found is not None:
                _refuse_deleted(found, self.uri)
        else:
            self._refuse_unwritable(file)

    def prepare(self) -> None:
        """Make sure that the store answers; create its database if there is none."""
        if file := sqlite_file(self.uri):
            self._refuse_unwritable(file)
        with self.errors():
            self.client.search_experiments(max_results=1)

    def exists(self) -> bool:
        """Whether the database file exists; True for a server, which is not asked."""
        file = sqlite_file(self.uri)
        return file is None or file.exists()

    def _refuse_unwritable(self, file: Path) -> None:
        if not file.parent.is_dir():
            raise TrackingError(f"tracking store '{self.uri}': there is no folder '{file.parent}'")
        place = file if file.exists() else file.parent
        if not os.access(place, os.W_OK):
            raise TrackingError(f"tracking store '{self.uri}': '{place}' cannot be written to")

    def open_experiment(self, name: str) -> str:
        """Return the id of the experiment called `name`; create it if there is none."""
        with self.errors():
            found = self.client.get_experiment_by_name(name) or self._create(name)
        _refuse_deleted(found, self.uri)
        return str(found.experiment_id)

    def _create(self, name: str) -> Experiment:
        try:
            tags = {"mlflow.experimentKind": "custom_model_development"}
            return self.client.get_experiment(self.client.create_experiment(name, tags=tags))
        except MlflowException:
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return found  # another thread or process of the study was faster

    def log_inputs(self, run_id: str, inputs: list[DatasetInput]) -> None:
        """Log the data sets that a run used.

        When several processes log a new data set at once, MLflow refuses all but one with "UNIQUE
        constraint failed". The second try finds the data set and succeeds.
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
            if found.lifecycle_stage == "deleted":  # MLflow would not rename it
                self.client.restore_experiment(found.experiment_id)
            # A deleted experiment keeps its name until `mlflow gc`: free it for a new study.
            number, now = found.experiment_id, time.strftime("%Y-%m-%d %H:%M:%S")
            self.client.rename_experiment(number, f"{experiment} (deleted {now}, id {number})")
            self.client.delete_experiment(number)
            return True

    def experiment_names(self) -> list[str]:
        """Return the names of the experiments, without the empty one that MLflow creates."""
        with self.errors():
            experiments = self.client.search_experiments()
        return [e.name for e in experiments if e.name != "Default"]

    def experiment_id(self, name: str) -> str | None:
        """Return the id of the experiment called `name`, None if it is missing or deleted."""
        with self.errors():
            found = self.client.get_experiment_by_name(name)
        return found.experiment_id if found and found.lifecycle_stage == "active" else None

    @property
    def is_server(self) -> bool:
        """Whether the store is a tracking server, which has pages of its own."""
        return is_server(self.uri)

    def page(
        self, name: str | None = None, study_ids: Sequence[str] = (), direction: str = ""
    ) -> str:
        """Return the address of the page with the curves of a study's trials.

        It is relative to the server's. name: the study; None is the only experiment, or the list of
        all experiments if there are several. study_ids: those of the study and its rounds, where
        they are known; trials of another person's study of the same name are then left out.

        The best trials come first, because MLflow shows only ten. direction: that of the study, ""
        as the name of its metric says. Runs of other kinds, such as
        figures, appear when the filter in the search box is cleared.
        """
        names = [name] if name else self.experiment_names()
        if len(names) != 1:
            return f"#/experiments?{VIEW}"
        experiment = self.experiment_id(names[0])
        if experiment is None and (numbered := NUMBERED_ROUND.fullmatch(names[0])):
            experiment = self.experiment_id(numbered[1])  # rounds share the experiment of the first
        if experiment is None:
            raise TrackingError(
                f"MLflow has no experiment '{names[0]}'; if the study exists, `",
                Command("sync", names[0]),
                "` writes its runs; `",
                Command("list"),
                "` shows the studies",
            )
        shown = self._trials_filter(experiment, study_ids)
        metric = self.best_metric(experiment, shown)
        up = (direction or known_direction(metric.removesuffix(BEST))) == "maximize"
        ascending = {"orderByAsc": str(not up).lower()}
        order = {"orderByKey": f"metrics.`{metric}`", **ascending} if metric else {}
        parts = {"compareRunsMode": "CHART", "searchFilter": shown, **order}
        query = urlencode(parts, quote_via=quote)
        return f"#/experiments/{experiment}/runs?{VIEW}&{query}"

    def _trials_filter(self, experiment_id: str, study_ids: Sequence[str]) -> str:
        """Return MLflow's filter for the trials of these studies, of which the last is the newest.

        MLflow's filters know no "or": where rounds share their experiment with others, the trials
        of the last round are shown.
        """
        others = " and ".join([TRIALS_FILTER, *(f"tags.`{ID}` != '{each}'" for each in study_ids)])
        with self.errors():
            if not study_ids or not self.client.search_runs([experiment_id], others, max_results=1):
                return TRIALS_FILTER
        return f"{TRIALS_FILTER} and tags.`{ID}` = '{study_ids[-1]}'"

    def best_metric(self, experiment_id: str, trials: str = TRIALS_FILTER) -> str:
        """Return the metric that ranks the experiment's trials, "" if no trial has one yet.

        trials: MLflow's filter for the trials that count.
        """
        with self.errors():
            runs = self.client.search_runs([experiment_id], trials, max_results=100)
        names = (name for run in runs for name in run.data.metrics if name.endswith(BEST))
        return next(names, "")


def _of_driver(error: BaseException) -> str:
    """Return what the driver of a database says, without the statement; else the error's text."""
    errors = (error, error.__cause__)
    said = (orig for each in errors if (orig := getattr(each, "orig", None)))
    return str(next(said, error))


def _absolute(uri: str) -> str:
    """Return `uri` with an absolute file: MLflow keeps connections by the address as given."""
    file = sqlite_file(uri)
    return uri.replace(str(file), str(file.absolute()), 1) if file else uri


def _refuse_deleted(experiment: Experiment, uri: str) -> None:
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"MLflow experiment '{experiment.name}' was deleted; bring it back with "
            f"`MLFLOW_TRACKING_URI={shlex.quote(redact(uri))} mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}`, or start a study under another name "
            "with ",
            Argument("name", "=…"),
        )


def _commit_fast(client: MlflowClient) -> None:
    """Let MLflow's connections to this SQLite database commit without waiting for the disk.

    No other engine in the process is changed, not even another one on the same file.
    """
    engine = database_engine(client)
    if engine is not None and not event.contains(engine, "connect", _set_synchronous_normal):
        event.listen(engine, "connect", _set_synchronous_normal)
        engine.dispose()  # the pool's open connections would go on waiting


def _set_synchronous_normal(connection: Any, _: object) -> None:
    """Let a commit on this connection return before the data are on the disk.

    The database stays consistent even after a power failure, and `sync` writes lost runs again.
    """
    connection.execute("PRAGMA synchronous = NORMAL")
