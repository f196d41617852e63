"""A client trains for a service, through restarts of that, and reads what it has found."""

import pytest
from service_server import ELSEWHERE, served, until

from hpsearch.client import Client
from hpsearch.errors import GoneError, ServiceError, SettingsError, UnknownStudyError
from hpsearch.search.study import run_study
from hpsearch.settings.study import load_settings
from hpsearch.trials.records import curves_of


def train(config, *, epochs, seed):
    for epoch in range(1, epochs + 1):
        yield {"val/loss": config["rate"] / epoch, "drawn": seed % 1000}


def test_a_loop_of_four_lines_trains_a_study(client):
    study = client.submit(ELSEWHERE, name="e")
    while trial := study.ask("worker-1"):
        for metrics in train(trial.config, epochs=trial.epochs, seed=trial.seed):
            if not trial.report(metrics):
                break
        trial.complete()
    state = until(lambda: study.state()["state"] == "finished" and study.state())
    assert (state["complete"], state["epochs"]) == (6, 18)


def test_a_function_trains_the_trials_that_this_machine_would(client, tmp_path):
    text = ELSEWHERE.replace('pruner = "none"', 'pruner = "median"').replace("6", "12")
    study = client.submit(text, name="e")
    assert study.work(train, "worker-1") == 12
    file = tmp_path / "here.toml"
    file.write_text(text.replace("clients = true", ""))
    here = run_study(load_settings(file, train=train), storage=str(tmp_path / "here.journal"))
    told = study.trials(curves=True)
    trials = here.study.get_trials(deepcopy=False)
    assert [each["params"] for each in told] == [trial.params for trial in trials]
    assert [each["state"] for each in told] == [trial.state.name.lower() for trial in trials]
    assert [each["curves"] for each in told] == [curves_of(trial).values for trial in trials]
    assert here.counts.pruned


def test_an_exception_fails_the_trial_and_is_raised(client):
    study = client.submit(ELSEWHERE, name="e")

    def broken(config):
        raise RuntimeError(f"no memory for {config['epochs']}")

    with pytest.raises(RuntimeError, match="no memory for 3"):
        study.work(broken, "worker-1")
    (trial,) = study.trials()
    assert (trial["state"], trial["reason"]) == ("fail", "RuntimeError: no memory for 3")


def test_a_service_may_start_again_while_clients_train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with served(tmp_path) as client:
        port = int(client.url.rpartition(":")[2])
        study = client.submit(ELSEWHERE, name="e")
        trial = study.ask("w")
        for metrics in ({"val/loss": 0.5}, {"val/loss": 0.4}):
            trial.report(metrics)
        client.close()
    with Client(f"http://127.0.0.1:{port}", patience=60) as client:
        trial.study.client = client
        with served(tmp_path, port=port):
            assert trial.report({"val/loss": 0.3}) is False  # it was the last epoch
            assert trial.reported == 3
            told = trial.complete()
            assert (told["value"], told["epochs"]) == (0.3, 3)
            assert client.study("e").ask("w").slot == 1


def test_a_trial_that_was_given_away_is_gone(client):
    study = client.submit(
        ELSEWHERE.replace("clients = true", "clients = true\nlease_seconds = 0.1")
    )
    trial = study.ask("w")
    until(lambda: study.trials()[0]["state"] == "fail")
    assert study.ask("v").slot in (trial.slot, trial.slot + 1)
    with pytest.raises(GoneError, match="its client was silent for too long"):
        trial.report({"val/loss": 0.3})


def test_a_client_waits_while_others_have_all_trials(client):
    study = client.submit(ELSEWHERE.replace("trials = 6", "trials = 1"), name="e")
    trial = study.ask("a")
    answer = client.call("POST", "/studies/e/trials", {"client_id": "b"})
    assert (answer["trial"], answer["done"], answer["wait_seconds"]) == (None, False, 1.0)
    trial.complete({"val/loss": 0.1})
    assert study.ask("b") is None


def test_sentences_of_the_service_are_those_of_the_errors(client):
    with pytest.raises(UnknownStudyError, match="no study 'none'"):
        client.study("none").state()
    with pytest.raises(SettingsError, match="study file: is not TOML"):
        client.submit("a =\n")
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read"):
        client.submit("none.toml")
    with pytest.raises(SettingsError, match="is no address"):
        Client("host:8000")


def test_a_service_that_is_not_there_is_one_sentence():
    with Client("http://127.0.0.1:9", patience=0) as client:
        with pytest.raises(ServiceError, match=r"^http://127\.0\.0\.1:9: cannot be reached: "):
            client.studies()
        with pytest.raises(ServiceError, match="cannot be reached"):
            next(client.study("s").watch())
