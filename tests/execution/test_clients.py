"""Clients get the trials that this machine would run itself, each once, whatever they do."""

import math
from contextlib import ExitStack

import optuna
import pytest
from optuna.trial import TrialState

from hpsearch.errors import ConflictError, GoneError, SettingsError, UnknownStudyError
from hpsearch.execution.clients import ClientStudy
from hpsearch.execution.coordinator import Coordinator, RunOptions, Work
from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings
from hpsearch.storage.leases import leased, this_process
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import config_of, curves_of, new_trial, reason_of, slot_of
from hpsearch.workspace import Workspace

EPOCHS = 4
TRIAL = {
    "epochs": EPOCHS,
    "rate": {"low": 1e-4, "high": 1.0, "log": True},
    "optimizer": {"choices": ["sgd", "adam"]},
    "momentum": {"low": 0.5, "high": 0.99, "log": "complement", "when": {"optimizer": "sgd"}},
}


def settings_of(model, *, lease_seconds=60.0, enqueue=(), **search):
    table = {"clients": True, "lease_seconds": lease_seconds} if model is None else model
    search = {"metric": "val/loss", "sampler": "random", "trials": 12, "pruner": "median"} | search
    tables = {"name": "s", "model": table, "search": search, "trial": TRIAL}
    return parse_settings(tables | ({"enqueue": [*enqueue]} if enqueue else {}), "s")


def losses(config):
    """The curve of a configuration, as every client and this machine train it."""
    return [config["rate"] / epoch for epoch in range(1, EPOCHS + 1)]


def train(config, *, epochs):
    assert epochs == EPOCHS
    for loss in losses(config):
        yield {"val/loss": loss, "twice": 2 * loss}


@pytest.fixture
def serve(tmp_path):
    """Opens a study for clients, as the service does; each call is a new start of it."""
    file, stack = str(tmp_path / "s.journal"), ExitStack()

    def start(settings, url=file):
        stack.close()  # the one before
        workspace = Workspace(url, tracked=False)
        workspace.submit(settings, name="s")
        storage = open_storage(url)
        study = optuna.load_study(storage=storage, study_name="s")
        lease = stack.enter_context(leased(storage, study))
        work = Work(settings=settings, slots=range(settings.search.slots))
        return ClientStudy(Coordinator(storage, lease, work, RunOptions(storage=url)))

    yield start
    stack.close()


def train_one(study, client="c"):
    """Ask for a trial, train it, and complete it unless it is pruned; None if there is none."""
    given = study.ask(client)
    if given is None:
        return None
    answer = None
    for number, loss in enumerate(losses(given.config), start=1):
        epoch = {"val/loss": loss, "twice": 2 * loss}
        answer = study.report(given.trial, client, number, [epoch])
        assert answer.reported == number
        if not answer.go_on:
            break
    if answer.state == "running":
        study.complete(given.trial, client)
    return given


def fields(study):
    trials = study.get_trials(deepcopy=False)
    return [(t.params, t.state, t.value, curves_of(t).values, slot_of(t)) for t in trials]


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc"])
def test_trials_are_those_of_this_machine(serve, sampler, tmp_path):
    labelled = [{"label": "first", "rate": 0.5, "optimizer": "adam"}]
    asked = serve(settings_of(None, sampler=sampler, enqueue=labelled))
    while train_one(asked) is not None:
        pass
    here = settings_of({"train": train}, sampler=sampler, enqueue=labelled)
    outcome = run_study(here, name="here", storage=str(tmp_path / "here.journal"))
    assert fields(asked.study) == fields(outcome.study)
    assert asked.has_ended
    assert outcome.counts.pruned


def test_repeats_share_a_configuration_and_have_draws_of_their_own(serve):
    study = serve(settings_of(None, seeds=2, trials=2, pruner="none"))
    given = [train_one(study) for _ in range(4)]
    assert [each.draw for each in given] == [0, 1, 0, 1]
    assert given[0].config == given[1].config
    assert given[0].seed != given[1].seed
    assert study.ask("c") is None


