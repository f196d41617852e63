"""Studies are copied between storages of every kind, with all that they have."""

import gc
import itertools

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from hpsearch import Workspace
from hpsearch.errors import StorageError, StudyError
from hpsearch.storage.leases import leased
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import leases_of, write_round

KINDS = ["journal", "sqlite", "postgres", "rdb"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:Heartbeat of storage"),
    # SQLAlchemy leaves the connections of a pool to the end of the process.
    pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def collected(quiet):  # noqa: ARG001
    """Collect garbage before the warnings of this module are heard again."""
    yield
    gc.collect()


@pytest.fixture
def url_of(tmp_path, request):
    def url(kind, name="s"):
        if kind == "journal":
            return str(tmp_path / f"{name}.journal")
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        server = request.getfixturevalue("postgres")
        if kind == "postgres":
            return server.url()
        server.execute(f'create schema "{tmp_path.name}"')
        address = server.address.replace("postgresql:", "postgresql+psycopg:")
        return f"{address}?options=-csearch_path%3D{tmp_path.name}"

    return url


def fill(url):
    storage = open_storage(url)
    study = optuna.create_study(study_name="a", storage=storage, direction="maximize")
    study.set_user_attr("key", {"a": [1, None, "ü"]})
    distributions = {"x": FloatDistribution(1e-5, 1, log=True), "k": CategoricalDistribution("ab")}
    for number, state in enumerate([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]):
        study.add_trial(
            create_trial(
                state=state,
                value=number / 3 if state is TrialState.COMPLETE else None,
                params={"x": 1 / 3, "k": "b"},
                distributions=distributions,
                intermediate_values={1: 0.1, 2: float("nan"), 3: float("inf")},
                user_attrs={"curves": {"loss": [1 / 7]}},
                system_attrs={"a": 1},
            )
        )
    study.enqueue_trial({"x": 0.5})
    pair = optuna.create_study(study_name="b", storage=storage, directions=["minimize"] * 2)
    pair.add_trial(create_trial(values=[1.0, -0.5]))
    return study


def said(url, name):
    study = optuna.load_study(study_name=name, storage=open_storage(url))
    attributes = {key: value for key, value in study.user_attrs.items() if "lease" not in key}
    trials = [repr(trial).partition("trial_id=")[0] for trial in study.trials]
    return study.directions, attributes, trials


@pytest.mark.parametrize(("source", "target"), [*itertools.permutations(KINDS, 2)])
def test_all_that_a_study_has_is_copied(url_of, source, target):
    there, here = url_of(target, "target"), url_of(source, "source")
    fill(here)
    assert Workspace(here).copy(there) == {"a": 4, "b": 1}
    for name in ("a", "b"):
        assert said(there, name) == said(here, name)
    copy = optuna.load_study(study_name="a", storage=open_storage(there))
    assert leases_of(copy) == {}
    assert copy.ask().params == {}  # the waiting trial is next
    assert copy.trials[3].state is TrialState.RUNNING


def test_a_study_that_is_there_is_refused_before_anything_is_copied(url_of):
    here, there = url_of("journal"), url_of("sqlite")
    fill(here)
    optuna.create_study(study_name="b", storage=open_storage(there))
    with pytest.raises(StudyError, match="has a study 'b' already"):
        Workspace(here).copy(there)
    assert optuna.get_all_study_names(open_storage(there)) == ["b"]
    assert Workspace(here).copy(there, ["a"]) == {"a": 4}


def test_rounds_are_copied_with_their_search(url_of):
    here, there = url_of("journal"), url_of("sqlite")
    study, storage = fill(here), open_storage(here)
    later = optuna.create_study(study_name="a.r2", storage=storage, direction="maximize")
    write_round(later, study, 2)
    assert Workspace(here).copy(there, ["a"]) == {"a": 4, "a.r2": 0}


def test_a_study_that_is_being_run_is_not_copied(url_of):
    here, there = url_of("journal"), url_of("sqlite")
    study = fill(here)
    with leased(study._storage, study), pytest.raises(StudyError, match="is being run by"):
        Workspace(here).copy(there)
    assert optuna.get_all_study_names(open_storage(there)) == []


def test_a_copy_that_fails_leaves_nothing(url_of, monkeypatch):
    here, there = url_of("journal"), url_of("sqlite")
    fill(here)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hpsearch.storage.copying.leases_of", fail)
    with pytest.raises(StorageError, match="No space left"):
        Workspace(here).copy(there)
    assert optuna.get_all_study_names(open_storage(there)) == []


def test_a_source_that_is_not_there_is_one_sentence(url_of):
    with pytest.raises(StorageError, match="does not exist"):
        Workspace(url_of("journal")).copy(url_of("sqlite"))
