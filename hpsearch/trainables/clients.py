"""What clients of the service train: programs elsewhere, of which nothing is known here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpsearch.errors import SettingsError

if TYPE_CHECKING:
    from hpsearch.trainables.base import OnEpochEnd
    from hpsearch.trials.checkpoints import Checkpoint
    from hpsearch.trials.records import DataId

NAME = "clients"


class ClientsModel:
    """The model of a study whose trials are trained by clients of the service."""

    name = NAME
    data: DataId | None = None
    digest = ""
    class_names: tuple[str, ...] = ()
    code = ""
    notes: tuple[str, ...] = ()
    resumes = False
    test_rows = ""

    def epochs_of(self, config: Any) -> int:
        """Return the most epochs that a configuration allows; without the key a trial has one."""
        return int(config.get("epochs", 1))

    def train(
        self,
        config: Any,  # noqa: ARG002
        draw: int,  # noqa: ARG002
        on_epoch_end: OnEpochEnd,  # noqa: ARG002
        resume: Checkpoint | None = None,  # noqa: ARG002
    ) -> None:
        """Raise SettingsError: it is trained elsewhere."""
        raise trained_elsewhere()


def trained_elsewhere() -> SettingsError:
    """Return the error for a command that would have to train such a study."""
    return SettingsError(
        "model.clients: this study is trained by programs that ask for its trials; start "
        "`hpsearch serve`, and submit it there"
    )
