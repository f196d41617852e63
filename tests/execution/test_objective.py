import errno
import json
import pickle

import numpy as np
import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner
from optuna.trial import FixedTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

import hpsearch.execution.objective
from hpsearch.data.loading import load_dataset
from hpsearch.errors import DataError, Interrupted, SettingsError
from hpsearch.execution.objective import Objective
from hpsearch.settings.study import parse_settings
from hpsearch.trials.records import curves_of
from model.config import TrainConfig

EPOCHS = 3
TRIAL = {
    "epochs": EPOCHS,
    "batch_size": 16,
    "hidden_layer_sizes": [8],
    "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
}
RATE = {"learning_rate": 0.05}
EXPLODING = {"optimizer": "sgd", "learning_rate": 1e30}


class PruneFrom(BasePruner):
    """Prunes every trial at the given epoch or later."""

    def __init__(self, epoch):
        self.epoch = epoch

    def prune(self, study, trial):  # noqa: ARG002
        return trial.last_step >= self.epoch


def build(*, suggest=None, data=None, search=None, enqueue=(), **trial):
    table = {
        "name": "n",
        "data": {"source": "iris"} | (data or {}),
        "search": search or {},
        "trial": TRIAL | trial,
        "enqueue": list(enqueue),
    }
    return Objective(parse_settings(table, "test"), suggest=suggest)


def new_study(pruner=None, direction="maximize"):
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(direction=direction, sampler=sampler, pruner=pruner)


def fixed_trial(slot=None, number=0, params=RATE):
    trial = FixedTrial(params, number=number)
    if slot is not None:
        trial.set_user_attr("slot", slot)
    return trial


def run(objective, **options):
    """Train in a FixedTrial; return the value and the curves without their times."""
    trial = fixed_trial(**options)
    return objective(trial), curves_of(trial).values


@pytest.fixture(scope="module")
def objective():
    return build()


def test_returns_a_float_that_a_second_call_repeats(objective):
    value, curves = run(objective)
    assert type(value) is float
    assert run(objective) == (value, curves)
    assert {len(values) for values in curves.values()} == {EPOCHS}


@pytest.mark.parametrize(
    ("metric", "direction", "best"),
    [("val/accuracy", "maximize", max), ("val/loss", "minimize", min)],
)
def test_the_value_is_that_of_the_best_epoch(metric, direction, best):
    objective = build(search={"metric": metric})
    study = new_study(MedianPruner(n_startup_trials=100), direction)
    study.optimize(objective, n_trials=4)
    for trial in study.trials:
        curve = curves_of(trial).values[metric]
        assert trial.value == best(curve) == best(trial.intermediate_values.values())
        assert trial.intermediate_values == dict(enumerate(curve, start=1))
        assert trial.user_attrs["setup"]["metric"] == metric
    assert study.best_value == best(trial.value for trial in study.trials)


@pytest.mark.parametrize(("metric", "best"), [("val/accuracy", max), ("val/loss", min)])
def test_early_stopping_follows_the_metric_of_the_study(metric, best):
    objective = build(search={"metric": metric}, epochs=200, early_stopping=3, learning_rate=0.2)
    trial = fixed_trial(slot=0, params={})
    value = objective(trial)
    curve = trial.user_attrs["curves"][metric]
    assert value == best(curve)
    assert len(curve) == curve.index(value) + 1 + 3 < 200


def test_it_runs_in_any_optuna_study_with_a_conditional_space():
    def suggest(trial):
        if trial.suggest_categorical("optimizer", ["momentum", "adam"]) == "adam":
            own = {"optimizer": "adam", "beta1": trial.suggest_float("beta1", 0.5, 0.95)}
        else:
            own = {"momentum": trial.suggest_float("momentum", 0.5, 0.99)}
        return TrainConfig(epochs=4, hidden_layer_sizes=(4,), **own)

    study = new_study(MedianPruner(n_startup_trials=3))
    study.optimize(build(suggest=suggest), n_trials=20)
    states = [trial.state for trial in study.trials]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in study.trials:
        config = trial.user_attrs["setup"]["config"]
        assert config.items() >= trial.params.items()
        assert len(trial.params) == 2


