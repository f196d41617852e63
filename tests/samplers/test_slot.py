import math
import subprocess
import sys
from importlib.util import find_spec

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from scipy.stats import kstest

from hpsearch.samplers.registry import build_sampler, fix_parameters
from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings
from hpsearch.space.grid import grid_point
from hpsearch.trainables.network_keys import network_space

# "grid" needs a declared space and has its own tests below.
NAMES = [
    *("random", "tpe", "qmc"),
    pytest.param("gp", marks=pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")),
]
SPACE = {
    "rate": FloatDistribution(1e-6, 1e-2, log=True),
    "units": IntDistribution(5, 100),
    "rule": CategoricalDistribution(["sgd", "adam", "momentum"]),
}
TABLE = {
    "epochs": 2,
    "optimizer": {"choices": ["sgd", "adam"]},
    "hidden_layer_sizes": {"choices": [[8, 4], []]},
    "dropout": {"low": 0.1, "high": 0.3, "step": 0.1},
    "batch_size": {"low": 19, "high": 21},
}
DECLARED = network_space(TABLE)


def suggest(trial, names=tuple(SPACE)):
    return {name: trial._suggest(name, SPACE[name]) for name in names}


def run_slot(study, slot, names):
    def run(trial):
        trial.set_user_attr("slot", slot)
        return len(suggest(trial, names))

    study.optimize(run, n_trials=1)


def sampled(sampler, slots, names=tuple(SPACE)):
    """Return the parameters of each slot, run in this order in a new study."""
    study = optuna.create_study(sampler=sampler)
    for slot in slots:
        run_slot(study, slot, names)
    return {trial.user_attrs["slot"]: trial.params for trial in study.trials}


@pytest.mark.parametrize("name", NAMES)
def test_different_seeds_differ(name):
    slots = range(10 if name == "gp" else 12)  # without results, gp proposes the corners
    first, other = (sampled(build_sampler(name, seed), slots) for seed in (0, 1))
    assert all(first[slot]["rate"] != other[slot]["rate"] for slot in slots)
    assert sampled(build_sampler(name, 0), slots) == first


def test_random_parameters_depend_only_on_the_slot():
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


def test_without_a_slot_the_number_of_the_trial_is_used():
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


def test_fixed_parameters_do_not_change_the_other_draws_of_the_slot():
    fixed = fix_parameters(build_sampler("random", 0), {"rule": "sgd"})
    rule = {"rule": "sgd"}
    expected = {slot: p | rule for slot, p in sampled(build_sampler("random", 0), range(5)).items()}
    assert sampled(fixed, range(5)) == expected


def points_of(name, seed, slots, first=0, labelled=None):
    """Return the parameters of each slot; in slots before `first`, `labelled` fixes some."""
    sampler = build_sampler(name, seed, space=DECLARED, first=first)
    study = optuna.create_study(sampler=sampler)
    for slot in slots:
        study.sampler = fix_parameters(sampler, (labelled or {}) if slot < first else {})
        trial = study.ask()
        trial.set_user_attr("slot", slot)
        DECLARED.suggest(trial)
        study.tell(trial, 0.0)
    return {trial.user_attrs["slot"]: trial.params for trial in study.trials}


def test_slot_n_is_point_n_of_the_grid_in_any_order():
    found = points_of("grid", 0, [35, 7, 0])
    assert found == {slot: grid_point(DECLARED, slot) for slot in (0, 7, 35)}


@pytest.mark.parametrize("name", ["grid", "qmc"])
def test_labelled_configurations_come_before_the_points(name):
    labelled = {"optimizer": "adam", "batch_size": 20}
    alone, after = points_of(name, 0, range(36)), points_of(name, 0, range(38), 2, labelled)
    assert {slot - 2: params for slot, params in after.items() if slot >= 2} == alone
    for slot in (0, 1):
        assert after[slot] | labelled == after[slot]
        assert after[slot].keys() == alone[0].keys()


def test_slot_n_is_point_n_of_the_quasi_random_sequence_in_any_order_and_start():
    whole = points_of("qmc", 3, range(8))
    assert points_of("qmc", 3, [5, 2, 7, 0, 1, 6, 3, 4]) == whole
    assert points_of("qmc", 3, [6]) == {6: whole[6]}
    assert points_of("qmc", 4, range(8)) != whole


def test_a_quasi_random_sequence_is_spread_evenly():
    found = [params["optimizer"] for params in points_of("qmc", 0, range(16)).values()]
    assert found.count("sgd") == 8
    pairs = {
        (p["optimizer"], p["hidden_layer_sizes"]) for p in points_of("qmc", 0, range(4)).values()
    }
    assert len(pairs) == 4


def test_a_grid_study_tries_every_point_once(tmp_path):
    trial = {key: value for key, value in TABLE.items() if key != "dropout"}
    table = {
        "name": "n",
        "data": {"source": "iris"},
        "search": {"sampler": "grid"},
        "trial": trial,
        "enqueue": [{"label": "known", "optimizer": "adam"}],
    }
    settings = parse_settings(table, "f")
    journal = str(tmp_path / "g.journal")
    run_study(settings.replace(search={"trials": 6}), storage=journal)
    outcome = run_study(settings, storage=journal)
    trials = outcome.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    points = [grid_point(settings.trial, number) for number in range(12)]
    assert [trial.params for trial in trials[1:]] == points
    assert trials[0].user_attrs["setup"]["label"] == "known"
    assert trials[0].params["optimizer"] == "adam"
