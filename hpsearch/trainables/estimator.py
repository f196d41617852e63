"""A scikit-learn estimator as a study file names it: [model] estimator = "sklearn.svm.SVC"."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import joblib  # type: ignore[import-untyped]
import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import threadpool_limits

from hpsearch.data.files import is_table
from hpsearch.data.frames import PreparedFrame, prepare_frame
from hpsearch.data.raw import Indices
from hpsearch.data.sources import data_errors, is_arrays, naming, source_name
from hpsearch.data.splitting import Parts, read_parts
from hpsearch.data.weights import ClassWeight, check_class_weight, training_weights
from hpsearch.errors import DataError, SettingsError
from hpsearch.formatting import unknown_name
from hpsearch.trainables.base import Enough, OnEpochEnd, followed
from hpsearch.trainables.errors import ModelError
from hpsearch.trainables.folds import EpochEnd, in_lockstep
from hpsearch.trainables.function import seed_training
from hpsearch.trainables.scoring import (
    ALIASES,
    Predicted,
    Truth,
    check_metrics,
    known_scores,
    positive_class,
    scores_of,
)
from hpsearch.trainables.source import Source
from hpsearch.trials.records import DataId

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from hpsearch.data.table import Source as RawSource
    from hpsearch.trials.checkpoints import Checkpoint

ESTIMATOR = "model.estimator"  # the key of the study file, for messages
EPOCHS = "epochs"
MAX_CATEGORIES = 50  # of a column; the rarest share a feature
TRACKED = {  # always, by task; of more than two classes without the area
    "classification": ("accuracy", "loss", "auc"),
    "multilabel": ("accuracy", "f1_macro", "auc"),
    "regression": ("rmse", "mae", "r2"),
}
BOOSTED = "HistGradientBoosting"  # whose rounds are max_iter


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows to train on and to validate on, by number and as tables."""

    train: Indices
    val: Indices
    x_train: pd.DataFrame
    x_val: pd.DataFrame


