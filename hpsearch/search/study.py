"""A study: opened or continued, run to its budget, and put in order after a death."""

from __future__ import annotations

import time
import tomllib
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FixedTrial, create_trial

from hpsearch.errors import SettingsError, StudyError
from hpsearch.execution.coordinator import OnProgress, Parent
from hpsearch.execution.engines.forkserver import start_forkserver
from hpsearch.execution.engines.inline import run_slots
from hpsearch.execution.objective import Objective
from hpsearch.execution.recovery import wait_for_orphans
from hpsearch.samplers.registry import check_sampler
from hpsearch.settings.definition import definition, differences
from hpsearch.settings.names import check_name
from hpsearch.settings.study import StudySettings, parse_settings, settings_table
from hpsearch.storage.leases import claimed
from hpsearch.storage.open import open_storage, storage_errors, storage_url
from hpsearch.tracking.tracker import EXPERIMENT, Tracker, experiment_name, study_id
from hpsearch.trials.curves import CURVES
from hpsearch.trials.slots import (
    CARRIED,
    DEFINITION,
    DONE,
    ROUND,
    Slots,
    count_slots,
    own_trials,
    slot_of,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.space.space import SearchSpace

# User attributes of a study.
SETTINGS = "settings"
FIRST = "first"  # of a later round: the id of the first


@dataclass(frozen=True)
class Outcome:
    """What became of `run_study`.

    `reason` is "finished", "given up" (a trial failed three times), "interrupted", or one of the
    stop rules: "timeout", "target", "patience". A round after which `run_rounds` knows no next one
    has "nothing completed".
    """

    study: Study
    reason: str
    slots: Slots
    total: int  # slots that were asked for
    written: int  # MLflow runs that an earlier start had left missing
    new: int  # slots that this start has done
    seconds: float


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
    earlier: Sequence[Study] = (),
    deadline: float | None = None,
    on_progress: OnProgress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run the study until `settings.search.slots` slots are done; continue it if it exists.

    storage: a URL or path as `open_storage` takes it. tracker: None leaves MLflow alone.
    jobs: so many trials at a time, in processes of their own if there are several.
    earlier: the rounds before this one, whose MLflow experiment it shares, and whose trials it
    starts from where they lie in its space.
    deadline: when `time.monotonic()` ends it; None goes by `settings.search.timeout`.
    should_stop: asked after each epoch; True ends the running trials there.

    Whatever can be checked is checked before anything is created. Raises HpsearchError.
    """
    started = time.monotonic()
    if jobs > 1:
        start_forkserver()  # it imports while this process loads the data
    name, url = study_name(settings, name), storage_url(storage)
    check_sampler(settings.search.sampler)
    check_repeats(settings)
    objective = Objective(settings)
    if tracker is not None:
        tracker.store.check(experiment_name(earlier[0]) if earlier else name)
    store = open_storage(url)
    with storage_errors(url):
        refuse_other(store, name, settings, objective.data.digest)
        if tracker is not None:
            tracker.store.prepare()
        study = open_study(store, name, settings, objective.data.digest)
        with claimed(study) as claim:
            wait_for_orphans(study, should_stop)
            if earlier:
                study.set_user_attr(FIRST, study_id(earlier[0]))
                study.set_user_attr(EXPERIMENT, experiment_name(earlier[0]))
                study.set_user_attr(ROUND, len(earlier) + 1)
                carry_over(earlier, study, settings.trial)
            written = tracker.sync(study, should_stop) if tracker is not None else 0
            wanted = range(settings.search.slots)
            rounds = [*earlier, study]
            parent = Parent(
                study, settings, wanted, tracker, on_progress, should_stop, claim, rounds, deadline
            )
            _keep_settings(study, settings, whole=bool(parent.todo))
            try:
                run_slots(jobs, parent, objective, url)
            finally:
                parent.describe()
            slots = count_slots(own_trials(study), wanted)
    reason = parent.reason or ("given up" if slots.given_up else "finished")
    new = parent.progress.done - parent.progress.started_with
    return Outcome(study, reason, slots, len(wanted), written, new, time.monotonic() - started)


def _keep_settings(study: Study, settings: StudySettings, *, whole: bool) -> None:
    """Write down what the study is run with; where nothing is left to run, its figures alone."""
    if not whole:
        figures = settings_table(settings).get("figure", [])
        stored = tomllib.loads(study.user_attrs[SETTINGS])
        if stored.get("figure", []) == figures:
            return
        search = {"diagnostics": settings.search.diagnostics}  # which some figures need
        settings = parse_settings(stored, study.study_name).replace(figure=figures, search=search)
    study.set_user_attr(SETTINGS, settings.to_toml())


def check_repeats(settings: StudySettings) -> None:
    """Raise SettingsError where a pruner would end some repeats of a configuration, not others."""
    search = settings.search
    if search.seeds > 1 and search.pruner != "none":
        raise SettingsError(
            f"search.pruner: is '{search.pruner}', which ends some repeats of a configuration and "
            "not others; with seeds use 'none'"
        )


def refuse_other(
    storage: BaseStorage, name: str, settings: StudySettings, data_digest: str
) -> None:
    """Raise StudyError if the study called `name` is somebody else's or searches another thing.

    Budget, sampler and pruner may change from start to start; data, metric, seed and space may not.
    """
    if name not in optuna.get_all_study_names(storage):
        return
    study = optuna.load_study(storage=storage, study_name=name)
    known = study.user_attrs.get(DEFINITION)
    if known is None:  # somebody else's, or its creator died before it wrote a thing
        same_direction = [d.name.lower() for d in study.directions] == [settings.search.direction]
        if study.get_trials(deepcopy=False) or not same_direction:
            what = "was not started by hpsearch"
            raise StudyError(f"study '{name}' {what}; use --name for a new study")
    elif changes := differences(known, definition(settings, data_digest)):
        what = "; ".join(changes)
        raise StudyError(f"study '{name}' was started with {what}; use --name for a new study")


def open_study(storage: BaseStorage, name: str, settings: StudySettings, data_digest: str) -> Study:
    """Create the study, or open it to continue; raises StudyError as `refuse_other` does."""
    refuse_other(storage, name, settings, data_digest)
    direction = settings.search.direction
    study = optuna.create_study(
        storage=storage, study_name=name, direction=direction, load_if_exists=True
    )
    study.set_user_attr(DEFINITION, definition(settings, data_digest))
    if SETTINGS not in study.user_attrs:
        study.set_user_attr(SETTINGS, settings.to_toml())
    return study


def carry_over(earlier: Iterable[Study], study: Study, space: SearchSpace) -> None:
    """Add to `study` the trials of the `earlier` ones that `space` could have proposed.

    They have no slot, and no run in MLflow but the one they have. Those that are there already,
    from a start that was interrupted, are not added again.
    """
    trials = study.get_trials(deepcopy=False)
    known = {trial.user_attrs.get(CARRIED) for trial in trials}
    for before in earlier:
        for trial in own_trials(before, DONE):
            source = f"{before.study_name}#{slot_of(trial)}"
            if source not in known and (carried := _within(space, trial, source)):
                study.add_trial(carried)


def _within(space: SearchSpace, trial: FrozenTrial, source: str) -> FrozenTrial | None:
    """Return the trial with the distributions of `space`; None where that cannot propose it."""
    given = FixedTrial(trial.params)
    setup = trial.user_attrs["setup"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a value is out of range
            config = space.suggest(given)
        if config.as_dict() != setup["config"]:  # a labelled one, that set what is fixed
            return None
        return create_trial(
            state=trial.state,
            value=trial.value,
            params={name: trial.params[name] for name in given.distributions},
            distributions=given.distributions,
            user_attrs={CARRIED: source, "setup": setup, CURVES: trial.user_attrs.get(CURVES, {})},
            intermediate_values=trial.intermediate_values,
        )
    except ValueError:  # a value out of range, or one that was not searched
        return None
