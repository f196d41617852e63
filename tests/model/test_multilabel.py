"""Several labels of a row, each 0 or 1: the loss, and the classifier that learns them."""

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import accuracy_score, f1_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier

from model import MLPClassifier
from model.losses import LOSSES, MULTILABEL


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return 3 * rng.standard_normal((12, 5)), rng.integers(0, 2, (12, 5))


@pytest.fixture(scope="module")
def labelled():
    """Training rows and test rows of make_multilabel_classification, standardized."""
    x, y = make_multilabel_classification(
        600, n_features=12, n_classes=4, n_labels=2, random_state=0
    )
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x[:400], y[:400], x[400:], y[400:]


def build_loss(z):
    loss = LOSSES[MULTILABEL](z.shape[1])
    loss.allocate(len(z), z.dtype)
    loss.resize(len(z))
    return loss


def by_formula(z, t):
    p = 1 / (1 + np.exp(-z))
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1)


def test_the_loss_is_its_formula_and_a_hit_has_all_labels_right(batch):
    z, y = batch
    y[:4] = z[:4] > 0
    total, hits = build_loss(z).forward(z.copy(), y)
    assert total == pytest.approx(by_formula(z, y).sum(), rel=1e-12)
    assert hits == accuracy_score(y, z > 0, normalize=False) >= 4


def test_gradient_of_the_mean(batch, numerical_gradient):
    z, y = batch
    loss, outputs = build_loss(z), z.copy()
    loss.forward(outputs, y)
    expected = numerical_gradient(lambda: by_formula(z, y).mean(), z)
    np.testing.assert_allclose(loss.backward(outputs), expected, rtol=1e-6, atol=1e-8)


def test_no_output_is_too_large(batch):
    _, y = batch
    huge = np.where(y > 0, 1e4, -1e4)
    assert build_loss(huge).forward(huge.copy(), y) == (0, 12)
    assert build_loss(huge).forward(-huge, y) == (pytest.approx(12 * 5 * 1e4), 0)


def test_it_learns_several_labels_as_well_as_other_classifiers(labelled):
    x, y, x_test, y_test = labelled
    ours = MLPClassifier(epochs=40, random_state=0).fit(x, y)
    predicted, p = ours.predict(x_test), ours.predict_proba(x_test)
    assert predicted.shape == p.shape == (200, 4)
    assert np.array_equal(predicted, p > 0.5)
    assert np.array_equal(ours.classes_, range(4))
    neighbors = MultiOutputClassifier(KNeighborsClassifier()).fit(x, y)
    f1 = f1_score(y_test, predicted, average="macro")
    assert f1 > f1_score(y_test, neighbors.predict(x_test), average="macro") - 0.02
    assert ours.history_["train_accuracy"][-1] == pytest.approx(ours.score(x, y), abs=0.1)


def test_it_is_saved_and_goes_on(labelled, tmp_path):
    x, y, x_test, _ = labelled
    whole, part = (MLPClassifier(random_state=0, epochs=1) for _ in range(2))
    for _ in range(3):
        whole.partial_fit(x, y, classes=range(4))
    part.partial_fit(x, y, classes=range(4)).save(tmp_path / "part.npz")
    resumed = MLPClassifier.load(tmp_path / "part.npz")
    for _ in range(2):
        resumed.partial_fit(x, y)
    assert np.array_equal(resumed.predict_proba(x_test), whole.predict_proba(x_test))


@pytest.mark.parametrize(
    ("options", "y", "message"),
    [
        ({}, [[0, 2], [1, 0], [3, 1]], "y has 2 columns, so each must hold 0 and 1"),
        ({"loss": "cross_entropy"}, [[0, 1], [1, 0], [1, 1]], "'cross_entropy' is for classes"),
        ({"loss": MULTILABEL}, [0, 1, 0], f"'{MULTILABEL}' is for several labels; use 'auto'"),
    ],
)
def test_refuses(options, y, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**options).fit([[0.0], [1.0], [2.0]], y)


def test_refuses_another_number_of_labels(labelled):
    x, y, *_ = labelled
    classifier = MLPClassifier(epochs=1).fit(x, y)
    with pytest.raises(ValueError, match="y must have 4 columns, but has 3"):
        classifier.partial_fit(x, y[:, :3])