class EstimatorModel:
    """A scikit-learn estimator, trained on the rows of [data].

    source: a class with `fit`, or a function that makes an estimator, such as a pipeline. name:
    what messages call it. table: the arguments of `read_parts`. keys: those of [trial]. seed and
    metric: the study's. metrics: others that are tracked. scale, class_weight: as of
    `load_dataset`. positive: of two classes the one that some scores are about. threads: how many a
    trial may use. Raises SettingsError and DataError.

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
        metrics: Sequence[str] = (),
        scale: str = "standardize",
        class_weight: ClassWeight | None = None,
        positive: str | None = None,
        threads: int = 1,
    ) -> None:
        self.name, self.seed, self.metric, self.threads = name, seed, metric, threads
        self.estimator, self.code = made_by(source, name)
        self.classifies = is_classifier(self.estimator)
        # Boosting libraries take numbers for classes, scikit-learn's own estimators take words.
        last = type(_last_step(self.estimator)[0]).__module__
        self.numbers_classes = self.classifies and last.partition(".")[0] != "sklearn"
        self._source, self._class_weight = table["source"], class_weight
        self.table = self._with_task(table)
        self._raw, self._parts = self._read()
        self._check_weights()
        fitted = [self._fitted(train) for train, _ in self._parts.folds]
        self._notes = fitted[0].notes
        self._folds = [
            Fold(train, val, prepared.x_train, prepared.rows(val))
            for prepared, (train, val) in zip(fitted, self._parts.folds, strict=True)
        ]
        self.prepare = preparation(self.estimator, scale)
        self._check_keys(keys)
        names, task = self._raw.class_names, self._raw.task
        several = task == "multilabel"
        self._positive = positive_class(names, positive, multilabel=several)
        usual: Sequence[str] = TRACKED[task]
        if task == "classification" and len(names) > 2:
            usual = usual[:-1]
        scores = known_scores(
            names, multilabel=several, probabilities=hasattr(self.estimator, "predict_proba")
        )
        known = [*scores, *(alias for alias, name in ALIASES.items() if name in scores)]
        metrics_known = [f"{part}/{each}" for part in ("val", "train") for each in known]
        check_metrics(metric, metrics, metrics_known, self.name)
        asked = [each.partition("/")[2] for each in (metric, *metrics)]
        self._tracked = [*dict.fromkeys([*usual, *asked])]

    def _with_task(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of `read_parts`, with labels read as the estimator needs them."""
        free = is_table(self._source) and table.get("task", "auto") == "auto"
        return {**table, **({"task": self._task} if free else {})}

    @property
    def _task(self) -> str:
        return "classification" if self.classifies else "regression"

    def _read(self) -> tuple[RawSource, Parts]:
        """Return the source and its parts; raises DataError and SettingsError."""
        if is_arrays(self._source):
            raise DataError(
                f"data.source: {self._source} is no source of rows for an estimator; use a table, "
                "openml:NAME, or one of scikit-learn's own"
            )
        with data_errors():
            raw, parts = read_parts(**self.table)
        if bool(raw.class_names) != self.classifies:
            what = "classes" if raw.class_names else "numbers"
            raise SettingsError(
                f"{ESTIMATOR}: {self.name} is for {self._task}, and the labels of {self._source} "
                f"are {what}"
            )
        return raw, parts

    def _check_weights(self) -> None:
        """Raise DataError or SettingsError for weights that the estimator cannot have."""
        with data_errors(), naming(self._source):
            check_class_weight(self._class_weight, self._raw)
        weighted = self._class_weight is not None or self._raw.weights is not None
        whole = not (isinstance(self.estimator, Pipeline) and self._for_each_target)
        if weighted and not (whole and takes_weights(self.estimator)):
            key = "weight" if self._class_weight is None else "class_weight"
            raise SettingsError(f"data.{key}: {self.name} takes no sample_weight; leave {key} out")

    @property
    def _for_each_target(self) -> bool:
        """Whether there are several targets, and the estimator can have only one."""
        return for_targets(self.estimator, self._raw) is not self.estimator

    def _fitted(self, train: Indices) -> PreparedFrame:
        with data_errors(), naming(self._source):
            return prepare_frame(self._raw, train)

    @property
    def data(self) -> DataId:
        """What identifies the data."""
        return DataId(source_name(self._source), self._raw.digest, self._source)

    @property
    def digest(self) -> str:
        """The digest of the data."""
        return self._raw.digest

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the data, () for a regression."""
        return self._raw.class_names

    @property
    def target_names(self) -> tuple[str, ...]:
        """What is predicted."""
        return self._raw.target_names

    @property
    def validation_rows(self) -> int:
        """How many different rows are validated on."""
        return self._parts.validated

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the data that a person should read."""
        names = self._raw.class_names
        numbered = self._raw.task == "classification" and self.numbers_classes
        numbered = numbered and names != tuple(map(str, range(len(names))))
        more = [f"the classes are numbered from 0 on: {', '.join(names)}"] if numbered else []
        return tuple(f"{self._source}: {note}" for note in (*self._raw.notes, *self._notes, *more))

    @property
    def test_rows(self) -> str:
        """The digest of the data, a fifth of which is sealed."""
        return self._raw.digest

    def final(self, config: Mapping[str, Any], draw: int, epochs: int) -> dict[str, float]:
        """Train on all rows but the sealed ones, and score these; see `Testable.final`."""
        return self._scores_of(*self.tested(config, draw, epochs))

    def tested(self, config: Mapping[str, Any], draw: int, epochs: int) -> tuple[Truth, Predicted]:
        """Train on all rows but the sealed ones; return the truth about these, and predictions."""
        test = self._parts.test
        with self._training(draw) as seed:
            whole, rows = self._final(config, seed, epochs)
            return self._predicted(whole, rows(test), test)

    def _final(
        self, config: Mapping[str, Any], seed: int, epochs: int
    ) -> tuple[Any, Callable[[Indices], pd.DataFrame]]:
        """Train on all rows but the sealed ones; return the estimator, and what gives it rows."""
        rest = self._parts.rest
        prepared = self._fitted(rest)
        whole, estimator, x = self._prepared(config, seed, prepared.x_train)
        for _ in islice(self._fits(estimator, x, rest, config, seed), epochs):
            pass
        return whole, prepared.rows

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
            folds = [self._epochs(fold, config, seed) for fold in self._folds]
            epochs = folds[0] if len(folds) == 1 else self._together(folds, config, seed)
            followed(epochs, lambda end: on_epoch_end(*end))

    def _together(
        self, folds: Sequence[Iterator[EpochEnd]], config: Mapping[str, Any], seed: int
    ) -> Iterator[EpochEnd]:
        """Train all folds; what is saved after an epoch is trained on all of their rows."""

        def save(path: Path, epochs: int) -> None:
            joblib.dump(self._final(config, seed, epochs)[0], path)

        for number, end in enumerate(in_lockstep(folds), start=1):
            yield end._replace(save=partial(save, epochs=number))

    def _epochs(self, fold: Fold, config: Mapping[str, Any], seed: int) -> Iterator[EpochEnd]:
        """Train an estimator on a fold; yield after each epoch."""
        whole, estimator, x_train = self._prepared(config, seed, fold.x_train)
        x_val = fold.x_val if whole is estimator else whole[0].transform(fold.x_val)
        for _ in self._fits(estimator, x_train, fold.train, config, seed):
            metrics = {
                f"{part}/{name}": value
                for part, x, rows in (("train", x_train, fold.train), ("val", x_val, fold.val))
                for name, value in self._scores(estimator, x, rows).items()
            }
            yield EpochEnd(metrics, save=lambda path: joblib.dump(whole, path))

    def _fits(
        self, estimator: Any, x: Any, rows: Indices, config: Mapping[str, Any], seed: int
    ) -> Iterator[None]:
        """Train in as many steps as there are epochs."""
        weights = training_weights(self._raw, rows, self._class_weight)
        return _fits(estimator, x, self._labels(rows), weights, self.epochs_of(config), seed)

    def _labels(self, rows: Indices) -> Any:
        """Return the labels as the estimator takes them: (n,) classes by name or number, or
        numbers; (n, k) of several targets."""
        y = self._raw.y[rows]
        if self._raw.task == "classification":
            return y if self.numbers_classes else np.array(self._raw.class_names)[y]
        return y if self.classifies or y.shape[1] > 1 else y[:, 0]

    def _prepared(
        self, config: Mapping[str, Any], seed: int, x_train: pd.DataFrame
    ) -> tuple[Any, Any, Any]:
        """Return what predicts for rows of a table, its estimator, and what to train that on.

        Only the preparation of the rows is fitted yet, if there is any.
        """
        parameters = {key: value for key, value in config.items() if key != EPOCHS}
        estimator = _seeded(clone(self.estimator), seed)
        try:
            estimator.set_params(**parameters)
        except (ValueError, TypeError) as error:
            raise ModelError(f"{self.name}: {error}") from error
        estimator = for_targets(estimator, self._raw)
        if self.prepare is None:
            return estimator, estimator, x_train
        prepare = clone(self.prepare)
        x = prepare.fit_transform(x_train)
        return Pipeline([("prepare", prepare), ("fit", estimator)]), estimator, x

    def _scores(self, estimator: Any, x: Any, rows: Indices) -> dict[str, float]:
        return self._scores_of(*self._predicted(estimator, x, rows))

    def _predicted(self, estimator: Any, x: Any, rows: Indices) -> tuple[Truth, Predicted]:
        """Return the truth about rows, and what the estimator predicts for them."""
        classes = self._raw.class_names
        weights = None if self._raw.weights is None else self._raw.weights[rows]
        truth = Truth(self._raw.y[rows], classes, self._positive, weights)
        if truth.multilabel:
            return truth, predicted_labels(estimator, x)
        predicted = np.asarray(estimator.predict(x))
        if not self.classifies:
            return truth, Predicted(predicted.reshape(truth.y.shape))
        known = range(len(classes)) if self.numbers_classes else classes
        place = {name: number for number, name in enumerate(known)}
        labels = np.array([place[name] for name in predicted.ravel().tolist()])
        if not hasattr(estimator, "predict_proba"):
            return truth, Predicted(labels)
        probabilities = np.zeros((len(labels), len(classes)))
        columns = [place[name] for name in np.asarray(estimator.classes_).tolist()]
        probabilities[:, columns] = estimator.predict_proba(x)
        return truth, Predicted(labels, probabilities)

    def _scores_of(self, truth: Truth, predicted: Predicted) -> dict[str, float]:
        """Return the tracked scores by the names that they are asked for."""
        # Some have probabilities only with some of their parameters.
        scores = truth.known_scores(probabilities=predicted.probabilities is not None)
        names = {name: ALIASES.get(name, name) for name in self._tracked}
        names = {name: score for name, score in names.items() if score in scores}
        found = scores_of([*names.values()], truth, predicted)
        return {name: found[score] for name, score in names.items()}

    def _check_keys(self, keys: Collection[str]) -> None:
        """Raise SettingsError for a key of [trial] that is no parameter of the estimator."""
        known = [*self.estimator.get_params()]
        for key in keys:
            if key != EPOCHS and key not in known:
                what = unknown_name(key, known, f"a parameter of {self.name}")
                raise SettingsError(f"trial.{what}")
        if EPOCHS in keys and not _trains_in_steps(for_targets(self.estimator, self._raw)):
            raise SettingsError(f"trial.epochs: {self.name} is trained in one go; leave epochs out")


