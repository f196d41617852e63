"""What the API takes and answers, as pydantic models: they make the OpenAPI document too."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

EXAMPLE_FILE = """\
name = "quick"
[search]
sampler = "random"
trials = 20
[trial]
epochs = 5
learning_rate = { low = 1e-4, high = 1.0, log = true }
"""
EXAMPLE_SPACE = """\
name = "elsewhere"
[model]
clients = true
[search]
metric = "val/loss"
trials = 50
[trial]
epochs = 10
learning_rate = { low = 1e-4, high = 1.0, log = true }
"""
MOST_EPOCHS = 10_000  # in one batch
ClientId = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Metrics = dict[str, float | None]
Direction = Literal["asc", "desc"]


class Table(BaseModel):
    """A body with these keys and no others."""

    model_config = ConfigDict(extra="forbid")


class Submission(Table):
    """A study to run."""

    file: str | dict[str, Any] = Field(
        description="A study file: as TOML, or its tables as JSON.",
        examples=[EXAMPLE_FILE, EXAMPLE_SPACE],
    )
    name: str | None = Field(None, description="None: the file's name and the sampler.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(
        0, description="Studies of a higher priority run first."
    )
    jobs: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="Trials at a time; None: as many as the service runs."
    )


class Change(Table):
    """What may change about a study."""

    trials: Count | None = Field(None, description="How many trials it is to have in all.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = None


class EvaluationOrder(Table):
    """How to evaluate a study."""

    top: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="How many of the best.")
    seeds: Annotated[int, Field(ge=1, le=1000)] = Field(10, description="Trainings of each.")
    again: bool = Field(False, description="Use the test set even if it has been used before.")


class NarrowOrder(Table):
    """How to narrow the space of a study."""

    top: Count | None = Field(None, description="Around how many of the best.")
    margin: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="What a range keeps on either side, as a share of its old width."
    )
    widen: bool = Field(False, description="Move ends that the best values crowd outwards.")


class Ask(Table):
    """Who asks for a trial."""

    client_id: ClientId = Field(examples=["worker-1"])


class Epochs(Ask):
    """Metrics of epochs in a row."""

    first: Count = Field(description="The number of the first of them, from 1.", examples=[1])
    epochs: Annotated[list[Metrics], Field(min_length=1, max_length=MOST_EPOCHS)] = Field(
        examples=[[{"train/loss": 0.7, "val/loss": 0.6}, {"train/loss": 0.5, "val/loss": 0.55}]]
    )


class Completion(Ask):
    """The end of a trial that went well."""

    metrics: Metrics | None = Field(
        None, description="Of a trial that has reported no epochs.", examples=[None]
    )
    epochs: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        None,
        description="How many epochs it has reported. If the study has fewer, because the service "
        "was killed, the answer is 409: send the others again.",
    )


class Failure(Ask):
    """The end of a trial that failed."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] = Field(
        examples=["CUDA out of memory"]
    )


class StudyView(BaseModel):
    """A study as it is at one moment.

    state: queued, starting, running, stopping, stopped, finished, failed, deleting, or idle. said:
    how it ended. by: the token that submitted it. trials: how many it is to have. best: the best
    value of the metric.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    state: str
    task: str
    said: str
    priority: int
    jobs: int
    since: float | None
    by: str
    holder: str
    for_clients: bool
    metric: str
    trials: int | None
    complete: int
    pruned: int
    failed: int
    running: int
    epochs: int
    best: float | None
    best_slot: int | None


class StudyPage(BaseModel):
    """Some of the studies, and how many there are in all."""

    studies: list[StudyView]
    total: int


class TrialView(BaseModel):
    """A trial; `curves` has a list for each metric, with a value for each epoch."""

    model_config = ConfigDict(extra="allow")

    number: int
    slot: int | None
    state: str
    value: float | None
    epochs: int
    params: dict[str, Any]


class TrialPage(BaseModel):
    """Some of the trials, how many there are, and where to go on reading what is new."""

    trials: list[TrialView]
    total: int
    cursor: str


class AssignmentView(BaseModel):
    """A trial to train, or how long to wait for one.

    epochs: the most to train. reported: how many the study knows already. done: whether there will
    be no more trials.
    """

    trial: int | None = None
    slot: int | None = None
    config: dict[str, Any] | None = None
    seed: int | None = None
    draw: int | None = None
    epochs: int | None = None
    reported: int = 0
    lease_seconds: float | None = None
    done: bool = False
    wait_seconds: float | None = None


class AnswerView(BaseModel):
    """What to do after a report.

    reported: how many epochs the study has; after a restart of the service they may be fewer than
    were sent: send them again from there.
    """

    action: Literal["continue", "stop"]
    state: str
    reported: int
    lease_seconds: float


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
