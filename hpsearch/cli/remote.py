"""What commands do through a service: run a study there, and fetch what it found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from hpsearch.client import Client
from hpsearch.errors import Argument, Command, Sentence

if TYPE_CHECKING:
    from hpsearch.execution.progress import Progress
    from hpsearch.settings.study import StudySettings

OUTPUT = Argument("output")
PATIENCE_SECONDS = 30.0


def fetch(server: str, name: str, what: str, output: str | None, *, force: bool) -> bytes:
    """Return what a service answers about a study, and write it to a file if one is named."""
    from hpsearch.files import check_output, write_file

    if output is not None:
        check_output(OUTPUT, output, force=force)
    with Client(server, patience=0) as client:
        content = client.answer("GET", f"/studies/{quote(name, safe='')}/{what}").content
    if output is not None:
        write_file(OUTPUT, output, content)
    return content


def run_there(
    server: str, settings: StudySettings, *, name: str | None, jobs: int, as_json: bool
) -> None:
    """Submit a study to a service, show how far it is, and print what it found.

    Ctrl-C ends only this; the study goes on.
    """
    from hpsearch.cli.console import note, show_progress

    with Client(server, patience=PATIENCE_SECONDS) as client:
        study = client.submit(settings, name=name, jobs=jobs)
        state = study.state()
        progress = _progress(settings, state)
        try:
            with show_progress() as draw:
                for kind, data in study.watch():
                    if kind == "study":
                        state = data
                        _update(progress, state)
                        draw(progress)
        except KeyboardInterrupt:
            stop = Command("stop", study.name)
            note(Sentence(f"{study.name} goes on at {server}; `", stop, "` stops it"))
            raise SystemExit(130) from None
        best = study.best()
    if as_json:
        click.echo(json.dumps({**state, "best": best}, indent=2))
    else:
        note(f"{study.name}: {state['said'] or state['state']}")
        note(Sentence("The best:   ", Command("best", study.name)))
    if state["state"] == "failed":
        raise SystemExit(1)


def _progress(settings: StudySettings, state: dict[str, Any]) -> Progress:
    from hpsearch.execution.progress import Progress

    progress = Progress(
        range(settings.search.slots), settings.max_epochs, settings.search.direction
    )
    _update(progress, state)
    progress.started_with = progress.done
    return progress


def _update(progress: Progress, state: dict[str, Any]) -> None:
    progress.complete, progress.pruned = state["complete"], state["pruned"]
    progress.failed = state["failed"]
    progress.best, progress.best_slot = state["best"], state["best_slot"]
