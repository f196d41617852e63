"""What trials and studies carry in the storage: every user attribute, its key and its type.

No other module names a key or uses `user_attrs`. The keys and the shape of their values are a file
format: studies that earlier versions stored must open, continue and report. Each function that
reads says what it returns for a study or trial that hpsearch did not make.
"""

from __future__ import annotations

import math
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from optuna.trial import FrozenTrial, TrialState, create_trial

from hpsearch.trials.curves import Curves
from hpsearch.trials.metrics import known_direction

if TYPE_CHECKING:
    from typing import TypeAlias

    from optuna.study import Study
    from optuna.trial import BaseTrial

    AnyTrial: TypeAlias = BaseTrial | FrozenTrial

# ---------------------------------------------------------------------------------------------
# Trials
# ---------------------------------------------------------------------------------------------

_SLOT = "slot"
_PROCESS = "process"
_SETUP = "setup"
_CURVES = "curves"
_REASON = "reason"
_INTERRUPTED = "interrupted"
_NO_TRY = "no_try"
_FENCED = "fenced"
_TRACEBACK = "traceback"
_TRANSFERRED = "carried"  # the key of version 0.1
_REPEAT = "repeat"
_WEIGHTS = "network"
_RESUMED = "resumed"
_CLIENT = "client"

# What workers of a study do not read of each other's trials, and what takes the most space.
BULKY = frozenset({_PROCESS, _SETUP, _CURVES, _TRACEBACK})

VALUE = "value"  # what stands for the metric of a study that hpsearch did not start
DIVERGED = "diverged"  # how the reason of a trial begins whose loss is not finite
DONE = (TrialState.COMPLETE, TrialState.PRUNED)  # the states of a trial that make its slot done
_DRAWS_OF_0_1, _EPOCHS_OF_0_1 = 10**3, 10**9  # see `repeat_of`


@dataclass(frozen=True)
class ProcessId:
    """What identifies a process: its machine, its id, and its start, because ids are used again."""

    host: str  # the name of the machine, for people: several can have the same
    pid: int
    started: float  # seconds since 1970
    machine: str = ""  # "" in records of version 0.1


@dataclass(frozen=True)
class DataId:
    """What identifies the data that a trial was trained on."""

    name: str
    digest: str
    source: str


@dataclass(frozen=True)
class Setup:
    """What a trial trains; stored before its first epoch."""

    config: Mapping[str, Any]  # all of it, fixed and sampled
    metric: str
    seed: int | None
    data: DataId | None  # None where a user's own model loads them
    validation: str = "split"  # or "test": on the official test set
    label: str = ""  # of its [[enqueue]] entry
    direction: str = ""  # of the metric, "" as its name says
    model: str = ""  # a user's own model, "" for the built-in network
    code: str = ""  # a digest of that model's code
    value: str = ""  # "last" if the last epoch counts instead of the best

    def judged(self, curves: Curves) -> tuple[int, float] | None:
        """Return the epoch (from 1) by which a trial is judged, and its value, else None."""
        by_last = self.value == "last"
        return curves.judged(self.metric, maximize=self.maximize, by_last=by_last)

    @property
    def maximize(self) -> bool:
        """Whether higher values of the metric are better."""
        return (self.direction or known_direction(self.metric)) == "maximize"


@dataclass(frozen=True)
class Repeat:
    """What a trial of an evaluation does: it repeats a trial of the search.

    If `epochs` is above 0, it trains a final network instead: on the training and validation rows
    together, for that many epochs.
    """

    trial: int  # the slot of the trial in the search
    draw: int  # the number of the draw of weights and batches
    epochs: int = 0

    @property
    def kind(self) -> str:
        """The kind of its MLflow run: "repeat" or "final"."""
        return "final" if self.epochs else "repeat"

    @property
    def name(self) -> str:
        """The name of its MLflow run: repeat-0007-03, final-0007-03."""
        return f"{self.kind}-{self.trial:04d}-{self.draw:02d}"


