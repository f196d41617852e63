"""A study: opened or continued, and run to its budget."""

from __future__ import annotations

import logging
import os
import time
import tomllib
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FixedTrial, create_trial

from hpsearch.analysis.ranking import Counts, best_trials, count_trials
from hpsearch.analysis.summaries import Leaderboard
from hpsearch.errors import Argument, Sentence, SettingsError, StudyError, TrackingError
from hpsearch.execution.coordinator import Coordinator, OnProgress, RunOptions, Work
from hpsearch.execution.engines.engine import run_slots
from hpsearch.execution.engines.forkserver import start_forkserver
from hpsearch.execution.objective import Objective, check_trained_here
from hpsearch.execution.progress import progress_bar
from hpsearch.execution.recovery import wait_for_orphans
from hpsearch.formatting import format_duration
from hpsearch.notifications.notifier import Notifier
from hpsearch.samplers.registry import check_sampler
from hpsearch.settings.definition import definition, differences
from hpsearch.settings.names import NEW_NAME, check_name
from hpsearch.settings.study import StudySettings, parse_settings, settings_table
from hpsearch.storage.catalog import as_begun, has_study
from hpsearch.storage.checkpoints import checkpoints_of
from hpsearch.storage.compaction import compact_at_the_end
from hpsearch.storage.leases import leased
from hpsearch.storage.open import KEPT, open_storage, storage_errors, storage_exists, storage_url
from hpsearch.trials.metrics import bounds
from hpsearch.trials.records import (
    DONE,
    config_of,
    definition_of,
    experiment_name,
    own_trials,
    setup_of,
    slot_of,
    study_file,
    transferred_attributes,
    transferred_from,
    write_definition,
    write_folder,
    write_round,
    write_study_file,
)
from hpsearch.trials.slots import Slots

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from pandas import DataFrame

    from hpsearch.settings.search import SearchSettings
    from hpsearch.space.space import SearchSpace
    from hpsearch.tracking.tracker import Tracker
    from hpsearch.trainables.base import Model


SHOWN = 5  # of the best trials, in the text of an outcome

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The result of `run_study`.

    `reason` is "finished", "given up" (a trial failed three times), "interrupted", "stopped" (by
    another process, which asked for it), or a stop rule: "timeout", "target" or "patience". It is
    "nothing completed" for a round that leaves `run_rounds` no trial to search around.
    """

    study: Study
    reason: str
    slots: Slots
    counts: Counts  # of its trials, by their state
    total: int  # slots that were asked for
    written: int  # MLflow runs that an earlier start had left missing
    new: int  # slots that this start filled
    seconds: float
    search: SearchSettings  # what this start was given

    def __str__(self) -> str:
        """What the command line prints at the end: how it ended, and the best trials."""
        how = f"{self.counts}, {format_duration(self.seconds)}"
        first = f"{self.study.study_name}: {self.sentence} ({how})"
        table = Leaderboard.of([self.study], SHOWN).table()
        return first if table is None else f"{first}\n\n{table.as_text()}"

    @property
    def sentence(self) -> Sentence:
        """Why the study ended, and what continues it."""
        search, total = self.search, self.total
        done = f"{len(self.slots.done)} of {total} trials"
        all_done = "its one trial is" if total == 1 else f"all {total} trials are"
        match self.reason:
            case "interrupted":
                return Sentence(f"interrupted with {done} done; the same command continues it")
            case "stopped":
                return Sentence(
                    f"stopped on request with {done} done; the same command continues it"
                )
            case "timeout":
                more = f" with {done} done; the same command continues it"
                return Sentence("stopped by ", Argument("timeout"), more)
            case "target":
                reached = f" {search.target}, reached after {done}"
                return Sentence("stopped by ", Argument("target"), reached)
            case "patience":
                since = f" {search.patience}, without a better trial, after {done}"
                return Sentence("stopped by ", Argument("patience"), since)
            case "nothing completed":
                return Sentence(
                    f"{done} done, and none ran to its end, so there is nothing to search around"
                )
            case "given up" if not self.slots.given_up:
                return Sentence(f"{done} done; another process works on the others")
            case "given up":
                slots = ", ".join(map(str, self.slots.given_up))
                retry = Argument("retry_failed", "=True")
                return Sentence(
                    f"given up after three tries: trial {slots}; ", retry, " tries again"
                )
        if self.new:
            return Sentence(f"{all_done} done")
        if search.sampler == "grid":
            return Sentence(f"{all_done} already done")
        more = f" {2 * search.trials} continues it"
        return Sentence(f"{all_done} already done; ", Argument("trials"), more)

    @property
    def best(self) -> FrozenTrial | None:
        """The best trial that ran to its end, None if none did."""
        return next(iter(best_trials(self.study, 1)), None)

    def trials_dataframe(self) -> DataFrame:
        """Return a row for each trial of the study, as Optuna's `Study.trials_dataframe` does."""
        return self.study.trials_dataframe()


