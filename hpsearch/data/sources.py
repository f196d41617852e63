"""Read a source by its name: bundled sets, MNIST, OpenML, and files."""

from __future__ import annotations

import gzip
import os
import socket
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.columns import early_column
from hpsearch.data.early import build_raw_data
from hpsearch.data.files import TABLES, ReadTable, is_table, read_frame, suffix_of
from hpsearch.data.labels import encode_labels
from hpsearch.data.options import TableOptions
from hpsearch.data.raw import RawData
from hpsearch.data.remote import check_url, is_url, local_path
from hpsearch.data.table import TableData, build_table, check_column
from hpsearch.errors import DataError
from hpsearch.formatting import unknown_name

if TYPE_CHECKING:
    import pandas as pd

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
FILES = (*TABLES, ".npz")
MNIST_TRAIN_ROWS = 60_000
DOWNLOAD_PATIENCE = 10.0  # seconds to wait for a byte


def read_source(source: str, options: TableOptions | None = None) -> RawData | TableData:
    """Return everything that `source` holds; `options` say how a table is read.

    Raises ValueError, which begins with the source, for a name that is not a data set and for data
    that cannot be used; OSError for a file that cannot be opened.
    """
    options = TableOptions() if options is None else options
    if is_url(source):
        check_url(source)
    if not (source in SOURCES or source.startswith("openml:") or suffix_of(source) in FILES):
        known = [*SOURCES, "openml:NAME", f"or a {', '.join(FILES[:-1])} or {FILES[-1]} file"]
        raise ValueError(unknown_name(source, known, "a data set"))
    with naming(source):
        return _read(source, options)


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Begin the message of a ValueError about the data of a source with the source."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: holds bytes that are not UTF-8 text") from error
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    except MemoryError as error:
        raise ValueError(f"{source}: is too large for this machine's memory") from error


@contextmanager
def data_errors() -> Iterator[None]:
    """Turn what the readers of a study's data raise into a DataError that names the key."""
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        where = f"{os.fspath(error.filename)}: " if error.filename else ""
        relative = bool(where) and not os.path.isabs(error.filename)
        there = f" (relative to {os.getcwd()})" if relative else ""
        raise DataError(f"data.source: {where}{what}{there}") from error
    except ValueError as error:
        raise DataError(f"data: {error}") from error


def source_name(source: str) -> str:
    """Return a short name: the data set's own, or a file's without folder and suffix."""
    if source in SOURCES or source.startswith("openml:"):
        return source.removeprefix("openml:")
    name = Path(source).name
    return name[: -len(suffix_of(name))] if suffix_of(name) in FILES else Path(source).stem


def is_arrays(source: str) -> bool:
    """Return whether a source is a file of arrays, which the training core reads."""
    return suffix_of(source) == ".npz" and source not in SOURCES


def _read(source: str, options: TableOptions) -> RawData | TableData:
    if not is_table(source):
        return _read_numbers(source, options)
    if source.startswith("openml:"):
        frame, target = _read_openml(source.removeprefix("openml:"), options.target)
        options = replace(options, target=target)
        if options.reading == 1:
            return build_raw_data(frame, _one_target(frame, options))
        return build_table(frame, options)
    return _read_file(local_path(source), options)


def _read_numbers(source: str, options: TableOptions) -> RawData:
    """Return a source whose features are numbers already."""
    if options.more or options.validation is not None or options.test is not None:
        raise ValueError("its rows cannot be in further files; leave more, validation and test out")
    if options.left_out or options.time is not None:
        raise ValueError("has no columns with names; leave drop, id, groups, time and weight out")
    if source not in SOURCES:
        from hpsearch.data.arrays import read_arrays  # imports the training core

        return read_arrays(local_path(source), options)
    if options.target is not None:
        raise ValueError(f"its labels are built in, so leave target out (it is {options.target!r})")
    raw = SOURCES[source]()
    if options.task not in ("auto", raw.task):
        raise ValueError(f"is a {raw.task}, so leave task out (it is '{options.task}')")
    return raw


