import json

import pytest
from optuna.trial import FixedTrial, TrialState, create_trial

from hpsearch.trials.curves import METRICS, Curves
from hpsearch.trials.records import curves_of, reason_of, slot_of
from model.diagnostics import Diagnostics
from model.training import Epoch


@pytest.fixture
def curves():
    grown = Curves()
    assert grown.append(Epoch(1, 0.1, 2.0, 0.3, 1.9, 0.4))
    assert grown.append(Epoch(2, 0.1, 1.0, 0.6, 1.2, 0.7))
    return grown


def stored(curves):
    """Return a trial that carries `curves` as they come back from a storage."""
    attribute = json.loads(json.dumps(curves.as_attribute()))
    return create_trial(value=0.7, user_attrs={"curves": attribute})


def test_a_trial_without_a_slot_has_its_number():
    own = FixedTrial({}, number=7)
    assert slot_of(own) == 7
    own.set_user_attr("slot", 3)
    assert slot_of(own) == 3


@pytest.mark.parametrize(
    ("attrs", "reason"),
    [
        ({}, None),
        ({"reason": "diverged at epoch 3"}, "diverged at epoch 3"),
        ({"interrupted": True}, "interrupted"),
        ({"interrupted": True, "reason": "process died"}, "interrupted"),
    ],
)
def test_says_why_a_trial_ended_early(attrs, reason):
    trial = create_trial(state=TrialState.FAIL, user_attrs={"slot": 0, **attrs})
    assert reason_of(trial) == reason


def test_curves_come_back_from_a_trial(curves):
    trial = stored(curves)
    assert curves_of(trial) == curves
    assert curves_of(trial) == curves  # reading them changes nothing


def test_gradient_norms_come_back_from_a_trial(curves):
    assert curves.append(Epoch(3, 0.1, 0.5, 0.8, 1.3, 0.7, diagnostics=Diagnostics((), (0.5, 2.0))))
    trial = stored(curves)
    assert curves_of(trial).gradient_norms == [[0.5, 2.0]]
    assert curves_of(trial).values == curves.values


def test_a_trial_without_curves_has_empty_ones():
    empty = curves_of(FixedTrial({}))
    assert (len(empty), empty.times) == (0, [])
    assert empty.values == {name: [] for name in METRICS}
    assert Curves() == curves_of(create_trial(value=0.0))
