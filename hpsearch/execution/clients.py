"""A study whose trials are trained by clients: they ask for a trial and tell what came out.

The protocol follows Google Vizier's (Golovin et al., 2017): a client has one open trial at a time,
and gets the same one when it asks again; it may be told everything twice; a client that is silent
for too long loses its trial, whose slot goes to another one. Slots, budget, seeds, samplers,
pruners and stop rules are those of any study.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState

from hpsearch.errors import (
    ConflictError,
    GoneError,
    SettingsError,
    StudyError,
    UnknownStudyError,
)
from hpsearch.execution.objective import Follower, setup_for
from hpsearch.formatting import counted
from hpsearch.internals import ForwardingStorage
from hpsearch.samplers.pruners import pruner_of
from hpsearch.samplers.registry import fix_parameters, sampler_of
from hpsearch.storage.leases import this_process
from hpsearch.trainables.clients import ClientsModel
from hpsearch.trainables.epochs import check_first, read_epoch
from hpsearch.trainables.errors import ModelError
from hpsearch.trainables.function import training_seed
from hpsearch.trials.records import (
    client_of,
    config_of,
    curves_of,
    new_trial,
    reason_of,
    setup_of,
    slot_of,
    write_curves,
    write_reason,
    write_setup,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from hpsearch.execution.coordinator import Coordinator
    from hpsearch.trials.curves import Metrics

LONGEST_NAME = 100  # characters, of a client
MOST_METRICS = 100  # of an epoch
SILENT = "its client was silent for too long"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assignment:
    """A trial, as its client gets it.

    epochs: the most that it may train. reported: how many the study knows; the client goes on with
    the next one, or sends its earlier ones again from there. seed: for whatever the client draws;
    it follows from the study's and the number of the draw.
    """

    trial: int
    slot: int
    config: dict[str, Any]
    seed: int
    draw: int
    epochs: int
    reported: int
    lease_seconds: float


@dataclass(frozen=True)
class Answer:
    """What a client is to do after its report: train on, or not.

    reported: how many epochs the study knows. state: "running", or "pruned" where the pruner has
    ended the trial.
    """

    trial: int
    go_on: bool
    state: str
    reported: int
    lease_seconds: float


class ClientStudy:
    """Hands the slots of a leased study to clients, and takes what they tell.

    One thread at a time is in it. coordinator: of the study, in the process that holds its lease.
    on_trial: called with each trial that has ended.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        on_trial: Callable[[Study, FrozenTrial], None] = lambda _study, _trial: None,
    ) -> None:
        self.coordinator, self.on_trial = coordinator, on_trial
        self.storage, self.study = coordinator.storage, coordinator.study
        self.settings = settings = coordinator.work.settings
        assert settings.model is not None
        self.lease_seconds = settings.model.lease_seconds
        self.model = ClientsModel()
        self.study.pruner, self._sampler = pruner_of(settings), sampler_of(settings)
        self._lock = threading.Lock()
        self._open: dict[int, _OpenTrial] = {}
        self._study_id = self.storage.get_study_id_from_name(self.study.study_name)
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if setup_of(trial) is None:  # its process was killed before the client had it
                coordinator.slot_lost(slot_of(trial), is_try=False)
            else:
                self._adopt(trial)

    # What clients say ------------------------------------------------------------------------

    def ask(self, client: str) -> Assignment | None:
        """Return the client's open trial, or a new one; None if there is none for it now.

        Raises SettingsError for an impossible name.
        """
        if not 1 <= len(client) <= LONGEST_NAME or not client.isprintable():
            raise SettingsError(
                f"client_id: must have 1 to {LONGEST_NAME} characters, but got {client[:200]!r}"
            )
        with self._lock:
            if lost := self.coordinator.lease.lost:
                raise lost
            self._end_silent()
            opened = next((each for each in self._open.values() if each.client == client), None)
            if opened is None:
                slot = self.coordinator.next_slot()
                if slot is None:
                    return None
                opened = self._begin(slot, client)
                self._flush()
            self._renew(opened)
            return self._assignment(opened)

    def report(self, number: int, client: str, first: int, epochs: Sequence[object]) -> Answer:
        """Take the metrics of a batch of epochs, the first of which is number `first`, from 1.

        Epochs that are known already change nothing. Raises ConflictError if one is missing before
        them, or if the trial is not the client's, GoneError if it was given up, and SettingsError
        for more epochs than the trial has, and for what are no metrics.
        """
        with self._lock:
            opened = self._of(number, client)
            if isinstance(opened, FrozenTrial):
                return self._ended(opened)
            follower, known = opened.follower, len(opened.follower.curves)
            if first > known + 1:
                raise ConflictError(
                    f"trial {number}: the next epoch is {known + 1}, and not {first}; send the "
                    "epochs from there"
                )
            most = self.model.epochs_of(opened.config)
            if first + len(epochs) - 1 > most:
                raise SettingsError(f"epochs: trial {number} has {counted(most, 'epoch')}")
            read = [self._read(each, follower) for each in epochs[known + 1 - first :]]
            self._renew(opened)
            try:
                for metrics in read:
                    follower.follow(partial(_hand_over, metrics))
            except optuna.TrialPruned as pruned:
                write_reason(opened.trial, str(pruned))
                return self._ended(self._end(opened, TrialState.PRUNED))
            self._flush()
            reported = len(follower.curves)
            return Answer(number, reported < most, "running", reported, self.lease_seconds)

    def complete(
        self,
        number: int,
        client: str,
        metrics: object = None,
        *,
        epochs: int | None = None,
    ) -> FrozenTrial:
        """End a trial well, and return it.

        metrics: of a trial that has reported no epoch; they are its only one. epochs: how many it
        has reported, if the client counts. Raises as `report` does, ConflictError also if it has
        ended with another value or if epochs are missing, and SettingsError if it has no value.
        """
        with self._lock:
            opened = self._of(number, client)
            if isinstance(opened, FrozenTrial):
                self._check_same(opened, metrics)
                return opened
            follower = opened.follower
            if epochs is not None and epochs > len(follower.curves):
                raise ConflictError(
                    f"trial {number}: has {counted(len(follower.curves), 'epoch')}, and not "
                    f"{epochs}; send the others again"
                )
            if metrics is not None and len(follower.curves):
                raise ConflictError(
                    f"trial {number}: has reported its epochs; complete it without metrics"
                )
            try:
                if metrics is not None:
                    follower.follow(partial(_hand_over, self._read(metrics, follower)))
                value = follower.value(f"client {client!r}")
            except optuna.TrialPruned as pruned:
                write_reason(opened.trial, str(pruned))
                return self._end(opened, TrialState.PRUNED)
            except ModelError as error:
                raise SettingsError(f"trial {number}: {error}") from None
            return self._end(opened, TrialState.COMPLETE, value)

    def fail(self, number: int, client: str, reason: str) -> FrozenTrial:
        """End a trial that failed, and return it; its slot is tried again, three times in all.

        Raises as `report` does, and ConflictError if it has ended in another way.
        """
        with self._lock:
            opened = self._of(number, client, failed=True)
            if isinstance(opened, FrozenTrial):
                if opened.state is not TrialState.FAIL:
                    raise ConflictError(f"trial {number}: is {_state(opened)} already")
                return opened
            write_reason(opened.trial, reason)
            return self._end(opened, TrialState.FAIL)

    def end_silent(self) -> None:
        """Give up the trials whose clients were silent for too long."""
        with self._lock:
            self._end_silent()

    @property
    def has_ended(self) -> bool:
        """Whether no trial is open and none is left to begin."""
        with self._lock:
            coordinator = self.coordinator
            return not self._open and (not coordinator.todo or coordinator.stopping())

    @property
    def running(self) -> int:
        """How many trials are open."""
        return len(self._open)

    # How it is done --------------------------------------------------------------------------

    def _begin(self, slot: int, client: str) -> _OpenTrial:
        """Begin a trial in a slot: draw its configuration, and store it."""
        settings = self.settings
        parameters, overrides = settings.split_labelled(slot)
        self.study.sampler = fix_parameters(self._sampler, parameters)
        try:
            new = new_trial(slot, this_process(), client=client)
            trial_id = self.storage.create_new_trial(self._study_id, new)
            trial = Trial(self.study, trial_id)
            config = settings.trial.suggest(trial, overrides)
            write_setup(trial, setup_for(settings, self.model, config, settings.labelled(slot)))
        except BaseException:
            self.coordinator.slot_lost(slot)  # nobody has it
            raise
        return self._adopt(self.storage.get_trial(trial_id))

    def _adopt(self, trial: FrozenTrial) -> _OpenTrial:
        """Take over a running trial, with the epochs that are stored; return it."""
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(
            self._study_id, trial.number
        )
        stored = _StoredTrial(self.storage, self.study, trial_id, trial.number)
        config, curves, search = config_of(trial), curves_of(trial), self.settings.search
        follower = Follower(stored, curves, search, None)
        follower.expect(self.model.epochs_of(config), prunes=True)
        opened = _OpenTrial(stored, slot_of(trial), client_of(trial) or "", config, follower)
        self._open[trial.number] = opened
        self.coordinator.progress.running[opened.slot] = len(curves)
        self._renew(opened)
        return opened

    def _flush(self) -> None:
        """Write what was said before it is acknowledged: this process may be killed."""
        if isinstance(self.storage, ForwardingStorage):
            self.storage.flush()

    def _renew(self, opened: _OpenTrial) -> None:
        opened.until = time.monotonic() + self.lease_seconds

    def _assignment(self, opened: _OpenTrial) -> Assignment:
        search = self.settings.search
        return Assignment(
            trial=opened.trial.number,
            slot=opened.slot,
            config=opened.config,
            seed=training_seed(search.seed, search.draw(opened.slot)),
            draw=search.draw(opened.slot),
            epochs=self.model.epochs_of(opened.config),
            reported=len(opened.follower.curves),
            lease_seconds=self.lease_seconds,
        )

    def _of(self, number: int, client: str, *, failed: bool = False) -> _OpenTrial | FrozenTrial:
        """Return the client's trial: open, or as it has ended.

        failed: whether it may have failed. Raises UnknownStudyError, ConflictError or GoneError.
        """
        opened = self._open.get(number)
        if opened is not None and opened.client == client:
            return opened
        trials = self.study.get_trials(deepcopy=False)
        if not 0 <= number < len(trials):
            raise UnknownStudyError(f"study '{self.study.study_name}' has no trial {number}")
        trial = trials[number]
        if client_of(trial) != client:
            raise ConflictError(f"trial {number}: is not that of client {client!r}")
        given_up = trial.state is TrialState.FAIL and reason_of(trial) == SILENT
        if given_up or (trial.state is TrialState.FAIL and not failed):
            reason = SILENT if given_up else "it has failed"
            raise GoneError(f"trial {number}: was given up, because {reason}; ask for another one")
        return trial

    def _read(self, item: object, follower: Follower) -> Metrics:
        """Return the metrics of an epoch; raises SettingsError."""
        metric = self.settings.search.metric
        try:
            metrics, _ = read_epoch(item, metric, self.model.name)
            if not len(follower.curves):
                check_first(metrics, metric, self.model.name)
        except ModelError as error:
            raise SettingsError(str(error)) from None
        if len(metrics) > MOST_METRICS:
            raise SettingsError(f"an epoch has at most {MOST_METRICS} metrics")
        return metrics

    def _check_same(self, trial: FrozenTrial, metrics: object) -> None:
        """Raise ConflictError if a trial that has ended is told to have ended otherwise."""
        search = self.settings.search
        if trial.state is not TrialState.COMPLETE or metrics is None:
            return
        told = read_epoch(metrics, search.metric, self.model.name)[0].get(search.metric)
        if told != trial.value:
            raise ConflictError(
                f"trial {trial.number}: is complete already, with {search.metric} {trial.value}"
            )

    def _end(
        self, opened: _OpenTrial, state: TrialState, value: float | None = None
    ) -> FrozenTrial:
        """End a trial in the storage, and return it."""
        if len(opened.follower.curves):
            write_curves(opened.trial, opened.follower.curves)
        number = opened.trial.number
        self.study.tell(number, value, state=state, skip_if_finished=True)
        del self._open[number]
        trial = self.storage.get_trial(opened.trial.id)
        try:
            self.coordinator.finished(trial, untracked=False)
        except StudyError as error:  # what fails at one client may go well at another
            logger.warning("%s", error)
        if trial.state is TrialState.FAIL:
            self.coordinator.recount()
        self.on_trial(self.study, trial)
        return trial

    def _end_silent(self) -> None:
        now = time.monotonic()
        for opened in [each for each in self._open.values() if each.until < now]:
            write_reason(opened.trial, SILENT)
            self._end(opened, TrialState.FAIL)

    def _ended(self, trial: FrozenTrial) -> Answer:
        """Return the answer to a report on a trial that has ended."""
        return Answer(trial.number, False, _state(trial), len(curves_of(trial)), 0.0)


