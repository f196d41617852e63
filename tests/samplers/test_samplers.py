import math
import subprocess
import sys
from importlib.util import find_spec
from statistics import median
from typing import get_args

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from scipy.stats import kstest

from hpsearch.errors import SettingsError
from hpsearch.samplers.pruners import build_pruner
from hpsearch.samplers.registry import SAMPLERS, build_sampler, fix_parameters
from hpsearch.settings.names import SamplerName
from hpsearch.storage.open import open_storage

TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="gp needs torch")
# Those that need no declared space; the grid has tests of its own.
NAMES = ["random", "tpe", "qmc", pytest.param("gp", marks=TORCH)]

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


@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("name", NAMES)
def test_different_seeds_differ(name):
    slots = range(10 if name == "gp" else 12)  # where nothing is known, gp looks in the corners
    first, other = (sampled(build_sampler(name, seed), slots) for seed in (0, 1))
    assert all(first[slot]["rate"] != other[slot]["rate"] for slot in slots)
    assert sampled(build_sampler(name, 0), slots) == first


def test_random_parameters_belong_to_the_slot_whatever_else_happens():
    expected = sampled(build_sampler("random", 0), range(8))
    assert sampled(build_sampler("random", 0), [5, 2, 7, 0, 1, 6, 3, 4]) == expected
    assert sampled(build_sampler("random", 0), [5]) == {5: expected[5]}
    assert sampled(build_sampler("random", 0), range(8), ["units", "rule", "rate"]) == expected
    alone = sampled(build_sampler("random", 0), range(8), ["units"])
    assert alone == {slot: {"units": params["units"]} for slot, params in expected.items()}


