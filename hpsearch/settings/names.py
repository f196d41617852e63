"""Names: of metrics, samplers and pruners, and what a study may be called."""

import hashlib
import re
from typing import Literal

from hpsearch.errors import Argument, SettingsError

Metric = Literal["val/accuracy", "val/loss"]
SamplerName = Literal["random", "tpe", "gp", "qmc", "grid"]
PrunerName = Literal["none", "median", "halving", "hyperband"]
REPEATING: tuple[SamplerName, ...] = ("grid", "random")  # samplers that can repeat a configuration

LONGEST = 100
NUMBERED_ROUND = re.compile(r"(.+)\.r([0-9]+)")  # digits.r2 is the second round of digits
NAME = Argument("name")
NAME_PATTERN = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST}}}")


def valid_name(value: str) -> str:
    """Return `value` if it may be the name of a study; raise ValueError if not."""
    if not NAME_PATTERN.fullmatch(value) or set(value) == {"."}:
        raise ValueError(
            f"{value!r} is no name for a study; use up to {LONGEST} letters, digits, '.', '_' "
            "and '-'"
        )
    return value


def check_name(value: str) -> str:
    """Return `value`, the argument `name`, as a study's name; raise SettingsError if it is none.

    The name becomes part of file names, MLflow's tags and the names of registered models.
    """
    try:
        return valid_name(value)
    except ValueError as error:
        raise SettingsError(NAME, f": {error}") from None


def with_suffix(name: str, suffix: str) -> str:
    """Return `name` with `suffix`; a name that is too long is cut, with a digest in it."""
    if len(name) + len(suffix) <= LONGEST:
        return name + suffix
    ending = f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}{suffix}"
    return name[: LONGEST - len(ending)] + ending
