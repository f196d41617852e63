from typing import get_args

import optuna
import pytest
from optuna.pruners import HyperbandPruner
from optuna.trial import TrialState

from hpsearch.samplers.pruners import PRUNERS, build_pruner
from hpsearch.settings.names import PrunerName


def run(study, curve):
    """Run a trial that reports `curve` from epoch 1; return the epoch at which it was pruned."""
    trial = study.ask()
    for epoch, value in enumerate(curve, start=1):
        trial.report(value, step=epoch)
        if trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return epoch
    study.tell(trial, curve[-1])
    return None


def new_study(pruner, epochs, direction="maximize", **options):
    return optuna.create_study(
        study_name="s", direction=direction, pruner=build_pruner(pruner, epochs, options)
    )


def test_the_registry_has_every_pruner_name():
    assert set(PRUNERS) == set(get_args(PrunerName))


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("epochs", [1, 2, 20])
def test_every_pruner_judges_trials_of_any_length(name, epochs):
    study = new_study(name, epochs)
    qualities = (0.9, 0.8, 0.7, 0.6, 0.95, 0.5, 0.96) * 3
    ends = [run(study, [quality] * epochs) for quality in qualities]
    assert None in ends[:15]
    assert all(end is None or 1 <= end <= epochs for end in ends)


def test_none_never_prunes():
    study = new_study("none", 5)
    assert [run(study, [1 / n] * 5) for n in range(1, 12)] == [None] * 11


@pytest.mark.parametrize(
    ("direction", "good", "hopeless"), [("maximize", 0.95, 0.1), ("minimize", 0.1, 0.95)]
)
@pytest.mark.parametrize(("epochs", "judged"), [(2, 1), (10, 1), (20, 2), (50, 5)])
def test_median_prunes_hopeless_trials_after_a_tenth_and_keeps_good_ones(
    direction, good, hopeless, epochs, judged
):
    study = new_study("median", epochs, direction)
    for quality in (0.4, 0.5, 0.6, 0.7, 0.8):
        assert run(study, [quality] * epochs) is None
    assert run(study, [hopeless] * epochs) == judged
    assert run(study, [good] * epochs) is None


def test_median_lets_the_first_five_trials_run_to_their_end():
    study = new_study("median", 10)
    assert [run(study, [1 / n] * 10) for n in range(1, 8)] == [None] * 5 + [1, 1]


def test_halving_judges_at_powers_of_three_and_keeps_the_best_third():
    study = new_study("halving", 20, min_peers=0)
    assert run(study, [0.5] * 20) is None
    assert run(study, [0.4] * 20) == 1
    assert run(study, [0.6] * 20) is None
    assert run(study, [0.7, 0.1, 0.1, 0.9]) == 3
    assert run(study, [0.8, 0.8, 0.8, *[0.8] * 5, 0.2, 0.9]) == 9
    best = study.trials[2]
    assert best.system_attrs == {f"completed_rung_{rung}": 0.6 for rung in range(3)}


@pytest.mark.parametrize(("epochs", "brackets"), [(1, 1), (2, 1), (3, 2), (9, 3), (20, 3)])
def test_hyperband_spreads_its_brackets_over_the_epochs(epochs, brackets):
    pruner = build_pruner("hyperband", epochs, {"min_peers": 0})
    assert isinstance(pruner, HyperbandPruner)
    assert pruner._max_resource == epochs
    study = optuna.create_study(pruner=pruner)
    run(study, [0.5] * epochs)
    assert pruner._n_brackets == brackets


def test_hyperband_prunes_most_trials_that_get_worse_and_never_the_best():
    study = new_study("hyperband", 9, min_peers=0)
    ends = [run(study, [1 / n] * 9) for n in range(1, 40)]
    assert ends[0] is None
    assert sum(end is not None for end in ends) > 20


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("median", {"n_startup_trials": 2, "n_warmup_steps": 4, "interval_steps": 3}),
        ("median", {"n_min_trials": 3}),
        ("halving", {"min_resource": 2, "reduction_factor": 4, "bootstrap_count": 1}),
        ("halving", {"min_early_stopping_rate": 1}),
        ("hyperband", {"min_resource": 2, "reduction_factor": 4, "bootstrap_count": 1}),
    ],
)
def test_options_reach_the_pruner(name, options):
    pruner = build_pruner(name, 20, {"min_peers": 0, **options} if name != "median" else options)
    assert {key: getattr(pruner, f"_{key}") for key in options} == options
    study = optuna.create_study(pruner=pruner)
    assert {run(study, [quality] * 20) for quality in (0.3, 0.2, 0.1)} <= {None, 1, 2, 3, 8}


@pytest.mark.parametrize("name", ["halving", "hyperband"])
@pytest.mark.parametrize("peers", [0, 3])
def test_trials_of_different_lengths_are_judged_at_equal_epochs(name, peers):
    """If `epochs` is searched, short and long trials compete at the rungs that both reach."""
    study = new_study(name, 27, min_peers=peers)
    lengths = [2, 9, 27] * 10
    ends = [run(study, [1 / n] * epochs) for n, epochs in enumerate(lengths, start=1)]
    assert (ends[0] is None) is (peers == 0)
    assert set(ends) - {None} <= {1, 3, 9, 27}
    assert sum(end is not None for end in ends) > 10
