"""Files, written whole or not at all."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file beside `path`, which takes its place when the block has come to its end.

    If it does not, what was at `path` stays as it was. A link stays one: what it leads to is
    written. Raises OSError, also where a device, a pipe or a socket is in the way.
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
    """Whether there is a device, a pipe or a socket at `path`: no regular file, and no folder."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
