"""Tracker: writes trials to MLflow. A run is computed from one frozen trial and nothing else.

So MLflow never has anything that the storage lacks: a missing run can be written again at any time,
and writing a run twice changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.entities import RunTag, ViewType
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode

from hpsearch.errors import TrackingError
from hpsearch.tracking.note import with_section
from hpsearch.tracking.projection import (
    CHECKPOINT,
    ID,
    NOTE,
    NUMBER,
    Projection,
    project_trial,
    runs_filter,
)
from hpsearch.tracking.runs import end_killed_runs
from hpsearch.tracking.store import VIEW, TrackingStore
from hpsearch.trials.records import ensure_study_id, experiment_name, own_trials

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.trials.checkpoints import Checkpoint

METRICS_PER_BATCH = 800  # MLflow takes 1,000 entities in one call, params and tags included
PARAMS_PER_BATCH = 100  # as many as MLflow takes
RUNS_PER_PAGE = 1000
RETRY_SECONDS = 10.0  # how long a lost store is left alone at least
RETRY_SHARE = 10.0  # and that many times as long as the last try took

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackedRuns:
    """The runs of studies in their experiment: their ids, and how many runs of others are there.

    What others have deleted does not count: with the experiment, they can restore it.
    """

    experiment: str
    own: tuple[str, ...]
    others: int


class Tracker:
    """An Optuna callback `(study, trial)` that writes the trial as a run of an MLflow experiment.

    The experiment has the name of the study; later rounds of a search share the experiment of the
    first. MLflow's global tracking URI and active run are neither read nor changed.

    If the tracking store fails, the tracker logs a warning, tries again every so often, and then
    writes the runs that it missed. What is missing in the end is added by `sync`. The other methods
    raise TrackingError.

    page: the address of the service that shows the trials too; each run then has a link there.
    lost: whether the store failed at the last try.
    """

    def __init__(self, uri: str | None = None, page: str = "") -> None:
        self.store, self.page = TrackingStore(uri), page
        self.lost = False
        self._missed: dict[tuple[str, int], tuple[Study, FrozenTrial]] = {}
        self._next_try = 0.0  # when `time.monotonic()` allows to try a lost store again
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, dict[int, Run]] = {}

    def __reduce__(self) -> tuple[type[Tracker], tuple[str, str]]:
        return type(self), (self.store.uri, self.page)

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Write `trial`, finished or still running; if the store fails, only log a warning."""
        key = study.study_name, trial.number
        started = time.monotonic()
        if self.lost and started < self._next_try:
            self._missed[key] = study, trial
            return
        try:
            if self.lost:
                self.forget(study)  # MLflow has what it wrote and could not answer
                self._write_missed()
            self._write_or_skip(study, trial)
            self.lost = False
        except TrackingError as error:
            self._missed[key] = study, trial
            if not self.lost:
                logger.warning("%s; the trials go on, and their runs are added later", error)
            self.lost = True
            now = time.monotonic()
            self._next_try = now + max(RETRY_SECONDS, RETRY_SHARE * (now - started))

    def _write_missed(self) -> None:
        for key in list(self._missed):
            if missed := self._missed.pop(key, None):  # another thread may have been faster
                try:
                    self._write_or_skip(*missed)
                except TrackingError:
                    self._missed[key] = missed
                    raise

    def sync(self, study: Study, should_stop: Callable[[], bool] = lambda: False) -> int:
        """Write the runs that are missing or unfinished, and return how many; raise TrackingError.

        should_stop: asked before each trial; True leaves the rest for later. A run that somebody
        deleted in MLflow stays deleted.
        """
        self.lost = False
        self.forget(study)
        end_killed_runs(self.store, self._experiment_id(study), study)
        runs = self._runs_of(study)
        written = 0
        for trial in own_trials(study):
            if should_stop():
                break
            run = runs.get(trial.number)
            if trial.state.is_finished() and (run is None or run.info.status == "RUNNING"):
                self._write_or_skip(study, trial)
                written += 1
        return written

    def forget(self, study: Study) -> None:
        """Forget which runs exist: another process may have created some."""
        self._runs.pop(study.study_name, None)

    def describe(self, study: Study, text: str) -> None:
        """Put Markdown `text` on the experiment's page, unless the store is lost.

        The texts of other studies in the experiment stay.
        """
        if not self.lost:
            with self.store.errors():
                experiment_id = self._experiment_id(study)
                tags = self.store.client.get_experiment(experiment_id).tags
                note = with_section(tags.get(NOTE, ""), ensure_study_id(study), text)
                self.store.client.set_experiment_tag(experiment_id, NOTE, note)

    def log_checkpoint(self, study: Study, trial: FrozenTrial, checkpoint: Checkpoint) -> None:
        """Log a checkpoint as an artifact of the trial's run, unless the run has it already."""
        run, epoch = self._runs_of(study).get(trial.number), str(checkpoint.epoch)
        if run is None or run.info.lifecycle_stage == "deleted":
            return
        if run.data.tags.get(CHECKPOINT) == epoch:
            return
        client, path, run_id = self.store.client, str(checkpoint.path), run.info.run_id
        log = client.log_artifacts if checkpoint.path.is_dir() else client.log_artifact
        with self.store.errors():
            log(run_id, path, f"checkpoint-epoch-{epoch}")
            client.set_tag(run_id, CHECKPOINT, epoch)  # last: it says that all of it is there

    def run_page(self, study: Study, trial: FrozenTrial) -> str | None:
        """Return the address of a trial's run, relative to the server's; None if it has none yet.

        Raises TrackingError.
        """
        experiment = self.store.experiment_id(experiment_name(study))
        if experiment is None:
            return None
        wanted = f"{runs_filter(study)} and tags.`{NUMBER}` = '{trial.number}'"
        with self.store.errors():
            run = next(iter(self._search(experiment, wanted, ViewType.ACTIVE_ONLY)), None)
        return None if run is None else f"#/experiments/{experiment}/runs/{run.info.run_id}?{VIEW}"

    def tracked_runs(self, studies: Sequence[Study]) -> TrackedRuns:
        """Return the runs of the studies, which are in the experiment of the first."""
        experiment_id = self.store.experiment_id(name := experiment_name(studies[0]))
        if experiment_id is None:
            return TrackedRuns(name, (), 0)
        ids = {ensure_study_id(study) for study in studies}
        with self.store.errors():
            runs = list(self._search(experiment_id, "", ViewType.ACTIVE_ONLY))
        own = tuple(run.info.run_id for run in runs if run.data.tags.get(ID) in ids)
        return TrackedRuns(name, own, len(runs) - len(own))

    def delete(self, studies: Sequence[Study]) -> None:
        """Delete the runs of studies, with their experiment if there is nothing else in it."""
        runs = self.tracked_runs(studies)
        if not runs.others:
            self.store.delete(runs.experiment)
            return
        self.describe(studies[0], "")
        with self.store.errors():
            for run_id in runs.own:
                self.store.client.delete_run(run_id)

    def _write_or_skip(self, study: Study, trial: FrozenTrial) -> None:
        """Write a run; where MLflow refuses what is in it, now and for ever, only say so."""
        try:
            self._write(study, trial)
        except TrackingError as error:
            cause = error.__cause__
            if getattr(cause, "error_code", None) != ErrorCode.Name(INVALID_PARAMETER_VALUE):
                raise
            self.store.check(experiment_name(study))  # refuses everything if somebody deleted it
            self._end_incomplete(study, trial)
            name = f"{study.study_name}#{trial.number}"
            logger.warning("the run of trial %s is incomplete: %s", name, error)

    def _end_incomplete(self, study: Study, trial: FrozenTrial) -> None:
        run, projection = self._runs_of(study).get(trial.number), project_trial(study, trial)
        if run is not None and projection.end is not None:
            with self.store.errors():
                end = projection.end
                self.store.client.set_terminated(run.info.run_id, projection.status, end)

    def _write(self, study: Study, trial: FrozenTrial) -> None:
        """Create or update the run of `trial`."""
        with self.store.errors():
            runs = self._runs_of(study)
            projection = project_trial(study, trial, self.page)
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
        params, more = projection.params[:PARAMS_PER_BATCH], projection.params[PARAMS_PER_BATCH:]
        self.store.client.log_batch(run_id, first, params, tags, synchronous=True)
        for start in range(0, len(more), PARAMS_PER_BATCH):
            batch = more[start : start + PARAMS_PER_BATCH]
            self.store.client.log_batch(run_id, params=batch, synchronous=True)
        for start in range(0, len(rest), METRICS_PER_BATCH):
            points = rest[start : start + METRICS_PER_BATCH]
            self.store.client.log_batch(run_id, points, synchronous=True)

    def _experiment_id(self, study: Study) -> str:
        name = experiment_name(study)
        if name not in self._experiments:
            self._experiments[name] = self.store.open_experiment(name)
        return self._experiments[name]

    def _runs_of(self, study: Study) -> dict[int, Run]:
        """Return the runs of a study's trials by the trial's number, deleted ones included."""
        if study.study_name not in self._runs:
            with self.store.errors():
                runs: dict[int, Run] = {}
                for run in self._search(self._experiment_id(study), runs_filter(study)):
                    if NUMBER in run.data.tags:
                        number = int(run.data.tags[NUMBER])
                        runs[number] = self._one_of(run, runs.get(number))
                self._runs.setdefault(study.study_name, runs)  # another thread may have been faster
        return self._runs[study.study_name]

    def _one_of(self, run: Run, other: Run | None) -> Run:
        """Return the run of a trial that is kept, and delete the other.

        A trial has two if MLflow made one, its answer got lost, and the client asked again.
        """
        if other is None:
            return run
        kept, surplus = sorted((run, other), key=_rank)
        if surplus.info.lifecycle_stage == "active":
            self.store.client.delete_run(surplus.info.run_id)
        return kept

    def _search(self, experiment_id: str, runs: str, view: int = ViewType.ALL) -> Iterator[Run]:
        """Yield the runs that match MLflow's filter `runs`, as a rule deleted ones included."""
        page: str | None = None
        while True:
            found = self.store.client.search_runs(
                [experiment_id],
                runs,
                view,
                max_results=RUNS_PER_PAGE,
                page_token=page,
            )
            yield from found
            page = found.token
            if not page:
                return


def _rank(run: Run) -> tuple[bool, bool, int]:
    """Return what sorts the runs of one trial: the one to keep comes first."""
    active = run.info.lifecycle_stage == "active"
    return not active, run.info.status == "RUNNING", run.info.start_time