def _table(trial: AnyTrial, key: str) -> Mapping[str, Any]:
    """Return an attribute that is a table; {} if another program uses its key."""
    value = trial.user_attrs.get(key)
    return value if isinstance(value, Mapping) else {}


def slot_of(trial: AnyTrial) -> int:
    """Return the trial's slot; in a study that hpsearch does not run, the trial's number."""
    slot = assigned_slot(trial)
    return trial.number if slot is None else slot


def assigned_slot(trial: AnyTrial) -> int | None:
    """Return the slot that a worker assigned to the trial, None if none did."""
    slot = trial.user_attrs.get(_SLOT)
    return slot if isinstance(slot, int) else None


def assigned_attributes(slot: int, process: ProcessId, *, fenced: bool = False) -> dict[str, Any]:
    """Return the user attributes with which a worker creates a trial.

    They say which slot it fills and which process runs it. Its number tells it from the attempts at
    the slot before it. fenced: see `is_fenced`.
    """
    return {_PROCESS: asdict(process), _SLOT: slot} | ({_FENCED: True} if fenced else {})


def new_trial(
    slot: int, process: ProcessId, *, fenced: bool = False, client: str = ""
) -> FrozenTrial:
    """Return a running trial for `BaseStorage.create_new_trial`, which is assigned from the start.

    client: the client of the service that trains it, "" if it is trained here. The rest is as in
    `assigned_attributes`.
    """
    attributes = assigned_attributes(slot, process, fenced=fenced)
    if client:
        attributes[_CLIENT] = client
    return create_trial(state=TrialState.RUNNING, user_attrs=attributes)


def is_fenced(trial: FrozenTrial) -> bool:
    """Return whether another worker may begin at the trial's slot while its process lives.

    That process stays when its coordinator ends, and may not work on the trial any more.
    """
    return bool(trial.user_attrs.get(_FENCED))


def process_of(trial: AnyTrial) -> ProcessId | None:
    """Return the process that runs or ran the trial, None if it is not recorded."""
    process = trial.user_attrs.get(_PROCESS)
    return None if process is None else ProcessId(**process)


def client_of(trial: AnyTrial) -> str | None:
    """Return the client of the service that trains the trial, None if it is trained here."""
    return trial.user_attrs.get(_CLIENT)


def setup_of(trial: AnyTrial) -> Setup | None:
    """Return what the trial trains, None if another objective ran it.

    A field that is missing, as another program may leave it, is empty or None.
    """
    table = _table(trial, _SETUP)
    if "config" not in table:
        return None
    data = table.get("data")
    return Setup(
        config=table["config"],
        metric=table.get("metric", ""),
        seed=table.get("seed"),
        data=None if data is None else DataId(**data),
        validation=table.get("validation", "split"),
        label=table.get("label", ""),
        direction=table.get("direction", ""),
        model=table.get("model", ""),
        code=table.get("code", ""),
        value=table.get("value", ""),
    )


def data_of(trial: AnyTrial) -> DataId | None:
    """Return the data that the trial was trained on, None if another objective ran it."""
    setup = setup_of(trial)
    return None if setup is None else setup.data


def config_of(trial: AnyTrial) -> dict[str, Any]:
    """Return the configuration that the trial trains, {} if another objective ran it."""
    return dict(_table(trial, _SETUP).get("config", {}))


def label_of(trial: AnyTrial) -> str:
    """Return the label of the trial's [[enqueue]] entry, "" if it has none."""
    return str(_table(trial, _SETUP).get("label", ""))


def write_setup(trial: BaseTrial, setup: Setup) -> None:
    """Record what the trial trains; optional fields are stored only if they are set."""
    table = asdict(setup)
    if setup.validation == "split":
        del table["validation"]
    for optional in ("label", "direction", "model", "code", "value"):
        if not table[optional]:
            del table[optional]
    trial.set_user_attr(_SETUP, table)


def curves_of(trial: AnyTrial) -> Curves:
    """Return the trial's learning curves.

    Of a trial that another objective ran, they are what it reported to Optuna, as metric "value".
    """
    stored = _table(trial, _CURVES)
    if stored or not isinstance(trial, FrozenTrial) or not trial.intermediate_values:
        return Curves.from_attribute(stored)
    return _reported(trial) if setup_of(trial) is None else Curves()


