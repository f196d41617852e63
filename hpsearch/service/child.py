"""The process of one study: `python -m hpsearch.service.child NAME`, as the dispatcher starts it.

It does what the command line would, by the same methods, and writes on the study how that ended, so
that nothing is lost when the service is killed. Storage and tracking store come from the
environment, where nobody reads their passwords.
"""

from __future__ import annotations

import argparse
import logging
import os
import traceback
from dataclasses import replace

from hpsearch.errors import BusyError, HpsearchError, Interrupted
from hpsearch.execution.worker import optuna_logs
from hpsearch.signals import stop_on_signals
from hpsearch.trials.records import Wish, wish_of, write_wish
from hpsearch.workspace import Workspace

BUSY = 75  # the exit code for a study that another process runs: EX_TEMPFAIL

logger = logging.getLogger("hpsearch")


def run_wanted(
    workspace: Workspace, name: str, *, jobs: int = 1, cluster: str | None = None
) -> int:
    """Run or evaluate a study as it is wanted, and return the exit code of the process.

    jobs: the most trials at a time.
    """
    wish = wish_of(workspace.study(name))
    if wish is None or wish.want != "run":
        return 0
    with stop_on_signals() as received, optuna_logs(logging.WARNING):
        try:
            ended = _run(workspace, name, wish, min(jobs, wish.jobs), cluster, received)
        except Interrupted:
            ended = None
        except BusyError as error:
            logger.warning("%s", error)
            return BUSY
        except HpsearchError as error:
            ended = replace(wish, want="failed", said=str(error))
        except Exception as error:
            ended = replace(wish, want="failed", said=f"{type(error).__name__}: {error}")
            logger.error("study '%s': %s", name, traceback.format_exc())
    if ended is None:
        return 128 + received[0] if received else 0
    study = workspace.study(name)
    if wish_of(study) == wish:  # nobody wants anything else by now
        write_wish(study, ended)
    return 0 if ended.want == "done" else 1


def _run(
    workspace: Workspace,
    name: str,
    wish: Wish,
    jobs: int,
    cluster: str | None,
    received: list[int],
) -> Wish | None:
    """Return the wish with what came of it, None if it was interrupted."""
    if cluster is not None:
        jobs = 1
    if wish.task == "evaluate":
        workspace.evaluate(
            name,
            jobs=jobs,
            cluster=cluster,
            should_stop=lambda: bool(received),
            **wish.options,
        )
        return replace(wish, want="done")
    result = workspace.run(
        workspace.settings(name),
        name=name,
        jobs=jobs,
        cluster=cluster,
        should_stop=lambda: bool(received),
    )
    if result.last.reason in ("interrupted", "stopped"):
        return None
    want = "failed" if result.last.reason == "given up" else "done"
    return replace(wish, want=want, said=str(result.last.sentence))


def main() -> None:
    """Run the study that the arguments name."""
    parser = argparse.ArgumentParser(prog="hpsearch.service.child")
    parser.add_argument("name")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cluster")
    parser.add_argument("--untracked", action="store_true")
    given = parser.parse_args()
    page = os.environ.get("HPSEARCH_URL", "")
    workspace = Workspace(tracked=not given.untracked, page=page)
    raise SystemExit(run_wanted(workspace, given.name, jobs=given.jobs, cluster=given.cluster))


if __name__ == "__main__":
    main()
