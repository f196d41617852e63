"""A client of the service: studies of another machine, and training for one of them.

study = Client("http://host:8000").study("elsewhere")
while trial := study.ask("worker-1"):
    for metrics in train(trial.config, epochs=trial.epochs, seed=trial.seed):
        if not trial.report(metrics):
            break
    trial.complete()
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from hpsearch.errors import (
    ConflictError,
    GoneError,
    HpsearchError,
    ServiceError,
    SettingsError,
    UnknownStudyError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpsearch.settings.study import StudySettings

API = "/api/v1"
TOKEN = "HPSEARCH_TOKEN"  # the variable that a token may be in
PATIENCE_SECONDS = 300.0  # how long a service that is away is waited for
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between two tries
TIMEOUT_SECONDS = 60.0  # for an answer
ERRORS: dict[int, type[HpsearchError]] = {
    404: UnknownStudyError,
    409: ConflictError,
    410: GoneError,
    422: SettingsError,
}
AWAY = (429, 502, 503, 504)  # an answer with one of these may be another one later

logger = logging.getLogger(__name__)


class Client:
    """A service at its address.

    url: such as http://host:8000. token: None takes HPSEARCH_TOKEN. patience: for how many seconds
    a service that is away is waited for; training goes on when it is back. Methods raise
    HpsearchError, with the sentence of the service.
    """

    def __init__(
        self, url: str, token: str | None = None, *, patience: float = PATIENCE_SECONDS
    ) -> None:
        token = token or os.environ.get(TOKEN)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.url, self.patience = url.rstrip("/"), patience
        if not re.match(r"https?://[^/]", url):
            raise SettingsError(f"url: {url!r} is no address, such as http://host:8000")
        self._http = httpx.Client(base_url=self.url + API, headers=headers, timeout=TIMEOUT_SECONDS)

    def submit(
        self,
        study: str | os.PathLike[str] | Mapping[str, Any] | StudySettings,
        *,
        name: str | None = None,
        priority: int = 0,
        jobs: int | None = None,
    ) -> RemoteStudy:
        """Submit a study, and return it; it may be submitted twice.

        study: the path of a study file, its text, its tables, or settings. The other arguments are
        as of `Workspace.submit`.
        """
        body = {"file": _file(study), "name": name, "priority": priority, "jobs": jobs}
        return RemoteStudy(self, self.call("POST", "/studies", body)["name"])

    def study(self, name: str) -> RemoteStudy:
        """Return a study by its name; whether it exists is asked when it is used."""
        return RemoteStudy(self, name)

    def studies(self) -> list[dict[str, Any]]:
        """Return the state of every study, as plain data."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", f"/studies?limit=1000&offset={len(found)}")
            found += page["studies"]
            if not page["studies"] or len(found) >= page["total"]:
                return found

    def journal(self, names: Sequence[str] = ()) -> bytes:
        """Return a journal file with a copy of studies, as they are now; none is all of them."""
        query = "&".join(f"names={quote(name, safe='')}" for name in names)
        return self.answer("GET", f"/journal?{query}").content

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return what the service answers to a request; wait for it while it is away."""
        return self.answer(method, path, body).json()

    def answer(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Return the answer to a request; raises HpsearchError for one that says no."""
        until, pause, told = time.monotonic() + self.patience, FIRST_PAUSE, False
        while True:
            try:
                answer = self._http.request(method, path, json=body)
                if answer.status_code not in AWAY or time.monotonic() > until:
                    return _checked(answer)
                why = _detail(answer)
            except httpx.TransportError as error:
                why = str(error) or type(error).__name__
                if time.monotonic() > until:
                    raise ServiceError(f"{self.url}: cannot be reached: {why}") from error
            if not told and pause > 1:
                logger.warning("%s: %s; trying again for %.0f s", self.url, why, self.patience)
                told = True
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def stream(self, path: str, last: str = "") -> Iterator[tuple[str, str, Any]]:
        """Yield the kind, the id and the data of each event until the connection ends."""
        headers = {"Last-Event-ID": last} if last else {}
        with self._http.stream("GET", path, headers=headers) as answer:
            if answer.is_error:
                answer.read()
            _checked(answer)
            kind = number = ""
            for line in answer.iter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    kind = value
                elif key == "id":
                    number = value
                elif key == "data":
                    yield kind, number, json.loads(value)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RemoteStudy:
    """A study of a service."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name
        self.path = f"/studies/{quote(name, safe='')}"

    def state(self) -> dict[str, Any]:
        """Return the study as it is now, as plain data."""
        found: dict[str, Any] = self.client.call("GET", self.path)
        return found

    def best(self, top: int = 5) -> list[dict[str, Any]]:
        """Return the best trials, best first."""
        found: list[dict[str, Any]] = self.client.call("GET", f"{self.path}/best?top={top}")
        return found

    def trials(self, *, curves: bool = False) -> list[dict[str, Any]]:
        """Return all trials. curves: with their metrics, epoch by epoch."""
        found: list[dict[str, Any]] = []
        query = f"limit=1000&curves={str(curves).lower()}"
        while True:
            page = self.client.call("GET", f"{self.path}/trials?{query}&offset={len(found)}")
            found += page["trials"]
            if not page["trials"] or len(found) >= page["total"]:
                return found

    def stop(self) -> None:
        """Stop the study; what it has trained is kept."""
        self.client.call("POST", f"{self.path}/stop")

    def resume(self, *, trials: int | None = None) -> None:
        """Let the study go on. trials: how many it is to have in all."""
        if trials is not None:
            self.client.call("PATCH", self.path, {"trials": trials})
        self.client.call("POST", f"{self.path}/resume")

    def delete(self) -> None:
        """Delete the study, as soon as nobody runs it."""
        self.client.call("DELETE", self.path)

    def watch(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield ("study", state) and ("trial", trial) as they change, until the study ends.

        It goes on after the service was away, and misses nothing.
        """
        last, pause = "", FIRST_PAUSE
        until = time.monotonic() + self.client.patience
        while True:
            try:
                for kind, number, data in self.client.stream(f"{self.path}/events", last):
                    last, pause = number or last, FIRST_PAUSE
                    until = time.monotonic() + self.client.patience
                    if kind == "gone":
                        return
                    yield kind, data
                    if kind == "study" and data["state"] in ENDED:
                        return
            except httpx.TransportError as error:
                if time.monotonic() > until:
                    raise ServiceError(f"{self.client.url}: cannot be reached: {error}") from error
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def ask(self, client: str) -> RemoteTrial | None:
        """Return a trial to train: the one that this client has begun, or a new one.

        Waits while all trials are with other clients. None: there will be no more. client: a name
        that no other client has.
        """
        while True:
            given = self.client.call("POST", f"{self.path}/trials", {"client_id": client})
            if given["trial"] is not None:
                return RemoteTrial(self, client, given)
            if given["done"]:
                return None
            time.sleep(given["wait_seconds"])

    def work(self, train: Callable[..., Any] | str, client: str) -> int:
        """Train trials until there are no more, and return how many.

        train: a function as [model] train names it, which yields the metrics of each epoch; see
        docs/your-own-model.md.
        """
        from hpsearch.trainables.base import Enough
        from hpsearch.trainables.errors import ConfigurationError
        from hpsearch.trainables.function import FunctionModel
        from hpsearch.trainables.source import Source

        state, trained = self.state(), 0
        settings = state["settings"]["search"]
        model = FunctionModel(
            Source.of(train), seed=int(settings.get("seed", 0)), metric=state["metric"]
        )
        while trial := self.ask(client):
            try:
                model.train(trial.config, trial.draw, trial.take)
                trial.complete()
            except Enough:
                trial.complete()
            except GoneError as error:
                logger.warning("%s", error)
            except ConfigurationError as error:
                trial.fail(str(error))
            except Exception as error:
                trial.fail(f"{type(error).__name__}: {error}"[:1000])
                raise
            trained += 1
        return trained


