"""Compaction: fewer entries that say the same, while others read and write."""

import logging
import re
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.errors import StorageError
from hpsearch.storage import journal as journal_module
from hpsearch.storage import postgres as postgres_module
from hpsearch.storage.compaction import compact_at_the_end, compact_studies
from hpsearch.storage.open import open_storage

pytestmark = pytest.mark.usefixtures("quiet")

WORKER = """
import sys
import optuna
from hpsearch.storage.open import open_storage
optuna.logging.set_verbosity(optuna.logging.CRITICAL)
study = optuna.load_study(study_name="a", storage=open_storage(sys.argv[1]))
def objective(trial):
    for step in range(20):
        trial.report(step, step)
    return trial.suggest_float("x", 1e-5, 1, log=True)
print("open", flush=True)
study.optimize(objective, n_trials=40)
"""


@pytest.fixture(params=["journal", "postgres"])
def url(request, tmp_path):
    if request.param == "journal":
        return str(tmp_path / "s.journal")
    return request.getfixturevalue("postgres").url()


def load(url, name="a"):
    return optuna.load_study(study_name=name, storage=open_storage(url))


def said(url):
    """All that the storage says, of all its studies."""
    storage = open_storage(url)
    return [
        (
            storage.get_study_id_from_name(study.study_name),
            study.study_name,
            study.directions,
            study.user_attrs,
            study._storage.get_study_system_attrs(study._study_id),
            [(repr(trial), trial._trial_id) for trial in study.trials],
        )
        for study in (load(url, name) for name in optuna.get_all_study_names(storage))
    ]


def fill(url):
    """Make studies with every kind of trial and of value."""
    storage = open_storage(url)
    gone = optuna.create_study(study_name="gone", storage=storage)
    gone.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    study = optuna.create_study(study_name="a", storage=storage, direction="maximize")
    other = optuna.create_study(study_name="b", storage=storage, directions=["minimize"] * 2)
    optuna.delete_study(study_name="gone", storage=storage)
    study.enqueue_trial({"x": 0.125, "n": 3}, user_attrs={"from": "user"})
    for number in range(6):
        study.set_user_attr("count", number)
        study.set_user_attr(f"key-{number}", {"number": number})
        trial = study.ask()
        trial.suggest_float("x", 1e-5, 1, log=True)
        trial.suggest_int("n", 1, 9, step=2)
        trial.suggest_categorical("kind", ["a", None, 1.5, True])
        for step, value in enumerate([0.1 + number, float("nan"), float("-inf"), 1 / 3]):
            trial.report(value, 2 * step)
        trial.set_user_attr("curves", {"loss": [number / 7] * 3})
        trial.set_user_attr("curves", {"loss": [number / 3] * 3, "text": "ü \0 \u2028"})
        study._storage.set_trial_system_attr(trial._trial_id, "system", number)
        if number == 1:
            study.tell(trial, state=TrialState.PRUNED)
        elif number == 2:
            study.tell(trial, state=TrialState.FAIL)
        elif number == 3:
            study.tell(trial, float("inf"))
        elif number != 4:  # which goes on
            study.tell(trial, number / 3)
        pair = other.ask({"y": FloatDistribution(0, 1)})
        other.tell(pair, [number, -1.5])
    study.add_trial(
        create_trial(
            value=0.1,
            params={"x": 0.5, "k": "b", "m": 4},
            distributions={
                "x": FloatDistribution(0, 1),
                "k": CategoricalDistribution(["a", "b"]),
                "m": IntDistribution(1, 64, log=True),
            },
            intermediate_values={3: 0.5},
        )
    )
    study.enqueue_trial({"x": 0.25})
    return study


def entries(url):
    if "://" in url:
        return load(url)._storage.storage.journal._base
    with open(url, "rb") as file:
        return sum(1 for _ in file)


def test_it_says_the_same_with_one_entry_a_finished_trial(url, capfd):
    study = fill(url)
    optuna.logging.set_verbosity(optuna.logging.INFO)
    capfd.readouterr()
    before, count = said(url), entries(url)
    compacted = compact_studies(study._storage, [study])
    assert said(url) == before
    assert compacted.before == count
    assert not capfd.readouterr().err  # nothing of Optuna's about studies that are not there
    assert compacted.after == entries(url) < count / 2
    # Again, with the other study: what is left are its trials, the running one and the waiting one.
    other = load(url, "b")
    compacted = compact_studies(study._storage, [study, other])
    assert said(url) == before
    trials = 3 + len(study.trials) + len(other.trials)
    unfinished = 3 + 4 + 2 + 1  # parameters, reports and attributes of the running one, its waiting
    attributes = 7 + 2  # keys of the study, and what enqueueing and metric names may add
    assert compacted.after <= 4 + trials + unfinished + attributes + 3
    assert compact_studies(study._storage, [study, other]).after == compacted.after


