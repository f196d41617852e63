"""What tests of the whole share: small files in MNIST's format."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from model.sources import IDX_FILES

TRAIN_ROWS = 600


def idx_bytes(values: NDArray[Any]) -> bytes:
    header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for $HPSEARCH_DATA: digits of 8 × 8 pixels in the four files of MNIST."""
    folder = tmp_path_factory.mktemp("data") / "mnist"
    folder.mkdir()
    images, labels = load_digits(return_X_y=True)
    images = (images * 15).reshape(-1, 8, 8)
    parts = np.s_[:TRAIN_ROWS], np.s_[TRAIN_ROWS : TRAIN_ROWS + 200]
    arrays = [values[part] for part in parts for values in (images, labels)]
    for name, values in zip(IDX_FILES, arrays, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(values)))
    return folder.parent
