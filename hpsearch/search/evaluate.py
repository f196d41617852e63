"""Evaluating a search: its best trials are trained again over fresh seeds, then tested once.

This is the only module that opens the test set.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.analysis.ranking import metric_title
from hpsearch.errors import Argument, SettingsError, TrackingError
from hpsearch.evaluation.baselines import NETWORK, Comparison, compare, remarks, score_name
from hpsearch.evaluation.candidates import best_results, by_mean
from hpsearch.evaluation.on_test_rows import OnTestRows
from hpsearch.evaluation.record import Evaluation, keep_evaluation, last_evaluation
from hpsearch.evaluation.scores import COMPARISON, MODELS, SCORES, TESTED, THRESHOLD, score
from hpsearch.evaluation.test_set import Networks, complete_use, last_use_by, request_use
from hpsearch.execution.coordinator import OnProgress, RunOptions
from hpsearch.execution.engines.forkserver import start_forkserver
from hpsearch.execution.objective import check_trained_here, load_model
from hpsearch.execution.recovery import wait_for_orphans
from hpsearch.search.model_finals import score_finals
from hpsearch.search.repeats import (
    Retraining,
    check_data,
    check_evaluation,
    count_draws,
    evaluation_settings,
    open_evaluation,
)
from hpsearch.settings.data import Folds
from hpsearch.storage.catalog import load_search, rounds_of
from hpsearch.storage.leases import leased
from hpsearch.storage.open import KEPT, open_storage, storage_errors, storage_url
from hpsearch.trainables.baselines import baseline_predictions
from hpsearch.trainables.scoring import ALIASES
from hpsearch.trials.records import (
    config_of,
    ensure_study_id,
    experiment_name,
    repeat_of,
    seeds_of,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import NDArray
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from hpsearch.evaluation.candidates import SearchResult
    from hpsearch.settings.study import StudySettings
    from hpsearch.tracking.tracker import Tracker
    from hpsearch.trainables.network import NetworkModel
    from hpsearch.trainables.scoring import Predicted, Truth
    from model.network import Network
    from model.outputs import Threshold

logger = logging.getLogger(__name__)


def evaluate(
    name: str,
    *,
    top: int = 5,
    seeds: int = 10,
    again: bool = False,
    storage: str | None = None,
    tracker: Tracker | None = None,
    jobs: int = 1,
    gpus: Sequence[str] = (),
    executor: Executor | None = None,
    cluster: str | None = None,
    on_progress: OnProgress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Evaluate the study called `name`: is its winner real, and how good is it?

    The best `top` configurations are trained again on the same split, with `seeds` fresh draws of
    weights and batches. The one with the best mean is then trained, with the same draws, on
    training and validation rows together, for the median of its best epochs and at the learning
    rates that it had there. These networks are scored on the test set: the first one, and all as an
    ensemble. With a tracker the evaluation becomes a run in MLflow.

    again: use the test set even if it has been used before. gpus, executor, cluster: as of
    `run_study`.

    Nothing is trained twice: an interrupted evaluation continues where it stopped. A smaller `top`
    or `seeds` cannot make a lucky configuration win: every configuration that has as many draws
    from earlier evaluations is compared too, and so is the one that was chosen last, over all draws
    that all of them have.

    Raises HpsearchError, and Interrupted when `should_stop` returns True.
    """
    options = RunOptions(
        storage=storage_url(storage),
        tracker=tracker,
        jobs=jobs,
        gpus=gpus,
        executor=executor,
        cluster=cluster,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    with storage_errors(options.storage):
        store = open_storage(options.storage, create=False)
        study = load_search(store, name)
    return run_evaluation(store, study, options, top=top, seeds=seeds, again=again)[0]


def run_evaluation(
    store: BaseStorage, study: Study, options: RunOptions, *, top: int, seeds: int, again: bool
) -> tuple[Evaluation, bool]:
    """Evaluate `study` as `evaluate` does; return also whether MLflow has the evaluation."""
    for argument, value in (("top", top), ("seeds", seeds)):
        if value < 1:
            raise SettingsError(Argument(argument), f": must be at least 1, but got {value}")
    tracker = options.tracker
    if options.jobs > 1:
        start_forkserver()
    with storage_errors(options.storage, hint=KEPT):
        settings = evaluation_settings(study)
        check_trained_here(settings)
        results, seeds = _results(store, study, top, seeds)
        model = load_model(settings)
        check_data(study, model.digest)
        check_evaluation(store, study)
        if tracker is not None:
            tracker.store.check(experiment_name(study))
            tracker.store.prepare()
        with leased(store, open_evaluation(store, study, settings, model.digest)) as lease:
            wait_for_orphans(store, lease.study, options.should_stop)
            if tracker is not None:
                tracker.sync(lease.study, options.should_stop)
            configs = {each.slot: config_of(each.trial) for each in results}
            retraining = Retraining(store, lease, settings, model, configs, options)
            evaluation = Evaluation(
                study=study.study_name,
                metric=metric_title(study),
                seeds=seeds,
                candidates=tuple(by_mean(retraining.repeat(results, seeds))),
                class_names=model.class_names,
                repeats=seeds_of(study),
            )
            evaluation = _score(retraining, study, evaluation, again=again)
            keep_evaluation(study, evaluation)
        return evaluation, _track(tracker, store, study, evaluation)


def _results(
    store: BaseStorage, study: Study, top: int, seeds: int
) -> tuple[list[SearchResult], int]:
    """Return what to train, and with how many draws.

    That is the best `top` of the search and what an earlier evaluation makes a candidate, with
    `seeds` draws or as many as all of them have had.
    """
    draws, last = count_draws(store, study), last_evaluation(study)
    also = {slot for slot, number in draws.items() if number >= seeds}
    also |= set() if last is None else {last.chosen.slot}
    results = best_results(study, top, also)
    return results, max(seeds, min(draws.get(each.slot, 0) for each in results))


def _score(
    retraining: Retraining, study: Study, evaluation: Evaluation, *, again: bool
) -> Evaluation:
    """Train the final networks of the chosen candidate, and score them on the test set."""
    settings, model, chosen = retraining.settings, retraining.model, evaluation.chosen
    if not model.test_rows:
        return replace(evaluation, unscored="no test rows were held back")
    if settings.data.validation == "test":
        why = "the test set of these data is what the search validates on, and not unseen"
        return replace(evaluation, unscored=why)
    if not chosen.known:
        return replace(evaluation, unscored="every repeat diverged: there is no final network")
    if settings.model is not None:
        return _score_model(retraining, study, evaluation, again=again)
    from hpsearch.search.finals import final_network, train_finals  # imports the training core
    from hpsearch.trainables.network import NetworkModel
    from hpsearch.trainables.network_keys import NETWORK

    assert isinstance(model, NetworkModel)
    finals = train_finals(retraining, model, chosen.slot, evaluation.seeds)
    if not finals:
        return replace(evaluation, unscored="every final network diverged")
    first = repeat_of(finals[0])
    epochs = 0 if first is None else first.epochs

    def scores() -> dict[str, Any]:
        trained = [final_network(trial, settings, model.final_data) for trial in finals]
        threshold = None
        if settings.search.threshold is not None:
            config = NETWORK.build(retraining.configs[chosen.slot])
            threshold = model.threshold(config, 0, epochs, settings.search.threshold)
        return _test_scores(trained, settings, model, evaluation, threshold)

    return _use_test_set(retraining, study, evaluation, epochs, scores, again=again)


def _score_model(
    retraining: Retraining, study: Study, evaluation: Evaluation, *, again: bool
) -> Evaluation:
    """Let a user's own model train and score its final models; see `_score`."""
    slot, seeds = evaluation.chosen.slot, evaluation.seeds
    epochs = retraining.typical_epochs(slot, seeds)

    def scores() -> dict[str, Any]:
        each = score_finals(retraining, slot, seeds, epochs)
        model = retraining.settings.model
        if model is None or model.estimator is None:
            return {MODELS: each}
        return {MODELS: each, **_estimator_scores(retraining, evaluation, epochs, each)}

    return _use_test_set(retraining, study, evaluation, epochs, scores, again=again)


def _use_test_set(
    retraining: Retraining,
    study: Study,
    evaluation: Evaluation,
    epochs: int,
    scores: Callable[[], dict[str, Any]],
    *,
    again: bool,
) -> Evaluation:
    """Return the evaluation with the scores of its final networks, if they may use the test set.

    scores: opens the test set; called only if these networks have not used it.
    """
    store, digest = retraining.storage, retraining.model.test_rows
    networks = Networks(ensure_study_id(study), evaluation.chosen.slot, evaluation.seeds, epochs)
    use, unscored = request_use(store, digest, evaluation.study, networks, again=again)
    if use is None:
        use = last_use_by(store, digest, networks.study_id)
    elif use.scores is None:
        use = complete_use(store, use, scores())
    return replace(evaluation, epochs=epochs, test_use=use, unscored=unscored)


def _test_scores(
    networks: Sequence[Network],
    settings: StudySettings,
    model: NetworkModel,
    evaluation: Evaluation,
    threshold: Threshold | None,
) -> dict[str, Any]:
    """Open the test set; return the scores of the networks, and the first one beside baselines.

    threshold: as it was chosen on validation rows.
    """
    from hpsearch.data.loading import load_test_rows

    x, labels, weights = load_test_rows(**settings.data.arguments())
    outputs = [network.predict(x) for network in networks]
    scoring = model.final_scoring

    def decided(outputs: NDArray[Any]) -> Predicted:
        return scoring.predicted(outputs, threshold)

    found = _on_test_rows(
        settings,
        evaluation,
        scoring.truth(labels, weights),
        [decided(each) for each in outputs],
        decided(np.mean(outputs, axis=0)),
        table=settings.data.parts(),
        validation_rows=model.validation_rows,
        targets=model.dataset.target_names,
    )
    if not model.class_names or model.dataset.multilabel:
        return found
    decision = {} if threshold is None else {THRESHOLD: [*threshold]}
    return {**class_scores(labels, outputs, lambda p: decided(p).labels), **decision, **found}


def _estimator_scores(
    retraining: Retraining,
    evaluation: Evaluation,
    epochs: int,
    each: Mapping[str, Sequence[float | None]],
) -> dict[str, Any]:
    """Return what the first final estimator does on the test rows, beside baselines.

    It is trained once more, with the same result, because only the scores of each have been kept.
    """
    from hpsearch.trainables.estimator import EstimatorModel

    model, config = retraining.model, retraining.configs[evaluation.chosen.slot]
    assert isinstance(model, EstimatorModel)
    truth, predicted = model.tested(config, 0, epochs)
    of_classes = {}
    if truth.class_names and not truth.multilabel:
        first = score(truth.y, predicted.labels, len(truth.class_names))
        of_classes = {"network": asdict(first)}
    return of_classes | _on_test_rows(
        retraining.settings,
        evaluation,
        truth,
        [predicted],
        table=model.table,
        each={ALIASES.get(name := key.removeprefix("test/"), name): v for key, v in each.items()},
        validation_rows=model.validation_rows,
        targets=model.target_names,
        subject=model.name.rpartition(".")[2],
    )


def _on_test_rows(
    settings: StudySettings,
    evaluation: Evaluation,
    truth: Truth,
    models: Sequence[Predicted],
    together: Predicted | None = None,
    *,
    table: Mapping[str, Any],
    each: Mapping[str, Sequence[float | None]] | None = None,
    validation_rows: int,
    targets: Sequence[str],
    subject: str = NETWORK,
) -> dict[str, Any]:
    """Return what final models do on the test rows, and the first one beside baselines.

    table: the arguments of `read_parts`, with which the baselines read the same rows and labels.
    """
    searched, folded = settings.search.metric, isinstance(settings.data.validation, Folds)
    metric = score_name(searched, truth)
    baselines = dict(baseline_predictions(table, settings.data.class_weight))
    compared, error = compare(metric, truth, models[0], baselines, subject=subject)
    said = remarks(
        metric,
        truth,
        models[0],
        validated=evaluation.chosen.mean if _measures(searched, metric) else None,
        validation_rows=validation_rows,
        error=error,
        one_split=not folded,
        subject=subject,
    )
    tested = OnTestRows.of(metric, truth, models, together, each=each, targets=targets)
    return {
        TESTED: tested.as_plain(),
        COMPARISON: Comparison(metric, compared, tuple(said)).as_plain(),
    }


def _measures(searched: str, score: str) -> bool:
    """Whether a study's metric is this score on validation rows; a loss need not be."""
    part, _, name = searched.partition("/")
    return part == "val" and name != "loss" and score == ALIASES.get(name, name)


def class_scores(
    labels: NDArray[np.intp],
    probabilities: Sequence[NDArray[Any]],
    decide: Callable[[NDArray[Any]], NDArray[np.intp]] = lambda p: p.argmax(axis=1),
) -> dict[str, Any]:
    """Return the scores of the first network, of each, and of all together, as plain data.

    decide: returns class indices (n,) from probabilities (n, k).
    """
    classes = probabilities[0].shape[1]
    each = [score(labels, decide(own), classes) for own in probabilities]
    together = score(labels, decide(np.mean(probabilities, axis=0)), classes)
    return {
        "network": asdict(each[0]),
        "ensemble": asdict(together),
        "networks": {name: [getattr(scores, name) for scores in each] for name in SCORES},
    }


def _track(
    tracker: Tracker | None, store: BaseStorage, study: Study, evaluation: Evaluation
) -> bool:
    """Log the evaluation to MLflow, and return whether that worked; if not, log a warning."""
    if tracker is None:
        return False
    # Importing MLflow takes a second.
    from hpsearch.tracking.evaluation import log_evaluation
    from hpsearch.tracking.page import update_page

    if not tracker.lost:
        update_page(rounds_of(store, study), tracker)
    try:
        log_evaluation(tracker.store, study, evaluation)
    except TrackingError as error:
        logger.warning("%s; the same command logs the evaluation later", error)
        return False
    return True
