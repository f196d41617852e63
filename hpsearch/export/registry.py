"""The registry: a study's network as a version of the MLflow model with the study's name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from hpsearch.analysis.ranking import best_epoch, metric_title
from hpsearch.errors import TrackingError
from hpsearch.export.examples import example_rows
from hpsearch.export.flavor import EXAMPLE_ROWS, save_model_folder
from hpsearch.formatting import format_value
from hpsearch.storage.catalog import study_settings
from hpsearch.tracking.artifacts import run_title
from hpsearch.tracking.projection import (
    ID,
    KIND,
    NOTE,
    NUMBER,
    SLOT,
    STUDY,
    project,
    run_name,
    runs_filter,
)
from hpsearch.tracking.runs import end_killed_runs, end_run, start_run
from hpsearch.trials.records import ensure_study_id, experiment_name, metric_of, slot_of

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.export.network import Winner
    from hpsearch.tracking.store import TrackingStore

ALIAS = "champion"  # the alias of the version that was registered last, and the name of the runs
MODEL = "model"  # the kind of the runs, and the model's folder in their artifacts
NETWORK, TRIAL_RUN = "hpsearch.network", "hpsearch.trial_run"
PROBABILITIES = ' With `params={"proba": True}` it returns the probability of every class.'


@dataclass(frozen=True)
class Champion:
    """The version of the registered model `name` that has the alias."""

    name: str
    version: int
    fresh: bool  # whether it was created now; if not, it already had exactly this network
    before: str = ""  # which version had the alias until now: "version 1 (trial 7)"

    @property
    def uri(self) -> str:
        """The address that `mlflow.pyfunc.load_model` takes."""
        return model_uri(self.name)


def model_uri(name: str) -> str:
    """Return the address of the champion of the registered model `name`."""
    return f"models:/{name}@{ALIAS}"


def register(store: TrackingStore, study: Study, winner: Winner) -> Champion:
    """Register the network of `winner` as a new version, and give it the alias.

    The files of the model are the artifacts of a new run. If the champion already has exactly this
    network and these scores, nothing is created. Raises DataError or TrackingError. After an error
    the alias is where it was, and there is a new version only if it was the alias that failed.
    """
    store.check(experiment_name(study))
    store.prepare()
    with store.errors(), TemporaryDirectory() as folder:
        file, trial = Path(folder) / "network.npz", winner.trial
        winner.network.save(file)
        run = _find_run(store, study, trial)
        origin = _origin(study, trial, run)
        values = {metric_of(study): trial.value, **winner.scores}
        tags = {key: str(value) for key, value in values.items()} | origin | _digest(file)
        found = _champion(store, study.study_name)
        if found is not None and tags.items() <= found.tags.items():
            return Champion(found.name, int(found.version), fresh=False)
        note, settings = _note(study, winner, run), study_settings(study)
        example = example_rows(settings.data, EXAMPLE_ROWS)
        with _model_run(store, study, trial, {**origin, NOTE: note}) as run_id:
            for name, value in winner.scores.items():
                store.client.log_metric(run_id, name, value)
            model = Model(artifact_path=MODEL, run_id=run_id)
            save_model_folder(Path(folder) / MODEL, file, winner.network, example, model)
            store.client.log_artifacts(run_id, str(Path(folder) / MODEL), MODEL)
            version = _create_version(store, study, run_id, tags, note)
            return Champion(study.study_name, version, fresh=True, before=_title(found))


def _find_run(store: TrackingStore, study: Study, trial: FrozenTrial) -> Run | None:
    """Return the run of `trial`, None if it is not in this store; raise TrackingError."""
    experiment = store.experiment_id(experiment_name(study))
    if experiment is None:
        return None
    condition = f"{runs_filter(study)} and tags.`{NUMBER}` = '{trial.number}'"
    with store.errors():
        found = store.client.search_runs([experiment], condition, max_results=1)
    return found[0] if found else None


def _origin(study: Study, trial: FrozenTrial, run: Run | None) -> dict[str, str]:
    """Return the tags that say which trial a network comes from."""
    tags = {STUDY: study.study_name, SLOT: str(slot_of(trial))}
    return tags if run is None else tags | {TRIAL_RUN: run.info.run_id}


def _digest(file: Path) -> dict[str, str]:
    return {NETWORK: hashlib.sha256(file.read_bytes()).hexdigest()[:32]}


def _champion(store: TrackingStore, name: str) -> ModelVersion | None:
    """Return the version of the registered model `name` that has the alias, None if none has it."""
    found = store.client.search_registered_models(f"name = '{name}'")
    version = found[0].aliases.get(ALIAS) if found else None
    return store.client.get_model_version(name, str(version)) if version else None


def _title(version: ModelVersion | None) -> str:
    """Return the number of a version and of its trial, "version 1 (trial 7)"; "" for None."""
    if version is None:
        return ""
    slot = version.tags.get(SLOT)
    return f"version {version.version}{f' (trial {slot})' if slot else ''}"


@contextmanager
def _model_run(
    store: TrackingStore, study: Study, trial: FrozenTrial, tags: Mapping[str, str]
) -> Iterator[str]:
    """Provide the id of a new run with the trial's parameters and data, and end it after.

    An exception in the block ends the run as FAILED.
    """
    experiment_id = store.open_experiment(experiment_name(study))
    end_killed_runs(store, experiment_id, study)
    name = run_title(study, ALIAS)
    tags = {KIND: MODEL, ID: ensure_study_id(study), **tags}
    run_id = start_run(store, experiment_id, tags, name).info.run_id
    status = "FAILED"
    try:
        trained = project(study.study_name, trial, name)
        store.client.log_batch(run_id, params=trained.params)
        if trained.inputs:
            store.log_inputs(run_id, trained.inputs)
        yield run_id
        status = "FINISHED"
    finally:
        with suppress(TrackingError), store.errors():
            end_run(store, run_id, status)


def _create_version(
    store: TrackingStore, study: Study, run_id: str, tags: Mapping[str, str], note: str
) -> int:
    """Create a version of the run's model, give it the alias, and return its number.

    The registered model is created if there is none yet.
    """
    name = study.study_name
    try:
        text = f"Networks of the study {name}; the last one registered is `{ALIAS}`."
        store.client.create_registered_model(name, {KIND: MODEL, STUDY: name}, text)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    source = f"runs:/{run_id}/{MODEL}"
    made = store.client.create_model_version(name, source, run_id, dict(tags), description=note)
    store.client.set_registered_model_alias(name, ALIAS, str(made.version))
    return int(made.version)


def _note(study: Study, winner: Winner, run: Run | None) -> str:
    """Return the text of the version's page, as Markdown."""
    trial, score = winner.trial, winner.untested
    name, title = study.study_name, run_name(study, trial)
    what = "numbers" if winner.network.regression else "class names"
    if winner.network.words_:
        what = "a word for each label"
    if run is not None:
        title = f"[{title}](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id})"
    value = f"{metric_title(study)} {format_value(trial.value)} at epoch {best_epoch(trial)}"
    if winner.scores:
        scores = winner.scores.items()
        score = ", ".join(f"{key} **{format_value(each)}**" for key, each in scores)
    return "\n".join(
        [
            f"The network of {title} in the study {name}, which had {value}; {winner.how}.",
            "",
            f"{score}.",
            "",
            "```python",
            f'mlflow.pyfunc.load_model("{model_uri(name)}").predict(rows)  # {what}',
            "```",
            "",
            "`rows` is a DataFrame with the columns of the signature, in any order."
            + ("" if winner.network.regression else PROBABILITIES),
        ]
    )
