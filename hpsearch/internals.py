"""The undocumented names of Optuna and MLflow that hpsearch depends on, each with its reason.

No other module uses such a name. When a new version of either library changes one of them,
`tests/test_internals.py` fails and says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, cast

from optuna.samplers import QMCSampler
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
