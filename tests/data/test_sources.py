"""The names of sources, IDX files, and OpenML, online and offline."""

import gzip
import re
import socket
import struct
from http.client import IncompleteRead
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets

from hpsearch.data import sources
from hpsearch.data.options import TableOptions
from hpsearch.data.sources import IDX_FILES, SOURCES, read_idx, read_source, source_name

KNOWN = (
    "(digits, iris, wine, breast_cancer, diabetes, mnist, fashion_mnist, openml:NAME, "
    "or a .csv, .tsv, .csv.gz, .tsv.gz, .parquet, .xlsx or .npz file)"
)
TRAIN_IMAGES = f"{IDX_FILES[0]}.gz"


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


def idx_bytes(values):
    values = np.asarray(values, np.uint8)
    return (
        struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape) + values.tobytes()
    )


@pytest.fixture
def images():
    """Training images and labels, test images and labels: 30 and 10 of 3 by 2 pixels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 3, 2), dtype=np.uint8)
    labels = np.arange(40, dtype=np.uint8) % 3
    return pixels[:30], labels[:30], pixels[30:], labels[30:]


@pytest.fixture
def folder(tmp_path, monkeypatch, images):
    """$HPSEARCH_DATA/mnist with the four files, gzipped."""
    monkeypatch.setenv("HPSEARCH_DATA", str(tmp_path))
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, values in zip(IDX_FILES, images, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(values)))
    return folder


@pytest.fixture
def fetch(monkeypatch, tmp_path):
    """Return a function that replaces fetch_openml of scikit-learn and returns its calls."""
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    calls = []

    def install(answer):
        def fetch_openml(name, **options):
            calls.append((name, options))
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
        return calls

    return install


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("digitz", f"'digitz' is not a data set; did you mean 'digits'? {KNOWN}"),
        ("fmnist", f"'fmnist' is not a data set; did you mean 'mnist'? {KNOWN}"),
        ("data.doc", f"'data.doc' is not a data set {KNOWN}"),
        ("", f"'' is not a data set {KNOWN}"),
    ],
)  # fmt: skip
def test_the_error_for_an_unknown_source_lists_the_known_ones(source, sentence):
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_source(source)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("digits", "digits"),
        ("openml:blood-v1.0", "blood-v1.0"),
        ("a/folder/my.data.csv", "my.data"),
    ],
)
def test_the_short_name_of_a_source(source, name):
    assert source_name(source) == name


@pytest.mark.parametrize(
    ("source", "shape", "first_feature", "class_names"),
    [
        ("digits", (1797, 64), "pixel_0_0", tuple("0123456789")),
        ("iris", (150, 4), "sepal length (cm)", ("setosa", "versicolor", "virginica")),
        ("wine", (178, 13), "alcohol", ("class_0", "class_1", "class_2")),
        ("breast_cancer", (569, 30), "mean radius", ("malignant", "benign")),
    ],
)
def test_the_bundled_sets(source, shape, first_feature, class_names):
    raw = read_source(source)

    assert raw.x.shape == shape
    assert len(raw.feature_names) == shape[1]
    assert raw.feature_names[0] == first_feature
    assert raw.class_names == class_names
    assert set(raw.y.tolist()) == set(range(len(class_names)))
    assert raw.n_test == 0


@pytest.mark.parametrize("source", SOURCES)
def test_a_target_is_refused_where_labels_are_built_in(source):
    sentence = f"{source}: its labels are built in, so leave target out (it is 'y')"
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_source(source, TableOptions(target="y"))


@pytest.mark.parametrize("name", ["data.csv", "data.CSV", "data.parquet"])
def test_the_suffix_of_a_file_decides_its_reader(tmp_path, name):
    frame = pd.DataFrame({"a": [1.0, 2.0], "y": [0, 1]})
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)

    assert read_source(str(path), TableOptions(target="y")).frame["a"].tolist() == [1.0, 2.0]


def test_errors_begin_with_the_file(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,y\n1,0\n,0\n")

    sentence = f"{path}: target 'y' is '0' in every row; at least two classes are needed"
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_source(str(path), TableOptions(target="y"))


def test_bytes_that_are_not_text_are_refused(tmp_path):
    path = tmp_path / "data.parquet"
    pd.DataFrame({"a": [b"\xe9", b"b"], "y": [0, 1]}).to_parquet(path)

    with pytest.raises(ValueError, match=exactly(f"{path}: holds bytes that are not UTF-8 text")):
        read_source(str(path), TableOptions(target="y", reading=1))


def test_a_missing_file_is_pythons_own_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_source(str(tmp_path / "none.csv"), TableOptions(target="y"))


@pytest.mark.parametrize("shape", [(5,), (4, 3, 2), (0, 28, 28)])
@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_idx_files_are_read_back(tmp_path, shape, pack):
    values = (np.arange(np.prod(shape)) % 256).astype(np.uint8).reshape(shape)
    path = tmp_path / ("values.gz" if pack is gzip.compress else "values")
    path.write_bytes(pack(idx_bytes(values)))

    np.testing.assert_array_equal(read_idx(path, values.ndim), values)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (idx_bytes(np.zeros((4, 3, 2)))[:-1], "40 bytes expected, got 39"),
        (idx_bytes(np.zeros((4, 3, 2))) + b"\0", "40 bytes expected, got 41"),
        (idx_bytes(np.zeros(40)), "magic number 2051 expected, got 2049"),
        (b"", "16 bytes of header expected, got 0"),
        (idx_bytes(np.zeros((4, 3, 2)))[:15], "16 bytes of header expected, got 15"),
    ],
)
def test_a_damaged_idx_file_is_named(folder, content, sentence):
    path = folder / TRAIN_IMAGES
    path.write_bytes(gzip.compress(content))

    with pytest.raises(ValueError, match=exactly(f"mnist: {path}: {sentence}")):
        read_source("mnist")


@pytest.mark.parametrize("cut", [5, 30])
def test_a_truncated_gzip_file_is_named(folder, cut):
    path = folder / TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(
        ValueError, match=f"^mnist: {re.escape(str(path))}: not a complete gzip file"
    ):
        read_source("mnist")


def test_a_file_that_is_not_gzip_is_named(folder):
    path = folder / TRAIN_IMAGES
    path.write_bytes(b"<html>404</html>")

    with pytest.raises(
        ValueError, match=f"^mnist: {re.escape(str(path))}: not a complete gzip file"
    ):
        read_source("mnist")


def test_there_must_be_as_many_labels_as_images(folder):
    path = folder / f"{IDX_FILES[3]}.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(9))))

    with pytest.raises(ValueError, match=exactly(f"mnist: {path}: 10 labels expected, got 9")):
        read_source("mnist")


def test_test_images_must_be_as_large_as_training_images(folder):
    path = folder / f"{IDX_FILES[2]}.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((10, 2, 2)))))

    sentence = f"mnist: {path}: images of (3, 2) pixels expected, got (2, 2)"
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_source("mnist")


def test_a_missing_idx_file_is_named(folder):
    (folder / TRAIN_IMAGES).unlink()

    sentence = f"mnist: {folder} has no {TRAIN_IMAGES}; all four IDX files are needed"
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_source("mnist")


def test_mnist_from_its_four_files(folder, images):
    raw = read_source("mnist")

    x_train, y_train, x_test, y_test = images
    np.testing.assert_array_equal(raw.x[:30], x_train.reshape(30, 6))
    np.testing.assert_array_equal(raw.x[30:], x_test.reshape(10, 6))
    np.testing.assert_array_equal(raw.y, [*y_train, *y_test])
    assert raw.n_test == 10
    assert raw.class_names == ("0", "1", "2")
    assert raw.feature_names[:3] == ("pixel_0_0", "pixel_0_1", "pixel_1_0")

    for path in folder.iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(read_source("mnist").x, raw.x)


@pytest.mark.parametrize(
    ("source", "openml_name"), [("mnist", "mnist_784"), ("fashion_mnist", "Fashion-MNIST")]
)
def test_images_from_openml_keep_their_test_rows(fetch, monkeypatch, source, openml_name):
    monkeypatch.setattr(sources, "MNIST_TRAIN_ROWS", 8)
    pixels = np.arange(10 * 784).reshape(10, 784) % 256
    calls = fetch(SimpleNamespace(data=pixels, target=np.array(["1", "0"] * 5, dtype=object)))
    raw = read_source(source)

    name, options = calls[0]
    assert (name, options["version"]) == (openml_name, 1)
    np.testing.assert_array_equal(raw.x, pixels)
    assert raw.y.tolist() == [1, 0] * 5
    assert raw.n_test == 2
    assert raw.feature_names[29] == "pixel_1_1"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (URLError("Name or service not known"), "Name or service not known"),
        (TimeoutError("timed out"), "timed out"),
        (IncompleteRead(b""), "IncompleteRead(0 bytes read)"),
    ],
)
def test_offline_all_three_places_and_the_remedy_are_named(
    fetch, monkeypatch, tmp_path, error, reason
):
    fetch(error)
    rest = (
        f"not in scikit-learn's cache ({tmp_path / 'cache'}) and cannot be downloaded from OpenML "
        f"({reason}); put its four IDX files into $HPSEARCH_DATA/mnist, or go online once"
    )
    unset = f"mnist: not in $HPSEARCH_DATA/mnist (HPSEARCH_DATA is not set), {rest}"
    with pytest.raises(ValueError, match=exactly(unset)):
        read_source("mnist")

    monkeypatch.setenv("HPSEARCH_DATA", str(tmp_path))
    empty = f"mnist: not in $HPSEARCH_DATA/mnist ({tmp_path / 'mnist'}), {rest}"
    with pytest.raises(ValueError, match=exactly(empty)):
        read_source("mnist")


def test_the_download_timeout_is_reset(fetch):
    fetch(URLError("no network"))
    with pytest.raises(ValueError, match="no network"):
        read_source("openml:adult")

    assert socket.getdefaulttimeout() is None


def test_any_other_openml_set_offline(fetch, tmp_path):
    fetch(URLError("no network"))
    sentence = (
        f"openml:adult: not in scikit-learn's cache ({tmp_path / 'cache'}) and cannot be "
        "downloaded from OpenML (no network); go online once"
    )
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_source("openml:adult")


@pytest.fixture
def bunch():
    """What fetch_openml returns for a table of two features and its target."""
    frame = pd.DataFrame(
        {
            "size": [1.0, 2.0, 3.0],
            "colour": pd.Categorical(["red", "blue", "red"]),
            "class": pd.Categorical(["b", "a", "b"]),
        }
    )
    return SimpleNamespace(frame=frame, target_names=["class"])


def test_an_openml_table_has_a_default_target(fetch, bunch):
    fetch(bunch)
    raw = read_source("openml:shapes")

    assert [*raw.frame.columns] == ["size", "colour"]
    assert raw.class_names == ("a", "b")
    assert raw.y.tolist() == [1, 0, 1]


def test_another_column_may_be_the_target_of_an_openml_table(fetch, bunch):
    fetch(bunch)
    raw = read_source("openml:shapes", TableOptions(target="colour"))

    assert [*raw.frame.columns] == ["size", "class"]
    assert raw.class_names == ("blue", "red")


def test_a_misspelt_target_of_an_openml_table(fetch, bunch):
    fetch(bunch)
    sentence = (
        "openml:shapes: 'color' is not a column; did you mean 'colour'? (size, colour, class)"
    )
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_source("openml:shapes", TableOptions(target="color"))


@pytest.mark.parametrize("target_names", [[], ["colour", "class"]])
def test_an_openml_table_without_one_default_target_asks_for_it(fetch, bunch, target_names):
    bunch.target_names = target_names
    fetch(bunch)

    sentence = "openml:shapes: target must name the column of the labels (size, colour, class)"
    with pytest.raises(ValueError, match=exactly(sentence)):
        read_source("openml:shapes")