def test_random_parameters_are_the_same_in_another_process():
    code = (
        "import optuna; from hpsearch.samplers.registry import build_sampler;"
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


def run_slots(path, name, pruner, stops=()):
    """Run 30 slots; before each of `stops` a trial of that slot fails and everything is reopened.

    Return what the finished trials of the slots came to.
    """

    def start():
        return optuna.create_study(
            storage=open_storage(str(path)),
            study_name="s",
            direction="maximize",
            sampler=build_sampler(name, 5),
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


@pytest.mark.parametrize("name", ["tpe", pytest.param("gp", marks=TORCH)])
@pytest.mark.parametrize("pruner", ["none", "median"])
def test_a_resumed_study_equals_an_uninterrupted_one(tmp_path, name, pruner):
    whole = run_slots(tmp_path / "whole.journal", name, pruner)
    resumed = run_slots(tmp_path / "resumed.journal", name, pruner, stops=(4, 10, 11, 25))
    assert resumed == whole
    points = {tuple(params.items()) for _, _, params in whole}
    assert len(points) == 30 if name == "tpe" else len(points) > 27  # gp may look twice at the best
    assert any(state is TrialState.PRUNED for state, _, _ in whole) is (pruner == "median")


def test_tpe_proposes_all_parameters_at_once_also_where_every_trial_was_pruned():
    study = optuna.create_study(direction="maximize", sampler=build_sampler("tpe", 0))

    def prune(trial):
        suggest(trial)
        trial.report(trial.number, step=1)
        raise optuna.TrialPruned

    study.optimize(prune, n_trials=12)
    assert study.ask().relative_params.keys() == SPACE.keys()


def branch(trial):
    """Two optimizers with hyperparameters of their own: good where the own rate is near 0.01."""
    own = {"adam": "beta", "momentum": "friction"}[
        trial.suggest_categorical("rule", ["adam", "momentum"])
    ]
    rate = trial.suggest_float(f"{own}_rate", 1e-5, 1.0, log=True)
    units, other = trial.suggest_int("units", 5, 100), trial.suggest_float(own, 0.0, 1.0)
    return -abs(math.log10(rate) + 2) + units / 100 + other


@pytest.mark.parametrize("pruner", ["none", "hyperband"])
def test_tpe_proposes_the_parameters_of_each_branch_together(pruner, caplog):
    study = optuna.create_study(
        direction="maximize", sampler=build_sampler("tpe", 0), pruner=build_pruner(pruner, 9)
    )
    study.optimize(branch, n_trials=40)
    branches = {"beta", "beta_rate", "friction", "friction_rate"}
    assert study.ask().relative_params.keys() == {"rule", "units", *branches}
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    distances = [
        abs(math.log10(next(v for k, v in trial.params.items() if k.endswith("_rate"))) + 2)
        for trial in study.get_trials(states=(TrialState.COMPLETE,))
    ]
    assert sum(distances[20:]) < sum(distances[:20])


@pytest.mark.parametrize("options", [{"group": False}, {"multivariate": False}])
def test_without_groups_tpe_leaves_the_branches_to_themselves(options):
    study = optuna.create_study(direction="maximize", sampler=build_sampler("tpe", 0, options))
    study.optimize(branch, n_trials=20)
    common = {"rule", "units"} if options.get("multivariate", True) else set()
    assert study.ask().relative_params.keys() == common


def test_groups_propose_what_the_intersection_does_where_there_are_no_branches():
    def found(**options):
        study = optuna.create_study(direction="maximize", sampler=build_sampler("tpe", 0, options))
        study.optimize(objective, n_trials=20)
        return [trial.params for trial in study.trials]

    assert found(group=True) == found(group=False)


def asked_at_once(name, seed, options=None):
    """What six workers that know the same twelve trials try, none of them finished."""
    study = optuna.create_study(direction="maximize", sampler=build_sampler(name, 0))
    study.optimize(objective, n_trials=12)
    tried = []
    for _ in range(6):  # each a process of its own, with a sampler of its own
        study.sampler = build_sampler(name, seed, options)
        tried.append(suggest(study.ask()))
    return tried


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_several_workers_do_not_try_the_same_point(name, seed):
    tried = asked_at_once(name, seed)
    assert len({params["rate"] for params in tried}) == 6


def test_tpe_keeps_away_from_what_others_are_trying():
    def nearest(**options):
        """The median distance in log10(rate) from each of six to the nearest of the others."""
        distances = []
        for seed in range(30):
            rates = [math.log10(p["rate"]) for p in asked_at_once("tpe", seed, options)]
            distances += [min(abs(a - b) for b in rates if b is not a) for a in rates]
        return median(distances)

    assert nearest() > nearest(constant_liar=False)


def test_tpe_searches_where_it_is_good():
    study = optuna.create_study(direction="maximize", sampler=build_sampler("tpe", 0))
    study.optimize(objective, n_trials=40)
    distances = [abs(math.log10(trial.params["rate"]) + 4) for trial in study.trials]
    assert sum(distances[20:]) < 0.6 * sum(distances[:20])


@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tpe", {"n_startup_trials": 3, "n_ei_candidates": 7, "constant_liar": False}),
        ("tpe", {"multivariate": False, "group": True}),
        ("qmc", {"qmc_type": "halton", "scramble": False}),
        pytest.param("gp", {"n_startup_trials": 4, "deterministic_objective": True}, marks=TORCH),
    ],
)
def test_options_reach_the_sampler(name, options):
    sampler = build_sampler(name, 0, options)
    inner = getattr(sampler, "_sampler", sampler)
    for key, value in options.items():
        known = {"deterministic_objective": "_deterministic"}.get(key, f"_{key}")
        assert getattr(inner, known) == (False if key == "group" else value)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=6)


@TORCH
def test_gp_does_not_try_again_what_was_pruned_or_diverged():
    study = optuna.create_study(direction="maximize", sampler=build_sampler("gp", 0))

    def stop_early(trial):
        params = suggest(trial)
        if params["rate"] > 1e-4:
            raise optuna.TrialPruned  # diverged before it reported anything
        trial.report(-params["units"], step=1)
        if params["units"] > 50:
            raise optuna.TrialPruned
        return -params["units"]

    study.optimize(stop_early, n_trials=24)
    later = study.trials[10:]
    assert len({tuple(trial.params.items()) for trial in later}) >= 12
    assert sum(trial.state is TrialState.COMPLETE for trial in later) >= 7
    assert [trial.state for trial in study.trials].count(TrialState.PRUNED) > 3  # untouched


def test_gp_without_torch_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SettingsError) as error:
        build_sampler("gp", 0)
    assert str(error.value) == (
        "search.sampler: 'gp' needs torch, which is not installed; pip install 'hpsearch[gp]'"
    )
