"""The winner of best_mnist.toml, scored on the sealed test images, once.

    hpsearch study best_mnist --jobs 2
    python studies/best_mnist.py

The network that validated best is trained again on all rows that the search saw, training and
validation, for as many epochs. The score is kept with the study: a second look is refused.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import datetime

import numpy as np

from hpsearch.errors import HpsearchError
from hpsearch.objective import load_data, start_training
from hpsearch.rounds import study_settings
from hpsearch.slots import slot_of
from hpsearch.storage import open_storage, storage_url
from hpsearch.study import load_study
from hpsearch.summary import best_trials
from model import Dataset, TrainConfig, load_test_set

SCORE = "test_score"  # user attribute of the study


def joined(data: Dataset) -> Dataset:
    """Return a data set whose training part holds the validation rows too."""
    return replace(
        data,
        x_train=np.concatenate([data.x_train, data.x_val]),
        y_train=np.concatenate([data.y_train, data.y_val]),
        x_val=data.x_val[:0],
        y_val=data.y_val[:0],
    )


def main() -> None:
    """Train the winner and score it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--name", default="best_mnist-tpe", help="the study")
    parser.add_argument("--storage", help="where the study is")
    options = parser.parse_args()

    study = load_study(open_storage(storage_url(options.storage), create=False), options.name)
    if SCORE in study.user_attrs:
        score = study.user_attrs[SCORE]
        parser.exit(1, f"it was scored on {score['date']}: {score['accuracy']:.4f}\n")
    settings, (best,) = study_settings(study), best_trials(study, 1)
    config = TrainConfig(**best.user_attrs["setup"]["config"])
    print(f"trial {slot_of(best)}, validation accuracy {best.value:.4f}: {best.params}")

    network, epochs = start_training(settings, joined(load_data(settings)), config, slot_of(best))
    for epoch in epochs:
        print(f"epoch {epoch.number} of {config.epochs}, loss {epoch.train_loss:.4f}", end="\r")
    loss, accuracy = network.evaluate(*load_test_set(**settings.data.model_dump()))
    study.set_user_attr(SCORE, {"date": f"{datetime.now():%Y-%m-%d}", "accuracy": accuracy})
    print(f"\naccuracy on the sealed test images: {accuracy:.4f} (loss {loss:.4f})")


if __name__ == "__main__":
    try:
        main()
    except HpsearchError as error:
        raise SystemExit(f"Error: {error}") from None
