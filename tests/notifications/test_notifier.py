"""What a study tells while it runs: through run_study and the command line, to a real receiver."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.errors import HpsearchError, SettingsError, StudyError
from hpsearch.search.rounds import run_rounds
from hpsearch.search.study import run_study
from hpsearch.settings.study import load_settings


@pytest.fixture
def storage(tmp_path):
    return str(tmp_path / "hpsearch.journal")


def finished(received):
    return any(each.data["event"] in ("finished", "failed") for each in received)


def test_a_study_tells_of_its_best_trials_and_its_end(make_settings, storage, receiver, secret):
    settings = make_settings(notify={"webhook": receiver.url}, search={"trials": 6})
    outcome = run_study(settings, storage=storage)
    *bests, end = receiver.wait_for(finished)
    assert all(each.is_signed for each in receiver.received)
    assert secret
    assert {each.data["event"] for each in bests} == {"best"}
    values = [each.data["value"] for each in bests]
    assert values == sorted(set(values))
    best = outcome.best
    assert bests[-1].data == {
        "event": "best",
        "study": "tiny-random",
        "trial": best.number,
        "value": best.value,
        "metric": "val/accuracy",
        "sentence": f"tiny-random: trial {best.number} is the best so far: "
        f"val/accuracy {best.value:.4g}",
    }
    assert end.data["sentence"] == "tiny-random: all 6 trials are done"
    assert (end.data["trial"], end.data["value"]) == (best.number, best.value)
    assert json.loads(end.body)["type"] == "study.finished"
    assert json.loads(end.body)["timestamp"].endswith("+00:00")


def test_only_wanted_events_and_only_what_is_new_is_told(make_settings, storage, receiver):
    def settings(trials, **notify):
        table = {"webhook": receiver.url, **notify}
        return make_settings(notify=table, search={"trials": trials})

    run_study(settings(3, events=["finished"]), storage=storage)
    receiver.wait_for(finished)
    assert receiver.events() == ["finished"]
    run_study(settings(3), storage=storage)  # it was done before
    run_study(settings(3), storage=storage, should_stop=lambda: True)
    run_study(settings(5, events=["finished"]), storage=storage)  # another [notify]: the same study
    receiver.wait_for(lambda received: len(received) == 2)
    assert receiver.events() == ["finished", "finished"]


def test_an_interrupted_study_is_no_news(make_settings, storage, receiver):
    settings = make_settings(notify={"webhook": receiver.url, "events": ["finished", "failed"]})
    assert run_study(settings, storage=storage, should_stop=lambda: True).reason == "interrupted"
    run_study(settings, storage=storage)
    receiver.wait_for(finished)
    assert [each.data["sentence"] for each in receiver.received] == [
        "tiny-random: all 4 trials are done"
    ]


def test_an_error_that_ends_a_study_is_told_with_its_sentence(make_settings, storage, receiver):
    settings = make_settings(notify={"webhook": receiver.url})
    run_study(settings.replace(notify={"events": []}), storage=storage)
    with pytest.raises(StudyError) as error:
        run_study(settings.replace(trial={"epochs": 5}), storage=storage)
    (message,) = receiver.wait_for(finished)
    assert message.data["event"] == "failed"
    assert message.data["sentence"] == f"tiny-random: {error.value.for_command_line}"


def test_each_round_is_told_of(make_settings, storage, receiver):
    settings = make_settings(notify={"webhook": receiver.url, "events": ["finished"]})
    run_rounds(settings, 2, storage=storage)
    messages = receiver.wait_for(lambda received: len(received) == 2)
    assert {each.data["study"] for each in messages} == {"tiny-random", "tiny-random.r2"}


def test_a_study_in_which_nothing_happens_is_told_of_once(tmp_path, storage, receiver):
    def train(config, *, epochs):  # noqa: ARG001
        yield {"val/loss": config["x"]}
        # A trial of no more epochs until the receiver knows of it.
        receiver.wait_for(lambda received: received)
        yield {"val/loss": config["x"]}

    (tmp_path / "slow.toml").write_text(
        f"""
