"""The reader of .npz files. It imports the training core, which opens such files as well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.columns import check_finite, early_column
from hpsearch.data.labels import array_labels
from hpsearch.data.options import TableOptions
from hpsearch.data.raw import RawData
from model.arrays import open_arrays

PARTS = ("train", "val", "test")
TEST_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read_arrays(path: Path, options: TableOptions) -> RawData:
    """Return the .npz file's arrays x (n, …) and y (n,); or x_train, y_train, x_test, y_test.

    y may also be (n, k): the numbers of a regression, or several labels of two values. x_val and
    y_val, if there are any, are the validation part. `options.target` names another array than y as
    the labels. All axes of x after the first become one.
    """
    target = next(iter(options.targets), None)
    with open_arrays(path) as arrays:
        if "x_train" in arrays:
            if target is not None:
                raise ValueError(
                    "target cannot be chosen for a file with x_train; leave target out"
                )
            parts = [part for part in PARTS if part == "train" or _has(arrays, part)]
            pairs = [_pair(arrays, f"x_{part}", f"y_{part}") for part in parts]
            x, y = _joined(pairs, parts)
            sizes = {part: len(pair[1]) for part, pair in zip(parts, pairs, strict=True)}
            y_name = "y_train"
        else:
            if lonely := [part for part in PARTS if _has(arrays, part)]:
                raise ValueError(
                    f"has x_{lonely[0]} but no x_train; name the training rows x_train and y_train"
                )
            y_name = target or "y"
            x, y = _pair(arrays, "x", y_name)
            sizes = {}
    names = [f"x{number}" for number in range(x.shape[1])]
    check_finite(x, names)
    labels = array_labels(y, f"array {y_name!r}", options.task)
    return RawData(
        x,
        labels.y,
        tuple(early_column(name, ()) for name in names),
        labels.class_names,
        labels.targets,
        labels.words,
        n_val=sizes.get("val", 0),
        n_test=sizes.get("test", 0),
        notes=labels.notes,
    )


def _has(arrays: Mapping[str, NDArray[Any]], part: str) -> bool:
    return f"x_{part}" in arrays or f"y_{part}" in arrays


def _pair(
    arrays: Mapping[str, NDArray[Any]], x_name: str, y_name: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the features (n, d) and labels with these names, shapes and types checked."""
    for name in (x_name, y_name):
        if name not in arrays:
            found = ", ".join(arrays) or "none"
            wanted = f"x and y, or {', '.join(TEST_ARRAYS)}"
            raise ValueError(f"has no array {name!r}; it needs {wanted} (found: {found})")
    x, y = arrays[x_name], arrays[y_name]
    if x.dtype.kind not in "biuf":
        raise ValueError(f"array {x_name!r} must hold numbers, but holds {x.dtype}")
    if y.dtype.kind not in "biufSUmM":
        raise ValueError(f"array {y_name!r} must hold numbers or text, but holds {y.dtype}")
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"array {x_name!r} must have rows and columns, but its shape is {x.shape}")
    several = y.ndim == 2 and y.size > 0 and (y.shape[1] > 1 or y.dtype.kind == "f")
    if len(y) != len(x) or not (y.ndim == 1 or several):
        raise ValueError(
            f"array {y_name!r} must have shape ({len(x)},), one label for each row of {x_name!r}, "
            f"but its shape is {y.shape}"
        )
    return x.reshape(len(x), -1), y


def _joined(
    pairs: list[tuple[NDArray[Any], NDArray[Any]]], parts: list[str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the rows of all parts, one after the other."""
    (x_train, y_train), *others = pairs
    for (x, y), part in zip(others, parts[1:], strict=True):
        if x_train.shape[1] != x.shape[1]:
            raise ValueError(
                f"'x_train' has {x_train.shape[1]} columns and 'x_{part}' has {x.shape[1]}; "
                "they must have the same"
            )
        if y_train.shape[1:] != y.shape[1:]:
            raise ValueError(f"'y_train' and 'y_{part}' must have the same number of columns")
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])
