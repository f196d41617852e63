"""SearchCV: a scikit-learn search over the folds of a cross-validation, run as a study.

A fold is an epoch: after each one the pruner sees the mean score so far, so bad configurations stop
after few folds.
"""

from __future__ import annotations

import logging
import math
import numbers
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib  # type: ignore[import-untyped]
import numpy as np
from optuna.trial import TrialState
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import RandomizedSearchCV, check_cv, cross_validate
from sklearn.utils import get_tags, indexable
from sklearn.utils.metaestimators import available_if

from hpsearch.analysis.ranking import best_trials
from hpsearch.errors import StudyError
from hpsearch.execution.worker import optuna_logs
from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings
from hpsearch.storage.catalog import load_study
from hpsearch.storage.open import open_storage, storage_url
from hpsearch.trainables.errors import ConfigurationError
from hpsearch.trainables.source import Source
from hpsearch.trials.records import DONE, config_of, curves_of, own_trials

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpsearch.search.study import Outcome
    from hpsearch.settings.study import StudySettings

MEAN, FOLD, TRAIN, FIT_TIME, SCORE_TIME = (
    "mean_test_score",
    "test_score",
    "train_score",
    "fit_time",
    "score_time",
)
PLAIN = (bool, int, float, str)
DIGITS = 16  # of a digest


