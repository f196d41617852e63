"""A webhook: messages signed after the Standard Webhooks specification, sent by a thread.

https://github.com/standard-webhooks/standard-webhooks says what the headers hold.
"""

from __future__ import annotations

import atexit
import base64
import binascii
import hashlib
import hmac
import http.client
import json
import logging
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any
from uuid import uuid4

from hpsearch import __version__
from hpsearch.errors import SettingsError
from hpsearch.settings.notify import without_secrets

SECRET = "HPSEARCH_WEBHOOK_SECRET"
PREFIX, LEAST, MOST = "whsec_", 24, 64  # of a secret: how it begins, and how many bytes it has
SECONDS = 5.0  # that a receiver gets to answer
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # before a message is sent again
GIVE_UP = 3600.0  # seconds after which a message is too old to be sent
GRACE = 10.0  # seconds at the end of the process for what is not sent yet
MOST_WAITING = 1000  # messages
BUSY = (408, 425, 429)  # answers after which it helps to try again, besides 500 and above

logger = logging.getLogger(__name__)


def read_secret() -> bytes | None:
    """Return the secret in HPSEARCH_WEBHOOK_SECRET, None without one; raises SettingsError."""
    given = os.environ.get("HPSEARCH_WEBHOOK_SECRET")
    if not given:
        return None
    try:
        secret = base64.b64decode(given.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not given.startswith(PREFIX) or not LEAST <= len(secret) <= MOST:
        raise SettingsError(
            f"{SECRET}: must be {PREFIX} and {LEAST} to {MOST} bytes in base64; "
            f"`echo {PREFIX}$(openssl rand -base64 32)` makes one"
        )
    return secret


def signature(secret: bytes, name: str, timestamp: str, body: bytes) -> str:
    """Return what the header webhook-signature holds.

    The name and the time of the message are signed with it, so that nobody can send it again later.
    """
    signed = b".".join([name.encode(), timestamp.encode(), body])
    return f"v1,{base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()}"


@dataclass(frozen=True)
class Message:
    """A message to a webhook. A receiver that gets its id twice has got it twice."""

    content: Mapping[str, Any]
    id: str = field(default_factory=lambda: f"msg_{uuid4().hex}")
    created: float = field(default_factory=time.monotonic)


class Unsent(Exception):  # noqa: N818
    """A message was not accepted: why, and whether it may be if it is sent again."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The message is for its address alone: another one might belong to somebody else."""

    def redirect_request(
        self,
        req: urllib.request.Request,  # noqa: ARG002
        fp: IO[bytes],  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: http.client.HTTPMessage,  # noqa: ARG002
        newurl: str,  # noqa: ARG002
    ) -> None:
        return None


@dataclass(frozen=True)
class Webhook:
    """Where messages go. secret: signs them; None leaves them unsigned."""

    url: str
    secret: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return without_secrets(self.url)

    def send(self, message: Message) -> None:
        """Send a message, signed anew; raises Unsent, which shows nothing of the address."""
        body, timestamp = json.dumps(message.content).encode(), str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"hpsearch/{__version__}",
            "webhook-id": message.id,
            "webhook-timestamp": timestamp,
        }
        if self.secret is not None:
            headers["webhook-signature"] = signature(self.secret, message.id, timestamp, body)
        request = urllib.request.Request(self.url, body, headers)
        try:
            urllib.request.build_opener(_NoRedirect).open(request, timeout=SECONDS).close()
        except urllib.error.HTTPError as error:
            error.close()
            again = error.code >= 500 or error.code in BUSY
            raise Unsent(f"answers with status {error.code}", again=again) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            why = getattr(reason, "strerror", None) or type(reason).__name__
            raise Unsent(f"does not answer ({why})", again=True) from None


class Outbox:
    """Sends messages to one webhook, in their order, from a thread of its own.

    It never delays who puts one in. A message that is not accepted is sent again, later and later,
    for an hour; that is one warning for all of them. When the process ends, it waits up to 10 s for
    what is not sent yet.
    """

    def __init__(self, webhook: Webhook) -> None:
        self.webhook = webhook
        self._messages = queue.Queue[Message | None]()
        self._closing = threading.Event()
        self._warned = False
        # The interpreter does not wait for a daemon by itself, so that GRACE is the longest wait.
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def put(self, content: Mapping[str, Any]) -> None:
        """Send a message as soon as those before it are sent."""
        if self._messages.qsize() < MOST_WAITING:
            self._messages.put(Message(content))

    def close(self) -> None:
        """Let the thread end when it has tried everything once more; do not wait for it."""
        atexit.register(self._thread.join, GRACE)
        self._closing.set()
        self._messages.put(None)

    def _run(self) -> None:
        while (message := self._messages.get()) is not None:
            self._deliver(message)
        atexit.unregister(self._thread.join)

    def _deliver(self, message: Message) -> None:
        wait = FIRST_WAIT
        while True:
            closing = self._closing.is_set()
            try:
                self.webhook.send(message)
                return
            except Unsent as error:
                self._warn(error)
                if not error.again or closing or time.monotonic() - message.created > GIVE_UP:
                    return
            self._closing.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _warn(self, error: Unsent) -> None:
        if not self._warned:
            self._warned = True
            what = "it is tried again" if error.again else "the message is lost"
            logger.warning("webhook %s %s; %s, and the study goes on", self.webhook, error, what)
