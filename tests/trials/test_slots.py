import numpy as np
import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.trials.slots import derive_rng, slots_by_state


def trial(slot, state="COMPLETE", **attrs):
    user_attrs = attrs if slot is None else {"slot": slot, **attrs}
    value = 0.5 if state == "COMPLETE" else None
    return create_trial(state=TrialState[state], value=value, user_attrs=user_attrs)


def failed(slot, times=1, **attrs):
    return [trial(slot, "FAIL", **attrs)] * times


def test_a_generator_depends_only_on_seed_slot_and_purpose():
    def draw(seed=1, slot=2, purpose="weights"):
        return tuple(derive_rng(seed, slot, purpose).integers(2**63, size=4))

    others = [draw(seed=2), draw(slot=1), draw(slot=3), draw(purpose="batches"), draw(2, 1)]
    assert draw() == draw()
    assert len({draw(), *others}) == 6


def test_neighbouring_slots_and_purposes_are_independent():
    noise = [
        derive_rng(0, slot, purpose).standard_normal(2000)
        for slot in range(4)
        for purpose in ("weights", "batches", "learning_rate")
    ]
    correlations = np.corrcoef(noise)[np.triu_indices(len(noise), k=1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(2000)


@pytest.mark.parametrize(
    ("trials", "todo", "done", "given_up"),
    [
        ([], [0, 1, 2], [], []),
        ([trial(0), trial(2, "PRUNED")], [1], [0, 2], []),
        ([trial(0), trial(1), trial(2)], [], [0, 1, 2], []),
        ([trial(1, "RUNNING")], [0, 2], [], []),
        (failed(0, 2), [0, 1, 2], [], []),
        (failed(0, 3), [1, 2], [], [0]),
        ([*failed(0, 3), trial(0)], [1, 2], [0], []),
        ([*failed(0, 3), trial(0, "RUNNING")], [1, 2], [], []),
        (failed(0, 5, interrupted=True), [0, 1, 2], [], []),
        ([*failed(0, 2), *failed(0, 5, interrupted=True)], [0, 1, 2], [], []),
        ([trial(3), trial(9, "PRUNED"), *failed(5, 3), trial(7, "RUNNING")], [0, 1, 2], [], []),
        ([trial(0), trial(0)], [1, 2], [0], []),
        ([trial(None), trial(None, "FAIL"), trial(None, "RUNNING")], [0, 1, 2], [], []),
    ],
)
def test_groups_the_slots_by_the_state_of_their_trials(trials, todo, done, given_up):
    slots = slots_by_state(trials, range(3))
    assert (slots.todo, slots.done, slots.given_up) == (todo, done, given_up)


def test_a_running_slot_is_busy_until_it_is_done():
    assert slots_by_state([trial(1, "RUNNING"), trial(7, "RUNNING")], range(3)).busy == [1]
    assert slots_by_state([trial(1, "RUNNING"), trial(1)], range(3)).busy == []
