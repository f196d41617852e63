"""Workspace: one storage and one tracking store, and every use case as a method.

The command line, a notebook and a service call the same methods. They print nothing.

Optuna, MLflow, pandas and matplotlib each take up to two seconds to import, and most methods need
only some of them, so each method imports what it needs.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, get_args

from hpsearch.errors import (
    Argument,
    Command,
    Sentence,
    SettingsError,
    StudyError,
    TrackingError,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from matplotlib.figure import Figure
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from hpsearch.analysis.comparison import Comparison
    from hpsearch.analysis.summaries import Leaderboard, StudySummary, TrialSummary
    from hpsearch.evaluation.record import Evaluation
    from hpsearch.execution.coordinator import OnProgress, RunOptions
    from hpsearch.export.registry import Champion
    from hpsearch.search.check import Finding
    from hpsearch.search.look import Look
    from hpsearch.search.rounds import NextRound
    from hpsearch.search.study import Outcome
    from hpsearch.settings.study import StudySettings
    from hpsearch.storage.replayed import Compacted
    from hpsearch.tracking.store import TrackingStore
    from hpsearch.tracking.tracker import Tracker
    from hpsearch.trials.checkpoints import Checkpoint

PathLike = str | os.PathLike[str]
Table = Any  # one in memory, or a pair (X, y); see `hpsearch.data.memory.write_table`

OUTPUT, REPORT, SAVE = Argument("output"), Argument("report"), Argument("save")
KIND, TARGET = Argument("kind"), Argument("target")
ExportFormat = Literal["toml", "json", "npz", "onnx"]

P = ParamSpec("P")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunTitle:
    """An MLflow run, by the names of its experiment and of the run."""

    experiment: str
    run: str

    def __str__(self) -> str:
        return f"experiment {self.experiment}, run {self.run}"


@dataclass(frozen=True)
class Drawing:
    """Files that were written and the MLflow run that has them, or why there are none."""

    files: list[Path] = field(default_factory=list)
    tracked_as: RunTitle | None = None
    missing: str = ""


@dataclass(frozen=True)
class RunResult:
    """The result of `Workspace.run`: an outcome for each round, figures and reports.

    best: the best trials of all rounds. best_round: the study that has the best of them. figures:
    None where none were asked for. reports: one for each round, where they were asked for.
    """

    outcomes: list[Outcome]
    best: Leaderboard
    best_round: str
    figures: Drawing | None = None
    reports: tuple[Drawing, ...] = ()

    @property
    def last(self) -> Outcome:
        """The outcome of the last round that ran."""
        return self.outcomes[-1]


@dataclass(frozen=True)
class Report:
    """The result of `Workspace.report`: a file, and the MLflow run that has it.

    better_round: another round of the same search that has a better trial, "" if none has.
    """

    path: Path
    tracked_as: RunTitle | None
    better_round: str

    @property
    def megabytes(self) -> float:
        """The size of the file."""
        return self.path.stat().st_size / 1e6


@dataclass(frozen=True)
class EvaluationResult:
    """The result of `Workspace.evaluate`.

    equals: how many more configurations have the best value of the search. better_round: another
    round that has a better trial, "" if none has. tracked_as: None where the evaluation is not in
    MLflow. figures: the files that were written.
    """

    evaluation: Evaluation
    equals: int
    better_round: str
    tracked_as: RunTitle | None
    figures: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Deletion:
    """What `Workspace.delete` is about to delete; `trials` are those of all the studies.

    runs: how many runs go in MLflow, None where it is left alone. others: how many runs of others
    stay in the same experiment.
    """

    studies: list[str]
    trials: int
    runs: int | None
    others: int = 0


def _storage_border(
    method: Callable[Concatenate[Workspace, P], Result],
) -> Callable[Concatenate[Workspace, P], Result]:
    """Make a lost or locked database one sentence, a StorageError, in any method of Workspace."""

    @wraps(method)
    def guarded(self: Workspace, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        from hpsearch.storage.open import storage_errors

        with storage_errors(self.storage_url):
            return method(self, *args, **kwargs)

    return guarded


class Workspace:
    """One storage and one tracking store. Every method raises HpsearchError.

    storage: a journal file, or a database by its URL; None takes HPSEARCH_STORAGE, else
    `hpsearch.journal` in the working directory.
    tracking_uri: MLflow's tracking store; None takes MLFLOW_TRACKING_URI, else
    `sqlite:///mlflow.db`.
    tracked: False leaves MLflow alone.
    page: the address of the service that shows the studies too; runs in MLflow then link to it.
    keep_open: whether the storage stays open from one call to the next, in a process that stays.
    """

    def __init__(
        self,
        storage: str | None = None,
        tracking_uri: str | None = None,
        *,
        tracked: bool = True,
        page: str = "",
        keep_open: bool = False,
    ) -> None:
        self._storage, self._tracking_uri, self.tracked = storage, tracking_uri, tracked
        self.page, self.keep_open = page, keep_open
        self._kept: BaseStorage | None = None

    @property
    def storage_url(self) -> str:
        """The URL of the storage."""
        from hpsearch.storage.open import storage_url

        return storage_url(self._storage)

    @property
    def tracking_uri(self) -> str:
        """The URI of MLflow's tracking store, also where `tracked` is False."""
        from hpsearch.tracking.address import tracking_uri

        return tracking_uri(self._tracking_uri)

    @property
    def tracking_store(self) -> TrackingStore:
        """MLflow's tracking store, also where `tracked` is False."""
        from hpsearch.tracking.store import TrackingStore

        return TrackingStore(self._tracking_uri)

    @_storage_border
    def tracking_page(self, name: str | None = None) -> str:
        """Return the address of MLflow's page on a study, relative to the server's.

        name: None is the only experiment, or the list of all if there are several.
        """
        from hpsearch.storage.catalog import has_study, load_study, rounds_of
        from hpsearch.storage.open import storage_exists
        from hpsearch.trials.records import study_id

        ids, direction = list[str](), ""
        if name is not None and storage_exists(self.storage_url):
            storage = self._open()
            if has_study(storage, name):
                study = load_study(storage, name)
                ids = [known for each in rounds_of(storage, study) if (known := study_id(each))]
                direction = study.directions[0].name.lower()
        return self.tracking_store.page(name, ids, direction)

    @_storage_border
    def run_page(self, name: str, slot: str) -> str | None:
        """Return the address of a trial's run in MLflow, relative to the server's, if it has one.

        The trial is the last one in a slot of the search called `name`.
        """
        from hpsearch.analysis.ranking import find_trial

        study = self._search(name)[1]
        trial = find_trial(study, slot)
        if self.tracker is None or not self.tracker.store.exists():
            return None
        return self.tracker.run_page(study, trial)

    @cached_property
    def tracker(self) -> Tracker | None:
        """The callback that writes trials to MLflow, None where `tracked` is False."""
        if not self.tracked:
            return None
        from hpsearch.tracking.tracker import Tracker

        return Tracker(self._tracking_uri, self.page)

    # Running ---------------------------------------------------------------------------------

    def run(
        self,
        settings: StudySettings,
        *,
        name: str | None = None,
        rounds: int = 1,
        jobs: int = 1,
        gpus: Sequence[str] = (),
        executor: Executor | None = None,
        cluster: str | None = None,
        save: PathLike | None = None,
        report: bool = False,
        force: bool = False,
        retry_failed: bool = False,
        on_progress: OnProgress = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
        on_result: Callable[[RunResult], None] = lambda _: None,
    ) -> RunResult:
        """Run a study, or continue it, and `rounds` - 1 rounds around its best.

        name: None is the file's name and the sampler. jobs: how many trials run at a time.
        gpus: devices for these. executor, cluster: where they run instead of this machine; see
        `run_study`.
        At the end the figures that the settings declare are logged to MLflow; with `save` all
        figures are written to that folder too, and with `report` each round gets a page NAME.html.
        force: overwrite files; an earlier report of the same study is overwritten anyway.
        retry_failed: retry trials that have failed three times.
        should_stop: asked after each epoch; True interrupts the study, and nothing is drawn.
        on_result: called with the result when the trials are done, before anything is drawn.
        """
        from hpsearch.search.study import study_name

        name = study_name(settings, name)
        if save is not None:
            self._check_figure_files(settings, save, force=force)
        if report:
            self._check_reports(name, rounds, force=force)
        options = self._options(
            jobs, on_progress, should_stop, gpus, executor, cluster, retry_failed=retry_failed
        )
        result = self._run_trials(settings, name, rounds, options)
        on_result(result)  # an OSError of the caller is no StorageError
        if result.last.reason in ("interrupted", "stopped"):
            return result
        draw = save is not None or bool(settings.figure and self.tracker is not None)
        return self._finish(result, save, draw=draw, report=report, force=force)

    def look(
        self,
        source: PathLike | Table,
        target: str | Sequence[str] = (),
        *,
        drop: Sequence[str] = (),
        id: Sequence[str] = (),
        text: str | None = None,
        groups: str | None = None,
        time: str | None = None,
        weight: str | None = None,
    ) -> Look:
        """Return what a study would make of a table; nothing is trained.

        source: a table, in a file or in memory, a study file, or the name of a study that ships
        with the package. The other arguments are for a table: see `table_study`. Raises
        HpsearchError.
        """
        from hpsearch.data.files import is_table
        from hpsearch.data.memory import is_in_memory
        from hpsearch.search.look import look_at
        from hpsearch.search.table_study import look_at_table, table_data
        from hpsearch.settings.study import load_settings

        if not is_in_memory(source) and not is_table(os.fspath(source)):
            return look_at(load_settings(source).data)
        columns = {"drop": drop, "id": id, "text": text, "groups": groups, "time": time}
        columns["weight"] = weight
        return look_at_table(table_data(source, target, **columns))[1]

    def table_study(
        self,
        source: PathLike | Table,
        target: str | Sequence[str] = (),
        *,
        drop: Sequence[str] = (),
        id: Sequence[str] = (),
        text: str | None = None,
        groups: str | None = None,
        time: str | None = None,
        weight: str | None = None,
        metric: str | None = None,
    ) -> StudySettings:
        """Return a study of a table that has no study file; its space fits the rows.

        source: a file; or a table in memory, or a pair (X, y), which is written to a file in
        hpsearch-data first. target: the column to predict, or several. drop: columns to leave out.
        id: columns that only name the rows. text: what becomes of free text, "refuse" or "tfidf".
        groups: the column whose equal values stay in one part. time: the column that says which
        rows are later, to be validated and tested on. weight: the column of how much each row
        counts. metric: None: one
        that fits the labels. Raises HpsearchError.
        """
        from hpsearch.search.table_study import table_data, table_study

        columns = {"drop": drop, "id": id, "text": text, "groups": groups, "time": time}
        columns["weight"] = weight
        return table_study(table_data(source, target, **columns), metric)

    def check(self, settings: StudySettings, *, epochs: int = 3) -> Iterator[Finding]:
        """Yield what a few epochs of a study's model show; nothing is stored."""
        from hpsearch.search.check import check_study

        return check_study(settings, epochs)

    @_storage_border
    def _run_trials(
        self, settings: StudySettings, name: str, rounds: int, options: RunOptions
    ) -> RunResult:
        from hpsearch.analysis.ranking import best_of_rounds
        from hpsearch.analysis.summaries import Leaderboard
        from hpsearch.search.rounds import run_all

        outcomes = run_all(settings, name, rounds, options)
        studies = [outcome.study for outcome in outcomes]
        best = next((study for study, _ in best_of_rounds(studies, 1)), studies[-1])
        return RunResult(outcomes, Leaderboard.of(studies, 5), best.study_name)

    @_storage_border
    def _finish(
        self, result: RunResult, save: PathLike | None, *, draw: bool, report: bool, force: bool
    ) -> RunResult:
        """Return the result with the figures and the reports that are wanted."""
        studies = [outcome.study for outcome in result.outcomes]
        figures = self._draw_at_the_end(studies[0], save, force=force) if draw else None
        wanted = studies if report else []
        reports = [self._report_at_the_end(study, studies, force=force) for study in wanted]
        return replace(result, figures=figures, reports=tuple(reports))

    def _options(
        self,
        jobs: int,
        on_progress: OnProgress,
        should_stop: Callable[[], bool],
        gpus: Sequence[str],
        executor: Executor | None,
        cluster: str | None,
        *,
        retry_failed: bool = False,
    ) -> RunOptions:
        from hpsearch.execution.coordinator import RunOptions

        return RunOptions(
            storage=self.storage_url,
            tracker=self.tracker,
            jobs=jobs,
            gpus=gpus,
            executor=executor,
            cluster=cluster,
            on_progress=on_progress,
            should_stop=should_stop,
            retry_failed=retry_failed,
        )

    def _check_figure_files(self, settings: StudySettings, save: PathLike, *, force: bool) -> None:
        from hpsearch.figures.declared import DEFAULT
        from hpsearch.figures.saving import check_figure_files

        names = [figure.name for figure in settings.figure or DEFAULT]
        check_figure_files(save, names, force=force)

    def _check_reports(self, name: str, rounds: int, *, force: bool) -> None:
        from hpsearch.report.page import check_page

        for each in [name, *(f"{name}.r{number}" for number in range(2, rounds + 1))]:
            check_page(REPORT, f"{each}.html", force=force, update=each)

    def _draw_at_the_end(self, study: Study, save: PathLike | None, *, force: bool) -> Drawing:
        """Draw the figures; one that cannot be drawn and a store that is away are warnings."""
        from hpsearch.analysis.ranking import best_trials
        from hpsearch.figures.declared import draw, figures_of
        from hpsearch.figures.saving import save_figures
        from hpsearch.tracking import artifacts

        if not best_trials(study, 1):
            return Drawing(missing=f"no trial of {study.study_name} ran to its end")
        drawn = {}
        for figure in figures_of(study):
            try:
                drawn[figure.name] = draw(study, figure)
            except StudyError as error:
                logger.warning("%s", error)
        files = [] if save is None else save_figures(drawn, save, force=force)
        command = Command("figures", study.study_name)
        again = Sentence("`", command, "` puts the figures there later")
        log = partial(artifacts.log_study_figures, study=study, figures=drawn)
        return Drawing(files, self._log_at_the_end(study, artifacts.FIGURES_RUN, log, again))

    def _report_at_the_end(self, study: Study, rounds: Sequence[Study], *, force: bool) -> Drawing:
        from hpsearch.analysis.ranking import best_trials
        from hpsearch.files import write_file
        from hpsearch.report.page import check_page, report_page
        from hpsearch.tracking import artifacts

        name = study.study_name
        if not best_trials(study, 1):
            return Drawing(missing=f"no trial of {study.study_name} ran to its end")
        page = report_page(study, rounds=rounds, storage=self.storage_url)
        output = f"{name}.html"
        check_page(REPORT, output, force=force, update=name)  # another file may be there now
        path = write_file(REPORT, output, page.encode())
        command = Command("report", name, "--force")
        again = Sentence("`", command, "` puts the report there later")
        log = partial(artifacts.log_study_report, study=study, page=page)
        return Drawing([path], self._log_at_the_end(study, artifacts.REPORT_RUN, log, again))

    def _log_at_the_end(
        self, study: Study, kind: str, log: Callable[[TrackingStore], None], again: str
    ) -> RunTitle | None:
        """Log figures or a report, and return where; a store that is away is a warning."""
        if self.tracker is None:
            return None
        try:
            if self.tracker.lost:
                raise TrackingError("the tracking store was lost")
            log(self.tracker.store)
        except TrackingError as error:
            logger.warning("%s; %s", error, again)
            return None
        return _run_title(study, kind)

    # The queue of the service ------------------------------------------------------------------

    def submit(
        self,
        settings: StudySettings,
        *,
        name: str | None = None,
        priority: int = 0,
        jobs: int = 1,
        by: str = "",
    ) -> tuple[Study, bool]:
        """Create a study that a service is to run; return it, and whether it is new.

        name: None is the file's name and the sampler. priority: higher ones run first. jobs: how
        many of its trials run at a time. by: who submits it. The same study may be submitted twice.
        """
        from hpsearch.execution.coordinator import RunOptions
        from hpsearch.search.queue import submit
        from hpsearch.search.study import study_name

        options = RunOptions(storage=self.storage_url, tracker=self.tracker, jobs=jobs)
        return submit(settings, study_name(settings, name), options, priority=priority, by=by)

    @_storage_border
    def stop(self, name: str) -> None:
        """Ask whoever runs or evaluates a search to stop; what has been trained is kept."""
        from hpsearch.search.queue import stop

        stop(*self._search(name))

    @_storage_border
    def resume(
        self,
        name: str,
        *,
        trials: int | None = None,
        priority: int | None = None,
        jobs: int | None = None,
    ) -> None:
        """Want a search to run, or to go on, in a service on this storage; None changes nothing.

        trials: how many it is to have. priority: see `submit`. jobs: how many at a time.
        """
        from hpsearch.search.queue import change, want

        storage, study = self._search(name)
        want(study, "run", jobs=jobs)
        change(storage, study, trials=trials, priority=priority)

    @_storage_border
    def change(self, name: str, *, trials: int | None = None, priority: int | None = None) -> None:
        """Change how many trials a search has, or when its turn is in a service.

        It runs only if it did. One that runs with fewer trials is stopped, and goes on with these.
        """
        from hpsearch.search.queue import change

        change(*self._search(name), trials=trials, priority=priority)

    @_storage_border
    def want_evaluation(
        self, name: str, *, top: int = 5, seeds: int = 10, again: bool = False
    ) -> None:
        """Want a search to be evaluated by a service on this storage; see `evaluate`."""
        from hpsearch.search.queue import want

        options = {"top": top, "seeds": seeds, "again": again}
        want(self._search(name)[1], "run", task="evaluate", options=options)

    @_storage_border
    def want_deleted(self, name: str) -> None:
        """Want a search to be stopped and deleted by a service on this storage."""
        from hpsearch.search.queue import ask_to_stop, want

        storage, study = self._search(name)
        want(study, "delete")
        ask_to_stop(storage, study)

    @_storage_border
    def settings(self, name: str) -> StudySettings:
        """Return the settings with which a search was started last."""
        from hpsearch.storage.catalog import study_settings

        return study_settings(self._search(name)[1])

    # Reading ---------------------------------------------------------------------------------

    @_storage_border
    def study(self, name: str) -> Study:
        """Return the search called `name` as an Optuna study."""
        return self._search(name)[1]

    @_storage_border
    def studies(self) -> list[StudySummary]:
        """Return a summary of each search in the storage, by name; [] if there is no storage."""
        from hpsearch.analysis.summaries import StudySummary
        from hpsearch.storage.catalog import all_searches
        from hpsearch.storage.open import storage_exists

        if not storage_exists(self.storage_url):
            return []
        return [StudySummary.of(study) for study in all_searches(self._open())]

    @_storage_border
    def summary(self, name: str) -> StudySummary:
        """Return a summary of the search called `name`."""
        from hpsearch.analysis.summaries import StudySummary

        return StudySummary.of(self._search(name)[1])

    @_storage_border
    def trial(self, name: str, slot: str) -> TrialSummary:
        """Return the trial in a slot of the search called `name`, with its curves."""
        from hpsearch.analysis.summaries import TrialSummary

        return TrialSummary.of(self._search(name)[1], slot)

    @_storage_border
    def best(self, name: str, top: int = 5) -> Leaderboard:
        """Return the best trials of a search, or its best configurations if it repeats them."""
        from hpsearch.analysis.summaries import Leaderboard

        return Leaderboard.of([self._search(name)[1]], top)

    @_storage_border
    def evaluation(self, name: str) -> dict[str, Any] | None:
        """Return the last evaluation of a search as plain data, None if it has none."""
        from hpsearch.trials.records import evaluation_table

        return evaluation_table(self._search(name)[1])

    @_storage_border
    def narrow(
        self,
        name: str,
        *,
        top: int | None = None,
        margin: float | None = None,
        widen: bool = False,
    ) -> NextRound:
        """Return the settings of the round after the search called `name`, around its best trials.

        top: how many of the best; None is a tenth of the complete trials, and at least five.
        margin: what a range keeps on either side, as a share of its old width. widen: move ends
        that the best values crowd outwards.
        """
        from hpsearch.search.rounds import next_round
        from hpsearch.space.narrowing import MARGIN

        margin = MARGIN if margin is None else margin
        return next_round(self._search(name)[1], top=top, margin=margin, widen=widen)

    @_storage_border
    def compare(
        self,
        names: Iterable[str],
        *,
        target: float | None = None,
        each: bool = False,
        save: PathLike | None = None,
        force: bool = False,
    ) -> Comparison:
        """Compare searches: what each found, and after how many epochs.

        target: the value to reach; None is the worst of their best values. each: keep searches that
        differ only in their seeds apart. save: a PNG file for a figure of it.
        """
        from hpsearch.analysis.comparison import compare, open_searches

        if target is not None and not math.isfinite(target):
            raise SettingsError(TARGET, f": must be a finite number, but got {target}")
        compared = compare(open_searches(self._open(), names), target=target, each=each)
        if save is not None:
            from hpsearch.figures.comparison import save_comparison

            save_comparison(compared, save, force=force)
        return compared

    # Evaluating ------------------------------------------------------------------------------

    def evaluate(
        self,
        name: str,
        *,
        top: int = 5,
        seeds: int = 10,
        again: bool = False,
        jobs: int = 1,
        gpus: Sequence[str] = (),
        executor: Executor | None = None,
        cluster: str | None = None,
        save: PathLike | None = None,
        force: bool = False,
        on_progress: OnProgress = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
        on_result: Callable[[EvaluationResult], None] = lambda _: None,
    ) -> EvaluationResult:
        """Train the best `top` of a search again, with `seeds` draws each, and test the winner.

        again: use the test set even if it has been used before. save: a folder for the figures.
        gpus, executor, cluster: see `run_study`.
        The evaluation becomes a run in MLflow. should_stop: asked after each epoch; True raises
        Interrupted. on_result: called with the result before figures are saved.
        """
        if save is not None:
            from hpsearch.figures.evaluation import EVALUATION_FIGURES, draw_evaluation
            from hpsearch.figures.saving import check_figure_files, save_figures

            check_figure_files(save, EVALUATION_FIGURES, force=force)
        options = self._options(jobs, on_progress, should_stop, gpus, executor, cluster)
        result = self._evaluate(name, options, top=top, seeds=seeds, again=again)
        on_result(result)  # an OSError of the caller is no StorageError
        if save is not None:
            figures = save_figures(draw_evaluation(result.evaluation), save, force=force)
            result = replace(result, figures=tuple(figures))
        return result

    @_storage_border
    def _evaluate(
        self, name: str, options: RunOptions, *, top: int, seeds: int, again: bool
    ) -> EvaluationResult:
        from hpsearch.evaluation.candidates import count_equals
        from hpsearch.search.evaluate import run_evaluation
        from hpsearch.tracking.evaluation import EVALUATION

        store, study = self._search(name)
        evaluation, tracked = run_evaluation(
            store, study, options, top=top, seeds=seeds, again=again
        )
        return EvaluationResult(
            evaluation=evaluation,
            equals=count_equals(study, {each.slot for each in evaluation.candidates}),
            better_round=_better_round(store, study),
            tracked_as=_run_title(study, EVALUATION) if tracked else None,
        )

    # Showing ---------------------------------------------------------------------------------

    @_storage_border
    def report(
        self,
        name: str,
        output: PathLike | None = None,
        *,
        top: int = 20,
        force: bool = False,
    ) -> Report:
        """Write one page of HTML about a search, and log it to MLflow.

        output: the file; None is NAME.html. top: how many of the best are shown with their curves.
        """
        from hpsearch.analysis.ranking import better_round
        from hpsearch.files import file_name, write_file
        from hpsearch.report.page import check_page, report_page
        from hpsearch.storage.catalog import rounds_of
        from hpsearch.tracking.artifacts import REPORT_RUN, log_study_report
        from hpsearch.trials.records import experiment_name

        path = f"{file_name(name)}.html" if output is None else output
        store, study = self._search(name)
        check_page(OUTPUT, path, force=force)
        if self.tracker is not None:
            self.tracker.store.check(experiment_name(study))
        rounds = rounds_of(store, study)
        page = report_page(study, rounds=rounds, top=top, storage=self.storage_url)
        written = write_file(OUTPUT, path, page.encode())
        if self.tracker is not None:
            log_study_report(self.tracker.store, study, page)
        tracked_as = None if self.tracker is None else _run_title(study, REPORT_RUN)
        return Report(written, tracked_as, better_round(rounds, study))

    @_storage_border
    def report_page(self, name: str, *, top: int = 20) -> str:
        """Return the page of HTML about a search that `report` writes, and write nothing."""
        from hpsearch.report.page import report_page
        from hpsearch.storage.catalog import rounds_of

        store, study = self._search(name)
        return report_page(study, rounds=rounds_of(store, study), top=top, storage=self.storage_url)

    @_storage_border
    def figures(self, name: str, *, save: PathLike | None = None, force: bool = False) -> Drawing:
        """Draw the figures that a search declares, or its best trials, and log them to MLflow.

        save: a folder for PNG files; needed where nothing is tracked.
        """
        from hpsearch.figures.declared import draw_figures
        from hpsearch.figures.saving import check_figure_files, save_figures
        from hpsearch.tracking.artifacts import FIGURES_RUN, log_study_figures
        from hpsearch.trials.records import experiment_name

        if save is None and self.tracker is None:
            raise SettingsError(SAVE, ": is missing, and nothing is tracked; name a folder")
        _, study = self._search(name)
        drawn: dict[str, Figure] = draw_figures(study)
        if save is not None:
            check_figure_files(save, drawn, force=force)
        if self.tracker is not None:
            self.tracker.store.check(experiment_name(study))
        files = [] if save is None else save_figures(drawn, save, force=force)
        if self.tracker is None:
            return Drawing(files)
        log_study_figures(self.tracker.store, study, drawn)
        return Drawing(files, _run_title(study, FIGURES_RUN))

    # Using the winner ------------------------------------------------------------------------

    @_storage_border
    def export(
        self,
        name: str,
        kind: ExportFormat,
        output: PathLike | None = None,
        *,
        slot: int | None = None,
        force: bool = False,
    ) -> bytes:
        """Return the winner of a search: a study file (toml), a record (json) or a network.

        npz is a network for `hpsearch predict` and `model.MLPClassifier.load`, onnx one for other
        programs. output: a file to write it to. slot: another trial than the winner.
        """
        from hpsearch.export.files import as_study_file
        from hpsearch.export.winner import check_has_network, winner_record, winning_trial
        from hpsearch.files import check_output, write_file
        from hpsearch.formatting import unknown_name

        store, study = self._search(name)
        if output is not None:
            check_output(OUTPUT, output, force=force)  # before anything is trained
        if kind == "npz":
            check_has_network(study)
            from hpsearch.export.network import network_bytes, winner_with_network

            exported = network_bytes(winner_with_network(store, study, slot).network)
        elif kind == "onnx":
            check_has_network(study)
            from hpsearch.export.network import winner_with_network
            from hpsearch.export.onnx import check_installed, onnx_of

            check_installed()
            exported = onnx_of(study, winner_with_network(store, study, slot))
        elif kind == "toml":
            exported = as_study_file(study, winning_trial(study, slot)).encode()
        elif kind == "json":
            exported = f"{json.dumps(winner_record(study, slot), indent=2)}\n".encode()
        else:
            raise SettingsError(KIND, f": {unknown_name(kind, get_args(ExportFormat), 'a format')}")
        if output is not None:
            write_file(OUTPUT, output, exported)
        return exported

    @_storage_border
    def export_checkpoint(
        self, name: str, output: PathLike, *, slot: int | None = None, force: bool = False
    ) -> Checkpoint:
        """Copy the checkpoint of the winner's best epoch to `output`, and return the original.

        It is the file or folder that the study's own model has saved. slot: another trial than the
        winner.
        """
        from hpsearch.export.checkpoint import copy_checkpoint, winning_checkpoint
        from hpsearch.files import check_output

        _, study = self._search(name)
        check_output(OUTPUT, output, force=force)
        checkpoint = winning_checkpoint(study, self.storage_url, slot)
        copy_checkpoint(OUTPUT, checkpoint, Path(output))
        return checkpoint

    @_storage_border
    def register(self, name: str, *, slot: int | None = None) -> Champion:
        """Make the winner's network a version of the model `name` in MLflow's registry."""
        from hpsearch.export.winner import check_has_network
        from hpsearch.trials.records import experiment_name

        store, study = self._search(name)
        check_has_network(study)
        from hpsearch.export.network import winner_with_network
        from hpsearch.export.registry import register

        tracking = self.tracking_store
        tracking.check(experiment_name(study))  # before anything is trained
        return register(tracking, study, winner_with_network(store, study, slot))

    @_storage_border
    def export_notes(self, name: str, *command: str) -> list[str]:
        """Return the reasons not to export the winner of a search yet, as sentences.

        They name a trial that is better than the evaluated ones, and a round that is better than
        this one. command: the rest of the command that exports the better round.
        """
        from hpsearch.analysis.ranking import better_found
        from hpsearch.evaluation.record import last_evaluation
        from hpsearch.evaluation.wording import overtaken
        from hpsearch.storage.catalog import rounds_of

        store, study = self._search(name)
        evaluation = last_evaluation(study)
        notes = ["" if evaluation is None else overtaken(study, evaluation)]
        notes.append(better_found(rounds_of(store, study), study, "export", *command))
        return [note for note in notes if note]

    # Keeping the two stores in order -----------------------------------------------------------

    @_storage_border
    def sync(self, name: str) -> int:
        """Write the MLflow runs of a study and of its rounds that are missing; return how many."""
        from hpsearch.storage.catalog import find_evaluation, load_study, rounds_of
        from hpsearch.storage.leases import leased
        from hpsearch.tracking.evaluation import log_missing_evaluation
        from hpsearch.tracking.page import update_page
        from hpsearch.tracking.tracker import Tracker

        store = self._open()
        rounds = rounds_of(store, load_study(store, name))
        evaluations = (find_evaluation(store, study) for study in rounds)
        studies = rounds + [each for each in evaluations if each is not None]
        tracker = Tracker(self._tracking_uri, self.page)
        tracker.store.prepare()
        with ExitStack() as leases:
            for study in studies:  # a process that runs one of them writes its runs itself
                leases.enter_context(leased(store, study))
            written = sum(tracker.sync(study) for study in studies)
            written += sum(log_missing_evaluation(tracker.store, study) for study in rounds)
            update_page(rounds, tracker)
        return written

    @_storage_border
    def compact(self, name: str) -> Compacted:
        """Say the same about a study, its rounds and evaluations with one entry a finished trial.

        Only a journal can be compacted; it is safe while the study runs. Raises StorageError for
        another storage.
        """
        from hpsearch.storage.catalog import find_evaluation, load_study, rounds_of
        from hpsearch.storage.compaction import compact_studies

        store = self._open()
        rounds = rounds_of(store, load_study(store, name))
        evaluations = (find_evaluation(store, study) for study in rounds)
        return compact_studies(store, rounds + [each for each in evaluations if each is not None])

    @_storage_border
    def copy(self, target: str, names: Sequence[str] = ()) -> dict[str, int]:
        """Copy studies with their rounds and evaluations to another storage.

        target: its URL or path. names: none is all studies. A study that exists there is refused,
        before anything is copied. Returns how many trials each has.
        """
        from hpsearch.storage.copying import copy_studies
        from hpsearch.storage.open import open_storage, redact, storage_errors

        source = self._open()
        with storage_errors(target):
            copied = copy_studies(source, open_storage(target), names, shown=redact(target))
            return {study.study_name: len(study.get_trials(deepcopy=False)) for study in copied}

    @_storage_border
    def snapshot(self, names: Sequence[str] = ()) -> bytes:
        """Return a journal file with a copy of studies, as they are now; none is all of them."""
        from tempfile import TemporaryDirectory

        from hpsearch.storage.copying import snapshot
        from hpsearch.storage.open import open_storage

        with TemporaryDirectory() as folder:
            file = Path(folder, "copy.journal")
            snapshot(self._open(), open_storage(str(file)), names)
            return file.read_bytes()

    @_storage_border
    def delete(
        self, name: str, *, confirm: Callable[[Deletion], None] = lambda _: None
    ) -> list[str]:
        """Delete a study with its rounds, its evaluation and its runs; return the studies' names.

        A later round or an evaluation is deleted by itself. A registered model stays. confirm:
        called before anything is deleted; it can raise to keep everything.
        """
        import optuna

        from hpsearch.evaluation.test_set import log_deleted_search
        from hpsearch.storage.catalog import find_evaluation, load_study, rounds_of
        from hpsearch.storage.checkpoints import checkpoints_of
        from hpsearch.storage.leases import leased
        from hpsearch.trials.records import is_search, own_trials, round_number

        store = self._open()
        study = load_study(store, name)
        alone = bool(round_number(study)) or not is_search(study)
        studies = [study] if alone else rounds_of(store, study)
        evaluations = (find_evaluation(store, each) for each in studies if is_search(each))
        studies += [each for each in evaluations if each is not None]
        with ExitStack() as leases:
            for each in studies:
                leases.enter_context(leased(store, each))
            names = [each.study_name for each in studies]
            trials = sum(len(own_trials(each)) for each in studies)
            tracker = self.tracker
            if tracker is not None and not tracker.store.exists():
                tracker = None
            if tracker is None:
                confirm(Deletion(names, trials, None))
            else:
                tracker.store.prepare()
                runs = tracker.tracked_runs(studies)
                confirm(Deletion(names, trials, len(runs.own), runs.others))
                tracker.delete(studies)
            leases.pop_all()  # a deleted study has no lease to release
            for each in studies:
                self._forget_evaluation(store, each, tracker)
                log_deleted_search(store, each)
                checkpoints_of(each, self.storage_url).delete()
                optuna.delete_study(study_name=each.study_name, storage=store)
        return names

    def _forget_evaluation(self, store: BaseStorage, study: Study, tracker: Tracker | None) -> None:
        """If `study` is an evaluation, remove its result from its search and from MLflow."""
        from hpsearch.storage.catalog import find_evaluated, rounds_of
        from hpsearch.trials.records import write_evaluation_table

        search = find_evaluated(store, study)
        if search is None:
            return
        write_evaluation_table(search, None)
        if tracker is not None:
            from hpsearch.tracking.evaluation import delete_evaluation
            from hpsearch.tracking.page import update_page

            delete_evaluation(tracker.store, search)
            update_page(rounds_of(store, search), tracker)

    def _open(self) -> BaseStorage:
        from hpsearch.storage.open import open_storage

        storage = self._kept or open_storage(self.storage_url, create=False)
        if self.keep_open:
            self._kept = storage
        return storage

    def _search(self, name: str) -> tuple[BaseStorage, Study]:
        """Open the storage, and in it the search called `name`."""
        from hpsearch.storage.catalog import load_search

        store = self._open()
        return store, load_search(store, name)


def _better_round(store: BaseStorage, study: Study) -> str:
    from hpsearch.analysis.ranking import better_round
    from hpsearch.storage.catalog import rounds_of

    return better_round(rounds_of(store, study), study)


def _run_title(study: Study, kind: str) -> RunTitle:
    from hpsearch.tracking.artifacts import run_title
    from hpsearch.trials.records import experiment_name

    return RunTitle(experiment_name(study), run_title(study, kind))
