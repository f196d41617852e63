"""A damaged or hostile .npz file is refused in a sentence, before memory is taken for it."""

import io
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from model.arrays import check_memory, open_arrays

X = np.arange(8.0).reshape(4, 2)


def header(**changes):
    """The header of an .npy file of X, with changes."""
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {**npy.header_data_from_array_1_0(X), **changes})
    return file.getvalue()


def archive(path, content, kind=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("x.npy", content)
    return path


def lookup(path):
    with open_arrays(path) as arrays:
        return arrays["x"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_were_saved(tmp_path, save):
    save(tmp_path / "it.npz", x=X, y=np.array(["a", "b"]))

    with open_arrays(tmp_path / "it.npz") as arrays:
        assert list(arrays) == ["x", "y"]
        np.testing.assert_array_equal(arrays["x"], X)
        assert arrays["y"].tolist() == ["a", "b"]
        with pytest.raises(KeyError):
            arrays["z"]


@pytest.mark.parametrize(
    "content",
    [
        header(shape=(10**15, 2)) + X.tobytes(),
        header(shape=(-1, -8)) + X.tobytes(),
        header(shape=(10**30,), descr="|S0"),
        header(shape=(4, 10**6)) + X.tobytes(),
        header() + X.tobytes()[:-1],
        header(descr="<q9") + X.tobytes(),
        header()[:-40] + b"(" * 30 + b"        \n" + X.tobytes(),
        b"\x93NUMPY\x09\x00",
        b"no array",
        b"",
    ],
)
def test_a_header_that_does_not_fit_its_data_is_damage(tmp_path, content):
    with pytest.raises(ValueError, match=r"^array 'x' is damaged ") as caught:
        lookup(archive(tmp_path / "it.npz", content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_of_any_compression_is_found(tmp_path, kind):
    path = archive(tmp_path / "it.npz", header() + X.tobytes(), kind)
    content = bytearray(path.read_bytes())
    start = len(b"x.npy") + 30  # of the data, behind the header of the archive's member
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"^array 'x' is damaged "):
        lookup(path)


@pytest.mark.parametrize(("byte", "value"), [(6, 1), (8, 77)])
def test_an_encrypted_and_an_unknown_archive_are_refused(tmp_path, byte, value):
    path = archive(tmp_path / "it.npz", header() + X.tobytes())
    content = bytearray(path.read_bytes())
    content[byte] = value  # the flags or the compression, here and in the archive's index
    content[content.index(b"PK\x01\x02") + byte + 2] = value
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"^array 'x' is damaged "):
        lookup(path)


def test_every_cut_file_is_refused_in_a_sentence(tmp_path):
    path = archive(tmp_path / "it.npz", header() + X.tobytes())
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"^is not a readable \.npz file"):
            lookup(path)


def test_more_than_the_free_memory_is_refused():
    check_memory(1000, "the table")
    with pytest.raises(ValueError, match=r"^the table needs 1,000,000\.0 GB of memory, and "):
        check_memory(10**15, "the table")
