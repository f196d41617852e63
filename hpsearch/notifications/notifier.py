"""Watching a study that runs, for those who want to hear how it goes."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hpsearch.errors import HpsearchError, SettingsError, for_command_line
from hpsearch.formatting import format_duration, format_value
from hpsearch.notifications.webhook import Outbox, Webhook, read_secret
from hpsearch.settings.notify import NotifySettings, check_webhook

if TYPE_CHECKING:
    from types import TracebackType

    from hpsearch.errors import Sentence
    from hpsearch.execution.coordinator import RunOptions
    from hpsearch.execution.progress import Progress
    from hpsearch.settings.notify import Event
    from hpsearch.settings.study import StudySettings

LONGEST_LOOK = 10.0  # seconds from one look at a stalled study to the next


class Notifier:
    """Tells webhooks how a study goes, from the beginning to the end of its block.

    The webhooks are those of [notify] and of HPSEARCH_WEBHOOK; without any it does nothing. Raises
    SettingsError for an address or a secret in the environment that is none.
    """

    def __init__(self, study: str, settings: StudySettings) -> None:
        self.study, self.metric = study, settings.search.metric
        self.settings = settings.notify or NotifySettings()
        self._webhooks = webhooks_of(self.settings)
        self._outboxes: list[Outbox] = []
        self._progress: Progress | None = None
        self._best: int | None = None  # the slot of the best trial that was seen last
        self._steps = (0, 0, 0)  # the progress that was seen last
        self._moved = 0.0  # when that was
        self._ended = threading.Event()

    def __enter__(self) -> Notifier:
        self._outboxes = [Outbox(webhook) for webhook in self._webhooks]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell of an error that ended the study; what is told is sent while the process goes on."""
        self._ended.set()
        if isinstance(error, HpsearchError):
            self._tell("failed", error.for_command_line)
        elif isinstance(error, Exception):
            self._tell("failed", f"an unexpected error ended it: {type(error).__name__}")
        for outbox in self._outboxes:
            outbox.close()

    def listening(self, options: RunOptions) -> RunOptions:
        """Return `options` with which a study also shows its progress to this."""
        if not self._outboxes:
            return options

        def show(progress: Progress) -> None:
            options.on_progress(progress)
            self.look(progress)

        return replace(options, on_progress=show)

    def look(self, progress: Progress) -> None:
        """Notice a trial that is better than those before it, and that the study goes on."""
        steps = (progress.done, progress.failed, sum(progress.running.values()))
        if self._progress is None:
            self._best = progress.best_slot
            self._moved = time.monotonic()
            if "stalled" in self.settings.events:
                threading.Thread(target=self._watch, name="stalled", daemon=True).start()
        self._progress = progress
        if steps != self._steps:
            self._steps, self._moved = steps, time.monotonic()
        if progress.best_slot not in (None, self._best):
            self._best = progress.best_slot
            value = f"{self.metric} {format_value(progress.best)}"
            self._tell("best", f"trial {self._best} is the best so far: {value}")

    def ended(self, reason: str, sentence: Sentence, *, new: int) -> None:
        """Tell how the study ended. new: how many trials it has done since its start.

        A study that somebody has interrupted, or that was done before, is no news.
        """
        text = for_command_line(sentence.parts)
        if reason == "given up":
            self._tell("failed", text)
        elif reason != "interrupted" and new:
            self._tell("finished", text)

    def _watch(self) -> None:
        """Tell of each time at which nothing has happened for too long."""
        longest, told, wait = self.settings.stalled_after, 0.0, self.settings.stalled_after
        while not self._ended.wait(wait):
            moved = self._moved
            quiet = time.monotonic() - moved
            if quiet >= longest and told != moved:
                told = moved
                since = format_duration(quiet)
                self._tell("stalled", f"no epoch and no trial has ended for {since}")
            wait = longest - quiet if quiet < longest else min(longest, LONGEST_LOOK)

    def _tell(self, event: Event, sentence: str) -> None:
        if event not in self.settings.events:
            return
        data: dict[str, Any] = {
            "event": event,
            "study": self.study,
            "trial": self._progress and self._progress.best_slot,
            "value": self._progress and self._progress.best,
            "metric": self.metric,
            "sentence": f"{self.study}: {sentence}",
        }
        if base := os.environ.get("HPSEARCH_URL"):
            data["url"] = f"{base.rstrip('/')}/studies/{quote(self.study)}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for outbox in self._outboxes:
            outbox.put({"type": f"study.{event}", "timestamp": now, "data": data})


def webhooks_of(settings: NotifySettings) -> list[Webhook]:
    """Return the webhooks of [notify] and of the environment; raises SettingsError."""
    given = os.environ.get("HPSEARCH_WEBHOOK")
    if given:
        try:
            check_webhook(given)
        except ValueError as error:
            raise SettingsError(f"HPSEARCH_WEBHOOK: {error}") from None
    urls = dict.fromkeys(url for url in (given, settings.webhook) if url)
    secret = read_secret() if urls else None
    return [Webhook(url, secret) for url in urls]
