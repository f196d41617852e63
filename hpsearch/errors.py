"""What can go wrong, as a person should hear it: one sentence, the place first.

HpsearchError       the command line turns these, and nothing else, into one line and exit 1
├── SettingsError   a study file or an option asks for something impossible
├── DataError       the data cannot be read, or not be trained on
├── StorageError    the study's storage cannot be opened, read or written
├── StudyError      the study cannot be found, continued or finished
└── TrackingError   the MLflow tracking store cannot be reached or used

Interrupted         not an error: somebody asked the running trial to stop
"""

import importlib.util
from pathlib import Path


class HpsearchError(Exception):
    """Base of everything hpsearch raises on purpose."""


class SettingsError(HpsearchError):
    """A study file or an option asks for something impossible."""


class DataError(HpsearchError):
    """The data cannot be read, or not be trained on."""


class StorageError(HpsearchError):
    """The study's storage cannot be opened, read or written."""


class StudyError(HpsearchError):
    """The study cannot be found, continued or finished."""


class TrackingError(HpsearchError):
    """The MLflow tracking store cannot be reached or used."""


class Interrupted(Exception):  # noqa: N818
    """Raised inside a trial to end it at once; its slot will be done again."""


def refuse_shadowed_model() -> None:
    """Raise HpsearchError if a file of the user's hides hpsearch's own package `model`."""
    spec = importlib.util.find_spec("model")
    places = list(spec.submodule_search_locations or []) if spec else []
    if any((Path(place) / "training.py").is_file() for place in places):
        return
    found = spec.origin or places[0] if spec else "nothing"
    raise HpsearchError(
        f"{found}: this hides the package 'model' that hpsearch is built on; rename it, or run "
        "hpsearch from another folder"
    )
