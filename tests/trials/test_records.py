import json

import optuna
import pytest
from optuna.trial import FixedTrial, TrialState, create_trial

from hpsearch.trials.curves import Curves
from hpsearch.trials.records import (
    DataId,
    ProcessId,
    Repeat,
    Setup,
    StudyId,
    assigned_attributes,
    config_of,
    curves_of,
    definition_of,
    ensure_study_id,
    evaluation_of,
    experiment_name,
    first_round_id,
    label_of,
    leases_of,
    metric_of,
    process_of,
    reason_of,
    repeat_of,
    round_number,
    setup_of,
    slot_of,
    study_file,
    study_id,
    weights_of,
    write_definition,
    write_evaluation_of,
    write_reason,
    write_repeat,
    write_round,
    write_setup,
    write_study_file,
    write_weights,
)

SETUP = Setup({"epochs": 3}, "val/loss", 1, DataId("iris", "d1", "iris"))
PROCESS = ProcessId("here", 12, 3.5, "a boot")


@pytest.fixture
def curves():
    grown = Curves()
    assert grown.append({"train/loss": 2.0, "val/accuracy": 0.4}, "val/accuracy")
    assert grown.append({"train/loss": 1.0, "val/accuracy": 0.7}, "val/accuracy")
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
    assert curves.append({"train/loss": 0.5, "val/accuracy": 0.7}, "val/accuracy", (0.5, 2.0))
    trial = stored(curves)
    assert curves_of(trial).gradient_norms == [[0.5, 2.0]]
    assert curves_of(trial).values == curves.values


def test_a_trial_without_curves_has_empty_ones():
    empty = curves_of(FixedTrial({}))
    assert (len(empty), empty.times) == (0, [])
    assert empty.values == {}
    assert Curves() == curves_of(create_trial(value=0.0))


@pytest.mark.parametrize(
    ("optional", "stored"),
    [
        ({}, {}),
        ({"validation": "test", "label": "a"}, {"validation": "test", "label": "a"}),
    ],
)
def test_the_setup_of_a_trial_is_stored_under_its_keys(optional, stored):
    trial, setup = FixedTrial({}), Setup(**{**vars(SETUP), **optional})
    write_setup(trial, setup)
    data = {"name": "iris", "digest": "d1", "source": "iris"}
    table = {"config": {"epochs": 3}, "metric": "val/loss", "seed": 1, "data": data}
    assert trial.user_attrs == {"setup": table | stored}
    assert setup_of(trial) == setup
    assert (config_of(trial), label_of(trial)) == ({"epochs": 3}, stored.get("label", ""))


def test_what_a_worker_records_is_stored_under_its_keys():
    trial = FixedTrial({})
    for key, value in assigned_attributes(4, PROCESS).items():
        trial.set_user_attr(key, value)
    write_reason(trial, "diverged at epoch 3", "Traceback …")
    write_repeat(trial, Repeat(7, 2, epochs=9))
    write_weights(trial, b"\x00\x01")
    assert trial.user_attrs == {
        "process": {"host": "here", "pid": 12, "started": 3.5, "machine": "a boot"},
        "slot": 4,
        "reason": "diverged at epoch 3",
        "traceback": "Traceback …",
        "repeat": {"trial": 7, "draw": 2, "epochs": 9},
        "network": "AAE=",
    }
    assert (process_of(trial), slot_of(trial)) == (PROCESS, 4)
    assert weights_of(trial) == b"\x00\x01"


def test_a_trial_of_another_objective_has_no_records():
    trial = FixedTrial({})
    assert (process_of(trial), setup_of(trial)) == (None, None)
    assert (config_of(trial), label_of(trial)) == ({}, "")


@pytest.mark.parametrize(
    ("attrs", "state", "repeat"),
    [
        ({"slot": 5, "repeat": {"trial": 7, "draw": 2, "epochs": 0}}, "COMPLETE", Repeat(7, 2)),
        ({"slot": 7_002}, "COMPLETE", Repeat(0, 2, epochs=7)),
        ({"slot": 3_000_000_009_004}, "FAIL", Repeat(3, 4, epochs=9)),
        ({"slot": 5}, "FAIL", None),
    ],
)
def test_reads_repeats_also_from_the_slots_of_version_0_1(attrs, state, repeat):
    value = 0.5 if state == "COMPLETE" else None
    trial = create_trial(state=TrialState[state], value=value, user_attrs=attrs)
    assert repeat_of(trial) == repeat


def test_what_a_study_carries_is_stored_under_its_keys():
    first, second, evaluation = (optuna.create_study(study_name=name) for name in ("s", "r", "e"))
    write_definition(first, {"search.metric": "val/loss"})
    write_study_file(first, "name = 's'")
    write_round(second, first, 2)
    write_evaluation_of(evaluation, second)
    assert first.user_attrs == {
        "definition": {"search.metric": "val/loss"},
        "settings": "name = 's'",
        "hpsearch.study_id": ensure_study_id(first),
    }
    assert second.user_attrs == {
        "first": ensure_study_id(first),
        "experiment": "s",
        "round": 2,
        "hpsearch.study_id": ensure_study_id(second),
    }
    assert evaluation.user_attrs == {
        "experiment": "s",
        "round": 2,
        "evaluates": {"study": "r", "id": ensure_study_id(second)},
    }
    assert (metric_of(first), study_file(first)) == ("val/loss", "name = 's'")
    assert (first_round_id(second), round_number(second)) == (ensure_study_id(first), 2)
    assert evaluation_of(evaluation) == StudyId("r", ensure_study_id(second))


def test_a_study_that_hpsearch_did_not_start_has_no_records():
    study = optuna.create_study(study_name="s")
    assert (definition_of(study), metric_of(study), study_file(study)) == ({}, "value", None)
    assert (study_id(study), first_round_id(study), evaluation_of(study)) == (None,) * 3
    assert (experiment_name(study), round_number(study), leases_of(study)) == ("s", 0, {})
    assert study.user_attrs == {}  # reading writes nothing
