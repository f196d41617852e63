"""The journal in PostgreSQL: what it writes and when, what it refuses, and who shares it."""

import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import psycopg
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from hpsearch.errors import StorageError
from hpsearch.execution.worker import optuna_logs
from hpsearch.storage import patience
from hpsearch.storage import postgres as postgres_module
from hpsearch.storage.compaction import compact_studies
from hpsearch.storage.open import open_storage, redact, storage_errors
from hpsearch.storage.postgres import PostgresJournal, parse_address
from hpsearch.storage.postgres_schema import LOCK

SCRIPTS = Path(sys.executable).parent
HOSTILE = [
    "x'); drop table hpsearch_journal; --",
    'a " quote; $1 %s %(a)s \\ {} \u2028 ü',
    "a" * 500,
    "with a zero: \0",
    "../../etc/passwd",
]


@pytest.fixture(autouse=True)
def quiet():
    """What Optuna says of a trial reads all trials; workers of hpsearch are quiet too."""
    with optuna_logs(logging.CRITICAL):
        yield


@pytest.fixture
def url(postgres):
    return postgres.url()


def study_at(url, name="s"):
    return optuna.create_study(
        study_name=name,
        storage=open_storage(url),
        sampler=RandomSampler(),
        pruner=optuna.pruners.NopPruner(),
        load_if_exists=True,
    )


def journal_of(study):
    return study._storage.storage.journal


def objective(trial):
    """Do what a worker of hpsearch does: attributes, parameters, twenty reports, curves."""
    trial.set_user_attr("process", {"host": "a", "pid": 1})
    trial.set_user_attr("slot", trial.number)
    total = sum(trial.suggest_float(f"x{i}", 0, 1) for i in range(4))
    for epoch in range(20):
        trial.report(total / (epoch + 1), epoch)
        trial.should_prune()
    trial.set_user_attr("curves", {"loss": [0.5] * 20})
    return total


def assert_is_whole(trial):
    assert trial.state is TrialState.COMPLETE
    assert len(trial.params) == 4
    assert sorted(trial.intermediate_values) == [*range(20)]
    assert trial.user_attrs.keys() == {"process", "slot", "curves"}


# What is written, and when


def test_a_trial_of_twenty_reports_takes_four_calls_at_most(url, monkeypatch):
    monkeypatch.setattr(postgres_module, "BEHIND_SECONDS", 60.0)  # however slow this machine is
    study = study_at(url)
    study.optimize(objective, n_trials=1)
    journal = journal_of(study)
    before = journal.statements
    study.optimize(objective, n_trials=10)
    assert journal.statements - before <= 40
    for trial in study_at(url).trials:
        assert_is_whole(trial)


def test_what_others_read_is_what_this_process_reads(url):
    study = study_at(url)
    study.optimize(objective, n_trials=3)
    study.add_trial(optuna.trial.create_trial(value=float("inf"), user_attrs={"key": [1, None]}))
    assert study_at(url).trials == study.trials


def test_a_report_applies_at_once_and_is_written_when_nothing_follows(url):
    mine, other = study_at(url), study_at(url)
    trial = mine.ask()
    trial.report(0.5, 0)
    assert mine.trials[0].intermediate_values == {0: 0.5}
    until = time.monotonic() + 10
    while not other.trials[0].intermediate_values:
        assert time.monotonic() < until
    assert other.trials[0].intermediate_values == {0: 0.5}


def test_what_a_process_said_last_is_written_when_it_ends(url):
    study_at(url)
    code = """
import sys, optuna
from hpsearch.storage.compaction import compact_studies
from hpsearch.storage.open import open_storage
study = optuna.load_study(study_name="s", storage=open_storage(sys.argv[1]))
study.ask().report(0.5, 0)
"""
    subprocess.run([sys.executable, "-c", code, url], check=True, capture_output=True)
    assert study_at(url).trials[0].intermediate_values == {0: 0.5}


