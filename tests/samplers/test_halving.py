import pickle
import random

import optuna
import pytest
from optuna.trial import TrialState

from hpsearch.samplers.halving import WHOLE_EVERY, HalvingPruner, bracket_shares
from hpsearch.samplers.pruners import build_pruner
from hpsearch.settings.search import OPTIONS
from hpsearch.storage.open import open_storage

EPOCHS = 27


def new_study(name="halving", direction="maximize", epochs=EPOCHS, **options):
    pruner = build_pruner(name, epochs, options)
    return optuna.create_study(study_name="s", direction=direction, pruner=pruner)


def begin(study, slot=None):
    trial = study.ask()
    if slot is not None:
        trial.set_user_attr("slot", slot)
    return trial


def step(trial, epoch, value):
    """Report an epoch; return whether the pruner ends the trial there."""
    trial.report(value, step=epoch)
    return trial.should_prune()


def run(study, curve, slot=None):
    """Let a trial report its values until it ends; return the epoch at which it was pruned."""
    trial = begin(study, slot)
    for epoch, value in enumerate(curve, start=1):
        if step(trial, epoch, value) and epoch < len(curve):  # the last epoch is not judged
            study.tell(trial, state=TrialState.PRUNED)
            return epoch
    study.tell(trial, curve[-1])
    return None


def level(value):
    return [value] * EPOCHS


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_the_first_rung_waits_for_three_others_and_the_later_rungs_do_not(direction, sign):
    study = new_study(direction=direction)
    ends = [run(study, level(sign * quality)) for quality in (0.1, 0.2, 0.3, 0.4, 0.35)]
    assert ends == [1, 1, 1, None, 1]