def test_a_client_has_one_open_trial(serve):
    study = serve(settings_of(None))
    first, other = study.ask("a"), study.ask("b")
    assert study.ask("a") == first
    assert (first.slot, other.slot) == (0, 1)


def test_what_is_told_twice_counts_once(serve):
    study = serve(settings_of(None))
    given = study.ask("a")
    epochs = [{"val/loss": 0.4}, {"val/loss": 0.3}]
    assert study.report(given.trial, "a", 1, epochs).reported == 2
    assert study.report(given.trial, "a", 1, epochs).reported == 2
    assert study.report(given.trial, "a", 2, [*epochs[1:], {"val/loss": 0.2}]).reported == 3
    done = study.complete(given.trial, "a")
    assert study.complete(given.trial, "a") == done
    assert study.complete(given.trial, "a", {"val/loss": 0.2}) == done
    assert curves_of(done).of("val/loss") == [0.4, 0.3, 0.2]
    with pytest.raises(ConflictError, match=r"is complete already, with val/loss 0\.2"):
        study.complete(given.trial, "a", {"val/loss": 0.1})
    with pytest.raises(ConflictError, match="is complete already"):
        study.fail(given.trial, "a", "late")
    assert study.report(given.trial, "a", 1, epochs).state == "complete"


def test_a_gap_is_refused(serve):
    study = serve(settings_of(None))
    given = study.ask("a")
    with pytest.raises(ConflictError, match="the next epoch is 1, and not 2"):
        study.report(given.trial, "a", 2, [{"val/loss": 0.3}])