def study_name(settings: StudySettings, name: str | None = None) -> str:
    """Return the study's name: as given, or the file's name and the sampler."""
    return f"{settings.name}-{settings.search.sampler}" if name is None else check_name(name)


def run_study(
    settings: StudySettings,
    *,
    name: str | None = None,
    storage: str | None = None,
    tracker: Tracker | None = None,
    jobs: int = 1,
    gpus: Sequence[str] = (),
    executor: Executor | None = None,
    cluster: str | None = None,
    earlier: Sequence[Study] = (),
    deadline: float | None = None,
    on_progress: OnProgress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    retry_failed: bool = False,
    show_progress_bar: bool = False,
) -> Outcome:
    """Run the study until `settings.search.slots` slots are done; continue it if it exists.

    storage: a URL or path as `open_storage` takes it. tracker: None leaves MLflow alone.
    jobs: how many trials run at a time, in worker processes if there are several.
    gpus: the devices, such as ("0", "1"), that are divided among these processes: each sees one in
    CUDA_VISIBLE_DEVICES, or as many as [model] resources says.
    executor: runs `jobs` trials at a time instead of worker processes of this machine, such as one
    of loky, or a `ProcessPoolExecutor`. It stays open.
    cluster: the address of a Dask scheduler, tcp://host:8786, on each of whose workers a trial runs
    at a time. All of them reach the storage and the tracking store.
    earlier: the rounds before this one. The study shares their MLflow experiment, and starts with
    those of their trials that lie in its space.
    deadline: when `time.monotonic()` ends the study; None follows `settings.search.timeout`.
    should_stop: asked after each epoch; True stops the running trials there.
    retry_failed: retry trials that have failed three times.
    show_progress_bar: draw tqdm's, in a notebook as a widget.

    Whatever can be checked is checked before anything is created. Raises HpsearchError.
    """
    options = RunOptions(
        storage=storage_url(storage),
        tracker=tracker,
        jobs=jobs,
        gpus=gpus,
        executor=executor,
        cluster=cluster,
        on_progress=on_progress,
        should_stop=should_stop,
        retry_failed=retry_failed,
    )
    with progress_bar() if show_progress_bar else nullcontext(on_progress) as shown:
        options = replace(options, on_progress=shown)
        return run(
            settings, study_name(settings, name), options, earlier=earlier, deadline=deadline
        )


def run(
    settings: StudySettings,
    name: str,
    options: RunOptions,
    *,
    earlier: Sequence[Study] = (),
    deadline: float | None = None,
) -> Outcome:
    """Run the study called `name`, as `run_study` does, and tell of it whom [notify] names."""
    with Notifier(name, settings) as notifier:
        listened = notifier.listening(options)
        outcome = _run(settings, name, listened, earlier=earlier, deadline=deadline)
        notifier.ended(outcome.reason, outcome.sentence, new=outcome.new)
    return outcome


