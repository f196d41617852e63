"""Hyperparameter search with experiment tracking.

from hpsearch import Objective, Tracker, load_settings

objective = Objective(load_settings("digits"))
study.optimize(objective, n_trials=100, callbacks=[Tracker()])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hpsearch.errors import HpsearchError as HpsearchError
    from hpsearch.objective import Objective as Objective
    from hpsearch.rounds import run_rounds as run_rounds
    from hpsearch.settings import StudySettings as StudySettings
    from hpsearch.settings import load_settings as load_settings
    from hpsearch.study import run_study as run_study
    from hpsearch.tracking import Tracker as Tracker

_HOMES = {
    "HpsearchError": "hpsearch.errors",
    "Objective": "hpsearch.objective",
    "StudySettings": "hpsearch.settings",
    "Tracker": "hpsearch.tracking",
    "load_settings": "hpsearch.settings",
    "run_rounds": "hpsearch.rounds",
    "run_study": "hpsearch.study",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562): optuna and mlflow take seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hpsearch' has no attribute '{name}'")
    import_module("hpsearch.errors").refuse_shadowed_model()
    return getattr(import_module(_HOMES[name]), name)