class SearchCV(RandomizedSearchCV):  # type: ignore[misc]
    """Search the parameters of a scikit-learn estimator by cross-validation.

    It stands in for `RandomizedSearchCV`: the same arguments, attributes and methods, and
    `predict` after `fit`. TPE proposes the configurations, a configuration that does badly stops
    after few folds, and a search with a `study_name` goes on where it was killed, and is in MLflow.

    Parameters
    ----------
    estimator : estimator
        What is searched; it is cloned for each fold.
    space : dict
        For each parameter a list of values, a range `{"low": 1e-4, "high": 1.0, "log": True}`
        (`low high log step choices`, as in a study file), or a frozen `uniform`, `loguniform`,
        `reciprocal` or `randint` of `scipy.stats`.
    param_distributions : dict
        `space`, by scikit-learn's name.
    trials : int, default=n_iter
        How many configurations are tried.
    n_iter : int, default=10
        `trials`, by scikit-learn's name.
    scoring, n_jobs, refit, cv, error_score, return_train_score
        As in `RandomizedSearchCV`; `scoring` is one metric, `refit` True or False, and `n_jobs`
        the number of configurations at a time.
    random_state : int, default=0
        Seed of the search.
    sampler, pruner : str, default="tpe" and "median"
        As in a study file; pruner "none" trains all folds of every configuration.
    study_name : str, optional
        Keeps the study: the same call continues it. Without a name nothing is kept.
    storage, tracking_uri : str, optional
        Where a study with a name is kept and tracked, as for the command line.

    Attributes
    ----------
    cv_results_ : dict of arrays
        As in `RandomizedSearchCV`, one entry for each configuration; of one that was stopped after
        few folds the missing folds, the mean and the deviation are NaN.
    best_estimator_, best_params_, best_score_, best_index_, n_splits_, refit_time_, scorer_
        As in `RandomizedSearchCV`.
    study_ : optuna.Study
        The study, if it is kept.

    Raises ValueError as scikit-learn does, and HpsearchError where the study cannot be run.
    """

    def __init__(
        self,
        estimator: Any,
        space: Mapping[str, Any] | None = None,
        *,
        param_distributions: Mapping[str, Any] | None = None,
        trials: int | None = None,
        n_iter: int = 10,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool = True,
        cv: Any = None,
        verbose: int = 0,
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        sampler: str = "tpe",
        pruner: str = "median",
        study_name: str | None = None,
        storage: str | None = None,
        tracking_uri: str | None = None,
    ) -> None:
        self.estimator, self.space, self.param_distributions = estimator, space, param_distributions
        self.trials, self.n_iter, self.scoring, self.n_jobs = trials, n_iter, scoring, n_jobs
        self.refit, self.cv, self.verbose, self.random_state = refit, cv, verbose, random_state
        self.error_score, self.return_train_score = error_score, return_train_score
        self.sampler, self.pruner = sampler, pruner
        self.study_name, self.storage, self.tracking_uri = study_name, storage, tracking_uri

    def __sklearn_tags__(self) -> Any:
        tags, own = super().__sklearn_tags__(), deepcopy(get_tags(self.estimator))
        tags.target_tags, tags.transformer_tags = own.target_tags, own.transformer_tags
        tags.input_tags = own.input_tags
        return tags

    def fit(self, X: Any, y: Any = None, **params: Any) -> SearchCV:
        """Search, and train the best configuration on all rows.

        X : array-like (n_samples, n_features). y : array-like (n_samples,), optional. params :
        passed to the estimator's `fit`, sliced by rows; `groups` goes to the splitter.
        """
        if not isinstance(self.refit, bool):
            raise ValueError(f"refit must be True or False, but got {self.refit!r}")
        self.scorer_, self.multimetric_ = _scorer(self.estimator, self.scoring), False
        if y is None and get_tags(self.estimator).target_tags.required:
            raise ValueError(
                f"{type(self.estimator).__name__} requires y to be passed, but the target y is None"
            )
        X, y = indexable(X, y)
        groups = params.pop("groups", None)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = [*splitter.split(X, y, groups)]
        self.n_splits_ = len(splits)
        space = _Space.read(self._given_space(), self.estimator)
        folds = _Folds(self, space, splits, params)
        with self._settings(folds, (X, y)) as (settings, storage, tracker):
            name = self.study_name or "search"
            try:
                outcome = run_study(
                    settings,
                    name=name,
                    storage=storage,
                    tracker=tracker,
                    jobs=joblib.effective_n_jobs(self.n_jobs),
                    show_progress_bar=bool(self.verbose),
                )
            except StudyError:
                study = load_study(open_storage(storage_url(storage)), name)
                folds.raise_again(own_trials(study), (X, y))
                raise
            trials = own_trials(outcome.study, DONE)
            if not outcome.counts.complete:
                folds.raise_again(trials, (X, y))
                raise ValueError(f"none of {len(trials)} configurations was trained on all folds")
            self._read(outcome, trials, space)
        if self.study_name is not None:
            self.study_ = outcome.study
        if self.refit:
            self._refit(X, y, params)
        return self

    @available_if(lambda search: hasattr(search.estimator, "transform"))  # type: ignore[untyped-decorator]
    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Search, and transform the rows with the best estimator; arguments as of `fit`."""
        return self.fit(X, y, **params).transform(X)

    def _given_space(self) -> Mapping[str, Any]:
        given = [each for each in (self.space, self.param_distributions) if each is not None]
        if len(given) != 1 or not isinstance(given[0], Mapping):
            raise ValueError(
                "space must be a dictionary of parameters, such as "
                '{"C": {"low": 1e-3, "high": 1e3, "log": True}}'
            )
        return given[0]

    @contextmanager
    def _settings(
        self, folds: _Folds, data: tuple[Any, Any]
    ) -> Iterator[tuple[StudySettings, str | None, Any]]:
        """Provide the study's settings, its storage and its tracker; a study without a name ends
        with the block."""
        digest = joblib.hash(data)[:DIGITS]
        table = {
            "name": "search",
            "model": {
                "train": Source(folds.place, folds),
                "data": Source(f"rows:digest_{digest}", _Rows(*data)),
            },
            "search": {
                "metric": MEAN,
                "direction": "maximize",
                "value": "last",
                "sampler": self.sampler,
                "pruner": self.pruner,
                "trials": self.n_iter if self.trials is None else self.trials,
                "seed": _seed(self.random_state),
            },
            "trial": {"epochs": self.n_splits_, **folds.space.table},
        }
        settings = parse_settings(table, type(self).__name__)
        if self.study_name is not None:
            from hpsearch.tracking.tracker import Tracker

            yield settings, self.storage, Tracker(self.tracking_uri)
            return
        with tempfile.TemporaryDirectory() as folder, optuna_logs(logging.WARNING):
            yield settings, str(Path(folder) / "search.journal"), None

    def _read(self, outcome: Outcome, trials: Sequence[FrozenTrial], space: _Space) -> None:
        """Set `cv_results_` and what is best of the trials of a study."""
        best = best_trials(outcome.study, 1)[0]
        self.cv_results_ = _results(trials, space, self.n_splits_, train=self.return_train_score)
        self.best_index_ = next(n for n, t in enumerate(trials) if t.number == best.number)
        self.best_score_ = float(best.value)  # type: ignore[arg-type]
        self.best_params_ = self.cv_results_["params"][self.best_index_]

    def _refit(self, X: Any, y: Any, params: Mapping[str, Any]) -> None:
        parameters = clone(self.best_params_, safe=False)
        self.best_estimator_ = clone(self.estimator).set_params(**parameters)
        began = time.time()
        arguments = (X,) if y is None else (X, y)
        self.best_estimator_.fit(*arguments, **params)
        self.refit_time_ = time.time() - began
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_


class _Rows:
    """The rows of a search, as the function that a study calls in each of its processes."""

    def __init__(self, X: Any, y: Any) -> None:
        self.data = X, y

    def __call__(self) -> tuple[Any, Any]:
        return self.data


class _Folds:
    """What a study trains: an estimator with the parameters of a trial, fold after fold."""

    def __init__(
        self,
        search: SearchCV,
        space: _Space,
        splits: Sequence[tuple[Any, Any]],
        params: Mapping[str, Any],
    ) -> None:
        self.estimator, self.scorer, self.space = search.estimator, search.scorer_, space
        self.splits, self.params, self.error_score = splits, params, search.error_score
        self.return_train_score = search.return_train_score

    @property
    def place(self) -> str:
        """What identifies it: the estimator, with all that is not searched, and the folds."""
        own = {k: v for k, v in self.estimator.get_params().items() if k not in self.space.table}
        parts = (type(self.estimator), own, self.splits, self.params, repr(self.scorer))
        digest = joblib.hash([repr(own), *parts[2:]])[:DIGITS]
        return f"{type(self.estimator).__name__}:digest_{digest}"

    def __call__(self, config: Mapping[str, Any], *, data: tuple[Any, Any]) -> Iterator[Any]:
        X, y = data
        parameters, scores = self.space.parameters(config), list[float]()
        for split in self.splits:
            estimator = clone(self.estimator).set_params(**clone(parameters, safe=False))
            result = self._validated(estimator, X, y, split)
            scores.append(result[FOLD])
            yield {MEAN: float(np.mean(scores)), **result}

    def raise_again(self, trials: Sequence[FrozenTrial], data: tuple[Any, Any]) -> None:
        """Raise the exception of the first trial that one has ended, as scikit-learn raises it."""
        failed = (t for t in trials if t.state is not TrialState.COMPLETE and config_of(t))
        for trial in islice(failed, 1):
            again = copy(self)
            again.error_score = "raise"
            for _ in again(config_of(trial), data=data):
                pass

    def _validated(
        self,
        estimator: BaseEstimator,
        X: Any,
        y: Any,
        split: tuple[Any, Any],
    ) -> dict[str, float]:
        """Return the scores and times of one fold."""
        try:
            result = cross_validate(
                estimator,
                X,
                y,
                scoring=self.scorer,
                cv=[split],
                params=dict(self.params) or None,
                return_train_score=self.return_train_score,
                error_score="raise",
            )
        except Exception as error:
            if self.error_score == "raise":
                raise
            warnings.warn(f"a fit failed: {error}", FitFailedWarning, stacklevel=2)
            score = float(self.error_score)
            if math.isnan(score):
                raise ConfigurationError(f"{type(error).__name__}: {error}") from error
            return {FOLD: score, FIT_TIME: 0.0, SCORE_TIME: 0.0}
        names = [FOLD, FIT_TIME, SCORE_TIME, *([TRAIN] if self.return_train_score else [])]
        return {name: float(result[name][0]) for name in names}


class _Space:
    """A space in scikit-learn's words. table: as [trial] has it. objects: those of the choices
    that a study file could not hold, by the text that stands for them."""

    def __init__(self, table: dict[str, Any], objects: dict[str, dict[str, Any]]) -> None:
        self.table, self.objects = table, objects

    @classmethod
    def read(cls, given: Mapping[str, Any], estimator: BaseEstimator) -> _Space:
        """Read a space; raises ValueError."""
        known, table, objects = (
            estimator.get_params(),
            dict[str, Any](),
            dict[str, dict[str, Any]](),
        )
        for name, entry in given.items():
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {estimator}. Valid parameters are: "
                    f"{sorted(known)!r}."
                )
            if isinstance(entry, Mapping):
                table[name] = dict(entry)
            elif hasattr(entry, "rvs"):
                table[name] = _range_of(name, entry)
            else:
                table[name], objects[name] = _choices(name, entry)
        if not table:
            raise ValueError("space must name at least one parameter")
        return cls(table, {name: found for name, found in objects.items() if found})

    def parameters(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the estimator's parameters of a configuration."""
        return {
            name: self.objects[name][config[name]] if name in self.objects else config[name]
            for name in self.table
        }