def _run(
    settings: StudySettings,
    name: str,
    options: RunOptions,
    *,
    earlier: Sequence[Study],
    deadline: float | None,
) -> Outcome:
    started, tracker = time.monotonic(), options.tracker
    check_trained_here(settings)
    if options.jobs > 1:
        start_forkserver()  # it imports while this process loads the data
    study, store, objective = opened(settings, name, options, earlier=earlier)
    settings = objective.settings
    with storage_errors(options.storage, hint=KEPT), leased(store, study) as lease:
        wait_for_orphans(store, study, options.should_stop)
        if earlier:
            write_round(study, earlier[0], len(earlier) + 1)
            transfer_trials(earlier, study, settings.trial)
        written = tracker.sync(study, options.should_stop) if tracker is not None else 0
        work = Work(
            settings=settings,
            slots=range(settings.search.slots),
            deadline=deadline,
            summarize=partial(_update_page, [*earlier, study], tracker),
        )
        coordinator = Coordinator(store, lease, work, options)
        _keep_settings(study, settings, whole=bool(coordinator.todo))
        if coordinator.todo:
            _point_out_changed_code(study, objective.model)
        try:
            run_slots(coordinator, objective)
            coordinator.catch_up()
            _log_checkpoints(study, settings, options)
        finally:
            coordinator.summarize()
        trials = own_trials(study)
        slots, counts = coordinator.slots(trials), count_trials(trials)
    all_done = len(slots.done) == len(work.slots)
    new = coordinator.progress.done - coordinator.progress.started_with
    if all_done and new:
        compact_at_the_end(store, study)
    return Outcome(
        study=study,
        reason=coordinator.reason or ("finished" if all_done else "given up"),
        slots=slots,
        counts=counts,
        total=len(work.slots),
        written=written,
        new=new,
        seconds=time.monotonic() - started,
        search=settings.search,
    )


def opened(
    settings: StudySettings, name: str, options: RunOptions, *, earlier: Sequence[Study] = ()
) -> tuple[Study, BaseStorage, Objective]:
    """Create the study called `name`, or open it to continue, after everything has been checked.

    Returns also its storage, and its objective, whose settings are complete. Raises HpsearchError.
    """
    tracker = options.tracker
    check_sampler(settings.search.sampler)
    check_repeats(settings)
    known = storage_exists(options.storage)
    store = open_storage(options.storage) if known else None
    if store is not None:
        with storage_errors(options.storage):
            settings = _continued(settings, store, name)
    objective = Objective(settings)
    settings = objective.settings
    check_target(settings)
    if tracker is not None:
        tracker.store.check(experiment_name(earlier[0]) if earlier else name)
    store = store or open_storage(options.storage)
    with storage_errors(options.storage, hint=KEPT):
        refuse_other(store, name, settings, objective.model.digest)
        for sentence in () if earlier else objective.model.notes:
            logger.warning("%s", sentence)
        if tracker is not None:
            tracker.store.prepare()
        study = open_study(store, name, settings, objective.model.digest)
    return study, store, objective


def _continued(settings: StudySettings, storage: BaseStorage, name: str) -> StudySettings:
    """Return the settings with a table read as the study called `name` has begun to read it."""
    if not has_study(storage, name):
        return settings
    return as_begun(settings, optuna.load_study(storage=storage, study_name=name))


def _log_checkpoints(study: Study, settings: StudySettings, options: RunOptions) -> None:
    """Log the checkpoints of the best trials to their runs, if the study file asks for that."""
    model, tracker = settings.model, options.tracker
    if model is None or not model.log_checkpoints or tracker is None or tracker.lost:
        return
    checkpoints = checkpoints_of(study, options.storage)
    tracker.forget(study)  # workers have made its runs
    try:
        for trial in best_trials(study, model.keep):
            if checkpoint := checkpoints.best(slot_of(trial)):
                tracker.log_checkpoint(study, trial, checkpoint)
    except TrackingError as error:
        logger.warning("%s; the same command adds the missing checkpoints", error)


def _point_out_changed_code(study: Study, model: Model) -> None:
    """Say that the code of a user's own model is not that of the study's last trial."""
    trained = (setup for trial in reversed(own_trials(study)) if (setup := setup_of(trial)))
    last = next(trained, None)
    if last is not None and last.code != model.code:
        logger.warning(
            "study '%s': %s has changed since the last trial; trials before and after may differ",
            study.study_name,
            model.name,
        )


def _update_page(rounds: Sequence[Study], tracker: Tracker | None) -> None:
    if tracker is not None:
        from hpsearch.tracking.page import update_page  # importing MLflow takes a second

        update_page(rounds, tracker)


