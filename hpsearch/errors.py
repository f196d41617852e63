"""The errors of hpsearch. Each is one sentence for a person: where, what is wrong, what is right.

HpsearchError       the command line turns these, and nothing else, into one line and exit 1
├── SettingsError   a study file or an argument asks for something impossible
├── DataError       the data cannot be read, or not be trained on
├── StorageError    the study's storage cannot be opened, read or written
├── StudyError      the study cannot be found, continued or finished
│   ├── UnknownStudyError   there is no such study or trial
│   ├── BusyError           another process runs it
│   ├── ConflictError       it is told something else than it knows
│   └── GoneError           a trial was taken from its client
├── TrackingError   the MLflow tracking store cannot be reached or used
└── ServiceError    a service cannot be reached, or does not allow it

Interrupted         not an error: the running trial was asked to stop
"""

import importlib.util
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Argument:
    """The name of an argument in the sentence of an error.

    A Python user reads the name and the value, `output` or `force=True`; the command line writes
    its option instead, `--output` or `--force`.
    """

    name: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.value}"

    @property
    def option(self) -> str:
        """How a command line writes it: --tracking-uri."""
        return f"--{self.name.replace('_', '-')}"


class Command:
    """A command of hpsearch that a sentence tells a person to copy: hpsearch sync digits-random.

    The command line writes it with the options for the stores that it was given itself.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        self.name, self.arguments = name, arguments

    def __str__(self) -> str:
        return " ".join(["hpsearch", self.name, *map(_quoted, self.arguments)])

    def with_options(self, *options: str) -> "Command":
        """Return the command with more words at its end."""
        return Command(self.name, *self.arguments, *options)


def _quoted(word: str) -> str:
    """Return `word` for a shell; the # of a trial's name is none that begins a comment."""
    return word if re.fullmatch(r"[\w.-]+#\d+", word) else shlex.quote(word)


Part = str | Argument | Command
"""A part of a sentence: text, or something that Python and the command line word differently."""


class Sentence(str):
    """A sentence as a Python user reads it, which remembers its parts for the command line."""

    parts: tuple[Part, ...]

    def __new__(cls, *parts: Part) -> "Sentence":
        sentence = super().__new__(cls, "".join(map(str, parts)))
        sentence.parts = parts
        return sentence


def for_command_line(parts: Iterable[Part], write: Callable[[Command], str] = str) -> str:
    """Return a sentence with options in place of arguments. write: how a command is written."""
    return "".join(
        part.option
        if isinstance(part, Argument)
        else write(part)
        if isinstance(part, Command)
        else part
        for part in parts
    )


class HpsearchError(Exception):
    """Base of everything that hpsearch raises on purpose.

    Its arguments are the parts of a sentence: texts, and an `Argument` or a `Command` wherever one
    is named.
    """

    def __init__(self, *parts: Part) -> None:
        super().__init__(*parts)

    def __str__(self) -> str:
        return "".join(map(str, self.args))

    @property
    def for_command_line(self) -> str:
        """The sentence with options in place of arguments."""
        return for_command_line(self.args)


class SettingsError(HpsearchError):
    """A study file or an argument asks for something impossible."""


class DataError(HpsearchError):
    """The data cannot be read, or not be trained on."""


class StorageError(HpsearchError):
    """The study's storage cannot be opened, read or written."""


class StudyError(HpsearchError):
    """The study cannot be found, continued or finished."""


class UnknownStudyError(StudyError):
    """There is no study, or no trial, of that name."""


class BusyError(StudyError):
    """Another process runs the study."""


class ConflictError(StudyError):
    """A client tells a study something that does not go with what it knows."""


class GoneError(StudyError):
    """A trial was given up, because its client was silent for too long."""


class TrackingError(HpsearchError):
    """The MLflow tracking store cannot be reached or used."""


class ServiceError(HpsearchError):
    """A service cannot be reached, or does not allow what is asked of it."""


class Interrupted(Exception):  # noqa: N818
    """Raised inside a trial to end it at once; its slot is run again later."""


def refuse_shadowed_model() -> None:
    """Raise HpsearchError if a file of the user's hides the package `model`, the training core."""
    spec = importlib.util.find_spec("model")
    places = list(spec.submodule_search_locations or []) if spec else []
    if any((Path(place) / "training.py").is_file() for place in places):
        return
    found = spec.origin or places[0] if spec else "nothing"
    raise HpsearchError(
        f"{found}: this hides the package 'model' with the built-in network; rename it, run "
        "hpsearch from another folder, or name the model to train in [model]"
    )
