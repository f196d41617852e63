"""The service: what its doors have in common. It keeps no state but what the storage has."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.summaries import StudySummary
from hpsearch.errors import (
    BusyError,
    Command,
    ConflictError,
    Sentence,
    SettingsError,
    StudyError,
    TrackingError,
    UnknownStudyError,
)
from hpsearch.execution.clients import ClientStudy
from hpsearch.execution.coordinator import Coordinator, RunOptions, Work
from hpsearch.execution.engines.forkserver import start_forkserver
from hpsearch.formatting import counted
from hpsearch.notifications.notifier import Notifier
from hpsearch.search.study import study_name
from hpsearch.service.background import Background
from hpsearch.service.cursor import Cursor
from hpsearch.service.dispatcher import Dispatcher, RunPlan
from hpsearch.service.roles import MLFLOW
from hpsearch.service.submission import Allowed
from hpsearch.storage.catalog import all_searches, load_search
from hpsearch.storage.leases import leased
from hpsearch.storage.open import open_storage
from hpsearch.tracking.address import is_server
from hpsearch.tracking.server import without_password
from hpsearch.trials.records import (
    is_for_clients,
    own_trials,
    study_file,
    study_id,
    wish_of,
    write_wish,
)
from hpsearch.workspace import Workspace

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.tracking.tracker import Tracker
    from hpsearch.trials.records import Wish

logger = logging.getLogger(__name__)

FRESH_SECONDS = 0.1  # how old what is shown may be
CLIENT_SECONDS = 1.0  # how often studies for clients are looked after


@dataclass(frozen=True)
class StudyState:
    """A study as the service shows it.

    state: "queued", "starting", "running", "stopping", "stopped", "finished", "failed" or
    "deleting"; "idle" for one that nobody has submitted and nobody runs. holder: who runs it.
    """

    summary: StudySummary
    state: str
    wish: Wish | None
    holder: str = ""
    clients: int | None = None

    def record(self) -> dict[str, Any]:
        """Return the state as plain data."""
        wish = self.wish
        record = self.summary.record()
        return {
            "name": record.pop("study"),
            "state": self.state,
            "task": "search" if wish is None else wish.task,
            "said": "" if wish is None else wish.said,
            "priority": 0 if wish is None else wish.priority,
            "jobs": 1 if wish is None else wish.jobs,
            "since": None if wish is None else wish.since,
            "by": "" if wish is None else wish.by,
            "holder": self.holder,
            "for_clients": self.clients is not None,
            **record,
        }


class Service:
    """Studies over a workspace, for the API and the page.

    workspace: one that keeps its storage open. plan: how studies run. allowed: what submitted
    studies may name. Methods raise HpsearchError.
    """

    def __init__(self, workspace: Workspace, plan: RunPlan, allowed: Allowed) -> None:
        self.workspace, self.plan, self.allowed = workspace, plan, allowed
        self.storage = open_storage(workspace.storage_url)
        self.background = Background(workspace)
        self.dispatcher = Dispatcher(
            workspace,
            self.storage,
            plan,
            serve=self._open_for_clients,
            delete=lambda name: self.background.call(Workspace.delete, name),
        )
        self._tracking = ThreadPoolExecutor(1, "tracking")
        self._clients: dict[str, _Served] = {}
        self._ending = threading.Event()
        self._looking = threading.Thread(target=self._look_after_clients, daemon=True)
        self._lock, self._serving = threading.Lock(), threading.Lock()
        self._summaries: dict[str, tuple[object, StudySummary]] = {}
        self._states: tuple[float, dict[str, StudyState]] = (0.0, {})

    def start(self) -> None:
        """Start what is wanted, and go on doing so."""
        start_forkserver()  # it imports what submitting needs, before somebody submits
        self.dispatcher.start()
        self._looking.start()

    def close(self) -> None:
        """Interrupt what runs, which the next start goes on with."""
        self._ending.set()
        self._looking.join()
        self.dispatcher.end()
        for name in [*self._clients]:
            self._let_go(name)
        self._tracking.shutdown()
        self.background.close()

    # Reading ---------------------------------------------------------------------------------

    def states(self) -> list[StudyState]:
        """Return the state of every study, by name."""
        with self._lock:
            if time.monotonic() - self._states[0] > FRESH_SECONDS:
                found = {}
                for study in all_searches(self.storage):
                    with suppress(UnknownStudyError):
                        found[study.study_name] = self._state(study)
                self._states = time.monotonic(), found
            return [*self._states[1].values()]

    def state(self, name: str) -> StudyState:
        """Return the state of a study; raises UnknownStudyError."""
        return self._state(self.study(name))

    def recent_state(self, name: str) -> StudyState:
        """Return the state of a study as of a moment ago; raises UnknownStudyError."""
        found = next((each for each in self.states() if each.summary.name == name), None)
        return self.state(name) if found is None else found

    @property
    def is_ending(self) -> bool:
        """Whether the service is about to end."""
        return self._ending.is_set()

    def study(self, name: str) -> Study:
        """Return a search by its name; raises UnknownStudyError."""
        return load_search(self.storage, name)

    def run_url(self, name: str, slot: str) -> str | None:
        """Return the address of the run in MLflow of the trial in a slot, None if it has none."""
        page: str | None = self.background.call(Workspace.run_page, name, slot)
        return None if page is None else f"{self._mlflow}/{page}"

    def experiment_url(self, name: str) -> str:
        """Return the address of MLflow's page on a study; raises TrackingError if it has none."""
        return f"{self._mlflow}/{self.background.call(Workspace.tracking_page, name)}"

    @property
    def _mlflow(self) -> str:
        """The address of MLflow's pages: below /mlflow, or of the tracking server."""
        uri = self.workspace.tracking_uri
        return without_password(uri).rstrip("/") if is_server(uri) else MLFLOW

    def _state(self, study: Study) -> StudyState:
        name = study.study_name
        try:
            wish, summary = wish_of(study), self._summary(study)
        except KeyError as error:
            raise UnknownStudyError(f"study '{name}' has just been deleted") from error
        served = self._clients.get(name)
        lease = None if served else self.dispatcher.holders.of(study)
        runs = served is not None or lease is not None
        holder = ""
        if lease is not None:
            holder = f"process {lease.process.pid} on {lease.process.host}"
        state = _named_state(summary, wish, runs=runs, starting=self.dispatcher.is_starting(name))
        clients = None
        if is_for_clients(study):
            clients = served.study.running if served else 0
        return StudyState(summary, state, wish, holder, clients)

    def _summary(self, study: Study) -> StudySummary:
        """Return a study in numbers; they are counted again when trials or its file change."""
        now = (str(Cursor.of(own_trials(study))), study_file(study), study_id(study))
        known, summary = self._summaries.get(study.study_name, (None, None))
        if summary is None or known != now:
            summary = StudySummary.of(study)
            self._summaries[study.study_name] = now, summary
        return summary

    # Changing --------------------------------------------------------------------------------

    def submit(
        self,
        file: str | Mapping[str, Any],
        *,
        name: str | None = None,
        priority: int = 0,
        jobs: int | None = None,
        by: str = "",
    ) -> tuple[StudyState, bool]:
        """Create a study and want it to run; return it, and whether it is new.

        by: the name of the token with which it is submitted, "" where nobody needs one.
        """
        settings = self.allowed.settings(file)
        self._check_trials(settings.search.slots)
        self._check_studies(by)
        jobs = self.plan.jobs if jobs is None else jobs
        named = study_name(settings, name)
        new = self.background.call(
            _submit, settings.to_toml(), named, priority=priority, jobs=jobs, by=by
        )
        self.dispatcher.wake()
        return self.state(named), new

    def _check_trials(self, trials: int) -> None:
        if trials > (most := self.plan.most_trials):
            raise SettingsError(f"search.trials: this service runs at most {most:,} of a study")

    def _check_studies(self, by: str) -> None:
        if not by:
            return
        wishes = [state.wish for state in self.states() if state.wish is not None]
        number = sum(wish.by == by and wish.want == "run" for wish in wishes)
        if number >= (most := self.plan.most_studies):
            raise ConflictError(
                f"token '{by}' may have {most} studies that wait or run, and has {number}; wait "
                "until one ends, or stop one"
            )

    def stop(self, name: str) -> StudyState:
        """Stop a study; what it has trained is kept."""
        self.workspace.stop(name)
        self.dispatcher.wake()
        return self.state(name)

    def resume(self, name: str, **changes: int | None) -> StudyState:
        """Want a study to run on; see `Workspace.resume`."""
        self.workspace.resume(name, **changes)
        self.dispatcher.wake()
        return self.state(name)

    def change(
        self, name: str, *, trials: int | None = None, priority: int | None = None
    ) -> StudyState:
        """Change how many trials a study has, or when its turn is; it runs only if it did."""
        self._check_trials(trials or 0)
        self.workspace.change(name, trials=trials, priority=priority)
        self.dispatcher.wake()
        return self.state(name)

    def evaluate(self, name: str, **options: Any) -> StudyState:
        """Want a study to be evaluated; see `Workspace.evaluate`."""
        study = self.study(name)
        if is_for_clients(study):
            raise StudyError(
                f"study '{name}': its trials are trained by clients, and cannot be here"
            )
        if self.dispatcher.holders.of(study) is not None:
            raise BusyError(f"study '{name}' is running; stop it first, or wait until it ends")
        self.workspace.want_evaluation(name, **options)
        self.dispatcher.wake()
        return self.state(name)

    def delete(self, name: str) -> None:
        """Want a study to be deleted, as soon as nobody runs it."""
        self.workspace.want_deleted(name)
        self._let_go(name)
        self.dispatcher.wake()

    # Studies whose trials are trained by clients -----------------------------------------------

    def client_study(self, name: str) -> ClientStudy:
        """Return a study to ask for trials; raises ConflictError if nobody is to."""
        served = self._clients.get(name)
        if served is not None:
            return served.study
        study = self.study(name)
        if not is_for_clients(study):
            raise ConflictError(f"study '{name}' is trained here, and not by clients")
        wish = wish_of(study)
        if wish is None or wish.want not in ("run", "done"):
            raise ConflictError(f"study '{name}' is stopped; let it go on first")
        return self._serve(study).study

    def _open_for_clients(self, study: Study) -> None:
        """Open a study as soon as it is wanted, so that silent clients lose their trials."""
        if study.study_name not in self._clients:
            self._serve(study)

    def _serve(self, study: Study) -> _Served:
        with self._serving:
            name = study.study_name
            if name not in self._clients:
                self._clients[name] = _Served(self, study)
            return self._clients[name]

    def _let_go(self, name: str) -> None:
        with self._serving:
            if (served := self._clients.pop(name, None)) is not None:
                served.close()

    def _look_after_clients(self) -> None:
        """End the trials of silent clients; let go of studies that are not wanted any more."""
        while not self._ending.wait(CLIENT_SECONDS):
            for name, served in [*self._clients.items()]:
                try:
                    if not served.look():
                        self._let_go(name)
                except Exception:  # the next look may go better
                    logger.exception("study '%s': its clients were not looked after", name)
        self.storage.remove_session()

    def track(self, study: Study, trial: FrozenTrial) -> None:
        """Write a trial of a client to MLflow, without letting the client wait."""
        if (tracker := self.workspace.tracker) is not None:
            self._tracking.submit(tracker, study, trial)  # which says what goes wrong

    def track_all(self, study: Study) -> None:
        """Write the runs of a study that are missing in MLflow, in the background."""
        if (tracker := self.workspace.tracker) is not None:
            self._tracking.submit(_sync, tracker, study)


