"""The winner of a study as a study file, as plain data, or as a trained network."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState
from threadpoolctl import threadpool_limits

from hpsearch.analysis.configurations import best_configurations
from hpsearch.analysis.ranking import best_epoch, best_trials, find_trial, rank, trial_record
from hpsearch.errors import DataError, StudyError
from hpsearch.formatting import format_value
from hpsearch.search.study import study_name
from hpsearch.settings.names import with_suffix
from hpsearch.settings.study import StudySettings, parse_settings, settings_table
from hpsearch.storage.catalog import study_settings
from hpsearch.trainables.network import load_data, start_training, trained_config
from hpsearch.trials.curves import METRICS
from hpsearch.trials.records import config_of, seeds_of, setup_of, slot_of
from model.classifier import MLPClassifier
from model.training import CURVES

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.trials.records import DataId
    from model.training import Epoch


def choose_trial(study: Study, slot: int | None = None) -> FrozenTrial:
    """Return the best trial of `study`, or the one in `slot`, which must have run to its end.

    Of a study that repeats configurations it is the best repeat of the best one.
    Raises StudyError.
    """
    if slot is not None:
        trial = find_trial(study, str(slot))
        if trial.state is not TrialState.COMPLETE:
            state = {TrialState.FAIL: "failed", TrialState.PRUNED: "was pruned"}
            what = state.get(trial.state, "is still running")
            raise StudyError(
                f"{_title(study, trial)} {what}; only a completed trial can be exported"
            )
        return trial
    if seeds_of(study) > 1:
        complete = [
            trial
            for configuration in best_configurations(study, 1)
            for trial in configuration.trials
            if trial.state is TrialState.COMPLETE
        ]
        found = rank(complete, study.direction)
    else:
        found = best_trials(study, 1)
    if not found:
        raise StudyError(f"study '{study.study_name}' has no completed trial yet")
    return found[0]


def export_record(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """Return the configuration and what is known of the trial, as plain data."""
    settings = study_settings(study)
    return {
        "study": study.study_name,
        "metric": settings.search.metric,
        "data": asdict(_data(trial)) | settings.data.model_dump(exclude_none=True),
        "seed": settings.search.seed,
        "draw": settings.search.draw(slot_of(trial)),
    } | trial_record(trial)


def single_trial(study: Study, trial: FrozenTrial) -> StudySettings:
    """Return the settings of a study whose one trial is `trial` again, bit for bit.

    Its slot 0 has the draw of weights and batches that the trial had. Raises StudyError.
    """
    settings = study_settings(study)
    table, search = settings_table(settings), settings.search
    return parse_settings(
        {
            "name": with_suffix(study.study_name, f".trial-{slot_of(trial)}"),
            "data": table["data"],
            "search": {
                "metric": search.metric,
                "sampler": "random",
                "pruner": "none",
                "trials": 1,
                "seed": search.seed,
                "first_draw": search.draw(slot_of(trial)),
            },
            "trial": config_of(trial),
        },
        f"study '{study.study_name}'",
    )


def as_study_file(study: Study, trial: FrozenTrial) -> str:
    """Return the file of `single_trial`, with comments on what it is."""
    settings = single_trial(study, trial)
    found = f"{settings.search.metric} {format_value(trial.value)} at epoch {best_epoch(trial)}"
    comments = [
        f"Trial {slot_of(trial)} of {study.study_name}: {found}",
        "",
        f"hpsearch study FILE trains it again as {study_name(settings)}: the same configuration",
        "and, by seed and first_draw, the same weights and batches; without first_draw, others.",
    ]
    lines = [f"# {line}".rstrip() for line in comments]
    return "\n".join([*lines, "", settings.to_toml()])


def retrain(study: Study, trial: FrozenTrial) -> MLPClassifier:
    """Train the network of `trial` again up to its best epoch; it predicts from raw rows.

    Raises StudyError or DataError where it would not be the very network of the trial.
    """
    settings, epochs = study_settings(study), best_epoch(trial)
    search, title = settings.search, _title(study, trial)
    data, metric = load_data(settings.data.model_dump()), search.metric
    if data.digest != _data(trial).digest:
        raise DataError(f"data.source: {settings.data.source} has changed since {title} was run")
    network, training = start_training(
        data,
        trained_config(trial),
        seed=search.seed,
        draw=search.draw(slot_of(trial)),
        metric=metric,
        diagnostics=search.diagnostics,
    )
    with threadpool_limits(limits=1, user_api="blas"):  # as workers do: two threads sum otherwise
        history = list(islice(training, epochs))  # and no further: its weights are the best ones
    value = float(getattr(history[-1], METRICS[metric]))
    if len(history) != epochs or value != trial.value:
        raise StudyError(
            f"{title} had {metric} {trial.value} at epoch {epochs}, but trained again here it has "
            f"{value}; export it with the versions and on the kind of machine that ran it"
        )
    classifier = MLPClassifier.from_network(network, data, random_state=0)
    return _with_curves(classifier, history)


def _with_curves(classifier: MLPClassifier, history: list[Epoch]) -> MLPClassifier:
    """Return the classifier with the curves of its training."""
    classifier.history_ = {name: [getattr(epoch, name) for epoch in history] for name in CURVES}
    classifier.best_epoch_ = len(history)
    return classifier


def network_bytes(classifier: MLPClassifier) -> bytes:
    """Return the .npz file of a network."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        classifier.save(path)
        return path.read_bytes()


def _data(trial: FrozenTrial) -> DataId:
    setup = setup_of(trial)
    assert setup is not None  # the study's settings are known, so hpsearch ran its trials
    assert setup.data is not None
    return setup.data


def _title(study: Study, trial: FrozenTrial) -> str:
    return f"trial {slot_of(trial)} of study '{study.study_name}'"
