"""A scikit-learn estimator as a study file names it: [model] estimator = "sklearn.svm.SVC"."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import joblib  # type: ignore[import-untyped]
import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

from hpsearch.errors import SettingsError
from hpsearch.formatting import unknown_name
from hpsearch.trainables.base import Enough, OnEpochEnd, followed
from hpsearch.trainables.errors import ModelError
from hpsearch.trainables.function import seed_training
from hpsearch.trainables.rows import Rows, TestRows, read_rows, read_test_rows
from hpsearch.trainables.source import Source
from hpsearch.trials.records import DataId

if TYPE_CHECKING:
    from pathlib import Path

    from hpsearch.trials.checkpoints import Checkpoint

ESTIMATOR = "model.estimator"  # the key of the study file, for messages
EPOCHS = "epochs"
MAX_CATEGORIES = 50  # of a column; the rarest share a feature
OF_CLASSES = ("accuracy", "loss", "auc")
OF_NUMBERS = ("rmse", "mae", "r2")
BOOSTED = "HistGradientBoosting"  # whose rounds are max_iter


class EstimatorModel:
    """A scikit-learn estimator, trained on the rows of [data].

    source: a class with `fit`, or a function that makes an estimator, such as a pipeline. name:
    what messages call it. table: the arguments of `read_rows`, and `scale`. keys: those of [trial].
    seed and metric: the study's. threads: how many a trial may use. Raises SettingsError and
    DataError.

    An estimator that is no pipeline and takes neither words nor empty cells gets them as numbers:
    the median with an indicator, one-hot categories; with scale "standardize", scaled. What is
    fitted there is fitted on the training rows.
    """

    resumes = False

    def __init__(
        self,
        source: Source,
        *,
        name: str,
        table: Mapping[str, Any],
        keys: Collection[str],
        seed: int,
        metric: str,
        threads: int = 1,
    ) -> None:
        self.name, self.seed, self.metric, self.threads = name, seed, metric, threads
        made, self.code = source.load(ESTIMATOR)
        self.estimator, self.table = _made(made, self.name), table
        self.classifies = is_classifier(self.estimator)
        # Boosting libraries take numbers for classes, scikit-learn's own estimators take words.
        last = type(_last_step(self.estimator)[0]).__module__
        self.numbers_classes = self.classifies and last.partition(".")[0] != "sklearn"
        self.rows: Rows = read_rows(
            table["source"],
            target=table.get("target"),
            classes=self.classifies,
            numbered=self.numbers_classes,
            limit=table.get("limit"),
            train_limit=table.get("train_limit"),
            split_seed=table.get("split_seed", 0),
        )
        self.prepare = _preparation(self.estimator, self.rows, table.get("scale"))
        self._check_keys(keys)
        known = _metrics(self.classifies, self.estimator, len(self.rows.classes))
        if metric not in known:
            raise SettingsError(
                f"search.metric: {unknown_name(metric, known, f'a metric of {self.name}')}"
            )

    @property
    def data(self) -> DataId:
        """What identifies the data."""
        return DataId(self.rows.name, self.rows.digest, self.rows.source)

    @property
    def digest(self) -> str:
        """The digest of the data."""
        return self.rows.digest

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the data, () for a regression."""
        return tuple(map(str, self.rows.classes))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the data that a person should read."""
        return self.rows.notes

    @property
    def test_rows(self) -> str:
        """The digest of the data, a fifth of which is sealed."""
        return self.rows.digest

    def final(self, config: Mapping[str, Any], draw: int, epochs: int) -> dict[str, float]:
        """Train on all rows but the sealed ones, and score these; see `Testable.final`."""
        rows = self._test_rows
        with self._training(draw) as seed:
            _, estimator, x, x_test = self._prepared(config, seed, rows.x_train, rows.x_test)
            steps = _fits(
                estimator, x, rows.y_train, self.rows.classes, self.epochs_of(config), seed
            )
            for _ in islice(steps, epochs):
                pass
            return self._scores(estimator, x_test, rows.y_test)

    @cached_property
    def _test_rows(self) -> TestRows:
        """The sealed rows, opened when the first final model needs them."""
        return read_test_rows(
            self.table["source"],
            target=self.table.get("target"),
            classes=self.classifies,
            numbered=self.numbers_classes,
        )

    @contextmanager
    def _training(self, draw: int) -> Iterator[int]:
        """Provide the seed of a training, on as many threads as a trial may use."""
        with threadpool_limits(self.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            yield seed_training(self.seed, draw)

    def epochs_of(self, config: Mapping[str, Any]) -> int:
        """Return the number of epochs: 1, or as many as the key `epochs` says."""
        return int(config.get(EPOCHS, 1))

    def train(
        self,
        config: Mapping[str, Any],
        draw: int,
        on_epoch_end: OnEpochEnd,
        resume: Checkpoint | None = None,  # noqa: ARG002
    ) -> None:
        """Train once; see `Model.train`."""
        with self._training(draw) as seed, suppress(Enough):
            epochs = self._epochs(config, seed)
            followed(epochs, lambda epoch: on_epoch_end(epoch[0], (), epoch[1]))

    def _epochs(
        self, config: Mapping[str, Any], seed: int
    ) -> Iterator[tuple[dict[str, float], Callable[[Path], object]]]:
        """Yield the metrics of each epoch, and what saves the estimator as it then is."""
        rows = self.rows
        prepare, estimator, x_train, x_val = self._prepared(config, seed, rows.x_train, rows.x_val)
        whole = (
            estimator if prepare is None else Pipeline([("prepare", prepare), ("fit", estimator)])
        )
        epochs = self.epochs_of(config)
        for _ in _fits(estimator, x_train, rows.y_train, rows.classes, epochs, seed):
            metrics = {
                f"{part}/{name}": value
                for part, x, y in (("train", x_train, rows.y_train), ("val", x_val, rows.y_val))
                for name, value in self._scores(estimator, x, y).items()
            }
            yield metrics, lambda path: joblib.dump(whole, path)

    def _prepared(
        self, config: Mapping[str, Any], seed: int, x_train: Any, x_other: Any
    ) -> tuple[Any, Any, Any, Any]:
        """Return what prepares rows or None, an estimator to be trained, and two tables for it."""
        parameters = {key: value for key, value in config.items() if key != EPOCHS}
        estimator = _seeded(clone(self.estimator), seed)
        try:
            estimator.set_params(**parameters)
        except (ValueError, TypeError) as error:
            raise ModelError(f"{self.name}: {error}") from error
        if self.prepare is None:
            return None, estimator, x_train, x_other
        prepare = clone(self.prepare)
        return prepare, estimator, prepare.fit_transform(x_train), prepare.transform(x_other)

    def _scores(self, estimator: Any, x: Any, y: Any) -> dict[str, float]:
        predicted = estimator.predict(x)
        if not self.classifies:
            return {
                "rmse": float(root_mean_squared_error(y, predicted)),
                "mae": float(mean_absolute_error(y, predicted)),
                "r2": float(r2_score(y, predicted)),
            }
        scores = {"accuracy": float(accuracy_score(y, predicted))}
        if hasattr(estimator, "predict_proba"):
            probabilities, classes = estimator.predict_proba(x), estimator.classes_
            scores["loss"] = float(log_loss(y, probabilities, labels=classes))
            if len(classes) == 2:
                scores["auc"] = float(roc_auc_score(y == classes[1], probabilities[:, 1]))
        return scores

    def _check_keys(self, keys: Collection[str]) -> None:
        """Raise SettingsError for a key of [trial] that is no parameter of the estimator."""
        known = [*self.estimator.get_params()]
        for key in keys:
            if key != EPOCHS and key not in known:
                what = unknown_name(key, known, f"a parameter of {self.name}")
                raise SettingsError(f"trial.{what}")
        if EPOCHS in keys and not _trains_in_steps(self.estimator):
            raise SettingsError(f"trial.epochs: {self.name} is trained in one go; leave epochs out")


def _made(given: Any, name: str) -> Any:
    """Return the estimator that a class or a function makes; raises SettingsError."""
    try:
        estimator = given()
    except TypeError as error:
        kind = "class" if inspect.isclass(given) else "function"
        raise SettingsError(
            f"{ESTIMATOR}: the {kind} {name} cannot be called without arguments ({error}); name a "
            'function that makes the estimator, such as "prep.py:pipeline"'
        ) from error
    if not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
        raise SettingsError(
            f"{ESTIMATOR}: {name} made {type(estimator).__name__}, which is no scikit-learn "
            "estimator: it has no fit and get_params"
        )
    if not (is_classifier(estimator) or is_regressor(estimator)):
        raise SettingsError(
            f"{ESTIMATOR}: {name} is neither a classifier nor a regressor, so nothing can be scored"
        )
    return estimator


def _metrics(classifies: bool, estimator: Any, classes: int) -> list[str]:
    names = [*(OF_CLASSES if classifies else OF_NUMBERS)]
    if classifies and not hasattr(estimator, "predict_proba"):
        names = ["accuracy"]
    elif classes != 2 and "auc" in names:
        names.remove("auc")
    return [f"{part}/{name}" for part in ("val", "train") for name in names]


def _preparation(estimator: Any, rows: Rows, scale: str | None) -> Any:
    """Return what makes numbers of words and empty cells, None where the estimator does that."""
    tags = get_tags(estimator).input_tags
    if isinstance(estimator, Pipeline) or (tags.categorical and tags.allow_nan):
        return None
    numbers = []
    if rows.x_train.select_dtypes("number").isna().to_numpy().any() and not tags.allow_nan:
        numbers.append(SimpleImputer(strategy="median", add_indicator=True))
    if scale == "standardize":
        numbers.append(StandardScaler())
    words = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False
    )
    return make_column_transformer(
        (
            make_pipeline(*numbers) if numbers else "passthrough",
            make_column_selector(dtype_include="number"),
        ),
        (words, make_column_selector(dtype_include="category")),
    )


def _seeded(estimator: Any, seed: int) -> Any:
    """Return the estimator with a seed wherever it has a random_state that nobody has set."""
    unset = [
        name
        for name, value in estimator.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    ]
    return estimator.set_params(**dict.fromkeys(unset, seed))


def _last_step(estimator: Any) -> tuple[Any, str]:
    """Return what is trained of a pipeline, and what its parameters' names begin with."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner, prefix = _last_step(last)
        return inner, f"{name}__{prefix}"
    return estimator, ""


