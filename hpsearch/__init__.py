"""Hyperparameter search with experiment tracking.

from hpsearch import Objective, Tracker, load_settings

objective = Objective(load_settings("digits"))
study.optimize(objective, n_trials=100, callbacks=[Tracker()])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from hpsearch.client import Client as Client
    from hpsearch.errors import HpsearchError as HpsearchError
    from hpsearch.execution.objective import Objective as Objective
    from hpsearch.search.cross_validation import SearchCV as SearchCV
    from hpsearch.search.rounds import run_rounds as run_rounds
    from hpsearch.search.study import run_study as run_study
    from hpsearch.settings.study import StudySettings as StudySettings
    from hpsearch.settings.study import load_settings as load_settings
    from hpsearch.tracking.tracker import Tracker as Tracker
    from hpsearch.workspace import Workspace as Workspace

_HOMES = {
    "Client": "hpsearch.client",
    "HpsearchError": "hpsearch.errors",
    "Objective": "hpsearch.execution.objective",
    "SearchCV": "hpsearch.search.cross_validation",
    "StudySettings": "hpsearch.settings.study",
    "Tracker": "hpsearch.tracking.tracker",
    "Workspace": "hpsearch.workspace",
    "load_settings": "hpsearch.settings.study",
    "run_rounds": "hpsearch.search.rounds",
    "run_study": "hpsearch.search.study",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562): optuna and mlflow take seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hpsearch' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