def test_a_trial_records_what_was_trained(objective):
    study = new_study()
    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    expected = TrainConfig(
        epochs=EPOCHS, batch_size=16, hidden_layer_sizes=(8,), **trial.params
    ).as_dict()
    data = load_dataset("iris")
    assert trial.user_attrs.keys() == {"setup", "curves"}
    assert trial.user_attrs["setup"] == {
        "config": expected,
        "metric": "val/accuracy",
        "seed": 0,
        "data": {"name": "iris", "digest": data.digest, "source": "iris"},
    }
    times = curves_of(trial).times
    start, end = (t.timestamp() * 1000 for t in (trial.datetime_start, trial.datetime_complete))
    assert start - 1 <= times[0] <= times[1] <= times[2] <= end + 1


def test_the_attributes_are_json(objective):
    study = new_study()
    study.optimize(objective, n_trials=1)
    attributes = study.trials[0].user_attrs
    assert json.loads(json.dumps(attributes, allow_nan=False)) == attributes


def test_a_diverging_trial_is_pruned_and_records_the_epoch():
    study = new_study()
    study.optimize(build(**EXPLODING), n_trials=2)
    for trial in study.trials:
        assert trial.state is TrialState.PRUNED
        assert trial.user_attrs["reason"] == "diverged at epoch 1"
        assert trial.user_attrs.keys() == {"setup", "reason"}
        assert (trial.value, trial.intermediate_values) == (None, {})


def test_the_curves_end_before_the_epoch_that_diverged():
    """A weight decay of 2.5 under SGD at rate 1 multiplies the weights by −1.5 in every step."""
    objective = build(
        epochs=500, optimizer="sgd", learning_rate=1.0, weight_decay=2.5, batch_size=10**6
    )
    study = new_study()
    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    curves = curves_of(trial)
    assert trial.state is TrialState.PRUNED
    assert 1 < len(curves) < 500
    assert trial.user_attrs["reason"] == f"diverged at epoch {len(curves) + 1}"
    assert list(trial.intermediate_values) == list(range(1, len(curves) + 1))
    assert np.isfinite([list(trial.intermediate_values.values()), *curves.values.values()]).all()


def test_a_divergence_raises_no_numpy_warning():
    with np.errstate(all="raise"), pytest.raises(optuna.TrialPruned, match="diverged at epoch 1"):
        build(**EXPLODING)(FixedTrial({}))


@pytest.mark.parametrize("epoch", range(1, EPOCHS))
def test_a_pruned_trial_records_the_epoch_and_keeps_its_curves(objective, epoch):
    study = new_study(PruneFrom(epoch))
    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    assert trial.state is TrialState.PRUNED
    assert trial.user_attrs["reason"] == f"pruned at epoch {epoch}"
    assert len(curves_of(trial)) == len(trial.intermediate_values) == epoch
    assert trial.value == trial.intermediate_values[epoch]


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_trial_is_not_pruned_after_its_last_epoch(epochs):
    study = new_study(PruneFrom(epochs))
    study.optimize(build(epochs=epochs), n_trials=1)
    assert study.trials[0].state is TrialState.COMPLETE


def test_it_reports_every_epoch_and_then_asks_the_pruner(objective):
    heard = []
    study = new_study(PruneFrom(2))
    study.optimize(
        lambda trial: objective(trial, lambda t, epoch: heard.append((t.number, epoch))),
        n_trials=1,
    )
    assert heard == [(0, 1), (0, 2)]


