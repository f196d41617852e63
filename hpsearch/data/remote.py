"""Tables at a URL, such as s3://bucket/houses.csv: kept in a folder of this host once read."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

from hpsearch.files import written_whole

URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
CACHE = "HPSEARCH_CACHE"  # the variable that names the folder
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def is_url(place: str) -> bool:
    """Return whether a place is a URL and not a path."""
    return URL.match(place) is not None


def local_path(place: str) -> Path:
    """Return where a file is on this host: a path as it is, a URL in the cache, once it is read.

    A file that has changed at its URL, as far as its server says, is read again. Raises ValueError
    for a URL that cannot be read.
    """
    if not is_url(place):
        return Path(place).expanduser()
    check_url(place)
    try:
        import fsspec  # type: ignore[import-untyped]

        system, path = fsspec.url_to_fs(place)
        version = hashlib.sha256(f"{place}\0{_version(system.info(path))}".encode()).hexdigest()
        file = cache_folder() / version[:32] / Path(path).name
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            with system.open(path, "rb") as remote, written_whole(file) as local:
                shutil.copyfileobj(remote, local)
    except ImportError as error:
        scheme = place.partition(":")[0]
        raise ValueError(
            f"a URL with {scheme} needs pip install 'hpsearch[urls]' and what fsspec reads it with "
            f"({error})"
        ) from error
    except Exception as error:  # each file system has errors of its own
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise ValueError(
                f"{place} cannot be kept in {cache_folder()}: {error.strerror}; {CACHE} names "
                "another folder"
            ) from error
        what = str(error).strip().splitlines()
        raise ValueError(
            f"{place} cannot be read: {what[0] if what else type(error).__name__}"
        ) from error
    return file


def check_url(place: str) -> None:
    """Raise ValueError for a URL with a password or a query, which a study would show."""
    if "?" in place or "@" in place.partition("://")[2].partition("/")[0]:
        raise ValueError(
            f"{place.partition('://')[0]}://…: a URL with a password or a query would "
            "be shown wherever the study is; give credentials as fsspec's configuration, or its "
            "file system's own, has them"
        )


def cache_folder() -> Path:
    """Return the folder of the files from URLs."""
    given = os.environ.get(CACHE)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(given or Path(base) / "hpsearch").expanduser()


def _version(info: dict[str, Any]) -> str:
    """Return what tells one version of a remote file from another, as far as its server says."""
    known = ("ETag", "etag", "LastModified", "last_modified", "mtime", "md5Hash", "size")
    return repr([(key, str(info[key])) for key in known if info.get(key) is not None])
