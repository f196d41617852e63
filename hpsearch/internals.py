"""The undocumented names of Optuna and MLflow that hpsearch depends on, each with its reason.

No other module uses such a name. When a new version of either library changes one of them,
`tests/test_internals.py` fails and says what to do.
"""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Container, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from optuna.samplers import QMCSampler
from optuna.storages import BaseStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from sqlalchemy.engine import Engine

# The operations of a trial that has not ended. The journal waits for the disk when a trial ends and
# not at each report, so it has to tell the two apart. Optuna documents what a backend does with
# entries, but not what an entry contains.
RUNNING_TRIAL_OPERATIONS = frozenset(
    {
        JournalOperation.CREATE_TRIAL,
        JournalOperation.SET_TRIAL_PARAM,
        JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
        JournalOperation.SET_TRIAL_USER_ATTR,
        JournalOperation.SET_TRIAL_SYSTEM_ATTR,
    }
)

# What a process says of a trial that it runs itself, after the trial's creation.
WRITE_BEHIND_OPERATIONS = RUNNING_TRIAL_OPERATIONS - {JournalOperation.CREATE_TRIAL}

# An attribute of a study: an entry that a later one of the same key replaces.
STUDY_ATTRIBUTES = {
    JournalOperation.SET_STUDY_USER_ATTR: "user_attr",
    JournalOperation.SET_STUDY_SYSTEM_ATTR: "system_attr",
}
CREATE_STUDY = JournalOperation.CREATE_STUDY.value
DELETE_STUDY = JournalOperation.DELETE_STUDY.value
CREATE_TRIAL = JournalOperation.CREATE_TRIAL.value


class JournalIndex:
    """The ids that Optuna gives to studies and trials as it replays the entries of a journal.

    Optuna has no public way to tell to which study or trial an entry belongs before it is replayed.

    study_of: the id of each trial's study, by the id of the trial. studies: the studies that have
    not been deleted, by their ids.
    """

    def __init__(self) -> None:
        self.study_of: list[int] = []
        self.studies: dict[int, str] = {}
        self.created = 0  # studies, also deleted ones

    def add(self, entry: Mapping[str, Any]) -> int | None:
        """Take the next entry; return the id of the trial that it creates, None if it does not."""
        operation = entry["op_code"]
        if operation == JournalOperation.CREATE_TRIAL and entry["study_id"] in self.studies:
            self.study_of.append(entry["study_id"])
            return len(self.study_of) - 1
        if operation == JournalOperation.CREATE_STUDY:
            if entry["study_name"] not in self.studies.values():
                self.studies[self.created] = entry["study_name"]
                self.created += 1
        elif operation == JournalOperation.DELETE_STUDY:
            self.studies.pop(entry["study_id"], None)
        return None


def _forwarded(name: str, declared: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(declared, updated=())  # without the mark of an abstract method
    def method(self: ForwardingStorage, *args: Any, **kwargs: Any) -> Any:
        return self.forward(getattr(self.storage, name), *args, **kwargs)

    return method


def _forwards_every_operation(cls: type[ForwardingStorage]) -> type[ForwardingStorage]:
    for interface in (BaseStorage, BaseHeartbeat):
        for name, declared in inspect.getmembers(interface, inspect.isfunction):
            if name not in vars(cls) and not name.startswith("__"):
                setattr(cls, name, _forwarded(name, declared))
    return abc.update_abstractmethods(cls)


@_forwards_every_operation
class ForwardingStorage(BaseStorage, BaseHeartbeat):
    """A storage whose operations are those of another one, each called through `forward`.

    `Study.optimize` sends heartbeats to a storage that is a `BaseHeartbeat`. Optuna does not export
    that class, and one of its methods is private.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self.storage = storage
        self.heart = storage if isinstance(storage, BaseHeartbeat) else None

    def forward(self, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call an operation of the other storage."""
        return operation(*args, **kwargs)

    def flush(self) -> None:
        """Let the other storage write what it keeps back, if it keeps anything."""
        if isinstance(self.storage, ForwardingStorage):
            self.forward(self.storage.flush)

    def get_heartbeat_interval(self) -> int | None:
        """Return the seconds between two heartbeats, None for a storage without."""
        return None if self.heart is None else self.heart.get_heartbeat_interval()


class NumberedQMCSampler(QMCSampler):
    """Optuna's quasi-random sampler, which takes the point with the number `point` next.

    Optuna's own counts the points in the study and has no public way to choose one.
    """

    point = 0

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:  # noqa: ARG002
        return self.point


class _TransformedStudy:
    """A study whose samplers read transformed trials; everything else is the study's own."""

    def __init__(
        self, study: Study, transform: Callable[[list[FrozenTrial]], list[FrozenTrial]]
    ) -> None:
        self._study, self._transform = study, transform

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = self._transform(self._study._get_trials(deepcopy, use_cache=use_cache))
        return [trial for trial in trials if states is None or trial.state in states]


def with_transformed_trials(
    study: Study, transform: Callable[[list[FrozenTrial]], list[FrozenTrial]]
) -> Study:
    """Return `study`, except that Optuna's samplers read the trials that `transform` returns.

    Samplers call `Study._get_trials`, which Optuna does not document. The public `get_trials` is no
    substitute: it reads all trials from the storage again for every proposal.
    """
    return cast("Study", _TransformedStudy(study, transform))


def database_engine(client: MlflowClient) -> Engine | None:
    """Return the SQLAlchemy engine of MLflow's database, None for a tracking server.

    There is no other way to set a pragma on MLflow's connections alone: a listener on the class
    `Engine` would affect every engine in the user's process. If MLflow renames any of this, the
    result is None, and its database is only slower.
    """
    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    return getattr(store, "engine", None)


# A program that does what `mlflow server` does. MLflow starts its web server as a child and then
# waits for it, with 250 MB of its own; here its process becomes the web server. If MLflow renames
# what starts the child, this is `mlflow server` as it is.
MLFLOW_SERVER = """
import os, sys
import mlflow.server

def become(command, extra_env=None, **_):
    os.execvpe(command[0], command, {**os.environ, **(extra_env or {})})

mlflow.server._exec_cmd = become
from mlflow.cli import cli
cli(["server", *sys.argv[1:]])
"""