@pytest.mark.parametrize(("peers", "first"), [(1, 1), (2, 2), (5, 5)])
def test_as_many_wait_as_the_option_says(peers, first):
    study = new_study(min_peers=peers)
    ends = [run(study, level(quality)) for quality in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    assert ends.index(None) == first


def test_a_trial_goes_on_while_it_is_in_the_best_third_at_each_rung():
    study = new_study()
    for quality in (0.1, 0.2, 0.3):
        run(study, level(quality))
    assert run(study, [0.5, *[0.8] * 26]) is None  # alone at 3 and 9 epochs
    assert run(study, [0.4, *[0.9] * 26]) == 1  # second of 5: only the best passes
    assert run(study, [0.45, *[0.7] * 26]) == 3  # second of 6 at 1 epoch, second of 2 at 3
    assert run(study, [0.5, 0.8, 0.8, *[0.7] * 24]) == 9  # a tie at 3 epochs
    assert run(study, [0.6, 0.1, 0.9, *[0.95] * 24]) is None


def test_the_third_is_that_of_all_who_came_to_the_rung_at_any_time():
    """The oracle ranks the values that all earlier trials had at a rung, by hand."""
    study, at = new_study(), {1: [], 3: [], 9: []}
    rng = random.Random(3)
    for slot in range(60):
        curve = [rng.random() for _ in range(EPOCHS)]
        last_chance = slot % WHOLE_EVERY == WHOLE_EVERY - 1 and not any(
            trial.state is TrialState.COMPLETE for trial in study.trials[slot - WHOLE_EVERY + 1 :]
        )
        expected = None
        for rung in (1, 3, 9):
            value, known = curve[rung - 1], at[rung]
            known.append(value)
            better = sum(other > value for other in known)
            third = max(1, len(known) // 3)
            if not last_chance and (better >= third or (rung == 1 and len(known) <= 3)):
                expected = rung
                break
        assert run(study, curve) == expected, slot


def test_of_fifteen_slots_one_runs_to_its_end_whatever_it_is():
    study = new_study()
    ends = [run(study, level(-n)) for n in range(2 * WHOLE_EVERY)]
    assert [n for n, end in enumerate(ends) if end is None] == [14, 29]
    assert set(ends) == {1, None}


def test_the_last_slot_is_judged_as_the_others_if_one_of_them_ran_to_its_end():
    study = new_study()
    ends = [run(study, level(9.0 if n == 5 else -n)) for n in range(WHOLE_EVERY)]
    assert [n for n, end in enumerate(ends) if end is None] == [5]


@pytest.mark.parametrize("trials", [1, 3, 10])
def test_a_shorter_study_has_a_trial_that_runs_to_its_end_too(trials):
    pruner = build_pruner("halving", EPOCHS, trials=trials)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    assert [run(study, level(-n)) for n in range(trials)] == [*[1] * (trials - 1), None]


def test_trials_that_run_at_the_same_time_are_peers():
    study = new_study()
    together = [begin(study) for _ in range(5)]
    judged = [step(trial, 1, value) for trial, value in zip(together, (1, 2, 3, 4, 5), strict=True)]
    assert judged == [True, True, True, False, False]
    assert [step(trial, epoch, 4) for trial in together[3:] for epoch in (2, 3)] == [
        *(False, False),
        *(False, False),  # the same value
    ]
    assert step(begin(study), 1, 4.5) is False  # two of six


def test_a_failed_attempt_is_no_peer():
    study = new_study()
    for slot, value in enumerate((0.1, 0.2)):
        run(study, level(value), slot)
    killed = begin(study, 2)
    assert step(killed, 1, 0.9)
    study.tell(killed, state=TrialState.FAIL)
    assert run(study, level(0.5), 2) == 1  # the third at the rung
    assert run(study, level(0.6), 3) is None


def test_a_trial_that_goes_on_from_a_checkpoint_is_not_judged_again():
    study = new_study()
    for value in (0.5, 0.6, 0.7, 0.8):
        run(study, level(value))
    resumed = begin(study)
    for epoch in range(1, 5):  # as the checkpoint has them
        resumed.report(0.1, step=epoch)
    assert not step(resumed, 5, 0.1)
    assert step(resumed, 9, 0.1)


def test_a_metric_that_is_measured_now_and_then_is_judged_at_the_next_report():
    study = new_study()
    for value in (0.1, 0.2, 0.3):
        assert step(begin(study), 2, value)
    later = begin(study)
    assert not step(later, 2, 0.4)
    assert not step(later, 4, 0.4)
    second = begin(study)
    assert not step(second, 2, 0.5)
    assert step(second, 4, 0.3)


def test_a_value_that_is_no_number_ends_the_trial_and_is_no_peer():
    study = new_study()
    assert [step(begin(study), 1, value) for value in (0.1, 0.2, float("nan"), 0.3, 0.4)] == [
        *(True, True, True),
        True,
        False,
    ]
    assert step(begin(study), 1, float("nan"))


def test_bootstrap_count_holds_at_every_rung():
    study = new_study(bootstrap_count=2)
    ends = [run(study, level(quality)) for quality in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)]
    assert ends == [1, 1, 1, 3, 3, 9, 9]


@pytest.mark.parametrize(
    ("first", "factor", "epochs", "shares"),
    [(1, 3, 2, [1]), (1, 3, 9, [9, 5, 3]), (1, 3, 26, [9, 5, 3]), (2, 2, 9, [4, 3, 3])],
)
def test_hyperband_divides_the_slots_as_optuna_does(first, factor, epochs, shares):
    assert bracket_shares(first, factor, epochs) == shares
    optunas = optuna.pruners.HyperbandPruner(first, epochs, factor)
    optunas.prune(
        study := optuna.create_study(pruner=optunas),
        study._storage.get_trial(study.ask()._trial_id),
    )
    assert optunas._trial_allocation_budgets == shares


def test_the_brackets_of_hyperband_begin_at_different_rungs():
    study = new_study("hyperband", epochs=9)
    rungs = [study.pruner.first_rung(slot) for slot in range(1_700)]
    counts = [rungs.count(rung) / 100 for rung in (1, 3, 9)]
    assert counts == pytest.approx([9, 5, 3], rel=0.15)
    ends = [run(study, level(-n)) for n in range(40)]
    pruned = [(end, rung) for end, rung in zip(ends, rungs, strict=False) if end is not None]
    assert len(pruned) > 20
    assert all(end == rung for end, rung in pruned)


@pytest.mark.parametrize("name", ["halving", "hyperband"])
def test_a_pruner_can_be_pickled(name):
    pruner = pickle.loads(pickle.dumps(build_pruner(name, 9)))
    assert vars(pruner) == vars(build_pruner(name, 9))
    assert isinstance(pruner, HalvingPruner)


@pytest.mark.parametrize("name", ["halving", "hyperband"])
def test_without_peers_to_wait_for_the_pruner_is_that_of_version_0_1(name):
    pruner = build_pruner(name, 9, {"min_peers": 0, "reduction_factor": 4})
    expected = {
        "halving": optuna.pruners.SuccessiveHalvingPruner(1, 4),
        "hyperband": optuna.pruners.HyperbandPruner(1, 9, 4),
    }[name]
    assert type(pruner) is type(expected)
    assert vars(pruner) == vars(expected)
    assert OPTIONS[name]().model_dump()["min_peers"] == 3


def test_processes_that_share_a_storage_decide_alike(tmp_path):
    def opened():
        return optuna.create_study(
            storage=open_storage(str(tmp_path / "s.journal")),
            study_name="s",
            direction="maximize",
            pruner=build_pruner("halving", EPOCHS),
            load_if_exists=True,
        )

    one, other, alone = opened(), opened(), new_study()
    curves = [[(7 * n + epoch * epoch) % 11 for epoch in range(EPOCHS)] for n in range(24)]
    shared = [run((one, other)[n % 2], curve) for n, curve in enumerate(curves)]
    assert shared == [run(alone, curve) for curve in curves]
    assert {1, 3, None} <= {*shared}