@dataclass
class _OpenTrial:
    """A running trial, and how long its client may be silent."""

    trial: _StoredTrial
    slot: int
    client: str
    config: dict[str, Any]
    follower: Follower
    until: float = 0.0  # of `time.monotonic()`


class _StoredTrial(FixedTrial):
    """A running trial of a study, whichever process has begun it."""

    def __init__(self, storage: BaseStorage, study: Study, trial_id: int, number: int) -> None:
        super().__init__({}, number)
        self.storage, self.study, self.id = storage, study, trial_id

    def report(self, value: float, step: int) -> None:
        """Report the value of an epoch, as Optuna's `Trial.report` does."""
        self.storage.set_trial_intermediate_value(self.id, step, value)

    def should_prune(self) -> bool:
        """Ask the study's pruner, as Optuna's `Trial.should_prune` does."""
        return self.study.pruner.prune(self.study, self.storage.get_trial(self.id))

    def set_user_attr(self, key: str, value: Any) -> None:
        """Set an attribute, as Optuna's `Trial.set_user_attr` does."""
        self.storage.set_trial_user_attr(self.id, key, value)


def _hand_over(metrics: Metrics, follower: Follower) -> None:
    follower(metrics)


def _state(trial: FrozenTrial) -> str:
    return trial.state.name.lower()