def made_by(source: Source, name: str) -> tuple[Any, str]:
    """Return the estimator that a class or a function makes, and a digest of the code.

    Raises SettingsError.
    """
    given, code = source.load(ESTIMATOR)
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
    return estimator, code


def for_targets(estimator: Any, raw: RawSource) -> Any:
    """Return what predicts all targets: the estimator, or one for each if it can have only one."""
    if raw.y.ndim == 1 or raw.y.shape[1] == 1:
        return estimator
    tags = get_tags(estimator)
    if raw.task == "multilabel":
        able = tags.classifier_tags is not None and tags.classifier_tags.multi_label
        return estimator if able else MultiOutputClassifier(estimator)
    return estimator if tags.target_tags.multi_output else MultiOutputRegressor(estimator)


def predicted_labels(fitted: Any, x: Any) -> Predicted:
    """Return what a classifier of several labels, each 0 or 1, predicts."""
    labels = np.asarray(fitted.predict(x)).astype(np.intp)
    if not hasattr(fitted, "predict_proba"):
        return Predicted(labels)
    p = fitted.predict_proba(x)
    # Networks return the probabilities of the labels, most others those of both values of each.
    return Predicted(labels, np.column_stack([of[:, 1] for of in p]) if isinstance(p, list) else p)


def predicts_numbers(source: Source) -> bool:
    """Return whether what makes an estimator makes a regressor."""
    estimator, _ = made_by(source, str(source.place))
    return bool(is_regressor(estimator))


