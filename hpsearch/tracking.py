"""Tracker: projects trials into MLflow. A run is computed from one frozen trial and nothing else.

So MLflow holds no truth of its own: what is missing there can be written again at any time, and
writing it twice changes nothing.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.entities import Experiment, RunTag, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from hpsearch.errors import TrackingError
from hpsearch.projection import BEST, KIND, NUMBER, STUDY, Projection, project
from hpsearch.storage import redact

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna.study import Study
    from optuna.trial import FrozenTrial

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
EXPERIMENT = "experiment"  # user attribute of a study: the name of its MLflow experiment
METRICS_PER_BATCH = 800  # MLflow takes 1,000 entities at once, params and tags among them
RUNS_PER_PAGE = 1000

logger = logging.getLogger(__name__)


def tracking_uri(given: str | None = None) -> str:
    """Return the tracking store: as given, or MLFLOW_TRACKING_URI, or the default database."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


def experiment_name(study: Study) -> str:
    """Return the name of the MLflow experiment that holds the study's runs."""
    return str(study.user_attrs.get(EXPERIMENT, study.study_name))


class Tracker:
    """An Optuna callback `(study, trial)` that writes the trial as a run of an MLflow experiment.

    The experiment bears the study's name. MLflow's global tracking URI and active run are neither
    read nor changed. A tracking store that fails is said once in the log and costs nothing but a
    later `sync`; `prepare` and `sync` raise TrackingError instead.
    """

    def __init__(self, uri: str | None = None) -> None:
        self.uri = tracking_uri(uri)
        self.lost = False  # the store failed; `sync` finds out whether it is back
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, dict[int, Run]] = {}

    def __reduce__(self) -> tuple[type[Tracker], tuple[str]]:
        return type(self), (self.uri,)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client for this store; raises TrackingError."""
        try:
            return MlflowClient(tracking_uri=self.uri)
        except (ImportError, ValueError) as error:
            # A ValueError is about a port that is no number, and may quote a misplaced password.
            what = "its port is no number" if isinstance(error, ValueError) else error
            raise TrackingError(f"tracking store '{redact(self.uri)}': {what}") from None

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Write `trial`, finished or still running; never raises for the store's sake."""
        if self.lost:
            return
        try:
            self._write(study, trial)
        except TrackingError as error:
            self.lost = True
            logger.warning("%s; the trials go on, `hpsearch sync` adds their runs later", error)

    def prepare(self) -> None:
        """Make sure that the store answers; create a database that does not exist yet.

        Raises TrackingError.
        """
        with self._store():
            self.client.search_experiments(max_results=1)
            if self.uri.startswith("sqlite:///"):
                _write_ahead(self.uri)

    def check_experiment(self, name: str) -> None:
        """Raise TrackingError if the experiment cannot be written to, because it was deleted."""
        with self._store():
            experiment = self.client.get_experiment_by_name(name)
        if experiment is not None:
            _refuse_deleted(experiment)

    def sync(self, study: Study) -> int:
        """Write the runs that are missing or were left unfinished; return how many those were.

        A run that somebody deleted in MLflow stays deleted. Raises TrackingError.
        """
        self.lost = False
        self._runs.pop(study.study_name, None)
        runs = self._runs_of(study)
        written = 0
        for trial in study.get_trials(deepcopy=False):
            run = runs.get(trial.number)
            if trial.state.is_finished() and (run is None or run.info.status == "RUNNING"):
                self._write(study, trial)
                written += 1
        return written

    def describe(self, study: Study, text: str) -> None:
        """Put Markdown `text` on the experiment's page."""
        if not self.lost:
            with self._store():
                experiment_id = self._experiment_id(study)
                self.client.set_experiment_tag(experiment_id, "mlflow.note.content", text)

    def delete(self, experiment: str) -> bool:
        """Delete the experiment called `experiment`; return whether there was one."""
        with self._store():
            found = self.client.get_experiment_by_name(experiment)
            if found is None or found.lifecycle_stage == "deleted":
                return False
            # A deleted experiment keeps its name until `mlflow gc`: free it for a new study.
            number, now = found.experiment_id, time.strftime("%Y-%m-%d %H:%M:%S")
            self.client.rename_experiment(number, f"{experiment} (deleted {now}, id {number})")
            self.client.delete_experiment(number)
            self._experiments.clear()
            self._runs.clear()
            return True

    def experiment_names(self) -> list[str]:
        """Return the names of the experiments, without the empty one that MLflow starts with."""
        with self._store():
            experiments = self.client.search_experiments()
        return [e.name for e in experiments if e.name != "Default"]

    def experiment_id(self, name: str) -> str | None:
        """Return the id of the experiment called `name`, if there is one to look at."""
        with self._store():
            found = self.client.get_experiment_by_name(name)
        return found.experiment_id if found and found.lifecycle_stage == "active" else None

    def best_metric(self, experiment_id: str) -> str:
        """Return the metric that the experiment's trials are judged by, "" if it has none yet."""
        with self._store():
            trials = f"tags.`{KIND}` = 'trial'"
            runs = self.client.search_runs([experiment_id], trials, max_results=100)
        names = (name for run in runs for name in run.data.metrics if name.endswith(BEST))
        return next(names, "")

    def _write(self, study: Study, trial: FrozenTrial) -> None:
        """Bring the run of `trial` up to what the trial says now."""
        with self._store():
            runs, projection = self._runs_of(study), project(study.study_name, trial)
            fresh = trial.number not in runs
            if fresh:
                runs[trial.number] = self._create_run(study, projection)
            elif runs[trial.number].info.lifecycle_stage == "deleted":
                return
            run_id = runs[trial.number].info.run_id
            self._log(run_id, projection, fresh=fresh)
            if projection.end is not None:
                self.client.set_terminated(run_id, projection.status, projection.end)

    def _create_run(self, study: Study, projection: Projection) -> Run:
        experiment_id = self._experiment_id(study)
        run = self.client.create_run(
            experiment_id, projection.start, projection.tags, projection.name
        )
        if projection.inputs:
            self.client.log_inputs(run.info.run_id, projection.inputs)
        return run

    def _log(self, run_id: str, projection: Projection, *, fresh: bool) -> None:
        """Log params, metrics and, where the run does not have them from its creation, tags."""
        tags = [] if fresh else [RunTag(key, value) for key, value in projection.tags.items()]
        first, rest = projection.metrics[:METRICS_PER_BATCH], projection.metrics[METRICS_PER_BATCH:]
        self.client.log_batch(run_id, first, projection.params, tags, synchronous=True)
        for start in range(0, len(rest), METRICS_PER_BATCH):
            batch = rest[start : start + METRICS_PER_BATCH]
            self.client.log_batch(run_id, batch, synchronous=True)

    def _experiment_id(self, study: Study) -> str:
        name = experiment_name(study)
        if name not in self._experiments:
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                _refuse_deleted(found)
            self._experiments[name] = found.experiment_id if found else self._create(name)
        return self._experiments[name]

    def _create(self, experiment: str) -> str:
        try:
            tags = {"mlflow.experimentKind": "custom_model_development"}
            return self.client.create_experiment(experiment, tags=tags)
        except MlflowException:
            found = self.client.get_experiment_by_name(experiment)
            if found is None:
                raise
            return found.experiment_id  # another thread or process of the study's was faster

    def _runs_of(self, study: Study) -> dict[int, Run]:
        """Return the runs of a study's trials by the trial's number, deleted ones included."""
        if study.study_name not in self._runs:
            with self._store():
                found = self._search(self._experiment_id(study))
                mine = [run for run in found if run.data.tags.get(STUDY) == study.study_name]
                runs = {int(run.data.tags[NUMBER]): run for run in mine}
                self._runs.setdefault(study.study_name, runs)  # of two threads, the first's
        return self._runs[study.study_name]

    def _search(self, experiment_id: str) -> Iterator[Run]:
        """Yield the runs that are trials, whatever their study."""
        page: str | None = None
        while True:
            runs = self.client.search_runs(
                [experiment_id],
                f"tags.`{KIND}` = 'trial'",
                ViewType.ALL,
                max_results=RUNS_PER_PAGE,
                page_token=page,
            )
            yield from runs
            page = runs.token
            if not page:
                return

    @contextmanager
    def _store(self) -> Iterator[None]:
        """Turn whatever the store throws into a TrackingError."""
        try:
            yield
        except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError) as error:
            uri = redact(self.uri)
            what = str(getattr(error, "orig", None) or error).replace(self.uri.rstrip("/"), uri)
            raise TrackingError(
                f"tracking store '{uri}': {' '.join(what.split())[:300]}"
            ) from error


def _refuse_deleted(experiment: Experiment) -> None:
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"MLflow experiment '{experiment.name}' was deleted; bring it back with `mlflow "
            f"experiments restore --experiment-id {experiment.experiment_id}`, or start a study "
            "under another name with --name"
        )


def _write_ahead(uri: str) -> None:
    """Let readers and one writer work side by side; SQLite remembers it in the file."""
    database = make_url(uri).database
    if database and Path(database).is_file():
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