def _range_of(name: str, distribution: Any) -> dict[str, Any]:
    """Return the range of a frozen distribution of scipy.stats; raises ValueError."""
    kind = getattr(getattr(distribution, "dist", None), "name", type(distribution).__name__)
    low, high = (end.item() if hasattr(end, "item") else end for end in distribution.support())
    match kind:
        case "uniform":
            return {"low": float(low), "high": float(high)}
        case "loguniform" | "reciprocal":
            return {"low": float(low), "high": float(high), "log": True}
        case "randint":
            return {"low": int(low), "high": int(high)}
    raise ValueError(
        f"space: {name} is a {kind} distribution; use uniform, loguniform or randint of "
        'scipy.stats, a list of values, or {"low": …, "high": …}'
    )


def _choices(name: str, entry: Any) -> tuple[Any, dict[str, Any]]:
    """Return the choices of a list, and the objects that texts stand for; raises ValueError."""
    if isinstance(entry, str) or not hasattr(entry, "__iter__"):
        raise ValueError(
            f"space: {name} must be a list of values, a range or a distribution, but got {entry!r}"
        )
    values = [each.item() if isinstance(each, np.generic) else each for each in entry]
    if not values:
        raise ValueError(f"space: {name} has no values")
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and kinds <= {*PLAIN} and len(set(values)) == len(values):
        return {"choices": values}, {}
    texts: dict[str, Any] = {}
    for number, value in enumerate(values):
        text = " ".join(str(value).split())[:60] or repr(value)
        texts[text if text not in texts else f"{text} ({number})"] = value
    return {"choices": [*texts]}, texts