@pytest.mark.parametrize(
    ("tell", "error", "sentence"),
    [
        (lambda s, n: s.report(n, "b", 1, [{"val/loss": 1.0}]), ConflictError, "is not that of"),
        (lambda s, n: s.complete(n + 7, "a"), UnknownStudyError, "has no trial 7"),
        (lambda s, n: s.complete(n, "a"), SettingsError, "without a value of val/loss"),
        (lambda s, n: s.report(n, "a", 1, [{"loss": 1.0}]), SettingsError, "is not a metric"),
        (lambda s, n: s.report(n, "a", 1, [{"val/loss": "x"}]), SettingsError, "no number"),
        (lambda s, n: s.report(n, "a", 1, [{"val/loss": 1.0}] * 5), SettingsError, "has 4 epochs"),
        (
            lambda s, n: s.report(
                n, "a", 1, [{"val/loss": 1.0} | {f"m{k}": 0 for k in range(101)}]
            ),
            SettingsError,
            "at most 100 metrics",
        ),
        (lambda s, _: s.ask(""), SettingsError, "client_id: must have 1 to 100 characters"),
        (lambda s, _: s.ask("a\n"), SettingsError, "client_id"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(serve, tell, error, sentence):
    study = serve(settings_of(None))
    given = study.ask("a")
    with pytest.raises(error, match=sentence):
        tell(study, given.trial)
    assert study.ask("a") == given
    assert train_one(study, "a") == given


def test_a_trial_of_one_epoch_is_told_in_one_word(serve):
    study = serve(settings_of(None))
    given = study.ask("a")
    assert study.complete(given.trial, "a", {"val/loss": 0.25}).value == 0.25
    given = study.ask("a")
    study.report(given.trial, "a", 1, [{"val/loss": 0.5}])
    with pytest.raises(ConflictError, match="complete it without metrics"):
        study.complete(given.trial, "a", {"val/loss": 0.25})


@pytest.mark.parametrize("how", ["report", "complete"])
def test_a_loss_that_is_not_finite_prunes(serve, how):
    study = serve(settings_of(None))
    given = study.ask("a")
    if how == "report":
        answer = study.report(given.trial, "a", 1, [{"val/loss": 0.5}, {"val/loss": math.nan}])
        assert (answer.go_on, answer.state) == (False, "pruned")
    else:
        study.complete(given.trial, "a", {"val/loss": math.inf})
    (trial,) = study.study.get_trials(deepcopy=False)
    assert trial.state is TrialState.PRUNED
    assert reason_of(trial).startswith("diverged at epoch")


def test_a_silent_client_loses_its_trial_to_another(serve, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("hpsearch.execution.clients.time.monotonic", lambda: now[0])
    study = serve(settings_of(None, lease_seconds=10.0))
    lost = study.ask("a")
    now[0] += 9
    study.report(lost.trial, "a", 1, [{"val/loss": 0.5}])  # which renews it
    now[0] += 9
    assert study.ask("b").slot == 1
    now[0] += 2
    assert train_one(study, "c").slot == 0
    for tell in (
        lambda: study.report(lost.trial, "a", 2, [{"val/loss": 0.4}]),
        lambda: study.complete(lost.trial, "a"),
        lambda: study.fail(lost.trial, "a", "late"),
    ):
        with pytest.raises(GoneError, match="its client was silent for too long; ask for another"):
            tell()


def test_a_slot_is_given_up_after_three_failures(serve, caplog):
    study = serve(settings_of(None, trials=2))
    first = train_one(study)
    for number in range(3):
        given = study.ask("a")
        assert given.slot == 1
        failed = study.fail(given.trial, "a", f"out of memory {number}")
        assert study.fail(given.trial, "a", f"out of memory {number}") == failed
    assert study.ask("a") is None
    assert study.has_ended
    assert first.slot == 0
    assert "out of memory 2" in caplog.text


def test_a_new_start_goes_on_with_the_open_trials(serve):
    settings = settings_of(None)
    before = serve(settings)
    train_one(before, "a")
    given = before.ask("b")
    before.report(given.trial, "b", 1, [{"val/loss": 0.5}, {"val/loss": 0.4}])
    after = serve(settings)
    again = after.ask("b")
    # Curves are stored every few seconds, so the client sends what is missing again.
    assert (again.trial, again.config, again.reported) == (given.trial, given.config, 0)
    with pytest.raises(ConflictError, match="the next epoch is 1"):
        after.report(again.trial, "b", 3, [{"val/loss": 0.3}])
    epochs = [{"val/loss": value} for value in (0.5, 0.4, 0.3)]
    assert after.report(again.trial, "b", 1, epochs).reported == 3
    assert after.complete(again.trial, "b").value == 0.3
    assert {slot_of(t) for t in after.study.get_trials(deepcopy=False)} == {0, 1}
    assert after.ask("c").slot == 2


def test_a_kill_before_the_client_had_its_trial_is_not_the_fault_of_the_slot(serve):
    settings = settings_of(None)
    study = serve(settings)
    for _ in range(3):  # as many as give a slot up
        study.storage.create_new_trial(study._study_id, new_trial(0, this_process(), client="a"))
        study = serve(settings)
    failed = study.study.get_trials(deepcopy=False)
    assert [trial.state for trial in failed] == [TrialState.FAIL] * 3
    assert study.ask("a").slot == 0


def test_what_was_acknowledged_is_on_the_server(serve, postgres):
    url = postgres.url()
    settings = settings_of(None)
    study = serve(settings, url)
    given = study.ask("a")
    known = optuna.load_study(storage=open_storage(url), study_name="s").trials[0]
    assert config_of(known) == given.config
    study.report(given.trial, "a", 1, [{"val/loss": 0.5}])
    known = optuna.load_study(storage=open_storage(url), study_name="s").trials[0]
    assert known.intermediate_values == {1: 0.5}


def test_a_target_ends_the_study(serve):
    study = serve(settings_of(None, target=2.0, pruner="none"))
    assert train_one(study) is not None
    assert study.ask("a") is None
    assert study.has_ended


def test_a_study_of_clients_does_not_run_here(tmp_path):
    storage = str(tmp_path / "s.journal")
    with pytest.raises(SettingsError, match="trained by programs that ask for its trials"):
        run_study(settings_of(None), name="s", storage=storage)
    assert not (tmp_path / "s.journal").exists()
