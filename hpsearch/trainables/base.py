"""What a search trains: an interface, which the built-in network and a user's own model have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hpsearch.trials.checkpoints import Checkpoint, Save
    from hpsearch.trials.curves import Metrics
    from hpsearch.trials.records import DataId


class OnEpochEnd(Protocol):
    """Takes the metrics of each epoch as it ends, and raises to end the training there.

    save: writes what the model has learned by now to the path that it is given.
    """

    def __call__(
        self, metrics: Metrics, gradient_norms: Sequence[float] = (), save: Save | None = None
    ) -> None: ...


class Enough(BaseException):
    """Ends a training after the last epoch that is wanted of it; a model does not catch it."""


class Model(Protocol):
    """What a search trains.

    data: what the trials are trained on, None if hpsearch does not know. digest: of these data, ""
    if hpsearch does not know them. notes: sentences about the data that a person should read.
    """

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def data(self) -> DataId | None: ...

    @property
    def digest(self) -> str: ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that a prediction can be, () if hpsearch does not know."""

    @property
    def code(self) -> str:
        """A digest of the code that trains, "" for hpsearch's own."""

    @property
    def notes(self) -> Sequence[str]: ...

    @property
    def resumes(self) -> bool:
        """Whether it goes on from a checkpoint."""

    @property
    def test_rows(self) -> str:
        """What identifies the rows that it keeps for a final test, "" if it keeps none."""

    def epochs_of(self, config: Any) -> int:
        """Return the most epochs that a configuration allows."""

    def train(
        self,
        config: Any,
        draw: int,
        on_epoch_end: OnEpochEnd,
        resume: Checkpoint | None = None,
    ) -> None:
        """Train once, and hand every epoch to `on_epoch_end`.

        draw: the number of the draw of everything random. resume: where to go on, if the model
        `resumes`; its first epoch is then the one after that. Raises whatever the model raises.
        """


class Testable(Protocol):
    """What a model with `test_rows` can do besides; `evaluate` asks for it once."""

    def final(self, config: Any, draw: int, epochs: int) -> Mapping[str, float]:
        """Train on everything but the test rows, and return the scores on these by name.

        draw: as of `Model.train`. epochs: for how many; the median of the best ones.
        """


def followed(epochs: Iterator[Any], on_epoch_end: Callable[[Any], None]) -> None:
    """Hand each epoch to `on_epoch_end`, and close the generator that trains, whatever happens."""
    try:
        for epoch in epochs:
            on_epoch_end(epoch)
    finally:
        close = getattr(epochs, "close", None)
        if close is not None:
            close()
