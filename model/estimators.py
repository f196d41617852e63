"""MLPClassifier and MLPRegressor: the training core as scikit-learn estimators."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from math import isfinite
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from model.checkpoint import Checkpoint, rebuild_optimizer
from model.config import TrainConfig
from model.data import Dataset, Indices, Scaler, Targets
from model.losses import LOSSES, MULTILABEL
from model.network import Network
from model.outputs import Threshold, decided
from model.scaling import standardize
from model.training import CURVES, Epoch, build_optimizer, train, train_epoch


class MLP(BaseEstimator):  # type: ignore[misc]
    """What the classifier and the regressor have in common.

    Parameters are the fields of TrainConfig and two more. `random_state`, as in scikit-learn,
    decides initial values, shuffling and split. `validation_fraction` is the share of rows that is
    held out for the validation curves (0: none, and they are NaN). `loss` "auto" is the usual one.

    Fitted: `network_`; `optimizer_`; `scaler_`, applied to every X; `history_`, a dict of curves
    with one value per epoch (see CURVES); `best_epoch_`, the epoch (from 1) that the weights are
    from: the last, or with `early_stopping` the best one. `fit` does not scale X, so put a
    StandardScaler in front. Only `from_network`, which `hpsearch export` uses, sets a scale and
    `columns_`: these are found in a DataFrame by name and encoded as in training; an array must
    hold encoded features. `target_names_` says what is predicted, `words_` what 0 and 1 stand for
    in each of several labels, `test_scores_` how well it is predicted, on test rows; `weight_` is
    the column that says how much a row counts in these, None if all count alike, `positive_` the
    class that some of them are about, None for the second of two, and `threshold_` from which
    probability on a class is predicted, None for the more probable one.

    Fitting raises ValueError if a parameter is out of its domain or if training diverges.
    """

    regression = False  # whether it predicts numbers
    metric = "val_loss"  # by which early stopping chooses its epoch

    def __init__(
        self,
        *,
        epochs: int = TrainConfig.epochs,
        batch_size: int = TrainConfig.batch_size,
        steps_per_epoch: int = TrainConfig.steps_per_epoch,
        hidden_layer_sizes: tuple[int, ...] = TrainConfig.hidden_layer_sizes,
        activation: str = TrainConfig.activation,
        leaky_slope: float = TrainConfig.leaky_slope,
        initializer: str = TrainConfig.initializer,
        weight_std: float = TrainConfig.weight_std,
        weight_constant: float = TrainConfig.weight_constant,
        bias_std: float = TrainConfig.bias_std,
        batch_norm: str = TrainConfig.batch_norm,
        batch_norm_decay: float = TrainConfig.batch_norm_decay,
        batch_norm_epsilon: float = TrainConfig.batch_norm_epsilon,
        dropout: float = TrainConfig.dropout,
        loss: str = "auto",
        output: str = TrainConfig.output,
        optimizer: str = TrainConfig.optimizer,
        learning_rate: float = TrainConfig.learning_rate,
        schedule: str = TrainConfig.schedule,
        final_learning_rate: float = TrainConfig.final_learning_rate,
        step_epochs: int = TrainConfig.step_epochs,
        step_factor: float = TrainConfig.step_factor,
        plateau_patience: int = TrainConfig.plateau_patience,
        plateau_factor: float = TrainConfig.plateau_factor,
        momentum: float = TrainConfig.momentum,
        rho: float = TrainConfig.rho,
        beta1: float = TrainConfig.beta1,
        beta2: float = TrainConfig.beta2,
        weight_decay: float = TrainConfig.weight_decay,
        early_stopping: int = TrainConfig.early_stopping,
        random_state: int | np.random.RandomState | None = None,
        validation_fraction: float = 0.0,
    ) -> None:
        # scikit-learn requires every parameter as an attribute of the same name, unchecked.
        self.__dict__.update((name, value) for name, value in locals().items() if name != "self")

    @abstractmethod
    def _default_loss(self) -> str:
        """Return the loss that "auto" stands for."""

    @abstractmethod
    def _take_labels(self, saved: Checkpoint) -> None:
        """Set the fitted attributes about the labels, as a checkpoint has them."""

    @abstractmethod
    def _give_labels(self) -> dict[str, Any]:
        """Return what a checkpoint holds about the labels."""

    def _train(self, data: Dataset) -> Self:
        """Train the network, which `_start` has taken, for `epochs` epochs."""
        for epoch in train(self.network_, data, self._rng, self.optimizer_, metric=self.metric):
            self._record(epoch)
        if self.network_.config.early_stopping:
            curve = self.history_[self.metric]
            best = np.argmax(curve) if self.metric.endswith("accuracy") else np.argmin(curve)
            self.best_epoch_ = int(best) + 1
        return self

    def _train_on(self, data: Dataset, config: TrainConfig) -> Self:
        """Train for one more epoch at the learning rate of `config`."""
        self._follow(config)
        number, rate = len(self.history_["train_loss"]) + 1, config.learning_rate
        epoch = train_epoch(self.network_, data, self._rng, self.optimizer_, number, rate)
        return self._record(epoch)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that prediction and further training need to a `.npz` file, atomically.

        Nothing is pickled, and `Network.load` can read the file too. Parameters are saved as the
        last training used them; a `random_state` that is not an integer is loaded as None.
        """
        check_is_fitted(self)
        seed = self.random_state
        notes = {
            "random_state": int(seed) if isinstance(seed, Integral) else None,
            "validation_fraction": float(self.validation_fraction),
            "loss": self.loss,
            "test_scores": self.test_scores_,
            "best_epoch": self.best_epoch_,
            "split_seed": self._split_seed,
            "generator": self._rng.bit_generator.state,
            "feature_names": list(getattr(self, "feature_names_in_", [])),
        }
        named = {"positive": self.positive_, "weight": self.weight_}
        notes |= {key: name for key, name in named.items() if name is not None}
        Checkpoint(
            network=self.network_,
            scaler=self.scaler_,
            columns=self.columns_,
            target_names=self.target_names_,
            words=self.words_,
            threshold=self.threshold_,
            curves=self.history_,
            optimizer=self.optimizer_,
            notes=notes,
            **self._give_labels(),
        ).save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the estimator that `save` wrote; its training can continue without a difference.

        Nothing is unpickled. Raises FileNotFoundError, or ValueError for any other kind of file.
        """
        saved = Checkpoint.load(path)
        try:
            own = {name: saved.notes[name] for name in ("random_state", "validation_fraction")}
            given = asdict(saved.network.config)
            given["loss"] = saved.notes.get("loss", given["loss"])
            estimator, rng = cls(**given, **own), np.random.default_rng()
            estimator._start(saved.network, rng)
            estimator._take_labels(saved)
            estimator.best_epoch_ = saved.notes["best_epoch"]
            estimator._split_seed = saved.notes["split_seed"]
            rng.bit_generator.state = saved.notes["generator"]
            if names := saved.notes["feature_names"]:
                estimator.feature_names_in_ = np.array(names, dtype=object)
        except KeyError as error:
            raise ValueError(f"{path}: not a saved estimator; it has no {error}") from error
        estimator.scaler_, estimator.columns_ = saved.scaler, saved.columns
        estimator.target_names_, estimator.words_ = saved.target_names, saved.words
        estimator.threshold_ = saved.threshold
        estimator.test_scores_ = saved.notes.get("test_scores", {})
        estimator.positive_ = saved.notes.get("positive")
        estimator.weight_ = saved.notes.get("weight")
        estimator.history_, estimator.optimizer_ = saved.curves, saved.optimizer
        return estimator

    def _config(self, *, multilabel: bool = False) -> TrainConfig:
        """Return the parameters, checked; multilabel: whether a row has several labels."""
        fraction = self.validation_fraction
        if not (isinstance(fraction, float | int) and 0 <= fraction < 1):
            raise ValueError(f"validation_fraction must be in [0, 1), but got {fraction}")
        values = {f.name: getattr(self, f.name) for f in fields(TrainConfig)}
        usual = MULTILABEL if multilabel else self._default_loss()
        config = TrainConfig(**{**values, "loss": usual if self.loss == "auto" else self.loss})
        loss = LOSSES[config.loss]
        if (loss.regression, loss.multilabel) != (self.regression, multilabel):
            kinds = {loss.regression: "numbers", loss.multilabel: "several labels"}
            raise ValueError(
                f"loss {config.loss!r} is for {kinds.get(True, 'classes')}; use 'auto'"
            )
        if (why := config.needs_validation) and not fraction:
            raise ValueError(f"validation_fraction must be above 0 for {why}")
        return config

    def _validated(
        self, X: ArrayLike, y: ArrayLike = "no_validation", reset: bool = False, **options: bool
    ) -> Any:
        """Return X, and y if given, as scikit-learn checks them; a table is encoded first."""
        x = X if reset or not self.columns_ else _features_of(X, self.columns_)
        kind = np.float32 if x is X else np.float64  # scale a table before rounding it
        return validate_data(self, x, y, dtype=kind, order="C", reset=reset, **options)

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31))

    def _start(self, network: Network, rng: np.random.Generator) -> None:
        """Set the fitted attributes for this network, with an empty history."""
        self.network_, self._rng = network, rng
        self.n_features_in_ = network.n_inputs
        self.optimizer_ = build_optimizer(network.config, network.params)
        self.scaler_, self.columns_ = Scaler(), tuple[Any, ...]()
        self.target_names_, self.words_ = tuple[str, ...](), tuple[tuple[str, str], ...]()
        self.threshold_: Threshold | None = None
        self.test_scores_: dict[str, float] = {}
        self.positive_: str | None = None
        self.weight_: str | None = None
        self.history_: dict[str, list[float]] = {name: [] for name in CURVES}
        self.best_epoch_ = 0
        self._split_seed = int(rng.integers(2**31))

    def _follow(self, config: TrainConfig) -> None:
        """Switch to `config`; keep the optimizer's state if the optimizer is the same."""
        if config == self.network_.config:
            return
        for name in ("hidden_layer_sizes", "batch_norm"):
            if getattr(config, name) != getattr(self.network_.config, name):
                raise ValueError(f"{name} cannot change in partial_fit; use fit")
        self.network_ = self.network_.with_config(config)
        self.optimizer_ = rebuild_optimizer(self.optimizer_, self.network_)

    def _split(
        self,
        x: NDArray[np.float32],
        targets: Targets,
        sample_weight: ArrayLike | None,
        class_names: tuple[str, ...] = (),
    ) -> Dataset:
        """Return the rows as a Dataset, with labels as the network takes them."""
        weights = _checked_weights(sample_weight, len(x))
        parts = x, x[:0], targets, targets[:0], weights, weights[:0]
        if self.validation_fraction:
            options = {"test_size": self.validation_fraction, "random_state": self._split_seed}
            stratify = targets if class_names and targets.ndim == 1 else None
            parts = train_test_split(x, targets, weights, stratify=stratify, **options)
        x_train, x_val, y_train, y_val, w_train, w_val = parts
        data = Dataset("", "", "", (), class_names, x_train, y_train, x_val, y_val)
        if sample_weight is None:
            return data
        if not w_train.any():
            raise ValueError("sample_weight is zero in all training rows")
        scaled = (w_train / w_train.mean()).astype(np.float32)
        return replace(data, w_train=scaled, w_val=w_val.astype(np.float32))

    def _record(self, epoch: Epoch) -> Self:
        """Append an epoch to the curves; raise ValueError if its loss is not finite."""
        for name, curve in self.history_.items():
            curve.append(getattr(epoch, name))
        self.best_epoch_ = epoch.number
        if not isfinite(epoch.train_loss):
            raise ValueError(
                f"training diverged in epoch {epoch.number}: the loss is {epoch.train_loss}; "
                "lower learning_rate or scale the features"
            )
        return self


