"""Tracker: writes trials to MLflow. A run is computed from one frozen trial and nothing else.

So MLflow never has anything that the storage lacks: a missing run can be written again at any time,
and writing a run twice changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mlflow.entities import RunTag, ViewType

from hpsearch.errors import TrackingError
from hpsearch.tracking.projection import ID, NOTE, NUMBER, Projection, project_trial, runs_filter
from hpsearch.tracking.store import TrackingStore
from hpsearch.trials.records import ensure_study_id, experiment_name, own_trials

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna.study import Study
    from optuna.trial import FrozenTrial

METRICS_PER_BATCH = 800  # MLflow takes 1,000 entities in one call, params and tags included
NOTE_LENGTH = 20_000  # the longest tag that MLflow takes for an experiment
RUNS_PER_PAGE = 1000

logger = logging.getLogger(__name__)


class Tracker:
    """An Optuna callback `(study, trial)` that writes the trial as a run of an MLflow experiment.

    The experiment has the name of the study; later rounds of a search share the experiment of the
    first. MLflow's global tracking URI and active run are neither read nor changed. If the tracking
    store fails, the tracker logs one warning and writes nothing more until `sync`, which adds the
    missing runs. The other methods raise TrackingError.
    """

    def __init__(self, uri: str | None = None) -> None:
        self.store = TrackingStore(uri)
        self.lost = False  # whether the store failed; `sync` tries it again
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, dict[int, Run]] = {}

    def __reduce__(self) -> tuple[type[Tracker], tuple[str]]:
        return type(self), (self.store.uri,)

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Write `trial`, finished or still running; if the store fails, only log a warning."""
        if self.lost:
            return
        try:
            self._write(study, trial)
        except TrackingError as error:
            self.lost = True
            logger.warning("%s; the trials go on, `hpsearch sync` adds their runs later", error)

    def sync(self, study: Study, should_stop: Callable[[], bool] = lambda: False) -> int:
        """Write the runs that are missing or unfinished, and return how many; raise TrackingError.

        should_stop: asked before each trial; True leaves the rest for later. A run that somebody
        deleted in MLflow stays deleted.
        """
        self.lost = False
        self.forget(study)
        runs = self._runs_of(study)
        written = 0
        for trial in own_trials(study):
            if should_stop():
                break
            run = runs.get(trial.number)
            if trial.state.is_finished() and (run is None or run.info.status == "RUNNING"):
                self._write(study, trial)
                written += 1
        return written

    def forget(self, study: Study) -> None:
        """Forget which runs exist: another process may have created some."""
        self._runs.pop(study.study_name, None)

    def describe(self, study: Study, text: str) -> None:
        """Put Markdown `text` on the experiment's page, unless the store is lost."""
        if not self.lost:
            with self.store.errors():
                experiment_id = self._experiment_id(study)
                note = text[:NOTE_LENGTH]
                self.store.client.set_experiment_tag(experiment_id, NOTE, note)

    def delete(self, study: Study) -> None:
        """Delete the study's experiment; for a later round, which shares one, only its own runs."""
        name = experiment_name(study)
        if name == study.study_name:
            self.store.delete(name)
        elif self.store.experiment_id(name):
            with self.store.errors():
                for run in list(self._search(self._experiment_id(study), runs_filter(study))):
                    self.store.client.delete_run(run.info.run_id)

    def _write(self, study: Study, trial: FrozenTrial) -> None:
        """Create or update the run of `trial`."""
        with self.store.errors():
            runs = self._runs_of(study)
            projection = project_trial(study, trial)
            fresh = trial.number not in runs
            if fresh:
                runs[trial.number] = self._create_run(study, projection)
            elif runs[trial.number].info.lifecycle_stage == "deleted":
                return
            run_id = runs[trial.number].info.run_id
            self._log(run_id, projection, fresh=fresh)
            if projection.end is not None:
                self.store.client.set_terminated(run_id, projection.status, projection.end)

    def _create_run(self, study: Study, projection: Projection) -> Run:
        experiment_id = self._experiment_id(study)
        run = self.store.client.create_run(
            experiment_id,
            projection.start,
            {**projection.tags, ID: ensure_study_id(study)},
            projection.name,
        )
        if projection.inputs:
            self.store.log_inputs(run.info.run_id, projection.inputs)
        return run

    def _log(self, run_id: str, projection: Projection, *, fresh: bool) -> None:
        """Log params, metrics and, unless the run was just created with them, tags."""
        tags = [] if fresh else [RunTag(key, value) for key, value in projection.tags.items()]
        first, rest = projection.metrics[:METRICS_PER_BATCH], projection.metrics[METRICS_PER_BATCH:]
        self.store.client.log_batch(run_id, first, projection.params, tags, synchronous=True)
        for start in range(0, len(rest), METRICS_PER_BATCH):
            batch = rest[start : start + METRICS_PER_BATCH]
            self.store.client.log_batch(run_id, batch, synchronous=True)

    def _experiment_id(self, study: Study) -> str:
        name = experiment_name(study)
        if name not in self._experiments:
            self._experiments[name] = self.store.open_experiment(name)
        return self._experiments[name]

    def _runs_of(self, study: Study) -> dict[int, Run]:
        """Return the runs of a study's trials by the trial's number, deleted ones included."""
        if study.study_name not in self._runs:
            with self.store.errors():
                found = self._search(self._experiment_id(study), runs_filter(study))
                runs = {int(r.data.tags[NUMBER]): r for r in found if NUMBER in r.data.tags}
                self._runs.setdefault(study.study_name, runs)  # another thread may have been faster
        return self._runs[study.study_name]

    def _search(self, experiment_id: str, runs: str) -> Iterator[Run]:
        """Yield the runs that match MLflow's filter `runs`, deleted ones included."""
        page: str | None = None
        while True:
            found = self.store.client.search_runs(
                [experiment_id],
                runs,
                ViewType.ALL,
                max_results=RUNS_PER_PAGE,
                page_token=page,
            )
            yield from found
            page = found.token
            if not page:
                return
