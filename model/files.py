"""Files, written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file beside `path`, which takes its place when the block has come to its end.

    If it does not, what was at `path` stays as it was.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with open(beside, "xb") as file:
            yield file
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
