"""The API's studies: submitting, watching, changing, and using what they found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from hpsearch.service.access import EVERYBODY
from hpsearch.service.api.events import Feeds
from hpsearch.service.api.schemas import (
    Change,
    EvaluationOrder,
    NarrowOrder,
    Problem,
    StudyPage,
    StudyView,
    Submission,
)
from hpsearch.workspace import ExportFormat, Workspace

if TYPE_CHECKING:
    from hpsearch.service.service import Service, StudyState
    from hpsearch.service.tokens import User

MEDIA = {
    "toml": "application/toml",
    "json": "application/json",
    "npz": "application/octet-stream",
    "onnx": "application/octet-stream",
}
# A report has its scripts in it: they run as those of no site, and reach nothing.
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads allow-popups; default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
REFUSED: dict[int | str, dict[str, Any]] = {**UNKNOWN, 409: {"model": Problem}}


def view(state: StudyState) -> StudyView:
    """Return a study as the API shows it."""
    return StudyView.model_validate(state.record())


def studies_router(service: Service) -> APIRouter:
    """Return the routes of studies."""
    router, feeds = APIRouter(tags=["studies"]), Feeds(service)

    @router.post("/studies", status_code=201, responses={409: {"model": Problem}})
    def submit(body: Submission, request: Request, response: Response) -> StudyView:
        """Submit a study. It may be submitted twice: the second time the answer is 200."""
        state, new = service.submit(
            body.file,
            name=body.name,
            priority=body.priority,
            jobs=body.jobs,
            by=_name_of(request),
        )
        if not new:
            response.status_code = 200
        return view(state)

    @router.get("/studies")
    def list_studies(
        state: str | None = None,
        search: Annotated[str, Query(description="Part of the name.", max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> StudyPage:
        """List the studies by name."""
        found = [
            each
            for each in service.states()
            if state in (None, each.state) and search in each.summary.name
        ]
        page = [view(each) for each in found[offset : offset + limit]]
        return StudyPage(studies=page, total=len(found))

    @router.get("/studies/{name}", responses=UNKNOWN)
    def show_study(name: str) -> StudyView:
        """Show a study, with its settings and its progress."""
        return view(service.state(name))

    @router.patch("/studies/{name}", responses=UNKNOWN)
    def change_study(name: str, body: Change) -> StudyView:
        """Change how many trials a study has, or when its turn is."""
        return view(service.change(name, trials=body.trials, priority=body.priority))

    @router.delete("/studies/{name}", status_code=202, responses=UNKNOWN)
    def delete_study(name: str) -> StudyView:
        """Delete a study with its rounds, evaluation and MLflow runs, as soon as it is still."""
        service.delete(name)
        return view(service.state(name))

    @router.post("/studies/{name}/stop", responses=UNKNOWN)
    def stop(name: str) -> StudyView:
        """Stop a study, also one that the command line runs; what it has trained is kept."""
        return view(service.stop(name))

    @router.post("/studies/{name}/resume", responses=UNKNOWN)
    def resume(name: str) -> StudyView:
        """Let a study go on."""
        return view(service.resume(name))

    @router.post("/studies/{name}/evaluate", responses=REFUSED)
    def evaluate(name: str, body: EvaluationOrder) -> StudyView:
        """Train the best again, and test the winner."""
        return view(service.evaluate(name, **body.model_dump()))

    @router.get("/studies/{name}/evaluation", responses=UNKNOWN)
    def show_evaluation(name: str) -> dict[str, Any]:
        """Show the last evaluation; {} if there is none."""
        return service.workspace.evaluation(name) or {}

    @router.get("/studies/{name}/best", responses=UNKNOWN)
    def best(name: str, top: Annotated[int, Query(ge=1, le=1000)] = 5) -> list[dict[str, Any]]:
        """List the best trials, best first."""
        return service.workspace.best(name, top).records()

    @router.post("/studies/{name}/narrow", responses=REFUSED)
    def narrow(name: str, body: NarrowOrder) -> dict[str, str]:
        """Return the study file of the next round, around the best trials."""
        file = service.background.call(_narrow, name, **body.model_dump())
        return {"file": file}

    @router.get("/studies/{name}/report", response_class=HTMLResponse, responses=REFUSED)
    def report(name: str, top: Annotated[int, Query(ge=1, le=200)] = 20) -> HTMLResponse:
        """Return the report: one page of HTML."""
        page = service.background.call(Workspace.report_page, name, top=top)
        return HTMLResponse(page, headers={"Content-Security-Policy": REPORT_POLICY})

    @router.get("/studies/{name}/export", response_class=Response, responses=REFUSED)
    def export(
        name: str,
        format: ExportFormat = "toml",
        slot: Annotated[int | None, Query(ge=0)] = None,
    ) -> Response:
        """Return the winner: a study file, a record, or the network, which is trained again."""
        service.study(name)
        content = service.background.call(Workspace.export, name, format, slot=slot)
        headers = {"Content-Disposition": f'attachment; filename="{name}.{format}"'}
        return Response(content, media_type=MEDIA[format], headers=headers)

    @router.get("/studies/{name}/events", response_class=PlainTextResponse, responses=UNKNOWN)
    async def events(name: str, request: Request) -> Response:
        """Watch a study: Server-Sent Events `study` and `trial`, as they change.

        The id of an event is a cursor; with it as `Last-Event-ID`, or as `since` in the address,
        a reader misses nothing.
        """
        return feeds.stream(name, request)

    @router.get("/studies/{name}/mlflow", response_class=RedirectResponse, responses=UNKNOWN)
    def experiment(name: str) -> RedirectResponse:
        """Lead to MLflow's page on a study."""
        service.study(name)
        return RedirectResponse(service.experiment_url(name))

    @router.get("/compare", responses=REFUSED)
    def compare(
        names: Annotated[list[str], Query(min_length=1, max_length=50)],
        target: float | None = None,
        each: bool = False,
    ) -> dict[str, Any]:
        """Compare studies: what each found, and after how many epochs."""
        record: dict[str, Any] = service.background.call(_compare, names, target=target, each=each)
        return record

    @router.get("/journal", response_class=Response, responses=UNKNOWN)
    def journal(names: Annotated[list[str] | None, Query(max_length=50)] = None) -> Response:
        """Return an Optuna journal with a copy of studies, as they are now; none is all."""
        content = service.background.call(Workspace.snapshot, names or [])
        return Response(content, media_type="application/x-ndjson")

    @router.get("/allowed")
    def allowed() -> dict[str, list[str]]:
        """List what a submitted study may name: tables, and modules with models."""
        return {"data": service.allowed.files(), "trainables": service.allowed.modules()}

    return router


def _name_of(request: Request) -> str:
    """Return the name of the token of a request, "" where nobody needs one."""
    user: User | None = getattr(request.state, "user", None)
    return "" if user is None or user is EVERYBODY else user.name


def _narrow(workspace: Workspace, name: str, **how: Any) -> str:
    return workspace.narrow(name, **how).as_file()


def _compare(workspace: Workspace, names: list[str], **how: Any) -> dict[str, Any]:
    return workspace.compare(names, **how).as_record()
