"""The addresses of the pages, and of what their scripts fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict

from hpsearch.analysis.comparison import compare, open_searches
from hpsearch.analysis.history import History
from hpsearch.analysis.ranking import find_trial, no_best, searched_values, trial_record
from hpsearch.client import API
from hpsearch.errors import HpsearchError, UnknownStudyError
from hpsearch.report.facts import state_of
from hpsearch.service.cursor import Cursor
from hpsearch.service.pages import assets, overview
from hpsearch.service.pages.charts import (
    Data,
    comparison_panels,
    comparison_table,
    curve_panels,
    curves_now,
    history_of,
    history_panel,
    panels_data,
    report_data,
    table_data,
    titled,
    trial_panels,
)
from hpsearch.service.pages.new import shipped_files, table_file
from hpsearch.service.pages.overview import Overview
from hpsearch.service.pages.recent import Recent
from hpsearch.service.pages.rendering import FRESH, Page, can, data, page, rendered
from hpsearch.service.pages.trials import PAGE, STATES, Asked, seconds_of, trial_table
from hpsearch.trials.records import (
    DONE,
    client_of,
    config_of,
    evaluation_table,
    is_for_clients,
    metric_of,
    own_trials,
    reason_of,
    slot_of,
    study_id,
    traceback_of,
)

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.service.service import Service, StudyState

LIST_ROWS = 100  # studies that the list shows until more are asked for
PARTS = ("state", "facts", "actions")  # of a study's page, which change
BUSY = ("queued", "starting", "running", "stopping")
CHART_SECONDS = 2.0  # how old charts may be


class File(BaseModel):
    """A study file to check."""

    model_config = ConfigDict(extra="forbid")

    file: str


class TableChoice(BaseModel):
    """A table of the operator's, and which of its columns to predict."""

    model_config = ConfigDict(extra="forbid")

    source: str
    target: str = ""