def test_those_who_have_it_open_notice_nothing(url):
    study = fill(url)
    reader, writer = load(url), load(url)
    before = [repr(trial) for trial in reader.trials]
    trial = writer.ask()
    trial.report(0.5, 0)
    compact_studies(study._storage, [study])
    trial.report(0.25, 1)
    assert [repr(each) for each in reader.trials[: trial.number]] == before[: trial.number]
    study.tell(study.ask(), 1.0)
    compact_studies(study._storage, [study])
    trial.report(0.125, 2)
    compact_studies(writer._storage, [study])  # which has not noticed yet, and has more to say
    writer.tell(trial, 3.0)
    compact_studies(reader._storage, [study])
    for each in (study, reader, writer, load(url)):
        assert each.trials[trial.number].value == 3.0
        assert each.trials[trial.number].intermediate_values == {0: 0.5, 1: 0.25, 2: 0.125}
        assert [repr(t) for t in each.trials] == [repr(t) for t in load(url).trials]


def test_workers_go_on_while_it_is_compacted_again_and_again(url):
    study = fill(url)
    first = len(study.trials)
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, url], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "open\n"
    times = 0
    while any(worker.poll() is None for worker in workers):
        compact_studies(study._storage, [study])
        times += 1
    for worker in workers:
        worker.communicate()
        assert worker.returncode == 0
    assert times > 2
    trials = load(url).trials
    assert [trial.number for trial in trials] == [*range(first + 79)]  # one was waiting
    for trial in trials[first:]:
        assert trial.state is TrialState.COMPLETE
        assert trial.intermediate_values == {step: step for step in range(20)}
    compact_studies(study._storage, [study])
    assert [repr(trial) for trial in load(url).trials] == [repr(trial) for trial in trials]


def test_a_reader_in_the_middle_of_it_reads_again(url, monkeypatch):
    study = fill(url)
    before = said(url)
    monkeypatch.setattr(postgres_module, "PAGE", 7)
    kind, method = journal_module.JournalFile, "_entry"
    if "://" in url:
        kind, method = postgres_module.PostgresJournal, "_read_page"
    read, calls = getattr(kind, method), 0

    def read_and_compact(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == 5:
            compact_studies(study._storage, [study])
        return read(self, *arguments)

    monkeypatch.setattr(kind, method, read_and_compact)
    found = [repr(trial) for trial in load(url).trials]
    monkeypatch.undo()
    assert calls > 5
    assert said(url) == before
    assert found == [repr(trial) for trial in load(url).trials]


@pytest.fixture
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_times_stay_exact_in_the_hour_that_comes_twice(url, request):
    study = optuna.create_study(study_name="a", storage=open_storage(url))
    study.tell(study.ask(), 1.0)
    twice = "2026-10-25T01:30:00.000001+00:00"  # 2:30 in Berlin, for the second time
    times = re.compile(r'(datetime_\w+":")[^"]+')
    if "://" in url:
        schema = url.rpartition("=")[2]
        for number, text in enumerate(text_of(url).splitlines(), 1):
            request.getfixturevalue("postgres").execute(
                f"update {schema}.hpsearch_journal set entry = %s where id = %s",
                times.sub(rf"\g<1>{twice}", text),
                number,
            )
    else:
        Path(url).write_text(times.sub(rf"\g<1>{twice}", text_of(url)))
    compact_studies(open_storage(url), [study])
    created = next(line for line in text_of(url).splitlines() if '"op_code":4' in line)
    assert created.count(twice) == 2


def text_of(url):
    if "://" not in url:
        return Path(url).read_text()
    journal = load(url)._storage.storage.journal
    rows = journal._execute("select entry from hpsearch_journal order by id", [])
    return "\n".join(entry for (entry,) in rows)


def test_a_file_keeps_its_rights_and_its_link(tmp_path):
    path, link = tmp_path / "s.journal", tmp_path / "link.journal"
    study = fill(str(path))
    path.chmod(0o640)
    link.symlink_to(path)
    compact_studies(open_storage(str(link)), [study])
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert {each.name for each in tmp_path.iterdir()} == {"s.journal", "link.journal"}
    assert len(load(str(path)).trials) == len(study.trials)


def test_a_writer_that_waits_for_the_lock_writes_to_the_new_file(tmp_path, monkeypatch):
    url = str(tmp_path / "s.journal")
    study, other = fill(url), load(url)
    lock, opened = journal_module._lock, []

    def replaced_before_it_is_locked(file):
        opened.append(file)
        if len(opened) == 1:
            compact_studies(study._storage, [study])
        lock(file)

    monkeypatch.setattr(journal_module, "_lock", replaced_before_it_is_locked)
    other.set_user_attr("late", 1)
    assert len(opened) >= 3  # the old file, the compaction's, and the new one
    assert load(url).user_attrs["late"] == 1


def test_a_database_of_optunas_is_no_journal(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path / 's.db'}")
    study = optuna.create_study(study_name="a", storage=storage)
    with pytest.raises(StorageError, match="only a journal can be compacted"):
        compact_studies(storage, [study])
    compact_at_the_end(storage, study)  # where there is nothing to do


def test_at_the_end_of_a_study_a_failure_is_a_warning(postgres, caplog):
    url = postgres.url(schema="readonly")
    study = fill(url)
    postgres.execute("alter table readonly.hpsearch_journal_state rename to elsewhere")
    with caplog.at_level(logging.WARNING):
        compact_at_the_end(study._storage, study)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "study 'a' was not compacted: " in message
    assert message.endswith("`hpsearch compact a` does it later")
    postgres.execute("alter table readonly.elsewhere rename to hpsearch_journal_state")
    count = entries(url)
    compact_at_the_end(study._storage, study)
    assert entries(url) < count