class MLPClassifier(ClassifierMixin, MLP):  # type: ignore[misc]
    """A multilayer perceptron for X (n, d) and labels y (n,) of any sortable kind, or several.

    Parameters and fitted attributes are those of `MLP`, and `classes_` (k,), sorted. The rows that
    `validation_fraction` holds out are stratified. `loss` "auto" is the cross-entropy. With
    `early_stopping` the best epoch has the best `val_accuracy`. Several labels are y (n, k) of 0
    and 1, with a probability each; `classes_` are then their numbers, as in scikit-learn, and an
    accuracy is the share of rows of which all labels are right.
    """

    metric = "val_accuracy"

    @classmethod
    def from_network(cls, network: Network, data: Dataset, **parameters: Any) -> Self:
        """Return a classifier around a network trained on `data`: raw features in, names out."""
        classifier = cls(**asdict(network.config), **parameters)
        classifier._start(network, classifier._generator())
        classifier.classes_ = np.array(data.class_names)
        classifier.scaler_, classifier.columns_ = data.scaler, data.columns
        classifier.target_names_, classifier.words_ = data.target_names, data.words
        return classifier

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train a new network for `epochs` epochs; sample_weight (n,) is how much rows count."""
        x, labels = self._validated(X, y, reset=True, multi_output=True)
        labels = _checked_labels(labels)
        config, rng = self._config(multilabel=labels.ndim == 2), self._generator()
        self.classes_ = unique_labels(labels)
        self._start(Network(x.shape[1], len(self.classes_), config, rng), rng)
        return self._train(self._dataset(x, labels, sample_weight))

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one more epoch at `learning_rate`, with the current parameters.

        The very first call needs all `classes`. Later calls continue from the optimizer's state
        (unless `optimizer` has changed) and append to `history_`. Schedules and early stopping work
        in `fit` only; here they are up to the caller. Every call splits the same X and y in the
        same way.
        """
        first = not hasattr(self, "network_")
        if first and classes is None:
            raise ValueError("classes must be given on the first call of partial_fit")
        x, labels = self._validated(X, y, reset=first, multi_output=True)
        labels = _checked_labels(labels)
        config = self._config(multilabel=labels.ndim == 2)
        if first:
            self.classes_, rng = unique_labels(classes), self._generator()
            self._start(Network(x.shape[1], len(self.classes_), config, rng), rng)
        elif classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise ValueError(f"classes must stay {self.classes_}, but got {classes}")
        return self._train_on(self._dataset(self.scaler_(x), labels, sample_weight), config)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the probability (n, k) of each class or label, in the order of `classes_`."""
        check_is_fitted(self)
        return self.network_.predict_proba(self.scaler_(self._validated(X)))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class (n,) of each row, or as `threshold_` says.

        Of several labels, return which are more probable than not (n, k), as 0 and 1.
        """
        probabilities = self.predict_proba(X)
        if self.network_.loss.multilabel:
            return decided(probabilities, None, multilabel=True)
        labels: NDArray[Any] = self.classes_[decided(probabilities, self.threshold_)]
        return labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _dataset(
        self, x: NDArray[np.float32], labels: NDArray[Any], weights: ArrayLike | None
    ) -> Dataset:
        """Return the rows with labels as indices into `classes_`, or several as 0 and 1."""
        if labels.ndim == 2:
            if labels.shape[1] != len(self.classes_):
                raise ValueError(
                    f"y must have {len(self.classes_)} columns, but has {labels.shape[1]}"
                )
            targets = labels.astype(np.float32)
            return self._split(x, targets, weights, tuple(map(str, self.classes_)))
        if len(unknown := np.setdiff1d(labels, self.classes_)):
            first = unknown.tolist()[0]
            raise ValueError(f"y holds {first!r}, which is not one of the classes {self.classes_}")
        indices: Indices = np.searchsorted(self.classes_, labels)
        return self._split(x, indices, weights, tuple(map(str, self.classes_)))

    def _default_loss(self) -> str:
        return TrainConfig.loss

    def _take_labels(self, saved: Checkpoint) -> None:
        if saved.network.loss.regression:
            raise ValueError("is a network for numbers; MLPRegressor.load opens it")
        self.classes_ = saved.classes

    def _give_labels(self) -> dict[str, Any]:
        classes = self.classes_
        return {"classes": np.array(classes.tolist()) if classes.dtype == object else classes}


