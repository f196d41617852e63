import math
import subprocess
import sys
from typing import get_args

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from scipy.stats import kstest

from hpsearch.options import SamplerName
from hpsearch.pruners import build_pruner
from hpsearch.samplers import SAMPLERS, build_sampler, fix_parameters
from hpsearch.storage import open_storage

EPOCHS = 3
SPACE = {
    "rate": FloatDistribution(1e-6, 1e-2, log=True),
    "units": IntDistribution(5, 100),
    "rule": CategoricalDistribution(["sgd", "adam", "momentum"]),
}


def suggest(trial, names=tuple(SPACE)):
    return {name: trial._suggest(name, SPACE[name]) for name in names}


def objective(trial):
    """Better the nearer the rate is to 1e-4; the wrong rule learns at half the speed."""
    params = suggest(trial)
    for epoch in range(1, EPOCHS + 1):
        value = -abs(math.log10(params["rate"]) + 4) + params["units"] / 100
        value *= epoch / EPOCHS if params["rule"] == "sgd" else epoch / EPOCHS / 2
        trial.report(value, step=epoch)
        if epoch < EPOCHS and trial.should_prune():
            raise optuna.TrialPruned
    return value


def run_slot(study, slot, function):
    def run(trial):
        trial.set_user_attr("slot", slot)
        return function(trial)

    study.optimize(run, n_trials=1, catch=(ArithmeticError,))


def sampled(sampler, slots, names=tuple(SPACE)):
    """The parameters of each slot, run in this order in a study of their own."""
    study = optuna.create_study(sampler=sampler)
    for slot in slots:
        run_slot(study, slot, lambda trial: len(suggest(trial, names)))
    return {trial.user_attrs["slot"]: trial.params for trial in study.trials}


def test_the_registry_has_the_names_of_the_options():
    assert set(SAMPLERS) == set(get_args(SamplerName))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("pruner", ["none", "median", "halving", "hyperband"])
def test_every_sampler_runs_a_study_under_every_pruner(name, pruner):
    study = optuna.create_study(
        direction="maximize",
        sampler=build_sampler(name, 0),
        pruner=build_pruner(pruner, EPOCHS),
    )
    study.optimize(objective, n_trials=14)
    for trial in study.trials:
        assert trial.distributions == SPACE
        assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    assert len({trial.params["rate"] for trial in study.trials}) == 14


@pytest.mark.parametrize("name", SAMPLERS)
def test_different_seeds_differ(name):
    first, other = (sampled(build_sampler(name, seed), range(12)) for seed in (0, 1))
    assert all(first[slot]["rate"] != other[slot]["rate"] for slot in range(12))
    assert sampled(build_sampler(name, 0), range(12)) == first


def test_random_parameters_belong_to_the_slot_whatever_else_happens():
    expected = sampled(build_sampler("random", 0), range(8))
    assert sampled(build_sampler("random", 0), [5, 2, 7, 0, 1, 6, 3, 4]) == expected
    assert sampled(build_sampler("random", 0), [5]) == {5: expected[5]}
    assert sampled(build_sampler("random", 0), range(8), ["units", "rule", "rate"]) == expected
    alone = sampled(build_sampler("random", 0), range(8), ["units"])
    assert alone == {slot: {"units": params["units"]} for slot, params in expected.items()}


