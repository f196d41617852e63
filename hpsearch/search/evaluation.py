"""Evaluation: the best of a search trained again over fresh seeds, then the test set, once.

This module alone opens the test set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.analysis.configurations import seeds_of
from hpsearch.analysis.ranking import metric_title
from hpsearch.evaluation.candidates import best_found, by_mean
from hpsearch.evaluation.record import Evaluation, keep_evaluation, last_evaluation
from hpsearch.evaluation.scores import SCORES, score
from hpsearch.evaluation.test_set import complete_look, last_look_of, may_look
from hpsearch.execution.coordinator import OnProgress, describe_rounds
from hpsearch.execution.engines.forkserver import start_forkserver
from hpsearch.execution.recovery import wait_for_orphans
from hpsearch.search.repeats import (
    Bench,
    RepeatObjective,
    check_data,
    check_evaluation,
    evaluation_settings,
    final_network,
    open_evaluation,
    trained_draws,
)
from hpsearch.storage.catalog import load_search, rounds_of
from hpsearch.storage.leases import claimed
from hpsearch.storage.open import open_storage, storage_errors, storage_url
from hpsearch.tracking.tracker import experiment_name, study_id
from hpsearch.trials.slots import Repeat, slot_of
from model.data import load_test_set

if TYPE_CHECKING:
    from optuna.study import Study

    from hpsearch.evaluation.candidates import Found
    from hpsearch.settings.study import StudySettings
    from hpsearch.tracking.tracker import Tracker
    from model.network import Network


def evaluate(
    name: str,
    *,
    top: int = 5,
    seeds: int = 10,
    again: bool = False,
    storage: str | None = None,
    tracker: Tracker | None = None,
    jobs: int = 1,
    on_progress: OnProgress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Evaluate the study called `name`: is its winner real, and how good is it?

    The best `top` configurations are trained again on the same split with `seeds` fresh draws of
    weights and batches. The one with the best mean is then trained, with the same draws, on
    training and validation rows together, for the median of its best epochs and at the learning
    rates that it had there. These networks look at the test set: the first, and all as an ensemble.

    again: look at the test set though somebody has done so before.

    What an earlier evaluation has trained is not trained again; one that was interrupted goes on.
    No luckier one wins by asking for less: what was trained as often before is compared as well,
    and so is what was chosen last, over all draws that all of them have had.

    Raises HpsearchError, and Interrupted when `should_stop` says so.
    """
    if jobs > 1:
        start_forkserver()
    url = storage_url(storage)
    store = open_storage(url, create=False)
    with storage_errors(url):
        study = load_search(store, name)
        settings = evaluation_settings(study)
        best, seeds = _candidates(study, top, seeds)
        objective = RepeatObjective(settings, {found.slot: found.config for found in best})
        check_data(study, objective.data.digest)
        check_evaluation(store, study)
        if tracker is not None:
            tracker.store.check(experiment_name(study))
            tracker.store.prepare()
        held = open_evaluation(store, study, settings, objective.data.digest)
        with claimed(held) as claim:
            wait_for_orphans(held, should_stop)
            if tracker is not None:
                tracker.sync(held, should_stop)
            bench = Bench(held, claim, url, tracker, jobs, on_progress, should_stop)
            evaluation = Evaluation(
                study=name,
                metric=metric_title(study),
                seeds=seeds,
                candidates=tuple(by_mean(bench.repeat(objective, best, seeds))),
                class_names=objective.data.class_names,
                repeats=seeds_of(study),
            )
            evaluation = _test(bench, objective, study, evaluation, again=again)
            keep_evaluation(study, evaluation)
            if tracker is not None and not tracker.lost:
                describe_rounds(rounds_of(store, study), tracker)
    return evaluation


def _candidates(study: Study, top: int, seeds: int) -> tuple[list[Found], int]:
    """Return whom to train how often: the best `top` of a search, and whom an earlier evaluation
    makes candidates; with `seeds` draws, or as many as all of them have had.
    """
    draws, last = trained_draws(study), last_evaluation(study)
    also = {slot for slot, had in draws.items() if had >= seeds}
    also |= set() if last is None else {last.chosen.slot}
    best = best_found(study, top, also)
    return best, max(seeds, min(draws.get(found.slot, 0) for found in best))


def _test(
    bench: Bench, objective: RepeatObjective, study: Study, evaluation: Evaluation, *, again: bool
) -> Evaluation:
    """Train the final networks of the chosen candidate, and have them look at the test set."""
    settings, data, chosen = objective.settings, objective.data, evaluation.chosen
    if settings.data.validation == "test":
        why = "the test set of these data is what the search validates on, and not unseen"
        return replace(evaluation, unseen=why)
    if not chosen.known:
        return replace(evaluation, unseen="every repeat diverged: there is no final network")
    finals = bench.finish(objective, chosen.slot, evaluation.seeds)
    if not finals:
        return replace(evaluation, unseen="every final network diverged")
    epochs, store = Repeat.of(slot_of(finals[0])).epochs, study._storage
    about: dict[str, Any] = {"study_id": study_id(study), "slot": chosen.slot}
    about |= {"seeds": evaluation.seeds, "epochs": epochs}
    look, unseen = may_look(store, data.digest, evaluation.study, about, again=again)
    if look is None:
        look = last_look_of(store, data.digest, about["study_id"])
    elif look.scores is None:
        networks = [final_network(trial, settings, data) for trial in finals]
        look = complete_look(store, look, _test_scores(networks, settings))
    return replace(evaluation, epochs=epochs, look=look, unseen=unseen)


def _test_scores(networks: Sequence[Network], settings: StudySettings) -> dict[str, Any]:
    """Open the test set; return what the first network, each and all together score on it."""
    x, labels = load_test_set(**settings.data.model_dump())
    probabilities = [network.predict_proba(x) for network in networks]
    each = [score(labels, own) for own in probabilities]
    return {
        "network": asdict(each[0]),
        "ensemble": asdict(score(labels, np.mean(probabilities, axis=0))),
        "networks": {name: [getattr(scores, name) for scores in each] for name in SCORES},
    }
