"""Writing files for a user: whole or not at all; existing files are kept unless `force` is set."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from hpsearch.errors import Argument, SettingsError

FORCE = Argument("force", "=True")


def check_output(
    argument: Argument, path: str | os.PathLike[str], *, force: bool, make_folder: bool = False
) -> None:
    """Raise SettingsError, naming `argument`, if no file can be written at `path`; create nothing.

    make_folder: whether a missing folder will be made. Of a symbolic link the target is checked,
    because that is what gets written.
    """
    file = Path(path)
    try:
        if file.is_dir():
            raise SettingsError(argument, f": {file} is a folder")
        if is_special(file):
            raise SettingsError(argument, f": {file} is no regular file")
        if file.exists() and not force:
            raise SettingsError(argument, f": {file} exists already; ", FORCE, " overwrites it")
        folder = Path(os.path.realpath(file)).parent
        while make_folder and not folder.exists():
            folder = folder.parent
    except OSError as error:  # the name is too long, or the folder may not be searched
        raise unwritable(argument, file, error) from error
    if not folder.is_dir():
        raise SettingsError(argument, f": {folder} is not a folder")
    if not os.access(folder, os.W_OK):
        raise SettingsError(argument, f": {folder} cannot be written to")


def write_file(argument: Argument, path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path`, whole or not at all, and return the path; raise SettingsError."""
    try:
        with written_whole(path) as file:
            file.write(data)
    except OSError as error:
        raise unwritable(argument, path, error) from error
    return Path(path)


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends without an error.

    Otherwise `path` stays as it was. A link stays a link: the file that it points to is replaced.
    Raises OSError, also if `path` is a device, a pipe or a socket. `model.files` has the same for
    the training core: a study of another model does not import that.
    """
    if is_special(path):
        raise FileExistsError(errno.EEXIST, "is no regular file", os.fspath(path))
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with open(beside, "xb") as file:
            yield file
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a device, pipe or socket: neither a regular file nor a folder."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def unwritable(argument: Argument, path: str | os.PathLike[str], error: OSError) -> SettingsError:
    """Return the error for a file that cannot be written."""
    place = error.filename2 or error.filename or os.fspath(path)
    return SettingsError(argument, f": {place}: {error.strerror}")


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while the block runs; a process that dies releases it.

    It leaves no file behind. Where a folder cannot be locked, as on some network file systems, the
    block runs without the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOLCK, errno.ENOTSUP):
                raise
        yield
    finally:
        os.close(descriptor)


def is_empty(file: Path) -> bool:
    """Whether there is nothing at this path yet, or a file of no bytes."""
    try:
        return file.stat().st_size == 0
    except FileNotFoundError:
        return True


def create_whole(file: Path, make: Callable[[Path], None]) -> None:
    """Create `file`, whole or not at all, by calling `make` with the path of a temporary file.

    A file that has a byte in it is kept. One process at a time does this in a folder, and removes
    what a killed one has left. Raises OSError and whatever `make` raises.
    """
    target = Path(os.path.realpath(file))
    with locked_folder(target.parent):
        if not is_empty(target):
            return
        start = f".{target.name}.new-"
        _remove(target.parent, start)
        temporary = target.with_name(f"{start}{uuid4().hex}")
        try:
            make(temporary)
            os.replace(temporary, target)
        finally:
            _remove(target.parent, start)


def _remove(folder: Path, start: str) -> None:
    """Remove the files of a folder whose names begin with `start`."""
    for name in os.listdir(folder):
        if name.startswith(start):
            os.unlink(folder / name)


def file_name(study_name: str) -> str:
    """Return a safe file name for a study, which another program may have called anything."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", study_name)