def _scorer(estimator: BaseEstimator, scoring: Any) -> Any:
    if isinstance(scoring, list | tuple | set | dict):
        raise ValueError(f"scoring must be one metric, but got {scoring!r}")
    return check_scoring(estimator, scoring=scoring)


def _seed(random_state: Any) -> int:
    """Return a seed of a study for scikit-learn's random_state."""
    if random_state is None:
        return 0
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(random_state.randint(2**31 - 1))


def _results(
    trials: Sequence[FrozenTrial], space: _Space, splits: int, *, train: bool
) -> dict[str, Any]:
    """Return the trials as scikit-learn's `cv_results_`."""
    from scipy.stats import rankdata

    parameters = [space.parameters(config_of(trial)) for trial in trials]
    results: dict[str, Any] = {}
    for name in (FIT_TIME, SCORE_TIME):
        times = [[v for v in curves_of(t).of(name) if v is not None] for t in trials]
        results[f"mean_{name}"] = np.array([np.mean(each) if each else np.nan for each in times])
        results[f"std_{name}"] = np.array([np.std(each) if each else np.nan for each in times])
    for name in space.table:
        values = np.empty(len(trials), dtype=object)
        values[:] = [each[name] for each in parameters]
        results[f"param_{name}"] = np.ma.MaskedArray(values, mask=False)
    results["params"] = parameters
    for name in (FOLD, *([TRAIN] if train else ())):
        scores = np.full((len(trials), splits), np.nan)
        for row, trial in enumerate(trials):
            found = [np.nan if v is None else v for v in curves_of(trial).of(name)]
            scores[row, : len(found)] = found
        for number in range(splits):
            results[f"split{number}_{name}"] = scores[:, number]
        results[f"mean_{name}"] = scores.mean(axis=1)
        results[f"std_{name}"] = scores.std(axis=1)
    means = results[MEAN]
    worst = np.nan_to_num(means, nan=(np.nanmin(means) if np.isfinite(means).any() else 0) - 1)
    results["rank_test_score"] = rankdata(-worst, method="min").astype(np.int32)
    return results