def _reported(trial: FrozenTrial) -> Curves:
    """Return the values that a trial reported, step by step; when they were is not known."""
    steps = sorted(trial.intermediate_values)
    ended = trial.datetime_complete or trial.datetime_start
    curves = Curves(times=[0 if ended is None else int(ended.timestamp() * 1000)] * len(steps))
    values = (trial.intermediate_values[step] for step in steps)
    curves.values[VALUE] = [value if math.isfinite(value) else None for value in values]
    return curves


def write_curves(trial: BaseTrial, curves: Curves) -> None:
    """Store the trial's learning curves."""
    trial.set_user_attr(_CURVES, curves.as_attribute())


def write_resumed(trial: BaseTrial, epochs: int) -> None:
    """Record how many epochs of a killed trial this one continues."""
    trial.set_user_attr(_RESUMED, epochs)


def resumed_after(trial: AnyTrial) -> int:
    """Return after how many epochs of a killed trial this one has gone on, 0 if it began anew."""
    epochs = trial.user_attrs.get(_RESUMED)
    return epochs if isinstance(epochs, int) else 0


def epochs_trained(trial: AnyTrial) -> int:
    """Return how many epochs the trial has trained itself: without those that it went on from."""
    return max(0, len(curves_of(trial)) - resumed_after(trial))


def was_interrupted(trial: FrozenTrial) -> bool:
    """Return whether the trial ended because the study was stopped, which is not a failure."""
    return trial.state is TrialState.FAIL and bool(trial.user_attrs.get(_INTERRUPTED))


def reason_of(trial: FrozenTrial) -> str | None:
    """Return why the trial ended early, None if it did not or if the reason is unknown."""
    if trial.state is TrialState.COMPLETE:  # it may complete just as it is declared dead
        return None
    return "interrupted" if trial.user_attrs.get(_INTERRUPTED) else trial.user_attrs.get(_REASON)


def has_diverged(trial: FrozenTrial) -> bool:
    """Return whether the trial was stopped because a loss was infinite or no number."""
    return trial.state is TrialState.PRUNED and str(reason_of(trial)).startswith(DIVERGED)


def traceback_of(trial: AnyTrial) -> str:
    """Return the traceback of a trial that failed with an exception, "" for any other."""
    return str(trial.user_attrs.get(_TRACEBACK, ""))


def write_interrupted(trial: BaseTrial) -> None:
    """Record that the trial was stopped on request."""
    trial.set_user_attr(_INTERRUPTED, True)


def is_failed_try(trial: FrozenTrial) -> bool:
    """Return whether the trial failed on its own account, which counts against its slot.

    A trial is not to blame if its study was interrupted, its coordinator died, its storage failed,
    or a disk was full.
    """
    return (
        trial.state is TrialState.FAIL
        and not was_interrupted(trial)
        and not trial.user_attrs.get(_NO_TRY)
    )


def write_no_try(trial: BaseTrial) -> None:
    """Record that the trial's failure does not count against its slot."""
    trial.set_user_attr(_NO_TRY, True)


def write_reason(trial: BaseTrial, reason: str, traceback: str = "") -> None:
    """Record why the trial ended early, with the traceback if an exception ended it."""
    trial.set_user_attr(_REASON, reason)
    if traceback:
        trial.set_user_attr(_TRACEBACK, traceback)


def death_attributes(*, is_try: bool) -> dict[str, Any]:
    """Return the attributes of a trial whose process died, for `BaseStorage.set_trial_user_attr`.

    is_try: whether the death counts against the trial's slot.
    """
    return {_REASON: "process died"} | ({} if is_try else {_NO_TRY: True})


def transferred_from(trial: AnyTrial) -> str | None:
    """Return which trial of an earlier round ("digits-tpe#7") this one copies, None if none."""
    return trial.user_attrs.get(_TRANSFERRED)