@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt])
def test_an_interrupted_trial_fails_and_keeps_its_curves(objective, error):
    def stop(_, epoch):
        if epoch == 2:
            raise error

    study = new_study()
    with pytest.raises(error):
        study.optimize(lambda trial: objective(trial, stop), n_trials=1)
    (trial,) = study.trials
    assert trial.state is TrialState.FAIL
    assert trial.user_attrs["interrupted"] is True
    assert trial.user_attrs.keys() == {"setup", "curves", "interrupted"}
    assert len(curves_of(trial)) == 2


def test_an_exception_fails_the_trial_and_leaves_its_traceback():
    def suggest(trial):
        return TrainConfig(epochs=trial.suggest_int("epochs", 1, 3), momentum=1.5)

    study = new_study()
    with pytest.raises(ValueError, match="momentum must be in"):
        study.optimize(build(suggest=suggest), n_trials=1)
    (trial,) = study.trials
    assert trial.state is TrialState.FAIL
    assert trial.user_attrs.keys() == {"reason", "traceback"}
    assert trial.user_attrs["reason"] == "ValueError: momentum must be in [0, 1), but got 1.5"
    assert "in suggest\n" in trial.user_attrs["traceback"]


def test_a_trial_that_was_declared_dead_is_not_changed(objective):
    study = new_study()

    def declare_dead(trial, _):
        study.tell(trial.number, state=TrialState.FAIL)

    with pytest.raises(UpdateFinishedTrialError):
        objective(study.ask(), declare_dead)
    assert study.trials[0].user_attrs.keys() == {"setup"}
    assert len(study.trials[0].intermediate_values) == 1


def test_a_long_trial_writes_its_curves_while_it_runs(objective, monkeypatch):
    monkeypatch.setattr(hpsearch.execution.objective, "LIVE_SECONDS", -1)
    lengths = []
    objective(fixed_trial(), lambda trial, _: lengths.append(len(curves_of(trial))))
    assert lengths == [1, 2, 3]


def test_a_pickled_objective_gives_the_same_value(objective):
    copy = pickle.loads(pickle.dumps(objective))
    assert run(copy) == run(objective)
    own = pickle.loads(pickle.dumps(build(suggest=suggest_one_epoch)))
    assert len(run(own, params={})[1]["val/loss"]) == 1


def suggest_one_epoch(_):
    return TrainConfig(epochs=1)


def test_the_data_do_not_travel_with_the_pickle(objective):
    assert len(pickle.dumps(objective)) < 3000


def test_a_slot_and_a_seed_give_the_same_curves_and_others_give_others(objective):
    assert run(objective, slot=3) == run(build(), slot=3) == run(objective, slot=3, number=8)
    other_seed = build(search={"seed": 1})
    losses = [
        tuple(run(some, slot=slot)[1]["val/loss"])
        for some, slot in [(objective, 3), (objective, 4), (other_seed, 3)]
    ]
    assert len(set(losses)) == 3


def test_the_order_of_the_rows_depends_on_the_slot_too():
    objective = build(hidden_layer_sizes=[], initializer="normal", weight_std=1e-30)
    losses = [tuple(run(objective, slot=slot)[1]["val/loss"]) for slot in (0, 1)]
    assert losses[0] != losses[1]


def test_a_trial_without_a_slot_uses_its_number(objective):
    assert run(objective, number=5) == run(objective, slot=5)


def test_a_search_seed_does_not_move_the_split():
    first, other = build(), build(search={"seed": 1})
    assert np.array_equal(first.model.dataset.x_val, other.model.dataset.x_val)
    moved = build(data={"split_seed": 1})
    assert not np.array_equal(first.model.dataset.x_val, moved.model.dataset.x_val)


def test_labels_belong_to_slots_and_a_trial_without_a_slot_has_none():
    objective = build(enqueue=[{"label": "patient", "epochs": 5}, {"label": "keen", "epochs": 1}])
    found = {}
    for slot in (0, 1, 2, None):
        trial = fixed_trial(slot)
        objective(trial)
        found[slot] = (trial.user_attrs["setup"].get("label"), len(curves_of(trial)))
    assert found == {0: ("patient", 5), 1: ("keen", 1), 2: (None, EPOCHS), None: (None, EPOCHS)}


