"""The tokens that people and programs identify themselves with, kept as hashes in a file.

A line of the file is `name:hash:role`; empty lines and lines that begin with # are left alone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hpsearch.errors import Argument, SettingsError
from hpsearch.files import FORCE, locked_folder, unwritable, written_whole
from hpsearch.formatting import unknown_name
from hpsearch.settings.names import NAME_PATTERN

Role = Literal["read", "run", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may

BYTES = 32
PREFIX = "hps_"  # programs that look for secrets in code find a token by it
TOKEN = re.compile(rf"{PREFIX}[\w-]{{43}}")
HASH = re.compile(r"[0-9a-f]{64}")
FILE, NAME = Argument("file"), Argument("name")


@dataclass(frozen=True)
class User:
    """Who sends a request, and what they may do."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether the user has this role, or one that may do more."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Entry:
    """A line of the file: a user, and the hash of their token."""

    user: User
    digest: str


class Tokens:
    """The tokens of a file, which is read again when it has changed.

    So a token that was removed stops working at once. Raises SettingsError for a file that cannot
    be read; while that is so, no token works.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._stamp: tuple[int, ...] = ()
        self._entries: list[Entry] = []
        self.user_of("")

    def user_of(self, token: str) -> User | None:
        """Return whose token this is, None if it is nobody's."""
        digest, found = digest_of(token), None
        for entry in self._read():  # all of them: the time says nothing about which one fits
            if hmac.compare_digest(entry.digest, digest):
                found = entry.user
        return found

    def _read(self) -> list[Entry]:
        try:
            now = os.stat(self.path)
            stamp = (now.st_mtime_ns, now.st_size, now.st_ino)
            if stamp != self._stamp:
                self._entries = [*parse(self.path.read_text(encoding="utf-8"), self.path)]
                self._stamp = stamp
        except OSError as error:
            raise SettingsError(f"{self.path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{self.path}: is not UTF-8 text") from None
        return self._entries


def parse(text: str, path: Path) -> Iterable[Entry]:
    """Yield what the lines of a token file say; raises SettingsError that names the line."""
    names = set[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, digest, role = _parts(line)
        place = f"{path}, line {number}"
        if not NAME_PATTERN.fullmatch(name) or not HASH.fullmatch(digest):
            raise SettingsError(
                f"{place}: must be name:hash:role as `hpsearch token` writes it; remove the line "
                "and make the token again"
            )
        if role not in ROLES:
            raise SettingsError(f"{place}: {unknown_name(role, ROLES, 'a role')}")
        if name in names:
            raise SettingsError(f"{place}: a line above it has the name '{name}' too; remove one")
        names.add(name)
        yield Entry(User(name, role), digest)


def _parts(line: str) -> tuple[str, str, str]:
    name, _, rest = line.partition(":")
    digest, _, role = rest.partition(":")
    return name, digest, role.strip()


def digest_of(token: str) -> str:
    """Return what the file keeps of a token: its SHA-256.

    Slow hashes protect passwords, which people choose and others can guess. Nobody can try
    2^256 random tokens, and a slow hash would cost as much again with every request.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def add_token(
    path: str | os.PathLike[str], name: str, role: Role = "run", *, force: bool = False
) -> str:
    """Write a new token for `name` to the file, which is made if it is missing, and return it.

    The file keeps only its hash: nobody can read the token again. force: replace the token of that
    name. Raises SettingsError.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise SettingsError(
            NAME, f": {name!r} is no name for a token; use letters, digits, '.', '_' and '-'"
        )
    if role not in ROLES:
        raise SettingsError(Argument("role"), f": {unknown_name(role, ROLES, 'a role')}")
    token = PREFIX + secrets.token_urlsafe(BYTES)
    _rewrite(Path(path), name, f"{name}:{digest_of(token)}:{role}", force=force)
    return token


def remove_token(path: str | os.PathLike[str], name: str) -> None:
    """Remove the token of `name` from the file; raises SettingsError if there is none."""
    _rewrite(Path(path), name, None)


def _rewrite(path: Path, name: str, line: str | None, *, force: bool = False) -> None:
    """Put `line` in place of the one of `name`, None removes it; raises SettingsError."""
    try:
        with locked_folder(path.resolve().parent):
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            known = {entry.user.name for entry in parse("\n".join(lines), path)}
            if line is None and name not in known:
                raise SettingsError(NAME, f": {path} has no token '{name}'")
            if line is not None and name in known and not force:
                raise SettingsError(
                    NAME, f": {path} has a token '{name}' already; ", FORCE, " replaces it"
                )
            kept = [each for each in lines if _parts(each)[0] != name]
            with written_whole(path) as file:
                os.fchmod(file.fileno(), 0o600)
                file.write("".join(f"{each}\n" for each in [*kept, *filter(None, [line])]).encode())
    except OSError as error:
        raise unwritable(FILE, path, error) from error
