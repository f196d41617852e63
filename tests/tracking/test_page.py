"""The page of an experiment reaches MLflow, or a warning says why it does not."""

import logging

import pytest

from hpsearch.search.study import run_study
from hpsearch.tracking.page import describe, update_page
from hpsearch.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def study(make_settings, tmp_path_factory):
    storage = tmp_path_factory.mktemp("page") / "j.journal"
    return run_study(make_settings(search={"trials": 2}), storage=str(storage)).study


def test_the_page_has_the_result_the_trials_and_the_command(study):
    page = describe(study)
    assert f"best val/accuracy **{study.best_value:.4g}**; 2 complete, 0 pruned; 6 epochs" in page
    assert "Searched: `learning_rate` 0.001..1" in page
    assert "| trial-0000 |" in page
    assert (
        "run it again, save this as `study.toml`: `hpsearch study study.toml --name tiny-" in page
    )
    assert "[trial]" in page
    assert "--rounds 2`" in describe(study, study)


def test_it_is_the_experiments_page(study, mlflow_uri):
    tracker = Tracker(mlflow_uri)
    update_page([study], tracker)
    experiment = tracker.store.client.get_experiment_by_name(study.study_name)
    assert experiment.tags["mlflow.note.content"].endswith(f"-->\n{describe(study)}")


def test_a_store_that_fails_is_a_warning(study, tmp_path, caplog):
    (tmp_path / "broken.db").write_bytes(b"no database\n" * 500)
    with caplog.at_level(logging.WARNING, logger="hpsearch"):
        update_page([study], Tracker(f"sqlite:///{tmp_path}/broken.db"))
    (record,) = [r for r in caplog.records if r.name.startswith("hpsearch")]
    assert record.getMessage().startswith("tracking store 'sqlite:")