def _keep_settings(study: Study, settings: StudySettings, *, whole: bool) -> None:
    """Store the study file of this start; where nothing is left to run, only its figures."""
    if not whole:
        figures = settings_table(settings).get("figure", [])
        stored = tomllib.loads(study_file(study) or "")
        if stored.get("figure", []) == figures:
            return
        shown = {"diagnostics": settings.search.diagnostics}  # which some figures need
        settings = parse_settings(stored, study.study_name).replace(figure=figures, search=shown)
    else:
        write_folder(study, os.getcwd())
        search = settings.search.with_min_peers()  # for `as_begun`
        settings = settings.model_copy(update={"search": search})
    write_study_file(study, settings.to_toml())


def check_repeats(settings: StudySettings) -> None:
    """Raise SettingsError where a pruner would stop some repeats of a configuration, not others."""
    search = settings.search
    if search.seeds > 1 and search.pruner != "none":
        raise SettingsError(
            f"search.pruner: is '{search.pruner}', which stops some repeats of a configuration and "
            "not others; with seeds use 'none'"
        )


def check_target(settings: StudySettings) -> None:
    """Raise SettingsError for a target that no trial can reach."""
    metric, target = settings.search.metric, settings.search.target
    if settings.model is None and target is not None and target > bounds(metric)[1]:
        share = f"; for {target:g} %, write {target / 100:g}" if target <= 100 else ""
        raise SettingsError(f"search.target: is {target:g}, but {metric} is at most 1{share}")


def refuse_other(
    storage: BaseStorage, name: str, settings: StudySettings, data_digest: str
) -> None:
    """Raise StudyError if the study called `name` is not hpsearch's or searches something else.

    Budget, sampler and pruner may change from start to start; data, metric, seed and space may not.
    """
    if not has_study(storage, name):
        return
    study = optuna.load_study(storage=storage, study_name=name)
    known, what = definition_of(study), ""
    if not known:  # not hpsearch's, or its creator died before it wrote anything
        same_direction = [d.name.lower() for d in study.directions] == [settings.search.direction]
        if study.get_trials(deepcopy=False) or not same_direction:
            what = "was not started by hpsearch"
    elif changes := differences(known, definition(settings, data_digest)):
        what = f"was started with {'; '.join(changes)}"
    if what:
        raise StudyError(f"study '{name}' {what}; use ", NEW_NAME, " for a new study")


def open_study(storage: BaseStorage, name: str, settings: StudySettings, data_digest: str) -> Study:
    """Create the study, or open it to continue; raise StudyError as `refuse_other` does."""
    refuse_other(storage, name, settings, data_digest)
    direction = settings.search.direction
    study = optuna.create_study(
        storage=storage, study_name=name, direction=direction, load_if_exists=True
    )
    write_definition(study, definition(settings, data_digest))
    if study_file(study) is None:
        write_folder(study, os.getcwd())
        write_study_file(study, settings.to_toml())
    return study


def transfer_trials(earlier: Iterable[Study], study: Study, space: SearchSpace) -> None:
    """Copy into `study` the trials of `earlier` ones that `space` could have proposed.

    A sampler then starts with these results. A copy has no slot and no MLflow run. Copies that an
    interrupted start made are not made again.
    """
    trials = study.get_trials(deepcopy=False)
    known = {transferred_from(trial) for trial in trials}
    for before in earlier:
        for trial in own_trials(before, DONE):
            source = f"{before.study_name}#{slot_of(trial)}"
            if source not in known and (copy := _copy_within(space, trial, source)):
                study.add_trial(copy)


def _copy_within(space: SearchSpace, trial: FrozenTrial, source: str) -> FrozenTrial | None:
    """Return the trial with the distributions of `space`, None if `space` cannot propose it."""
    given = FixedTrial(trial.params)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about values out of range
            config = space.suggest(given)
        # A labelled trial may set a fixed value.
        if space.keys.as_dict(config) != config_of(trial):
            return None
        return create_trial(
            state=trial.state,
            value=trial.value,
            params={name: trial.params[name] for name in given.distributions},
            distributions=given.distributions,
            user_attrs=transferred_attributes(trial, source),
            intermediate_values=trial.intermediate_values,
        )
    except ValueError:  # a value is out of range, or was not searched
        return None