class _Served:
    """A study for clients, whose lease this process holds."""

    def __init__(self, service: Service, study: Study) -> None:
        settings = service.workspace.settings(study.study_name)
        with ExitStack() as stack:
            lease = stack.enter_context(leased(service.storage, study))
            self._notifier = stack.enter_context(Notifier(study.study_name, settings))
            options = RunOptions(storage=service.workspace.storage_url)
            work = Work(settings=settings, slots=range(settings.search.slots))
            coordinator = Coordinator(
                service.storage, lease, work, self._notifier.listening(options)
            )
            self.study = ClientStudy(coordinator, service.track)
            service.track_all(study)
            self._stack = stack.pop_all()

    def look(self) -> bool:
        """Give up silent clients' trials; return whether there is more for them to do."""
        lease = self.study.coordinator.lease
        self.study.end_silent()
        if self.study.has_ended:
            wish = wish_of(lease.study)
            if wish is not None and wish.want == "run":
                write_wish(lease.study, replace(wish, want="done"))
                done = f"{counted(self.study.coordinator.progress.done, 'trial')} are done"
                self._notifier.ended("finished", Sentence(done), new=1)
            return False
        return not (lease.stop_requested or lease.lost)

    def close(self) -> None:
        """Let go of the study; its open trials stay with their clients."""
        self._stack.close()


def _sync(tracker: Tracker, study: Study) -> None:
    try:
        tracker.store.prepare()
        tracker.sync(study)
    except TrackingError as error:
        sync = Command("sync", study.study_name)
        logger.warning("%s; `%s` writes the runs that are missing", error, sync)


def _submit(workspace: Workspace, file: str, name: str, **how: Any) -> bool:
    from hpsearch.settings.study import parse_settings, parse_toml

    settings = parse_settings(parse_toml(file, name), "study file")
    return workspace.submit(settings, name=name, **how)[1]


def _named_state(summary: StudySummary, wish: Wish | None, *, runs: bool, starting: bool) -> str:
    """Return what a study does, in a word."""
    want = "" if wish is None else wish.want
    if want == "delete":
        return "deleting"
    if runs:
        return "stopping" if want == "stop" else "running"
    if want == "run":
        return "starting" if starting else "queued"
    counts = summary.counts
    if summary.planned and counts.complete + counts.pruned >= summary.planned:
        return "finished"
    return {"": "idle", "failed": "failed", "stop": "stopped", "done": "finished"}[want]
