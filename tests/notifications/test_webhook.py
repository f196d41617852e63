"""Messages to a webhook: signed, sent again, in their order, and never in anybody's way."""

import base64
import subprocess
import sys
import time

import pytest

from hpsearch.errors import SettingsError
from hpsearch.notifications import webhook
from hpsearch.notifications.webhook import Message, Outbox, Unsent, Webhook, read_secret, signature


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(webhook, "FIRST_WAIT", 0.01)


def test_the_signature_is_that_of_the_specifications_example():
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    name, timestamp = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"
    found = signature(secret, name, timestamp, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_is_signed_with_its_id_and_time(receiver, secret):
    before = int(time.time())
    Webhook(receiver.url, read_secret()).send(Message({"data": {"event": "best"}}))
    (message,) = receiver.received
    assert message.is_signed
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-id"].startswith("msg_")
    assert before <= int(message.headers["webhook-timestamp"]) <= time.time()
    assert secret not in str(message)


def test_without_a_secret_it_is_not_signed(receiver, monkeypatch):
    monkeypatch.delenv("HPSEARCH_WEBHOOK_SECRET", raising=False)
    Webhook(receiver.url, read_secret()).send(Message({}))
    assert "webhook-signature" not in receiver.received[0].headers


@pytest.mark.parametrize(
    "given", ["s3cret", "whsec_s3cret", "whsec_###", "whsec_" + "A" * 400, "A" * 40]
)
def test_a_secret_that_is_none_is_a_sentence_that_does_not_show_it(monkeypatch, given):
    monkeypatch.setenv("HPSEARCH_WEBHOOK_SECRET", given)
    with pytest.raises(SettingsError, match="HPSEARCH_WEBHOOK_SECRET: must be whsec_") as error:
        read_secret()
    assert given not in str(error.value)


def test_a_message_is_sent_again_until_it_is_accepted(receiver, secret, caplog):
    receiver.statuses = [500, 503, 429, 204]
    outbox = Outbox(Webhook(receiver.url, read_secret()))
    outbox.put({"data": {"event": "best"}})
    outbox.put({"data": {"event": "finished"}})
    messages = receiver.wait_for(lambda received: len(received) == 5)
    outbox.close()
    assert [each.data["event"] for each in messages] == ["best"] * 4 + ["finished"]
    assert all(each.is_signed for each in messages)
    assert len({each.headers["webhook-id"] for each in messages[:4]}) == 1
    assert messages[4].headers["webhook-id"] != messages[3].headers["webhook-id"]
    (warning,) = caplog.records  # one for all
    assert "answers with status 500; it is tried again, and the study goes on" in caplog.text
    assert "s3cret" not in warning.getMessage()
    assert secret not in caplog.text


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_a_message_that_is_refused_for_good_is_not_sent_again(receiver, caplog, status):
    receiver.statuses = [status, 204]
    outbox = Outbox(Webhook(receiver.url))
    outbox.put({"data": {"event": "best"}})
    outbox.put({"data": {"event": "finished"}})
    receiver.wait_for(lambda received: len(received) == 2)
    outbox.close()
    assert receiver.events() == ["best", "finished"]
    assert f"answers with status {status}; the message is lost" in caplog.text


def test_a_receiver_that_is_away_is_one_warning(caplog):
    outbox = Outbox(Webhook("http://127.0.0.1:9/hooks/s3cret"))
    for number in range(5):
        outbox.put({"number": number})
    outbox.close()
    outbox._thread.join(30)
    assert not outbox._thread.is_alive()
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "webhook http://127.0.0.1:9/*** does not answer (Connection refused); it is tried again"
    )


def test_an_error_shows_nothing_of_the_address(receiver):
    for url in ("http://127.0.0.1:9/s3cret", "http://s3cret..example/s3cret"):
        with pytest.raises(Unsent) as error:
            Webhook(url).send(Message({}))
        assert "s3cret" not in str(error.value)
    assert "s3cret" not in f"{Webhook(receiver.url)}"


LEAVES = """
import sys
from hpsearch.notifications import webhook
webhook.SECONDS, webhook.GRACE = 600, float(sys.argv[2])
outbox = webhook.Outbox(webhook.Webhook(sys.argv[1]))
outbox.put({"data": {"event": "finished"}})
outbox.close()
"""


def test_a_process_ends_although_the_receiver_never_answers(receiver):
    receiver.answers.clear()
    command = [sys.executable, "-c", LEAVES, receiver.url, "3"]
    assert subprocess.run(command, timeout=60).returncode == 0
    assert receiver.events() == ["finished"]


def test_a_process_does_not_end_before_its_messages_are_sent(receiver):
    receiver.statuses = [503, 204]
    command = [sys.executable, "-c", LEAVES, receiver.url, "60"]
    command[2] = LEAVES.replace("outbox.close()", "outbox.put({'data': {'event': 'best'}})\n" * 20)
    command[2] += "outbox.close()"
    assert subprocess.run(command, timeout=60).returncode == 0
    assert receiver.events().count("best") == 20