def test_random_parameters_are_the_same_in_another_process():
    code = (
        "import optuna; from hpsearch.samplers import build_sampler;"
        "study = optuna.create_study(sampler=build_sampler('random', 4)); trial = study.ask();"
        "trial.set_user_attr('slot', 11);"
        "print(repr(trial.suggest_float('rate', 1e-6, 1e-2, log=True)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) == sampled(build_sampler("random", 4), [11])[11]["rate"]


def test_in_somebody_elses_study_the_number_stands_in_for_the_slot():
    study = optuna.create_study(sampler=build_sampler("random", 0))
    study.optimize(lambda trial: len(suggest(trial)), n_trials=8)
    expected = sampled(build_sampler("random", 0), range(8))
    assert {trial.number: trial.params for trial in study.trials} == expected


def test_random_parameters_are_uniform_on_their_scale_over_the_slots():
    params = sampled(build_sampler("random", 0), range(500)).values()
    shares = [(math.log10(p["rate"]) + 6) / 4 for p in params]
    assert kstest(shares, "uniform").pvalue > 0.05
    counts = [sum(p["rule"] == rule for p in params) for rule in SPACE["rule"].choices]
    assert all(abs(count - 500 / 3) < 4 * math.sqrt(500 * 2 / 9) for count in counts)


def test_the_parameters_of_a_slot_are_independent():
    params = sampled(build_sampler("random", 0), range(500)).values()
    rates = [math.log10(p["rate"]) for p in params]
    units = [p["units"] for p in params]
    mean_rate, mean_units = sum(rates) / 500, sum(units) / 500
    covariance = sum((r - mean_rate) * (u - mean_units) for r, u in zip(rates, units, strict=True))
    scale = math.sqrt(
        sum((r - mean_rate) ** 2 for r in rates) * sum((u - mean_units) ** 2 for u in units)
    )
    assert abs(covariance / scale) < 4 / math.sqrt(500)


def run_tpe(path, pruner, stops=()):
    """Run 30 slots; before each of `stops` a trial of that slot fails and everything is reopened.

    Return what the finished trials of the slots came to.
    """

    def start():
        return optuna.create_study(
            storage=open_storage(str(path)),
            study_name="s",
            direction="maximize",
            sampler=build_sampler("tpe", 5),
            pruner=build_pruner(pruner, EPOCHS),
            load_if_exists=True,
        )

    def die(trial):
        suggest(trial, ["rate"])
        raise ArithmeticError

    study = start()
    for slot in range(30):
        if slot in stops:
            run_slot(study, slot, die)
            study = start()
        run_slot(study, slot, objective)
    finished = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    assert [trial.user_attrs["slot"] for trial in finished] == list(range(30))
    return [(trial.state, trial.value, trial.params) for trial in finished]


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_a_resumed_tpe_study_equals_an_uninterrupted_one(tmp_path, pruner):
    whole = run_tpe(tmp_path / "whole.journal", pruner)
    resumed = run_tpe(tmp_path / "resumed.journal", pruner, stops=(4, 10, 11, 25))
    assert resumed == whole
    assert len({params["rate"] for _, _, params in whole}) == 30
    assert any(state is TrialState.PRUNED for state, _, _ in whole) is (pruner == "median")


def test_tpe_proposes_all_parameters_at_once_also_where_every_trial_was_pruned():
    study = optuna.create_study(direction="maximize", sampler=build_sampler("tpe", 0))

    def prune(trial):
        suggest(trial)
        trial.report(trial.number, step=1)
        raise optuna.TrialPruned

    study.optimize(prune, n_trials=12)
    assert study.ask().relative_params.keys() == SPACE.keys()


def test_tpe_searches_where_it_is_good():
    study = optuna.create_study(direction="maximize", sampler=build_sampler("tpe", 0))
    study.optimize(objective, n_trials=40)
    distances = [abs(math.log10(trial.params["rate"]) + 4) for trial in study.trials]
    assert sum(distances[20:]) < 0.6 * sum(distances[:20])


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("slot", [0, 12])
def test_fixes_some_parameters_and_samples_the_rest(name, slot):
    sampler = build_sampler(name, 0)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective, n_trials=slot)
    study.sampler = fix_parameters(sampler, {"rate": 0.0092, "rule": "sgd"})
    run_slot(study, slot, objective)
    trial = study.trials[slot]
    assert (trial.params["rate"], trial.params["rule"]) == (0.0092, "sgd")
    assert trial.params["units"] in range(5, 101)
    assert trial.distributions == SPACE


def test_fixed_parameters_leave_the_random_draws_of_the_slot_alone():
    fixed = fix_parameters(build_sampler("random", 0), {"rule": "sgd"})
    rule = {"rule": "sgd"}
    expected = {slot: p | rule for slot, p in sampled(build_sampler("random", 0), range(5)).items()}
    assert sampled(fixed, range(5)) == expected


def test_nothing_fixed_is_the_sampler_itself():
    sampler = build_sampler("random", 0)
    assert fix_parameters(sampler, {}) is sampler