def _rounds_parameter(estimator: Any) -> str | None:
    """Return the parameter that says how many rounds or trees a warm start adds, None if none."""
    parameters = estimator.get_params()
    if "warm_start" not in parameters:
        return None
    if type(estimator).__name__.startswith(BOOSTED):
        return "max_iter"
    return "n_estimators" if "n_estimators" in parameters else None


def _trains_in_steps(estimator: Any) -> bool:
    inner, prefix = _last_step(estimator)
    by_passes = hasattr(inner, "partial_fit") and not prefix
    return by_passes or _rounds_parameter(inner) is not None


def _fits(
    estimator: Any, x: Any, y: Any, classes: tuple[Any, ...], epochs: int, seed: int
) -> Iterator[None]:
    """Train in as many steps as there are epochs: passes over the rows, or rounds of boosting."""
    inner, prefix = _last_step(estimator)
    rounds = _rounds_parameter(inner)
    if epochs == 1 or not _trains_in_steps(estimator):
        estimator.fit(x, y)
        yield
    elif rounds is not None:
        total = int(inner.get_params()[rounds])
        estimator.set_params(**{f"{prefix}warm_start": True})
        for epoch in range(1, epochs + 1):
            estimator.set_params(**{f"{prefix}{rounds}": max(1, math.ceil(total * epoch / epochs))})
            estimator.fit(x, y)
            yield
    else:
        rng, known = np.random.default_rng(seed), np.unique(y) if classes else None
        for _ in range(epochs):
            order = rng.permutation(len(y))
            rows = x.iloc[order] if hasattr(x, "iloc") else x[order]
            if known is None:
                estimator.partial_fit(rows, y[order])
            else:
                estimator.partial_fit(rows, y[order], classes=known)
            yield