def _read_file(path: Path, options: TableOptions) -> RawData | TableData:
    import pandas as pd

    table = _read_rows(path, options)
    if options.reading == 1:
        target = _one_target(table.frame, options)
        return build_raw_data(table.frame, target, written=table.written)
    more = [_read_more_rows(place, options, table) for place in options.more]
    places = (options.validation, options.test)
    own = [place and _read_more_rows(place, options, table) for place in places]
    n_val, n_test = (len(each.frame) if each else 0 for each in own)
    others = [*more, *(each for each in own if each)]
    frames = [table.frame, *(each.frame for each in others)]
    whole = pd.concat(frames, ignore_index=True) if len(frames) > 1 else table.frame
    data = build_table(whole, options, written=table.written, n_val=n_val, n_test=n_test)
    notes = [*table.notes, *(note for each in others for note in each.notes)]
    return replace(data, notes=(*notes, *data.notes))


def _one_target(frame: pd.DataFrame, options: TableOptions) -> str:
    return check_column(next(iter(options.targets), None), [*map(str, frame.columns)])


def _read_rows(path: Path, options: TableOptions) -> ReadTable:
    return read_frame(
        path,
        needed=options.targets or [None],
        labels=options.targets,
        decimal=options.decimal,
        thousands=options.thousands,
        early=options.reading == 1,
    )


def _read_more_rows(place: str, options: TableOptions, table: ReadTable) -> ReadTable:
    """Return the rows of another file with the columns of `table`; raises ValueError."""
    if suffix_of(place) not in TABLES:
        known = f"{', '.join(TABLES[:-1])} or {TABLES[-1]}"
        raise ValueError(f"{place} is no table; use a {known} file")
    path = local_path(place)
    try:
        found = _read_rows(path, options)
    except FileNotFoundError:
        raise ValueError(f"there is no file {place!r} with more of its rows") from None
    names = list(table.frame.columns)
    missing = [name for name in names if name not in found.frame.columns]
    if missing:
        listed = ", ".join(map(repr, missing))
        raise ValueError(f"{place} has no column {listed}; it must have the same columns")
    notes = [f"{place}: {note}" for note in found.notes]
    if more := [str(name) for name in found.frame.columns if name not in names]:
        notes.append(f"{place}: only it has column {', '.join(map(repr, more))}, left out")
    return ReadTable(found.frame[names], found.written, tuple(notes))


def _read_bundled(name: str) -> RawData:
    """Return one of scikit-learn's bundled data sets."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    columns = tuple(early_column(str(feature), ()) for feature in bunch.feature_names)
    if name in REGRESSIONS:
        y = bunch.target.astype(np.float64)[:, None]
        return RawData(bunch.data, y, columns, (), ("target",))
    return RawData(
        x=bunch.data,
        y=bunch.target.astype(np.intp),  # 0, 1, …, as the labels are
        columns=columns,
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
    names = (f"pixel_{row}_{column}" for row in range(height) for column in range(width))
    columns = tuple(early_column(name, ()) for name in names)
    y, class_names = encode_labels(labels, "the label")
    return RawData(images.reshape(len(images), -1), y, columns, class_names, n_test=n_test)


def _read_openml(
    name: str, target: str | Sequence[str] | None
) -> tuple[pd.DataFrame, str | Sequence[str] | None]:
    """Return an OpenML table by its name, and OpenML's own target unless one is given."""
    with _download_errors(tried="", remedy="go online once"):
        bunch = _fetch(name, as_frame=True)
    if target is None and len(bunch.target_names) == 1:
        target = bunch.target_names[0]
    return bunch.frame, target


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


REGRESSIONS = ("diabetes",)
BUNDLED = ("digits", "iris", "wine", "breast_cancer", *REGRESSIONS)
SOURCES: dict[str, Callable[[], RawData]] = {
    **{name: partial(_read_bundled, name) for name in BUNDLED},
    "mnist": partial(_read_mnist, "mnist", "mnist_784"),
    "fashion_mnist": partial(_read_mnist, "fashion_mnist", "Fashion-MNIST"),
}
