"""What a study may be called, and the files that are called after it."""

import hashlib
import re
from typing import Literal

from hpsearch.errors import SettingsError

Metric = Literal["val/accuracy", "val/loss"]
SamplerName = Literal["random", "tpe", "gp", "qmc", "grid"]
PrunerName = Literal["none", "median", "halving", "hyperband"]
REPEATING: tuple[SamplerName, ...] = ("grid", "random")  # take [search] seeds

LONGEST = 100
NAME_PATTERN = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST}}}")


def valid_name(value: str) -> str:
    """Return `value`; raises ValueError if no study may be called so."""
    if not NAME_PATTERN.fullmatch(value) or set(value) == {"."}:
        raise ValueError(
            f"{value!r} is no name for a study; use up to {LONGEST} letters, digits, '.', '_' "
            "and '-'"
        )
    return value


def check_name(value: str) -> str:
    """Return `value`, a study's name, which becomes a file, a tag and a model's name.

    Raises SettingsError.
    """
    try:
        return valid_name(value)
    except ValueError as error:
        raise SettingsError(f"--name: {error}") from None


def with_suffix(name: str, suffix: str) -> str:
    """Return a name that ends with `suffix`; one that were too long is cut, and stays its own."""
    if len(name) + len(suffix) <= LONGEST:
        return name + suffix
    ending = f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}{suffix}"
    return name[: LONGEST - len(ending)] + ending