def pages_router(service: Service) -> APIRouter:
    """Return the routes of the pages."""
    router = APIRouter(include_in_schema=False, route_class=Page)
    parts = APIRouter(include_in_schema=False)  # for scripts, which read problem details
    known = Overview(service)
    histories = Recent[str, History](CHART_SECONDS, lambda name: history_of(service.study(name)))
    reports = Recent[str, Data](CHART_SECONDS, lambda name: report_data(service.study(name)))
    comparisons = Recent[tuple[str, ...], Data](
        CHART_SECONDS, lambda names: _comparison(service, names)
    )

    @parts.get("/static/{version}/{name}")
    def static(version: str, name: str, request: Request) -> Response:  # noqa: ARG001
        answer = assets.answer(name, request)
        if answer is None:
            raise HTTPException(404)
        return answer

    # The list of studies --------------------------------------------------------------------

    def listed(request: Request, search: str, state: str, limit: int) -> Data:
        states = service.states()
        found = known.rows(states, search, state)
        shown = {
            each.name: rendered("row.html", row=each, may_run=can(request, "run"))
            for each in found[:limit]
        }
        return {"rows": shown, "total": len(found), "all": len(states)}

    @router.get("/")
    def studies(request: Request, search: str = "", state: str = "") -> HTMLResponse:
        found = listed(request, search, state, LIST_ROWS)
        return page(
            request, "studies.html", **found, search=search, state=state, states=overview.STATES
        )

    @parts.get("/rows")
    def study_rows(
        request: Request,
        search: str = "",
        state: str = "",
        limit: Annotated[int, Query(ge=1, le=10_000)] = LIST_ROWS,
    ) -> Response:
        return data(listed(request, search, state, limit))

    # A study --------------------------------------------------------------------------------

    def parts_of(request: Request, state: StudyState, study: Study) -> dict[str, str]:
        """Return the parts of a study's page that change, as HTML."""
        values = {
            "state": state,
            "summary": state.summary,
            "study": state.summary.name,
            "may_run": can(request, "run"),
            "may_delete": can(request, "admin"),
            "tracked": service.workspace.tracked,
            "has_best": not no_best(study),
            "pace": known.pace(state),
            "clients": _clients(study) if is_for_clients(study) else None,
        }
        return {name: rendered(f"study-{name}.html", **values) for name in PARTS}

    @router.get("/studies/{name}")
    def show_study(name: str, request: Request) -> HTMLResponse:
        study, state = service.study(name), service.state(name)
        trials = own_trials(study)
        return page(
            request,
            "study.html",
            study=name,
            state=state,
            parts=parts_of(request, state, study),
            cursor=str(Cursor.of(trials)),
            states=STATES,
            table=trial_table(study, Asked()),
            page_rows=PAGE,
        )

    @parts.get("/studies/{name}/live")
    def live(name: str, request: Request) -> Response:
        study, state = service.study(name), service.recent_state(name)
        history = histories.of(name, (study_id(study), state.summary.counts))
        panels = [curve_panels(study), history_panel(study, history)]
        return data(
            {
                "parts": parts_of(request, state, study),
                "panels": [panels_data(each) for each in panels],
            }
        )

    @parts.get("/studies/{name}/charts")
    def charts(name: str) -> Response:
        return data(reports.of(name, _version(service.study(name))))

    @parts.get("/studies/{name}/table", response_class=HTMLResponse)
    def table(
        name: str,
        state: str = "",
        search: str = "",
        sort: str = "trial",
        down: bool = True,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> HTMLResponse:
        asked = Asked(state, search, sort, down, offset)
        found = trial_table(service.study(name), asked)
        html = rendered("trials.html", study=name, table=found, page_rows=PAGE)
        return HTMLResponse(html, headers=FRESH)

    # A trial --------------------------------------------------------------------------------

    def trial_values(name: str, slot: str) -> Data:
        study = service.study(name)
        trial = find_trial(study, slot)
        metric = metric_of(study)
        facts = rendered(
            "trial-facts.html",
            study=name,
            trial=trial,
            slot=slot_of(trial),
            state=state_of(trial),
            metric=metric,
            value=trial_record(trial)["value"],
            epochs=len(curves_now(trial, metric).of(metric)),
            seconds=seconds_of(trial),
            reason=reason_of(trial),
            client=client_of(trial),
            traceback=traceback_of(trial),
            link=_run_link(study, trial) if service.workspace.tracked else None,
        )
        return {
            "html": facts,
            "ended": trial.state.is_finished(),
            "panels": [panels_data(trial_panels(study, trial))],
        }

    @router.get("/studies/{name}/trials/{slot}")
    def show_trial(name: str, slot: str, request: Request) -> HTMLResponse:
        study = service.study(name)
        trial = find_trial(study, slot)
        slots = {slot_of(each) for each in own_trials(study)}
        here, searched = slot_of(trial), searched_values(trial)
        return page(
            request,
            "trial.html",
            study=name,
            slot=here,
            title=titled(trial),
            searched=searched,
            fixed={key: each for key, each in config_of(trial).items() if key not in searched},
            before=max((each for each in slots if each < here), default=None),
            after=min((each for each in slots if each > here), default=None),
            live=trial_values(name, slot),
        )

    @parts.get("/studies/{name}/trials/{slot}/live")
    def live_trial(name: str, slot: str) -> Response:
        return data(trial_values(name, slot))

    # A new study ----------------------------------------------------------------------------

    @router.get("/new")
    def new(request: Request, narrow: str = "") -> HTMLResponse:
        if narrow:
            service.study(narrow)
        return page(
            request,
            "new.html",
            files=shipped_files(),
            tables=service.allowed.files(),
            narrow=narrow,
            jobs=service.plan.jobs,
        )

    @parts.post("/new/check")
    def check(body: File) -> Response:
        """Say what is wrong with a study file, in the sentence of submitting it."""
        try:
            settings = service.allowed.settings(body.file)
        except HpsearchError as error:
            return data({"said": str(error), "trials": None})
        return data({"said": "", "trials": settings.search.trials})

    @parts.post("/new/table")
    def from_table(body: TableChoice) -> Response:
        return data({"file": table_file(service, body.source, body.target)})

    # Several studies ------------------------------------------------------------------------

    @router.get("/compare")
    def show_comparison(
        request: Request, names: Annotated[tuple[str, ...], Query(max_length=50)] = ()
    ) -> HTMLResponse:
        if not names:
            raise UnknownStudyError("choose the studies to compare in the list of studies")
        for name in names:
            service.study(name)
        return page(request, "compare.html", names=names)

    @parts.get("/compare/data")
    def compare_data(names: Annotated[list[str], Query(min_length=1, max_length=50)]) -> Response:
        return data(comparisons.of(tuple(names)))

    router.include_router(parts)
    return router


def _version(study: Study) -> tuple[object, ...]:
    """Return what is another as soon as the report's charts are."""
    return study_id(study), len(own_trials(study, DONE)), evaluation_table(study)


def _clients(study: Study) -> list[tuple[str, int, int]]:
    """Return who trains a trial now: the client, the trial's slot, and the epochs it has told."""
    metric = metric_of(study)
    return [
        (client, slot_of(trial), len(curves_now(trial, metric).of(metric)))
        for trial in own_trials(study)
        if not trial.state.is_finished() and (client := client_of(trial)) is not None
    ]


def _comparison(service: Service, names: tuple[str, ...]) -> Data:
    running = any(service.state(name).state in BUSY for name in names)
    try:
        comparison = compare(open_searches(service.storage, names), each=True)
    except HpsearchError as error:
        return {"said": str(error), "live": running, "panels": [], "table": None, "notes": []}
    return {
        "said": "",
        "live": running,
        "panels": [panels_data(comparison_panels(comparison))],
        "table": table_data(comparison_table(comparison)),
        "notes": comparison.notes,
    }


def _run_link(study: Study, trial: FrozenTrial) -> str:
    """Return the address that leads to a trial's run in MLflow."""
    return f"{API}/studies/{quote(study.study_name, safe='')}/trials/{slot_of(trial)}/mlflow"