def preparation(estimator: Any, scale: str | None) -> Any:
    """Return what makes numbers of words and empty cells, None where the estimator does that."""
    tags = get_tags(estimator).input_tags
    if isinstance(estimator, Pipeline) or (tags.categorical and tags.allow_nan):
        return None
    numbers: list[Any] = []
    if not tags.allow_nan:
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


def takes_weights(estimator: Any) -> bool:
    """Return whether what is trained of an estimator takes weights of rows."""
    inner, _ = _last_step(estimator)
    return bool(has_fit_parameter(inner, "sample_weight"))


def _fits(
    estimator: Any, x: Any, y: Any, weights: NDArray[np.float64] | None, epochs: int, seed: int
) -> Iterator[None]:
    """Train in as many steps as there are epochs: passes over the rows, or rounds of boosting."""
    inner, prefix = _last_step(estimator)
    rounds = _rounds_parameter(inner)
    weighted = {} if weights is None else {f"{prefix}sample_weight": weights}
    if epochs == 1 or not _trains_in_steps(estimator):
        estimator.fit(x, y, **weighted)
        yield
    elif rounds is not None:
        total = int(inner.get_params()[rounds])
        estimator.set_params(**{f"{prefix}warm_start": True})
        for epoch in range(1, epochs + 1):
            estimator.set_params(**{f"{prefix}{rounds}": max(1, math.ceil(total * epoch / epochs))})
            estimator.fit(x, y, **weighted)
            yield
    else:
        rng, known = np.random.default_rng(seed), {}
        if is_classifier(inner):
            known = {"classes": _classes(inner, y)}
        for _ in range(epochs):
            order = rng.permutation(len(y))
            rows = x.iloc[order] if hasattr(x, "iloc") else x[order]
            of_rows = {key: each[order] for key, each in weighted.items()}
            estimator.partial_fit(rows, y[order], **known, **of_rows)
            yield


def _classes(classifier: Any, y: NDArray[Any]) -> Any:
    """Return the classes that a first pass over some of the rows has to know."""
    if y.ndim == 1:
        return np.unique(y)
    labels = range(y.shape[1])
    several = isinstance(classifier, MultiOutputClassifier)
    return [np.array([0, 1]) for _ in labels] if several else np.array(labels)