class MLPRegressor(RegressorMixin, MLP):  # type: ignore[misc]
    """A multilayer perceptron for X (n, d) and numbers y, (n,) or (n, k).

    Parameters and fitted attributes are those of `MLP`. `fit` standardizes y, so losses are in
    squares of standard deviations, and `predict` scales back. `loss` is "squared_error", which
    "auto" stands for, "absolute_error" or "huber".
    """

    regression = True

    @classmethod
    def from_network(cls, network: Network, data: Dataset, **parameters: Any) -> Self:
        """Return a regressor around a network trained on `data`: raw features in, numbers out."""
        regressor = cls(**asdict(network.config), **parameters)
        regressor._start(network, regressor._generator())
        regressor.scaler_, regressor.columns_ = data.scaler, data.columns
        regressor.target_names_ = data.target_names
        regressor.target_scaler_, regressor._one = data.target_scaler, data.n_outputs == 1
        return regressor

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train a new network for `epochs` epochs; sample_weight (n,) is how much rows count."""
        config, rng = self._config(), self._generator()
        x, numbers = self._validated(X, y, reset=True, multi_output=True, y_numeric=True)
        targets = self._targets(numbers, reset=True)
        self._start(Network(x.shape[1], targets.shape[1], config, rng), rng)
        return self._train(self._split(x, targets, sample_weight))

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one more epoch at `learning_rate`, with the current parameters.

        The very first call standardizes y, and later ones use the same scale. They continue from
        the optimizer's state (unless `optimizer` has changed) and append to `history_`. Schedules
        and early stopping work in `fit` only. Every call splits the same X and y in the same way.
        """
        config, first = self._config(), not hasattr(self, "network_")
        x, numbers = self._validated(X, y, reset=first, multi_output=True, y_numeric=True)
        targets = self._targets(numbers, reset=first)
        if first:
            rng = self._generator()
            self._start(Network(x.shape[1], targets.shape[1], config, rng), rng)
        elif targets.shape[1] != self.network_.n_outputs:
            raise ValueError(
                f"y must have {self.network_.n_outputs} columns, but has {targets.shape[1]}"
            )
        return self._train_on(self._split(self.scaler_(x), targets, sample_weight), config)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the number, or the numbers, of each row: (n,) or (n, k) as y was."""
        check_is_fitted(self)
        x = self.scaler_(self._validated(X)).astype(np.float64)
        numbers = self.target_scaler_.inverse(self.network_.astype(np.float64).predict(x))
        return numbers[:, 0] if self._one else numbers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _targets(self, y: NDArray[Any], *, reset: bool) -> NDArray[np.float32]:
        """Return numbers (n, k), scaled; with `reset` the scale is fitted on them."""
        numbers = np.asarray(y, np.float64)
        columns = numbers[:, None] if numbers.ndim == 1 else numbers
        if reset:
            self._one, self.target_scaler_ = numbers.ndim == 1, standardize(columns)
        if columns.shape[1] != len(np.atleast_1d(self.target_scaler_.shift)):
            return columns.astype(np.float32)  # the caller refuses them
        return self.target_scaler_(columns)

    def _default_loss(self) -> str:
        return "squared_error"

    def _take_labels(self, saved: Checkpoint) -> None:
        if not saved.network.loss.regression:
            raise ValueError("is a network for classes; MLPClassifier.load opens it")
        self.target_scaler_ = saved.target_scaler
        self._one = bool(saved.notes.get("one_number", saved.network.n_outputs == 1))

    def _give_labels(self) -> dict[str, Any]:
        return {"target_scaler": self.target_scaler_}


def _checked_labels(y: Any) -> NDArray[Any]:
    """Return labels (n,), or several (n, k) of 0 and 1; raises ValueError for others."""
    if y.ndim == 1 or y.shape[1] == 1:
        labels: NDArray[Any] = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        return labels
    if type_of_target(y) != "multilabel-indicator":
        raise ValueError(f"y has {y.shape[1]} columns, so each must hold 0 and 1, for no and yes")
    columns: NDArray[Any] = y.toarray() if hasattr(y, "toarray") else y
    return columns


def _checked_weights(sample_weight: ArrayLike | None, rows: int) -> NDArray[np.float64]:
    """Return how much each row counts (rows,), 1 if nothing says it; raises ValueError."""
    if sample_weight is None:
        return np.ones(rows)
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (rows,):
        raise ValueError(f"sample_weight must have shape ({rows},), but it is {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("sample_weight must be finite and at least 0")
    return weights


def _features_of(table: Any, columns: Sequence[Any]) -> Any:
    """Return the features of a table whose columns hpsearch has encoded, as it did in training."""
    from hpsearch.data.rows import features_of  # only here: it encodes what it has encoded

    return features_of(table, columns)