def transferred_attributes(trial: FrozenTrial, source: str) -> dict[str, Any]:
    """Return the user attributes for a copy of `trial`, whose name is `source` ("digits-tpe#7")."""
    return {
        _TRANSFERRED: source,
        _SETUP: trial.user_attrs[_SETUP],
        _CURVES: trial.user_attrs.get(_CURVES, {}),
    }


def own_trials(study: Study, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
    """Return the trials that the study ran itself, without copies from earlier rounds."""
    trials = study.get_trials(deepcopy=False, states=states)
    return [trial for trial in trials if _TRANSFERRED not in trial.user_attrs]


def repeat_of(trial: FrozenTrial) -> Repeat | None:
    """Return what a trial of an evaluation repeats, None if it ended before it recorded that.

    Version 0.1 had no such attribute; it packed the three numbers into the slot, in decimal. Now
    slots are small numbers, and a trial has the attribute before its slot is done.
    """
    table = trial.user_attrs.get(_REPEAT)
    if table is not None:
        return Repeat(**table)
    configuration, draw = divmod(slot_of(trial), _DRAWS_OF_0_1)
    if not configuration and trial.state not in DONE:
        return None
    slot, epochs = divmod(configuration, _EPOCHS_OF_0_1)
    return Repeat(slot, draw, epochs)


def write_repeat(trial: BaseTrial, repeat: Repeat) -> None:
    """Record what a trial of an evaluation repeats."""
    trial.set_user_attr(_REPEAT, asdict(repeat))


def weights_of(trial: AnyTrial) -> bytes:
    """Return the weights of a final network that its trial stored: the bytes of the array."""
    return b64decode(trial.user_attrs[_WEIGHTS])


def write_weights(trial: BaseTrial, weights: bytes) -> None:
    """Store the weights of a final network on its trial; base64 takes 4/3 of their size."""
    trial.set_user_attr(_WEIGHTS, b64encode(weights).decode())


# ---------------------------------------------------------------------------------------------
# Studies
# ---------------------------------------------------------------------------------------------

_DEFINITION = "definition"
_SETTINGS = "settings"
_FOLDER = "folder"
_EXPERIMENT = "experiment"
_ROUND = "round"
_FIRST_ROUND = "first"
_STUDY_ID = "hpsearch.study_id"
_EVALUATION_OF = "evaluates"
_EVALUATION = "evaluated"
_LEASE_PREFIX = "hpsearch.parent."  # one attribute for each process that claims the study
LEASE_KEYS = 256
_TAKEN_OVER = "hpsearch.taken_over"
_START = "hpsearch.start"
_STOP = "hpsearch.stop"
_WISH = "hpsearch.wish"


class StudyId(NamedTuple):
    """A study's name, and the id that tells it from other studies that had the same name."""

    name: str
    id: str


@dataclass(frozen=True)
class LeaseRecord:
    """The claim of a process to run a study alone; times are in seconds since 1970."""

    process: ProcessId
    since: float
    renewed: float = 0.0
    token: str = ""  # tells it from every other lease; "" in records of version 0.1


@dataclass(frozen=True)
class Wish:
    """What is wanted of a study by those who use it through the service.

    want: "run"; "stop"; "delete"; and what came of it: "done", or "failed". since: when that was
    wanted, in seconds since 1970; studies are run in order of priority, the highest first, and age.
    task: "search", or "evaluate" with its options. jobs: how many trials at a time. said: how it
    ended, as a sentence. by: the name of the token with which it was submitted.
    """

    want: str
    since: float
    priority: int = 0
    jobs: int = 1
    task: str = "search"
    options: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""
    by: str = ""


def definition_of(study: Study) -> dict[str, str]:
    """Return what the study searches, as text by key; {} if hpsearch did not start it."""
    return dict(study.user_attrs.get(_DEFINITION, {}))


def write_definition(study: Study, definition: Mapping[str, str]) -> None:
    """Record what the study searches; a study can be continued only while that is the same."""
    study.set_user_attr(_DEFINITION, dict(definition))


def metric_of(study: Study) -> str:
    """Return the metric of the study's values, "value" if hpsearch did not start it."""
    return definition_of(study).get("search.metric", VALUE)


def validation_of(study: Study) -> str:
    """Return what the study validates on: "split", or the official "test" set."""
    return definition_of(study).get("data.validation", "split")


def seeds_of(study: Study) -> int:
    """Return how many times the study repeats each configuration."""
    return int(definition_of(study).get("search.seeds", 1))


def study_file(study: Study) -> str | None:
    """Return the study file (TOML) of the last start, None if hpsearch did not start it."""
    return study.user_attrs.get(_SETTINGS)


def write_study_file(study: Study, text: str) -> None:
    """Store the study file that the study runs with."""
    study.set_user_attr(_SETTINGS, text)


def folder_of(study: Study) -> str | None:
    """Return the working directory of the last start, None if version 0.1 was the last."""
    return study.user_attrs.get(_FOLDER)


def write_folder(study: Study, folder: str) -> None:
    """Store the working directory, in which the study file's data were found."""
    study.set_user_attr(_FOLDER, folder)


def ensure_study_id(study: Study) -> str:
    """Return the id that tells the study from others of the same name; write one if it has none."""
    if study_id(study) is None:
        study.set_user_attr(_STUDY_ID, uuid4().hex)
    return str(study.user_attrs[_STUDY_ID])


def study_id(study: Study) -> str | None:
    """Return the id that tells the study from others of the same name, None if it has none yet."""
    return study.user_attrs.get(_STUDY_ID)


def experiment_name(study: Study) -> str:
    """Return the name of the MLflow experiment that holds the study's runs."""
    return str(study.user_attrs.get(_EXPERIMENT, study.study_name))


def round_number(study: Study) -> int:
    """Return the round of a search from 2 on, 0 for a first round or a study without rounds."""
    return int(study.user_attrs.get(_ROUND, 0))


def first_round_id(study: Study) -> str | None:
    """Return the `study_id` of the first round, None if the study is not a later round."""
    return study.user_attrs.get(_FIRST_ROUND)


def write_round(study: Study, first: Study, number: int) -> None:
    """Make `study` round `number` of the search that begins with `first`, in its experiment."""
    study.set_user_attr(_FIRST_ROUND, ensure_study_id(first))
    study.set_user_attr(_EXPERIMENT, experiment_name(first))
    study.set_user_attr(_ROUND, number)


def evaluation_of(study: Study) -> StudyId | None:
    """Return the search that the study evaluates, None if it is itself a search."""
    table = study.user_attrs.get(_EVALUATION_OF)
    return None if table is None else StudyId(table["study"], table["id"])


def write_evaluation_of(study: Study, search: Study) -> None:
    """Make `study` the evaluation of `search`, in the same experiment and round."""
    study.set_user_attr(_EXPERIMENT, experiment_name(search))
    if round_number(search):
        study.set_user_attr(_ROUND, round_number(search))
    table = {"study": search.study_name, "id": ensure_study_id(search)}
    study.set_user_attr(_EVALUATION_OF, table)


def evaluation_table(study: Study) -> dict[str, Any] | None:
    """Return the study's last evaluation as plain data, None if it has none."""
    return study.user_attrs.get(_EVALUATION)


def write_evaluation_table(study: Study, table: Mapping[str, Any] | None) -> None:
    """Store an evaluation, as plain data, on the study that it evaluates; None removes it."""
    study.set_user_attr(_EVALUATION, table)


def leases_of(study: Study) -> dict[str, LeaseRecord]:
    """Return the leases on the study by key, without those that were released."""
    found = {}
    for key, table in study.user_attrs.items():
        if key.startswith(_LEASE_PREFIX) and table:
            machine = table.get("machine", "")
            process = ProcessId(table["host"], table["pid"], table["started"], machine)
            token = table.get("token", "")
            found[key] = LeaseRecord(process, table["since"], table["renewed"], token)
    return found


def lease_key(token: str) -> str:
    """Return the key for the lease with this token.

    Attributes cannot be deleted, so there are only so many keys. Two leases rarely have the same;
    the later one replaces the other.
    """
    return f"{_LEASE_PREFIX}{zlib.crc32(token.encode()) % LEASE_KEYS}"


def write_lease(study: Study, key: str, lease: LeaseRecord | None) -> None:
    """Store a lease on the study; None releases it."""
    table = None
    if lease is not None:
        rest = {"since": lease.since, "renewed": lease.renewed, "token": lease.token}
        table = {**asdict(lease.process), **rest}
    study.set_user_attr(key, table)


def write_taken_over(study: Study, lease: LeaseRecord, by: ProcessId) -> None:
    """Record which process takes the study from the holder of a lease."""
    study.set_user_attr(_TAKEN_OVER, {"token": lease.token, "by": asdict(by)})


def taken_over_by(study: Study, lease: LeaseRecord) -> ProcessId | None:
    """Return which process has taken the study from the holder of a lease, None if not known."""
    table = study.user_attrs.get(_TAKEN_OVER) or {}
    return ProcessId(**table["by"]) if table.get("token") == lease.token else None


def current_start(study: Study) -> str | None:
    """Return the key of the start for which workers elsewhere may work, None for none."""
    return study.user_attrs.get(_START)


def write_current_start(study: Study, key: str | None) -> None:
    """Have workers elsewhere work for the start with this key, or stop."""
    study.set_user_attr(_START, key)


def is_for_clients(study: Study) -> bool:
    """Return whether clients of the service train the study's trials."""
    return "model.clients" in definition_of(study)


def stop_request(study: Study) -> str | None:
    """Return the id of the last request to stop the study, None if there was none."""
    return study.user_attrs.get(_STOP)


def write_stop_request(study: Study) -> None:
    """Ask whoever runs the study now to stop; a later start goes on."""
    study.set_user_attr(_STOP, uuid4().hex)


def wish_of(study: Study) -> Wish | None:
    """Return what is wanted of the study, None if nobody has said so through the service."""
    table = study.user_attrs.get(_WISH)
    return None if table is None else Wish(**table)


def write_wish(study: Study, wish: Wish) -> None:
    """Store what is wanted of the study."""
    study.set_user_attr(_WISH, asdict(wish))


def copy_attributes(source: Study, target: Study) -> None:
    """Copy all attributes of one study to another."""
    for key, value in source.user_attrs.items():
        target.set_user_attr(key, value)


# ---------------------------------------------------------------------------------------------
# The test-set log: a study without trials, which outlives the studies that it names
# ---------------------------------------------------------------------------------------------

TEST_SET_LOG = "hpsearch.test-set-looks"  # the name of version 0.1
_USE_PREFIX = "look."  # one attribute for each use of a test set
_SEARCHED_PREFIX = "searched."  # a deleted study that validated on the test set of this digest


def logged_uses(log: Study) -> list[dict[str, Any]]:
    """Return all uses of test sets in the log, as plain data, in no particular order."""
    entries = log.user_attrs.items()
    return [dict(table) for key, table in entries if key.startswith(_USE_PREFIX) and table]


def write_use(log: Study, key: str, table: Mapping[str, Any] | None) -> None:
    """Store a use of a test set in the log under its key; None removes it."""
    log.set_user_attr(f"{_USE_PREFIX}{key}", table)


def deleted_search(log: Study, digest: str) -> str:
    """Return the last deleted study that validated on this data's test set, "" if none did."""
    return str(log.user_attrs.get(f"{_SEARCHED_PREFIX}{digest}", ""))


def write_deleted_search(log: Study, digest: str, study_name: str) -> None:
    """Record that a study which validated on this data's test set is deleted."""
    log.set_user_attr(f"{_SEARCHED_PREFIX}{digest}", study_name)


def is_search(study: Study) -> bool:
    """Return whether the study is a search rather than an evaluation or the test-set log."""
    return study.study_name != TEST_SET_LOG and _EVALUATION_OF not in study.user_attrs
