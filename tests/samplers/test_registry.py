import math
import sys
from importlib.util import find_spec
from statistics import median
from typing import get_args

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from hpsearch.errors import SettingsError
from hpsearch.samplers.pruners import build_pruner
from hpsearch.samplers.registry import SAMPLERS, build_sampler, fix_parameters
from hpsearch.settings.names import SamplerName
from hpsearch.storage.open import open_storage

TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="gp needs torch")
# "grid" needs a declared space and has its own tests in test_slot.py.
NAMES = [
    pytest.param(name, marks=TORCH if name == "gp" else ()) for name in SAMPLERS if name != "grid"
]  # a grid needs choices: tests/samplers/test_slot.py

EPOCHS = 3
SPACE = {
    "rate": FloatDistribution(1e-6, 1e-2, log=True),
    "units": IntDistribution(5, 100),
    "rule": CategoricalDistribution(["sgd", "adam", "momentum"]),
}


def suggest(trial, names=tuple(SPACE)):
    return {name: trial._suggest(name, SPACE[name]) for name in names}


def objective(trial):
    """Return a value that is best at a rate of 1e-4; rules other than sgd learn at half speed."""
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


def test_the_registry_has_every_sampler_name():
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


def run_slots(path, name, pruner, stops=()):
    """Return state, value and parameters of the finished trials of 30 slots.

    In each slot of `stops`, a first trial fails and the study is opened again.
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
        trial.report(9.0, step=1)  # better than any other, if it counted
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
@pytest.mark.parametrize("pruner", ["none", "median", "halving", "hyperband"])
def test_a_resumed_study_equals_an_uninterrupted_one(tmp_path, name, pruner):
    whole = run_slots(tmp_path / "whole.journal", name, pruner)
    resumed = run_slots(tmp_path / "resumed.journal", name, pruner, stops=(4, 10, 11, 25))
    assert resumed == whole
    points = {tuple(params.items()) for _, _, params in whole}
    assert len(points) == 30 if name == "tpe" else len(points) > 27  # gp may propose the best twice
    assert any(state is TrialState.PRUNED for state, _, _ in whole) is (pruner != "none")


def test_tpe_proposes_all_parameters_together_even_if_every_trial_was_pruned():
    study = optuna.create_study(direction="maximize", sampler=build_sampler("tpe", 0))

    def prune(trial):
        suggest(trial)
        trial.report(trial.number, step=1)
        raise optuna.TrialPruned

    study.optimize(prune, n_trials=12)
    assert study.ask().relative_params.keys() == SPACE.keys()


def branch(trial):
    """Return a value of two branches with separate rates, which are best near 0.01."""
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
def test_without_groups_tpe_models_only_the_common_parameters(options):
    study = optuna.create_study(direction="maximize", sampler=build_sampler("tpe", 0, options))
    study.optimize(branch, n_trials=20)
    common = {"rule", "units"} if options.get("multivariate", True) else set()
    assert study.ask().relative_params.keys() == common


def test_without_branches_groups_propose_the_same_as_the_intersection():
    def found(**options):
        study = optuna.create_study(direction="maximize", sampler=build_sampler("tpe", 0, options))
        study.optimize(objective, n_trials=20)
        return [trial.params for trial in study.trials]

    assert found(group=True) == found(group=False)


def proposed_in_parallel(name, seed, options=None):
    """Return what six parallel workers propose after the same twelve finished trials."""
    study = optuna.create_study(direction="maximize", sampler=build_sampler(name, 0))
    study.optimize(objective, n_trials=12)
    tried = []
    for _ in range(6):  # each worker has its own sampler
        study.sampler = build_sampler(name, seed, options)
        tried.append(suggest(study.ask()))
    return tried


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_several_workers_do_not_try_the_same_point(name, seed):
    tried = proposed_in_parallel(name, seed)
    assert len({params["rate"] for params in tried}) == 6


def test_tpe_avoids_the_points_of_running_trials():
    def nearest(**options):
        """Return the median distance in log10(rate) from a proposal to the nearest other one."""
        distances = []
        for seed in range(30):
            rates = [math.log10(p["rate"]) for p in proposed_in_parallel("tpe", seed, options)]
            distances += [min(abs(a - b) for b in rates if b is not a) for a in rates]
        return median(distances)

    assert nearest() > nearest(constant_liar=False)


def test_tpe_concentrates_on_good_values():
    study = optuna.create_study(direction="maximize", sampler=build_sampler("tpe", 0))
    study.optimize(objective, n_trials=40)
    distances = [abs(math.log10(trial.params["rate"]) + 4) for trial in study.trials]
    assert sum(distances[20:]) < 0.6 * sum(distances[:20])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("slot", [0, 12])
def test_fixes_some_parameters_and_samples_the_others(name, slot):
    sampler = build_sampler(name, 0)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective, n_trials=slot)
    study.sampler = fix_parameters(sampler, {"rate": 0.0092, "rule": "sgd"})
    run_slot(study, slot, objective)
    trial = study.trials[slot]
    assert (trial.params["rate"], trial.params["rule"]) == (0.0092, "sgd")
    assert trial.params["units"] in range(5, 101)
    assert trial.distributions == SPACE


def test_without_fixed_parameters_the_sampler_is_returned_as_it_is():
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


def test_gp_without_torch_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SettingsError) as error:
        build_sampler("gp", 0)
    assert str(error.value) == (
        "search.sampler: 'gp' needs torch, which is not installed; pip install 'hpsearch[gp]'"
    )
