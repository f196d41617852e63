"""`hpsearch delete` and `sync`: keep the two stores in order."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from hpsearch.cli import cli, storage_option, tracking_option

if TYPE_CHECKING:
    from optuna.study import Study

    from hpsearch.tracking.tracker import Tracker


@cli.command()
@click.argument("name")
@storage_option
@tracking_option
@click.option("--no-tracking", is_flag=True, help="Leave MLflow alone.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(
    name: str, storage: str | None, tracking_uri: str | None, no_tracking: bool, yes: bool
) -> None:
    """Delete study NAME with its trials, and its experiment in MLflow.

    A model that `hpsearch export -f mlflow` has registered stays: somebody may be using it.

    \b
    hpsearch delete digits-random
    """
    import optuna

    from hpsearch.evaluation.test_set import is_search, remember_search
    from hpsearch.search.repeats import find_evaluation
    from hpsearch.storage.catalog import load_study, rounds_of
    from hpsearch.storage.leases import claimed
    from hpsearch.storage.open import open_storage, storage_url
    from hpsearch.tracking.tracker import Tracker
    from hpsearch.trials.slots import ROUND, own_trials

    store = open_storage(storage_url(storage), create=False)
    study = load_study(store, name)
    alone = ROUND in study.user_attrs or not is_search(study)
    studies = [study] if alone else rounds_of(store, study)
    evaluations = (find_evaluation(store, each) for each in studies if is_search(each))
    studies += [each for each in evaluations if each is not None]
    with ExitStack() as claims:
        for each in studies:
            claims.enter_context(claimed(each))
        if not yes:
            names = " and ".join(f"'{each.study_name}'" for each in studies)
            trials = sum(len(own_trials(each)) for each in studies)
            where = "" if no_tracking else " and its runs in MLflow"
            click.confirm(
                f"Delete study {names} with {trials} trials{where}?", abort=True, err=True
            )
        tracker = None if no_tracking else Tracker(tracking_uri)
        if tracker is not None and not tracker.store.exists():
            tracker = None
        if tracker is not None:
            tracker.store.prepare()
            for each in studies:
                tracker.delete(each)
        claims.pop_all()  # there will be nothing left to release
        for each in studies:
            _forget_evaluation(each, tracker)
            remember_search(store, each)
            optuna.delete_study(study_name=each.study_name, storage=store)
            click.echo(f"deleted {each.study_name}", err=True)


def _forget_evaluation(study: Study, tracker: Tracker | None) -> None:
    """Take from a search what is known of its evaluation, in MLflow as well, if `study` is that."""
    import optuna

    from hpsearch.execution.coordinator import describe_rounds
    from hpsearch.storage.catalog import rounds_of
    from hpsearch.tracking.evaluations import delete_evaluation
    from hpsearch.tracking.tracker import study_id
    from hpsearch.trials.slots import EVALUATED, EVALUATES

    whose = study.user_attrs.get(EVALUATES, {})
    if whose.get("study") not in optuna.get_all_study_names(study._storage):
        return
    search = optuna.load_study(study_name=whose["study"], storage=study._storage)
    if study_id(search) != whose["id"]:  # it is another one of that name
        return
    search.set_user_attr(EVALUATED, None)
    if tracker is not None:
        delete_evaluation(tracker.store, search)
        describe_rounds(rounds_of(study._storage, search), tracker)


@cli.command()
@click.argument("name")
@storage_option
@tracking_option
def sync(name: str, storage: str | None, tracking_uri: str | None) -> None:
    """Write the MLflow runs of study NAME and of its rounds that are missing there.

    Every start of a study does this by itself; it is of use after the tracking store was away.

    \b
    hpsearch sync digits-random
    """
    from hpsearch.execution.coordinator import describe_rounds
    from hpsearch.search.repeats import find_evaluation
    from hpsearch.storage.catalog import load_study, rounds_of
    from hpsearch.storage.leases import claimed
    from hpsearch.storage.open import open_storage, storage_url
    from hpsearch.tracking.evaluations import log_missing_evaluation
    from hpsearch.tracking.tracker import Tracker

    store = open_storage(storage_url(storage), create=False)
    rounds = rounds_of(store, load_study(store, name))
    evaluations = (find_evaluation(store, study) for study in rounds)
    studies = rounds + [each for each in evaluations if each is not None]
    tracker = Tracker(tracking_uri)
    tracker.store.prepare()
    with ExitStack() as claims:
        for study in studies:  # who runs one of them writes its runs: both would write them
            claims.enter_context(claimed(study))
        written = sum(tracker.sync(study) for study in studies)
        written += sum(log_missing_evaluation(tracker.store, study) for study in rounds)
        describe_rounds(rounds, tracker)
    click.echo(f"{name}: {written} runs written", err=True)
