"""The names of metrics, samplers and pruners, and the rules for the name of a study."""

import hashlib
import re
from typing import Literal

from hpsearch.errors import Argument, SettingsError

Direction = Literal["maximize", "minimize"]
Judged = Literal["best", "last"]
SamplerName = Literal["random", "tpe", "gp", "qmc", "grid"]
PrunerName = Literal["none", "median", "halving", "hyperband"]
REPEATING: tuple[SamplerName, ...] = ("grid", "random")  # samplers that can repeat a configuration
INDEPENDENT: tuple[SamplerName, ...] = ("random", "qmc", "grid")  # that ignore earlier results

MAX_LENGTH = 100
NUMBERED_ROUND = re.compile(r"(.+)\.r([0-9]+)")  # digits.r2 is the second round of digits
NAME, NEW_NAME = Argument("name"), Argument("name", "=…")
NAME_PATTERN = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_LENGTH}}}")


def valid_name(value: str) -> str:
    """Return `value` if a study can have that name; raises ValueError if not."""
    if not NAME_PATTERN.fullmatch(value) or set(value) == {"."}:
        raise ValueError(
            f"{value!r} is no name for a study; use up to {MAX_LENGTH} letters, digits, '.', '_' "
            "and '-'"
        )
    return value


def as_name(text: str) -> str:
    """Return a name for a study whose file is called `text`: "my study (1)" becomes my-study-1.

    A text that a study can be called stays as it is. Where nothing of it can be used, the name is
    made of a digest.
    """
    if NAME_PATTERN.fullmatch(text) and text.strip("."):
        return text
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")
    if not name.strip(".-"):
        return f"study-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return with_suffix(name, "")


def check_name(value: str) -> str:
    """Return `value`, the argument `name`, if a study can have that name; raises SettingsError.

    The name becomes part of file names, MLflow tags and the names of registered models.
    """
    try:
        return valid_name(value)
    except ValueError as error:
        raise SettingsError(NAME, f": {error}") from None


def with_suffix(name: str, suffix: str) -> str:
    """Return `name` with `suffix`; a name that is too long is cut and gets a digest instead."""
    if len(name) + len(suffix) <= MAX_LENGTH:
        return name + suffix
    ending = f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}{suffix}"
    return name[: MAX_LENGTH - len(ending)] + ending