@pytest.mark.parametrize(
    ("content", "data", "sentence"),
    [
        (None, {}, "data.source: {path}: No such file or directory"),
        ("", {}, "data: {path}: is empty; a table with column names and rows is needed"),
        (
            "a,b,kind\n1,2,x\n",
            {},
            "data: {path}: target must name the column of the labels (a, b, kind)",
        ),
        (
            "a,b,kind\n1,2,x\n",
            {"target": "kin"},
            "data: {path}: 'kin' is not a column; did you mean 'kind'? (a, b, kind)",
        ),
        (
            "a,kind\n" + "1,x\n2,y\n" * 3 + "2,y\n" * 6,
            {"target": "kind"},
            "data: {path}: class 'x' has only 3 of the 7 rows it needs to be in the training, "
            "validation and test parts; add rows or leave the class out",
        ),
        (
            "a,kind\n" + "1,x\n2,y\n" * 20,
            {"target": "kind", "limit": 2},
            "data: limit must be at least 12 to hold every class in every part, but got 2",
        ),
    ],
)
def test_bad_data_are_named_in_the_error(tmp_path, content, data, sentence):
    path = tmp_path / "rows.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as error:
        build(data={"source": str(path)} | data)
    assert str(error.value) == sentence.format(path=path)


def test_an_unknown_data_set_is_named_in_the_error():
    with pytest.raises(DataError) as error:
        build(data={"source": "digit"})
    assert str(error.value).startswith("data: 'digit' is not a data set; did you mean 'digits'? (")


def test_a_missing_file_is_named_in_the_error(tmp_path):
    folder = tmp_path / "rows.csv"
    folder.mkdir()
    with pytest.raises(DataError) as error:
        build(data={"source": str(folder)})
    assert str(error.value) == f"data.source: {folder}: Is a directory"


def test_it_loads_a_table_from_a_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,kind\n" + "1,0,x\n0,1,y\n" * 20, encoding="utf-8")
    settings = build(data={"source": str(path), "target": "kind"}).settings
    data = load_dataset(**settings.data.arguments())
    assert (data.name, data.class_names) == ("rows", ("x", "y"))
    assert Objective(settings)(fixed_trial(params={"learning_rate": 0.5})) == 1.0


def test_a_study_with_the_wrong_direction_is_refused():
    objective = Objective(parse_settings({"name": "x", "data": {"source": "iris"}}, "x"))
    with pytest.raises(SettingsError, match=r"^val/accuracy is to be maximized: .*='maximize'$"):
        optuna.create_study().optimize(objective, n_trials=1)


def test_diagnostics_keep_the_gradients_norms_and_change_nothing_else(make_settings):
    values = {"learning_rate": 0.1, "one_minus_momentum": 0.1}
    seen = []
    for diagnostics in (False, True):
        trial = FixedTrial(values)
        Objective(make_settings(search={"diagnostics": diagnostics}))(trial)
        seen.append(trial.user_attrs["curves"])
    norms = seen[1].pop("gradient_norms")
    assert [len(layers) for layers in norms] == [2, 2, 2]  # of 64-8-10, three epochs
    assert all(norm > 0 for layers in norms for norm in layers)
    assert [curves | {"times": None} for curves in seen] == 2 * [seen[0] | {"times": None}]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), SQLAlchemyError("away")])
def test_a_failing_storage_is_no_failed_try_of_the_trial(make_settings, monkeypatch, error):
    def fail(*_, **__):
        raise error

    trial = FixedTrial({"learning_rate": 0.1, "one_minus_momentum": 0.1})
    monkeypatch.setattr(trial, "report", fail)
    with pytest.raises(type(error)):
        Objective(make_settings())(trial)
    assert trial.user_attrs["no_try"] is True
    assert trial.user_attrs["reason"] == f"{type(error).__name__} in epoch 2: {error}"
