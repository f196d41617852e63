"""Read a source by its name: bundled sets, MNIST, OpenML, and files."""

from __future__ import annotations

import gzip
import os
import re
import socket
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.columns import (
    Column,
    RawData,
    build_raw_data,
    check_target,
    encode_labels,
)
from model.names import unknown_name
from model.tables import read_arrays, read_table

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
MNIST_TRAIN_ROWS = 60_000
DOWNLOAD_PATIENCE = 10.0  # seconds to wait for a byte


def read_source(source: str, target: str | None = None) -> RawData:
    """Return everything that `source` holds; `target` names the label column of a table.

    Raises ValueError, which begins with the source, for a name that is not a data set and for data
    that cannot be used; OSError for a file that cannot be opened.
    """
    check_local(source)
    if not (source in SOURCES or source.startswith("openml:") or _suffix(source) in FILES):
        known = [*SOURCES, "openml:NAME", "or a .csv, .parquet or .npz file"]
        raise ValueError(unknown_name(source, known, "a data set"))
    try:
        return _read(source, target)
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: holds bytes that are not UTF-8 text") from error
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    except MemoryError as error:
        raise ValueError(f"{source}: is too large for this machine's memory") from error


def check_local(place: str) -> None:
    """Raise ValueError, which begins with the place, for a URL: only local files are read."""
    if URL.match(place):
        raise ValueError(
            f"{place}: is a URL, and only local files are read; download the file and give its path"
        )


def source_name(source: str) -> str:
    """Return a short name: the data set's own, or a file's without folder and suffix."""
    if source in SOURCES or source.startswith("openml:"):
        return source.removeprefix("openml:")
    return Path(source).stem


def _read(source: str, target: str | None) -> RawData:
    if source in SOURCES:
        if target is not None:
            raise ValueError(f"its labels are built in, so leave target out (it is {target!r})")
        return SOURCES[source]()
    if source.startswith("openml:"):
        return _read_openml(source.removeprefix("openml:"), target)
    return FILES[_suffix(source)](Path(source).expanduser(), target)


def _suffix(source: str) -> str:
    return Path(source).suffix.lower()


def _read_bundled(name: str) -> RawData:
    """Return one of scikit-learn's bundled data sets, whose labels are already 0, 1, …"""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    return RawData(
        x=bunch.data,
        y=bunch.target.astype(np.intp),
        columns=tuple(Column(str(feature)) for feature in bunch.feature_names),
        class_names=tuple(str(label) for label in bunch.target_names),
    )


def _read_mnist(name: str, openml_name: str) -> RawData:
    """Return MNIST or a set in its format, from the four IDX files or else from OpenML."""
    home = os.environ.get("HPSEARCH_DATA")
    folder = Path(home).expanduser() / name if home else None
    if folder and (paths := _find_idx_files(folder)):
        return _read_idx_files(paths)
    with _download_errors(
        tried=f"not in $HPSEARCH_DATA/{name} ({folder or 'HPSEARCH_DATA is not set'}), ",
        remedy=f"put its four IDX files into $HPSEARCH_DATA/{name}, or go online once",
    ):
        bunch = _fetch(openml_name, version=1, as_frame=False)
    images = bunch.data.astype(np.uint8).reshape(-1, 28, 28)
    return _image_data(images, bunch.target, n_test=len(images) - MNIST_TRAIN_ROWS)


def _find_idx_files(folder: Path) -> list[Path]:
    """Return the paths of the four files, gzipped or not; [] if the folder has none of them."""
    choices = [(folder / f"{name}.gz", folder / name) for name in IDX_FILES]
    paths = [next((path for path in pair if path.exists()), None) for pair in choices]
    missing = [name for name, path in zip(IDX_FILES, paths, strict=True) if path is None]
    if 0 < len(missing) < len(IDX_FILES):
        raise ValueError(f"{folder} has no {missing[0]}.gz; all four IDX files are needed")
    return [path for path in paths if path is not None]


def _read_idx_files(paths: list[Path]) -> RawData:
    x_train, y_train, x_test, y_test = map(read_idx, paths, (3, 1, 3, 1))
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{paths[2]}: images of {x_train.shape[1:]} pixels expected, got {x_test.shape[1:]}"
        )
    for images, labels, path in ((x_train, y_train, paths[1]), (x_test, y_test, paths[3])):
        if len(images) != len(labels):
            raise ValueError(f"{path}: {len(images)} labels expected, got {len(labels)}")
    images = np.concatenate([x_train, x_test])
    return _image_data(images, np.concatenate([y_train, y_test]), n_test=len(x_test))


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Return the bytes of an IDX file, gzipped if its name ends in .gz, as an array of `ndim` axes.

    The format: the big-endian integers 0x800 + ndim and ndim sizes, then one byte per value
    (http://yann.lecun.com/exdb/mnist).
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: not a complete gzip file ({error})") from error
    start = 4 * (1 + ndim)
    if len(content) < start:
        raise ValueError(f"{path}: {start} bytes of header expected, got {len(content)}")
    magic, *shape = (int(number) for number in np.frombuffer(content[:start], ">u4"))
    if magic != 0x800 + ndim:
        raise ValueError(f"{path}: magic number {0x800 + ndim} expected, got {magic}")
    if len(content) != start + prod(shape):
        raise ValueError(f"{path}: {start + prod(shape)} bytes expected, got {len(content)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _image_data(images: NDArray[np.uint8], labels: NDArray[Any], n_test: int) -> RawData:
    """Return images (n, height, width) as rows of pixels, named as in scikit-learn's digits."""
    _, height, width = images.shape
    columns = tuple(Column(f"pixel_{row}_{col}") for row in range(height) for col in range(width))
    y, class_names = encode_labels(labels, "the label")
    return RawData(images.reshape(len(images), -1), y, columns, class_names, n_test)


def _read_openml(name: str, target: str | None) -> RawData:
    """Return an OpenML data set by its name, with OpenML's own target unless one is given."""
    with _download_errors(tried="", remedy="go online once"):
        bunch = _fetch(name, as_frame=True)
    if target is None and len(bunch.target_names) == 1:
        target = bunch.target_names[0]
    return build_raw_data(bunch.frame, check_target(target, list(bunch.frame.columns)))


def _fetch(name: str, **options: Any) -> Any:
    """Return the result of scikit-learn's fetch_openml, with one retry and without warnings."""
    from sklearn.datasets import fetch_openml

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fetch_openml(name, n_retries=1, delay=0.1, **options)


@contextmanager
def _download_errors(tried: str, remedy: str) -> Iterator[None]:
    """Turn a failed download into a one-sentence ValueError, and limit how long it may take."""
    from sklearn.datasets import get_data_home

    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_PATIENCE)  # scikit-learn has no parameter for it
    try:
        yield
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ValueError(
            f"{tried}not in scikit-learn's cache ({get_data_home()}) and cannot be downloaded "
            f"from OpenML ({reason}); {remedy}"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


SOURCES: dict[str, Callable[[], RawData]] = {
    **{name: partial(_read_bundled, name) for name in ("digits", "iris", "wine", "breast_cancer")},
    "mnist": partial(_read_mnist, "mnist", "mnist_784"),
    "fashion_mnist": partial(_read_mnist, "fashion_mnist", "Fashion-MNIST"),
}

FILES: dict[str, Callable[[Path, str | None], RawData]] = {
    ".csv": read_table,
    ".parquet": read_table,
    ".npz": read_arrays,
}
