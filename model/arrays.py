"""The arrays of an .npz file, each checked before memory is taken for it.

A damaged or hostile file can make NumPy, zipfile and the decompressors raise nearly anything, so
whatever they raise while they read becomes a ValueError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any
from zipfile import ZipFile

import psutil
from numpy.lib import format as npy
from numpy.typing import NDArray

SUFFIX = ".npy"

# What the content of a damaged file can raise where it is used.
UNUSABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


@contextmanager
def open_arrays(path: str | os.PathLike[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open an .npz file; an array is read when it is looked up, and nothing is unpickled.

    Raises OSError if the file cannot be opened, and ValueError, without its name, for its content.
    """
    with open(path, "rb") as file:
        if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
            raise ValueError("holds a single array; write x and y with np.savez")
        try:
            archive = ZipFile(file)
        except Exception as error:
            raise ValueError("is not a readable .npz file; write one with np.savez") from error
        with archive:
            yield _Arrays(archive)


def check_memory(size: int, what: str) -> None:
    """Refuse `size` bytes if the machine has not as many free."""
    free = psutil.virtual_memory().available
    if size > free:
        raise ValueError(
            f"{what} needs {size / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free"
        )


def first_line(error: Exception) -> str:
    """Return what the error says in its first line, or else its name."""
    return str(error).partition("\n")[0] or type(error).__name__


class _Arrays(Mapping[str, NDArray[Any]]):
    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        self._sizes = {
            member.filename.removesuffix(SUFFIX): member.file_size
            for member in archive.infolist()
            if member.filename.endswith(SUFFIX)
        }

    def __getitem__(self, name: str) -> NDArray[Any]:
        expected = self._sizes[name]
        with _damage(name), self._archive.open(name + SUFFIX) as member:
            read = npy.read_array_header_1_0 if _is_first(member) else npy.read_array_header_2_0
            shape, _, dtype = read(member)
            start = member.tell()
        if dtype.hasobject:
            raise ValueError(
                f"array {name!r} holds Python objects, which are not loaded; save numbers or text"
            )
        size = prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or not dtype.itemsize or start + size != expected:
            raise ValueError(
                f"array {name!r} is damaged (shape {shape} of {dtype} does not fit its "
                f"{expected:,} bytes)"
            )
        check_memory(size, f"array {name!r}")
        with _damage(name), self._archive.open(name + SUFFIX) as member:
            array: NDArray[Any] = npy.read_array(member, allow_pickle=False)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)


def _is_first(member: Any) -> bool:
    """Return whether an .npy file has format 1.0, whose header is shorter."""
    return npy.read_magic(member) == (1, 0)


@contextmanager
def _damage(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ValueError(f"array {name!r} is damaged ({first_line(error)})") from error
