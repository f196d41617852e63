"""MLPClassifier: the training core as a scikit-learn estimator."""

from __future__ import annotations

import os
from dataclasses import asdict, fields
from math import isfinite
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from model.checkpoint import Checkpoint, rebuild_optimizer
from model.columns import Column
from model.config import TrainConfig
from model.data import Dataset, Scaler
from model.network import Network
from model.rows import features_of
from model.training import CURVES, Epoch, build_optimizer, train, train_epoch


class MLPClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A multilayer perceptron for X (n, d) and labels y (n,) of any sortable kind.

    Parameters are the fields of TrainConfig and two more. `random_state`, as in scikit-learn,
    decides initial values, shuffling and split. `validation_fraction` is the share of rows,
    stratified, that is held out for `val_loss` and `val_accuracy` (0: none, and both are NaN).

    Fitted: `classes_` (k,), sorted; `network_`; `optimizer_`; `scaler_`, applied to every X;
    `history_`, a dict of curves with one value per epoch (see CURVES); `best_epoch_`, the epoch
    (from 1) that the weights are from: the last, or with `early_stopping` the one with the best
    `val_accuracy`. `fit` does not scale X, so put a StandardScaler in front. Only `from_network`,
    which `hpsearch export` uses, sets a scale and `columns_`: these are found in a DataFrame by
    name and encoded as in training; an array must hold encoded features.

    Fitting raises ValueError if a parameter is out of its domain or if training diverges.
    """

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
        loss: str = TrainConfig.loss,
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

    @classmethod
    def from_network(cls, network: Network, data: Dataset, **parameters: Any) -> Self:
        """Return a classifier around a network trained on `data`: raw features in, names out."""
        classifier = cls(**asdict(network.config), **parameters)
        classifier._start(network, np.array(data.class_names), classifier._generator())
        classifier.scaler_, classifier.columns_ = data.scaler, data.columns
        return classifier

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train a new network for `epochs` epochs."""
        config, rng = self._config(), self._generator()
        x, labels = self._validated(X, y, reset=True)
        check_classification_targets(labels)
        classes = unique_labels(labels)
        self._start(Network(x.shape[1], len(classes), config, rng), classes, rng)
        for epoch in train(self.network_, self._split(x, labels), rng, self.optimizer_):
            self._record(epoch)
        if config.early_stopping:
            self.best_epoch_ = int(np.argmax(self.history_["val_accuracy"])) + 1
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Train for one more epoch at `learning_rate`, with the current parameters.

        The very first call needs all `classes`. Later calls continue from the optimizer's state
        (unless `optimizer` has changed) and append to `history_`. Schedules and early stopping work
        in `fit` only; here they are up to the caller. Every call splits the same X and y in the
        same way.
        """
        config, first = self._config(), not hasattr(self, "network_")
        if first and classes is None:
            raise ValueError("classes must be given on the first call of partial_fit")
        x, labels = self._validated(X, y, reset=first)
        if first:
            known, rng = unique_labels(classes), self._generator()
            self._start(Network(x.shape[1], len(known), config, rng), known, rng)
        elif classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise ValueError(f"classes must stay {self.classes_}, but got {classes}")
        data = self._split(self.scaler_(x), labels)
        self._follow(config)
        number, rate = len(self.history_["train_loss"]) + 1, config.learning_rate
        epoch = train_epoch(self.network_, data, self._rng, self.optimizer_, number, rate)
        return self._record(epoch)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the probability (n, k) of each class, in the order of `classes_`."""
        check_is_fitted(self)
        return self.network_.predict_proba(self.scaler_(self._validated(X)))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class (n,) of each row."""
        chosen = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[chosen]
        return labels

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that prediction and further training need to a `.npz` file, atomically.

        Nothing is pickled, and `Network.load` can read the file too. Parameters are saved as the
        last training used them; a `random_state` that is not an integer is loaded as None.
        """
        check_is_fitted(self)
        classes, seed = self.classes_, self.random_state
        notes = {
            "random_state": int(seed) if isinstance(seed, Integral) else None,
            "validation_fraction": float(self.validation_fraction),
            "best_epoch": self.best_epoch_,
            "split_seed": self._split_seed,
            "generator": self._rng.bit_generator.state,
            "feature_names": list(getattr(self, "feature_names_in_", [])),
        }
        Checkpoint(
            network=self.network_,
            classes=np.array(classes.tolist()) if classes.dtype == object else classes,
            scaler=self.scaler_,
            columns=self.columns_,
            curves=self.history_,
            optimizer=self.optimizer_,
            notes=notes,
        ).save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the classifier that `save` wrote; its training can continue without a difference.

        Nothing is unpickled. Raises FileNotFoundError, or ValueError for any other kind of file.
        """
        saved = Checkpoint.load(path)
        try:
            own = {name: saved.notes[name] for name in ("random_state", "validation_fraction")}
            classifier, rng = cls(**asdict(saved.network.config), **own), np.random.default_rng()
            classifier._start(saved.network, saved.classes, rng)
            classifier.best_epoch_ = saved.notes["best_epoch"]
            classifier._split_seed = saved.notes["split_seed"]
            rng.bit_generator.state = saved.notes["generator"]
            if names := saved.notes["feature_names"]:
                classifier.feature_names_in_ = np.array(names, dtype=object)
        except KeyError as error:
            raise ValueError(f"{path}: not a saved classifier; it has no {error}") from error
        classifier.scaler_, classifier.columns_ = saved.scaler, saved.columns
        classifier.history_, classifier.optimizer_ = saved.curves, saved.optimizer
        return classifier

    def _config(self) -> TrainConfig:
        """Return the parameters, checked."""
        fraction = self.validation_fraction
        if not (isinstance(fraction, float | int) and 0 <= fraction < 1):
            raise ValueError(f"validation_fraction must be in [0, 1), but got {fraction}")
        config = TrainConfig(**{f.name: getattr(self, f.name) for f in fields(TrainConfig)})
        if (why := config.needs_validation) and not fraction:
            raise ValueError(f"validation_fraction must be above 0 for {why}")
        return config

    def _validated(self, X: ArrayLike, y: ArrayLike = "no_validation", reset: bool = False) -> Any:
        """Return X, and y if given, as scikit-learn checks them; a table is encoded first."""
        x = X if reset else features_of(X, self.columns_)
        kind = np.float32 if x is X else np.float64  # scale a table before rounding it
        return validate_data(self, x, y, dtype=kind, order="C", reset=reset)

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31))

    def _start(self, network: Network, classes: NDArray[Any], rng: np.random.Generator) -> None:
        """Set the fitted attributes for this network, with an empty history."""
        self.network_, self.classes_, self._rng = network, classes, rng
        self.n_features_in_ = network.n_inputs
        self.optimizer_ = build_optimizer(network.config, network.params)
        self.scaler_, self.columns_ = Scaler(), tuple[Column, ...]()
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

    def _split(self, x: NDArray[np.float32], y: NDArray[Any]) -> Dataset:
        """Return the rows as a Dataset, with labels as indices into `classes_`."""
        if len(unknown := np.setdiff1d(y, self.classes_)):
            first = unknown.tolist()[0]
            raise ValueError(f"y holds {first!r}, which is not one of the classes {self.classes_}")
        targets = np.searchsorted(self.classes_, y)
        parts = x, x[:0], targets, targets[:0]
        if self.validation_fraction:
            options = {"test_size": self.validation_fraction, "random_state": self._split_seed}
            parts = train_test_split(x, targets, stratify=targets, **options)
        x_train, x_val, y_train, y_val = parts
        nameless = "", "", "", ()  # name, source, digest, features
        return Dataset(*nameless, tuple(map(str, self.classes_)), x_train, y_train, x_val, y_val)

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