[search]
metric = "val/loss"
trials = 1
sampler = "random"
pruner = "none"
[trial]
epochs = 2
x = {{ low = 0.0, high = 1.0 }}
[notify]
webhook = "{receiver.url}"
events = ["stalled"]
stalled_after = "0.2s"
"""
    )
    run_study(load_settings(tmp_path / "slow.toml", train=train), storage=storage)
    assert receiver.received[0].data["event"] == "stalled"
    assert (
        receiver.received[0]
        .data["sentence"]
        .startswith("slow-random: no epoch and no trial has ended for")
    )
    assert receiver.received[0].data["trial"] is None


def test_a_receiver_that_never_answers_is_not_waited_for(make_settings, storage, receiver):
    receiver.answers.clear()
    outcome = run_study(make_settings(notify={"webhook": receiver.url}), storage=storage)
    assert outcome.reason == "finished"
    assert not receiver.answers.is_set()
    assert len(receiver.received) <= 1  # the first message still waits for its answer


def test_a_receiver_that_is_away_is_a_warning(make_settings, storage, caplog):
    settings = make_settings(notify={"webhook": "http://127.0.0.1:9/s3cret"})
    assert run_study(settings, storage=storage).reason == "finished"
    assert "s3cret" not in caplog.text


def test_the_environment_names_a_webhook_of_all_studies_and_the_service(
    make_settings, storage, receiver, monkeypatch
):
    monkeypatch.setenv("HPSEARCH_WEBHOOK", receiver.url)
    monkeypatch.setenv("HPSEARCH_URL", "https://search.example/")
    run_study(make_settings(), storage=storage)
    messages = receiver.wait_for(finished)
    assert messages[-1].data["url"] == "https://search.example/studies/tiny-random"
    both = make_settings(name="both", notify={"webhook": receiver.url, "events": ["finished"]})
    run_study(both, storage=storage)
    receiver.wait_for(lambda received: received[-1].data["study"] == "both-random")
    assert [each.data["study"] for each in receiver.received].count("both-random") == 1


@pytest.mark.parametrize(
    ("name", "value"), [("HPSEARCH_WEBHOOK", "s3cret"), ("HPSEARCH_WEBHOOK_SECRET", "s3cret")]
)
def test_what_is_wrong_in_the_environment_is_said_before_anything_is_created(
    make_settings, storage, monkeypatch, name, value
):
    monkeypatch.setenv("HPSEARCH_WEBHOOK", "http://127.0.0.1:9/")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: must be") as error:
        run_study(make_settings(), storage=storage)
    assert "s3cret" not in str(error.value)
    assert not Path(storage).exists()


STUDY = """
[data]
limit = 120
[search]
sampler = "random"
trials = 3
[trial]
epochs = 2
hidden_layer_sizes = [8]
[notify]
webhook = "{url}"
"""


def test_the_command_line_tells_and_keeps_the_secrets(tmp_path, receiver, secret):
    receiver.statuses = [500, 204]
    (tmp_path / "s.toml").write_text(STUDY.format(url=receiver.url))
    command = [sys.executable, "-m", "hpsearch", "study", "s.toml", "--report"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert receiver.events()[-1] == "finished"  # before the process has ended
    assert all(each.is_signed for each in receiver.received)
    assert "answers with status 500" in ran.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "s.toml"]
    assert {"hpsearch.journal", "mlflow.db", "s-random.html"} <= {path.name for path in kept}
    said = [*(path.read_bytes() for path in kept), ran.stdout.encode(), ran.stderr.encode()]
    for text in ("s3cret-path", secret, secret.removeprefix("whsec_")):
        assert not any(text.encode() in each for each in said)


def test_an_unexpected_error_is_told_by_its_kind_alone(make_settings, storage, receiver):
    def broken(_):
        raise RuntimeError("s3cret")

    settings = make_settings(notify={"webhook": receiver.url})
    with pytest.raises(RuntimeError):
        run_study(settings, storage=storage, on_progress=broken)
    (message,) = receiver.wait_for(finished)
    assert message.data["sentence"] == ("tiny-random: an unexpected error ended it: RuntimeError")
    assert not issubclass(RuntimeError, HpsearchError)