def test_reports_do_not_wait_for_the_disk_and_ends_do(url, monkeypatch):
    durable, execute = [], PostgresJournal._execute

    def note(self, statement, parameters):
        if "exchange" in statement:
            durable.append(parameters[6])
        return execute(self, statement, parameters)

    study = study_at(url)
    monkeypatch.setattr(PostgresJournal, "_execute", note)
    trial = study.ask()
    assert durable == [True]
    trial.report(0.5, 0)
    journal_of(study).flush()
    assert durable == [True, False]
    study.tell(trial, 0.5)
    assert durable == [True, False, True]


def test_attributes_of_trials_of_others_are_written_at_once(url):
    mine, other = study_at(url), study_at(url)
    mine.ask()
    storage = other._storage
    storage.set_trial_user_attr(storage.get_all_trials(0)[0]._trial_id, "key", 1)
    assert mine.trials[0].user_attrs == {"key": 1}


def test_a_waiting_trial_is_run_by_one_process(url):
    mine, other = study_at(url), study_at(url)
    mine.enqueue_trial({"x": 0.25})
    first, second = mine.ask(), other.ask()
    assert (first.suggest_float("x", 0, 1), second.number) == (0.25, 1)


def test_threads_share_a_storage(url):
    study = study_at(url)
    threads = [
        threading.Thread(target=study.optimize, args=(objective,), kwargs={"n_trials": 5})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = study_at(url).trials
    assert [trial.number for trial in trials] == [*range(20)]
    for trial in trials:
        assert_is_whole(trial)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_has_a_connection_of_its_own(url):
    study = study_at(url)
    trial = study.ask()
    trial.report(0.5, 0)
    child = os.fork()
    if child == 0:
        try:
            study.optimize(objective, n_trials=3)
        except BaseException:
            os._exit(1)
        os._exit(0)
    study.optimize(objective, n_trials=3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    study.tell(trial, 1.0)
    first, *trials = study_at(url).trials
    assert (first.value, first.intermediate_values) == (1.0, {0: 0.5})
    assert len(trials) == 6
    for trial in trials:
        assert_is_whole(trial)


def test_a_storage_can_be_sent_to_another_process(url):
    study = study_at(url)
    study.optimize(objective, n_trials=2)
    again = pickle.loads(pickle.dumps(study))
    again.optimize(objective, n_trials=1)
    assert again.trials == study_at(url).trials
    assert len(again.trials) == 3


# What a worker reads


@pytest.mark.parametrize("compacted", [False, True], ids=["as written", "compacted"])
def test_a_worker_reads_its_own_study_without_what_is_bulky(url, compacted):
    before, study, other = study_at(url, "gone"), study_at(url), study_at(url, "other")
    before.optimize(objective, n_trials=1)
    optuna.delete_study(study_name="gone", storage=before._storage)
    for each in (other, study, other, study):
        each.optimize(objective, n_trials=2)
    study.set_user_attr("key", 1)
    if compacted:
        compact_studies(study._storage, [study, other])
    storage = open_storage(url, study="s")
    mine = optuna.load_study(study_name="s", storage=storage, sampler=RandomSampler())
    for seen, trial in zip(mine.trials, study.trials, strict=True):
        assert seen.user_attrs == {"slot": trial.number}
        assert (seen.params, seen.values) == (trial.params, trial.values)
        assert seen.intermediate_values == trial.intermediate_values
        assert (seen.number, seen._trial_id) == (trial.number, trial._trial_id)
    assert mine.user_attrs == {"key": 1}
    elsewhere = optuna.load_study(study_name="other", storage=storage)
    assert [t.params for t in elsewhere.trials] == [{}] * 4
    mine.optimize(objective, n_trials=2)
    other.optimize(objective, n_trials=1)
    mine.optimize(objective, n_trials=1)
    for trial in study_at(url).trials:
        assert_is_whole(trial)
    for trial in mine.trials[4:]:
        assert_is_whole(trial)  # its own
    assert [trial.number for trial in mine.trials] == [*range(7)]


# What is refused


def test_a_newer_version_of_the_tables_is_refused(postgres):
    url = postgres.url(schema="newer")
    study_at(url)
    postgres.execute("update newer.hpsearch_journal_state set version = 99")
    with pytest.raises(StorageError, match="have version 99, and this hpsearch knows version 1"):
        open_storage(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("journal+postgresql://u:hush@127.0.0.1:1/db", "cannot be opened: .*refused"),
        ("journal+postgresql://u:hush@host:port/db", "this address cannot be read"),
        ("journal+postgresql://u:hu%sh@host/db", "this address cannot be read"),
        ("journal+postgresql://u@host/db?password=hush&colour=red", "this address cannot be read"),
        ("journal+postgresql:/u:hush@host/db", "needs two slashes"),
    ],
)
def test_a_server_that_cannot_be_opened_is_one_sentence(url, message):
    with pytest.raises(StorageError, match=message) as caught:
        open_storage(url)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_server_without_tls_is_refused_where_the_url_asks_for_it(postgres):
    with pytest.raises(StorageError, match="does not support SSL") as caught:
        open_storage(postgres.url(sslmode="require"))
    assert "secret" not in str(caught.value)


@pytest.fixture
def certificate(postgres, tmp_path):
    """The certificate of the server, which speaks TLS while the test runs."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl: apt install openssl")
    data, root = postgres.folder / "data", tmp_path / "root.crt"
    key, known = data / "server.key", data / "server.crt"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    name = ["-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind, *name, "-keyout", key, "-out", known]
    subprocess.run(command, check=True, capture_output=True)
    shutil.copy(known, root)
    for path in (key, known):
        path.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(path, data.owner())
    postgres.execute("alter system set ssl = on")
    postgres.restart()
    yield root
    postgres.execute("alter system reset ssl")
    postgres.restart()


def test_a_server_proves_by_its_certificate_who_it_is(postgres, certificate, tmp_path):
    url = postgres.url(sslmode="verify-full", sslrootcert=str(certificate))
    study_at(url).optimize(objective, n_trials=1)
    encrypted = "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where "
    found = postgres.execute(encrypted + "application_name = 'hpsearch'")
    assert {ssl for (ssl,) in found} == {True}
    other = tmp_path / "other.crt"
    other.write_text("")
    with pytest.raises(StorageError, match=r"cannot be opened: .*certificate"):
        open_storage(postgres.url(sslmode="verify-full", sslrootcert=str(other)))


def test_a_lock_that_is_held_too_long_is_waited_for(postgres, monkeypatch, caplog):
    monkeypatch.setitem(postgres_module.SETTINGS, "lock_timeout", "100ms")
    monkeypatch.setattr(patience, "SILENT_SECONDS", 0.2)
    url = postgres.url(schema="held")
    study, held = study_at(url), threading.Event()

    def hold():
        with psycopg.connect(postgres.address) as connection:
            connection.execute("set search_path = held")
            connection.execute(f"select {LOCK}".encode())
            held.set()
            time.sleep(1.5)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    study.set_user_attr("key", 1)
    holder.join()
    assert "lock timeout; trying again" in caplog.text
    assert study_at(url).user_attrs == {"key": 1}


def test_a_database_that_is_not_there_is_one_sentence(postgres):
    with pytest.raises(StorageError, match='database "nowhere" does not exist'):
        open_storage(postgres.url().replace("/postgres?", "/nowhere?"))


def test_a_right_that_is_missing_is_one_sentence(postgres):
    postgres.execute("create role reader login")
    postgres.execute("create schema locked")
    url = postgres.url(schema="locked").replace("postgres:secret", "reader:secret")
    with pytest.raises(StorageError, match="permission denied"):
        open_storage(url)


def test_the_missing_driver_is_named_with_what_installs_it(url, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StorageError, match=r"needs psycopg.*pip install 'hpsearch\[postgres\]'"):
        open_storage(url)


def test_a_trial_that_the_server_had_confirmed_and_lost_is_noticed(postgres):
    url = postgres.url(schema="restored")
    study = study_at(url)
    trial = study.ask()
    postgres.execute("truncate restored.hpsearch_journal")
    study_at(url)
    with pytest.raises(StorageError, match="a trial is gone that had been confirmed"):
        study.tell(trial, 1.0)


def test_a_plus_in_a_url_is_a_plus():
    address = parse_address("journal+postgresql://u@h/d?password=a+b&schema=x%20y", "shown")
    assert "password=a+b" in address.connection
    assert address.schema == "x y"
    assert "a+b" not in repr(address)


def test_the_schema_is_shown_and_the_password_is_not():
    url = "journal+postgresql://u:hush@host/db?schema=team&sslpassword=hush"
    assert redact(url) == "journal+postgresql://u:***@host/db?schema=team"


def test_a_server_that_stays_away_is_one_sentence(url, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 1.0)
    study = study_at(url)
    trial = study.ask()
    journal_of(study).close()
    with monkeypatch.context() as away:
        away.setattr("hpsearch.storage.postgres.connect", _refuse)
        with pytest.raises(StorageError, match="away"), storage_errors(url):
            study.tell(trial, 1.0)
    study.tell(trial, 1.0)  # what was refused was not written, and nothing is doubled
    assert [t.value for t in study_at(url).trials] == [1.0]


def _refuse(_):
    raise psycopg.OperationalError("away")


# Who shares it


def test_studies_of_two_schemas_do_not_meet(postgres):
    urls = [postgres.url(), postgres.url(), postgres.url(schema='odd"name')]
    for number, url in enumerate(urls, 1):
        study_at(url, "same").optimize(objective, n_trials=number)
    for number, url in enumerate(urls, 1):
        assert len(study_at(url, "same").trials) == number


def test_the_search_path_of_the_url_is_a_schema_too(postgres):
    postgres.execute("create schema by_path")
    options = "options=-c%20search_path%3Dby_path&password=a+b"
    url = f"journal+{postgres.address}?{options}"
    study_at(url).optimize(objective, n_trials=1)
    assert len(study_at(postgres.url(schema="by_path")).trials) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_values_are_only_text(url, name):
    study = study_at(url, name)
    study.set_user_attr(name, {name: name})
    trial = study.ask()
    trial.set_user_attr(name, name)
    study.tell(trial, 1.0)
    again = optuna.load_study(study_name=name, storage=open_storage(url))
    assert again.user_attrs == {name: {name: name}}
    assert again.trials[0].user_attrs == {name: name}


# The command line


def run(folder, url, *arguments, code=0):
    environment = {**os.environ, "HPSEARCH_STORAGE": url}
    result = subprocess.run(
        [str(SCRIPTS / "hpsearch"), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stdout + result.stderr
    return result.stdout + result.stderr


def test_a_study_runs_continues_and_is_shown_and_deleted(postgres, tmp_path):
    url = postgres.url()
    small = ["study", "digits", "--jobs", "2", "--no-tracking", "--trials"]
    assert "hpsearch study" in run(tmp_path, url, "list", code=1)
    run(tmp_path, url, *small, "4")
    run(tmp_path, url, *small, "6")
    study = optuna.load_study(study_name="digits-tpe", storage=open_storage(url))
    assert sorted(trial.user_attrs["slot"] for trial in study.trials) == [*range(6)]
    assert all(trial.state.is_finished() for trial in study.trials)
    assert "digits-tpe" in run(tmp_path, url, "list")
    assert "learning_rate" in run(tmp_path, url, "best", "digits-tpe")
    assert "digits-tpe" in run(tmp_path, url, "show", "digits-tpe")
    run(tmp_path, url, "delete", "digits-tpe", "--yes", "--no-tracking")
    assert "digits-tpe" not in run(tmp_path, url, "list")
