"""Reading studies from a storage, or through a service that has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hpsearch.workspace import Workspace


@contextmanager
def studies_from(
    storage: str | None, server: str | None, *names: str, tracking_uri: str | None = None
) -> Iterator[Workspace]:
    """Yield a workspace with the studies of these names, none for all.

    With a server it has a copy of them, as they are now.
    """
    from hpsearch.workspace import Workspace

    if server is None:
        yield Workspace(storage, tracking_uri)
        return
    if storage is not None or tracking_uri is not None:
        raise click.UsageError("--server has stores of its own; leave --storage out")
    from hpsearch.client import Client

    with Client(server, patience=0) as client, TemporaryDirectory() as folder:
        journal = Path(folder) / "copy.journal"
        journal.write_bytes(client.journal(names))
        yield Workspace(str(journal), tracked=False)