class RemoteTrial:
    """A trial of a service that this process trains.

    config: all values, fixed and sampled. epochs: the most to train. seed: for what is random.
    draw: the number of the draw from which the seed follows. reported: how many epochs the service
    knows, if this client was killed and asks again; it trains from the start, or `resume_after`.
    """

    def __init__(self, study: RemoteStudy, client: str, given: Mapping[str, Any]) -> None:
        self.study, self.client_id = study, client
        self.number: int = given["trial"]
        self.slot: int = given["slot"]
        self.config: dict[str, Any] = given["config"]
        self.epochs: int = given["epochs"]
        self.seed: int = given["seed"]
        self.draw: int = given["draw"]
        self.reported: int = given["reported"]
        self._sent: list[Mapping[str, float | None]] = []
        self._first = 1  # the number of the first epoch in `_sent`
        self._path = f"{study.path}/trials/{self.number}"

    def resume_after(self, epochs: int) -> None:
        """Say that the next report is of the epoch after these, as one from a checkpoint is."""
        if not 0 <= epochs <= self.reported:
            raise SettingsError(f"epochs: the service knows {self.reported}, and not {epochs}")
        self._first, self._sent = epochs + 1, []

    def report(self, metrics: Mapping[str, float | None]) -> bool:
        """Report the metrics of the next epoch; return whether to train on."""
        return self.report_all([metrics])

    def report_all(self, epochs: Sequence[Mapping[str, float | None]]) -> bool:
        """Report the metrics of the next epochs; return whether to train on."""
        self._sent += [_plain(metrics) for metrics in epochs]
        number = self._known() - len(epochs) + 1
        try:
            answer = self._post("epochs", first=number, epochs=self._sent[-len(epochs) :])
        except ConflictError:  # a service that was killed may have lost the last seconds
            if not self._catch_up():
                raise
            answer = self._post("epochs", **self._missing())
        self.reported = answer["reported"]
        return bool(answer["action"] == "continue")

    def take(
        self,
        metrics: Mapping[str, float | None],
        gradient_norms: Sequence[float] = (),  # noqa: ARG002
        save: object = None,  # noqa: ARG002
    ) -> None:
        """Report an epoch, as a model hands it on; raises Enough to end the training."""
        from hpsearch.trainables.base import Enough

        if not self.report(metrics):
            raise Enough

    def complete(self, metrics: Mapping[str, float | None] | None = None) -> dict[str, Any]:
        """End the trial well, and return it. metrics: of one that has reported no epochs."""
        body = {"metrics": None if metrics is None else _plain(metrics), "epochs": self._known()}
        try:
            found: dict[str, Any] = self._post("complete", **body)
        except ConflictError:
            if not self._catch_up():
                raise
            self._post("epochs", **self._missing())
            found = self._post("complete", **body)
        return found

    def fail(self, reason: str) -> None:
        """Give the trial up; it is tried again, three times in all."""
        self._post("fail", reason=reason)

    def _known(self) -> int:
        """Return how many epochs were reported, by this client or before it began."""
        return self._first + len(self._sent) - 1

    def _catch_up(self) -> bool:
        """Ask how many epochs the service knows; return whether it lacks some that were sent."""
        body = {"client_id": self.client_id}
        given = self.study.client.call("POST", f"{self.study.path}/trials", body)
        if given["trial"] != self.number:
            return False
        self.reported = given["reported"]
        return self._first - 1 <= self.reported < self._known()

    def _missing(self) -> dict[str, Any]:
        known = self.reported - self._first + 1
        return {"first": self.reported + 1, "epochs": self._sent[known:]}

    def _post(self, what: str, **body: object) -> Any:
        return self.study.client.call(
            "POST", f"{self._path}/{what}", {"client_id": self.client_id, **body}
        )


