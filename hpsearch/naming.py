"""What a study may be called."""

import re

from hpsearch.errors import SettingsError

NAME_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,100}")


def valid_name(value: str) -> str:
    """Return `value`; raises ValueError if no study may be called so."""
    if not NAME_PATTERN.fullmatch(value) or set(value) == {"."}:
        raise ValueError(
            f"{value!r} is no name for a study; use up to 100 letters, digits, '.', '_' and '-'"
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
