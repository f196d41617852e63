import optuna
import pytest
from optuna.trial import TrialState

from hpsearch.samplers.registry import build_sampler

pytest.importorskip("torch", reason="gp needs torch")


def test_does_not_propose_again_what_was_pruned_or_diverged():
    study = optuna.create_study(direction="maximize", sampler=build_sampler("gp", 0))

    def stop_early(trial):
        rate = trial.suggest_float("rate", 1e-6, 1e-2, log=True)
        units = trial.suggest_int("units", 5, 100)
        trial.suggest_categorical("rule", ["sgd", "adam", "momentum"])
        if rate > 1e-4:
            raise optuna.TrialPruned  # diverged before its first report
        trial.report(-units, step=1)
        if units > 50:
            raise optuna.TrialPruned
        return -units

    study.optimize(stop_early, n_trials=24)
    later = study.trials[10:]
    assert len({tuple(trial.params.items()) for trial in later}) >= 12
    assert sum(trial.state is TrialState.COMPLETE for trial in later) >= 7
    assert [trial.state for trial in study.trials].count(TrialState.PRUNED) > 3  # as they ended