ENDED = ("finished", "stopped", "failed", "idle")


def _file(study: str | os.PathLike[str] | Mapping[str, Any] | StudySettings) -> Any:
    """Return a study file as the API takes it; raises SettingsError."""
    if isinstance(study, Mapping):
        return dict(study)
    if isinstance(study, str) and ("\n" in study or "=" in study):
        return study
    if isinstance(study, str | os.PathLike):
        try:
            return Path(study).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{study}: cannot be read: {error}") from None
    return study.to_toml()


def _plain(metrics: Mapping[str, float | None]) -> dict[str, Any]:
    """Return metrics for JSON, which has no NaN and no infinity: those are sent as text."""
    plain: dict[str, Any] = {}
    for name, value in metrics.items():
        number = None if value is None else float(value)
        finite = number is None or number - number == 0
        plain[name] = number if finite else str(number)
    return plain


def _checked(answer: httpx.Response) -> httpx.Response:
    """Return an answer that says yes; raise HpsearchError with the sentence of one that says no."""
    if answer.is_success:
        return answer
    error = ERRORS.get(answer.status_code, ServiceError)
    raise error(_detail(answer))


def _detail(answer: httpx.Response) -> str:
    """Return the sentence of an answer that says no."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url}: {answer.status_code} {answer.reason_phrase}"
