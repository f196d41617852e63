"""The API's trials: reading them, and ask and tell for programs that train them elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse

from hpsearch.analysis.ranking import find_trial, trial_record
from hpsearch.errors import UnknownStudyError
from hpsearch.service.api.schemas import (
    AnswerView,
    Ask,
    AssignmentView,
    Completion,
    Direction,
    Epochs,
    Failure,
    Problem,
    TrialPage,
    TrialView,
)
from hpsearch.service.cursor import Cursor
from hpsearch.trials.records import client_of, own_trials

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpsearch.service.service import Service

UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
WAIT_SECONDS = 1.0  # for a client without a trial
MOST = 1000  # trials on a page


def trial_view(trial: FrozenTrial, *, curves: bool = False) -> dict[str, Any]:
    """Return a trial as the API shows it."""
    began, ended = trial.datetime_start, trial.datetime_complete
    return trial_record(trial, curves=curves) | {
        "client": client_of(trial),
        "started": None if began is None else began.timestamp(),
        "ended": None if ended is None else ended.timestamp(),
    }


def trials_router(service: Service) -> APIRouter:
    """Return the routes of a study's trials."""
    router = APIRouter(prefix="/studies/{name}/trials", tags=["trials"])
    told: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem} for status in (404, 409, 410)
    }

    @router.get("", responses={404: {"model": Problem}})
    def list_trials(
        name: str,
        state: str | None = None,
        sort: Annotated[str, Query(pattern="^(number|slot|value|epochs)$")] = "number",
        order: Direction = "asc",
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
        offset: Annotated[int, Query(ge=0)] = 0,
        curves: bool = False,
        since: Annotated[str | None, Query(description="The cursor of an earlier answer.")] = None,
    ) -> TrialPage:
        """List trials; with `since` those that are new or have changed."""
        study = service.study(name)
        trials = own_trials(study)
        cursor = Cursor.of(trials)
        if since is not None:
            trials = Cursor.parse(since).changed(trials)
        if state is not None:
            trials = [trial for trial in trials if trial.state.name.lower() == state]
        total = len(trials)
        if sort in ("value", "epochs", "slot"):
            known = [(trial_record(trial)[sort], trial) for trial in trials]
            ordered = sorted((e for e in known if e[0] is not None), key=lambda entry: entry[0])
            trials = [t for _, t in (ordered if order == "asc" else reversed(ordered))]
            trials += [trial for value, trial in known if value is None]
        elif order == "desc":
            trials = [*reversed(trials)]
        page = [trial_view(each, curves=curves) for each in trials[offset : offset + limit]]
        views = [TrialView.model_validate(each) for each in page]
        return TrialPage(trials=views, total=total, cursor=str(cursor))

    @router.get("/{slot}", responses={404: {"model": Problem}})
    def show_trial(name: str, slot: str) -> TrialView:
        """Show the last trial of a slot, with its curves."""
        trial = find_trial(service.study(name), slot)
        return TrialView.model_validate(trial_view(trial, curves=True))

    @router.get("/{slot}/mlflow", response_class=RedirectResponse, responses=UNKNOWN)
    def run(name: str, slot: str) -> RedirectResponse:
        """Lead to the run in MLflow of the last trial of a slot."""
        find_trial(service.study(name), slot)
        found = service.run_url(name, slot)
        if found is None:
            raise UnknownStudyError(f"MLflow has no run of trial {slot} of study '{name}' yet")
        return RedirectResponse(found)

    @router.post("", responses={409: {"model": Problem}, 404: {"model": Problem}})
    def ask(name: str, body: Ask) -> AssignmentView:
        """Ask for a trial: the client's open one, or a new one.

        Only for a study with `clients = true` in its [model] table.
        """
        study = service.client_study(name)
        assignment = study.ask(body.client_id)
        if assignment is not None:
            return AssignmentView(**asdict(assignment))
        done = study.has_ended
        return AssignmentView(done=done, wait_seconds=None if done else WAIT_SECONDS)

    @router.post("/{number}/epochs", responses=told)
    def report(name: str, number: int, body: Epochs) -> AnswerView:
        """Report the metrics of one epoch or of several in a row."""
        answer = service.client_study(name).report(number, body.client_id, body.first, body.epochs)
        return AnswerView(
            action="continue" if answer.go_on else "stop",
            state=answer.state,
            reported=answer.reported,
            lease_seconds=answer.lease_seconds,
        )

    @router.post("/{number}/complete", responses=told)
    def complete(name: str, number: int, body: Completion) -> TrialView:
        """Tell that a trial has gone well; its value follows from its epochs."""
        trial = service.client_study(name).complete(
            number, body.client_id, body.metrics, epochs=body.epochs
        )
        return TrialView.model_validate(trial_view(trial))

    @router.post("/{number}/fail", responses=told)
    def fail(name: str, number: int, body: Failure) -> TrialView:
        """Tell that a trial has failed; its slot is tried again, three times in all."""
        trial = service.client_study(name).fail(number, body.client_id, body.reason)
        return TrialView.model_validate(trial_view(trial))

    return router
