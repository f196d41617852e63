"""Limits of the service: how many requests a second, how large and how slow a body may be."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.service.problems import Refused

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Send

MOST_KEYS = 10_000  # that a rate limit remembers before it forgets those that are at rest


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a client may ask for.

    body: bytes of a request. upload: bytes of a request to MLflow, such as an artifact.
    body_seconds: how long a client may send nothing while its body is incomplete. rate, burst:
    requests a second of one token, in the long run and at once. logins, login_burst: the same of
    sign-ins from one address.
    """

    body: int = 1_000_000
    upload: int = 10_000_000_000
    body_seconds: float = 30
    rate: float = 1000
    burst: int = 2000
    logins: float = 0.2
    login_burst: int = 10


class RateLimit:
    """A token bucket for each key: `burst` requests at once, then `rate` a second.

    It is kept as the time at which a key's bucket will be full again, one number for each key
    (GCRA, the generic cell rate algorithm).
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.interval, self.burst, self.clock = 1 / rate, burst, clock
        self._full_at: dict[str, float] = {}

    def check(self, key: str) -> None:
        """Count a request of `key`; raise Refused, without counting it, if it is one too many."""
        now = self.clock()
        full_at = max(now, self._full_at.get(key, now))
        wait = full_at - now - (self.burst - 1) * self.interval
        if wait > 0:
            seconds = max(1, math.ceil(wait))
            raise Refused(
                429,
                f"too many requests; try again in {seconds} s",
                {"Retry-After": str(seconds)},
            )
        if len(self._full_at) >= MOST_KEYS:
            self._full_at = {each: at for each, at in self._full_at.items() if at > now}
        self._full_at[key] = full_at + self.interval


class Body:
    """The body of a request, refused when it is too large or when it stops coming.

    An application reads it through `receive` and answers through `send`. It sees a client that has
    gone when the body is refused; `refused` then says why, and nothing that it answers is sent.
    """

    def __init__(self, receive: Receive, send: Send, most: int, seconds: float) -> None:
        self._receive, self._send, self._most, self._seconds = receive, send, most, seconds
        self._complete = False
        self._size = 0
        self.started = False  # whether an answer is on its way
        self.refused: Refused | None = None

    async def receive(self) -> Message:
        """Return the next part of the body; later whether the client has gone."""
        if self.refused is not None:
            return {"type": "http.disconnect"}
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout(self._seconds):
                message = await self._receive()
        except TimeoutError:
            return self._refuse(
                Refused(408, f"the body stopped coming for {self._seconds:g} s; send it again")
            )
        self._size += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return self._refuse(too_large(self._most)) if self._size > self._most else message

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if self.refused is None or self.started:
            self.started = True
            await self._send(message)

    def _refuse(self, why: Refused) -> Message:
        self.refused = why
        return {"type": "http.disconnect"}


def too_large(most: int) -> Refused:
    """Return the error for a body of more than `most` bytes."""
    return Refused(
        413, f"the body of the request is larger than {most:,} bytes", {"Connection": "close"}
    )
