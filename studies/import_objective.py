"""Your own Optuna study of hpsearch's objective, tracked in MLflow like any other.

It has its own sampler and a space that a study file cannot describe: momentum is suggested only if
the optimizer has one.

    python studies/import_objective.py --trials 20
"""

import argparse
from typing import Any

import optuna

from hpsearch import Objective, Tracker, load_settings
from model import TrainConfig


def suggest(trial: optuna.trial.BaseTrial) -> TrainConfig:
    """Return a configuration: choose an optimizer, then the hyperparameters that belong to it."""
    optimizer = trial.suggest_categorical("optimizer", ["momentum", "adam"])
    own: dict[str, Any]
    if optimizer == "momentum":
        own = {"momentum": 1 - trial.suggest_float("one_minus_momentum", 0.01, 0.5, log=True)}
        learning_rate = trial.suggest_float("momentum_rate", 1e-3, 1.0, log=True)
    else:
        own = {"beta1": trial.suggest_float("beta1", 0.5, 0.95)}
        learning_rate = trial.suggest_float("adam_rate", 1e-4, 1e-1, log=True)
    return TrainConfig(epochs=10, optimizer=optimizer, learning_rate=learning_rate, **own)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=20)
    trials = parser.parse_args().trials

    study = optuna.create_study(
        study_name="my-own-study",
        direction="maximize",
        sampler=optuna.samplers.QMCSampler(seed=0, warn_independent_sampling=False),
        pruner=optuna.pruners.MedianPruner(),
    )
    objective = Objective(load_settings("digits"), suggest=suggest)
    study.optimize(objective, n_trials=trials, callbacks=[Tracker()])
    print(f"best {study.best_value:.4f} in trial {study.best_trial.number}: {study.best_params}")


if __name__ == "__main__":
    main()
