"""One self-contained page about a study: it opens from a disk, and asks no network for anything."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from hpsearch import __version__
from hpsearch.analysis.configurations import best_configurations
from hpsearch.analysis.history import seconds_passed, span_of
from hpsearch.analysis.ranking import better_found, count_trials
from hpsearch.files import check_output
from hpsearch.formatting import common_format, counted, format_value
from hpsearch.report.charts.base import Panels
from hpsearch.report.charts.contours import contour_panels
from hpsearch.report.charts.history import history_panels
from hpsearch.report.charts.importance import importance_panels, importances_of
from hpsearch.report.charts.learning import learning_panels
from hpsearch.report.charts.parameters import parallel_panels, slice_panels
from hpsearch.report.charts.trials import pruning_panels, timeline_panels
from hpsearch.report.evaluation import Evaluated, evaluated
from hpsearch.report.facts import Facts, Saved, duration, saved_by_pruning, title_of
from hpsearch.report.region import Region, region_of
from hpsearch.report.reproduction import again_of, reproduction
from hpsearch.report.tables import best_table, trials_table
from hpsearch.trials.records import label_of
from model.files import is_special

if TYPE_CHECKING:
    import os

    from optuna.study import Study

    from hpsearch.errors import Argument

BEGINNING = 4096  # bytes of a page, in which it says what it is

TOP = 20


@dataclass(frozen=True)
class Part:
    """A part of the page: its anchor, its title, and what is in it."""

    anchor: str
    title: str
    panels: Sequence[Panels] = ()


def report_page(
    study: Study, *, rounds: Sequence[Study] = (), top: int = TOP, storage: str = ""
) -> str:
    """Return a page of HTML about `study` as it is now.

    rounds: all rounds of its search, which a later round needs to say how to run it again.
    top: how many of the best are shown with their curves. storage: the URL of the storage, whose
    password is not shown.

    Raises StudyError for a study of several objectives, or without a completed trial.
    """
    facts, now = Facts.of(study, top), datetime.now()
    region, saved = region_of(facts), saved_by_pruning(facts.trials)
    evaluation = evaluated(facts)
    parts = _parts(facts, region, saved, evaluation, now)
    panels = [each for part in parts for each in part.panels]
    return (
        _environment()
        .get_template("page.html")
        .render(
            study=study.study_name,
            version=__version__,
            made=f"{now:%Y-%m-%d %H:%M}",
            headline=_headline(facts, saved),
            better=better_found(rounds or [study], study, "report"),
            running=count_trials(facts.trials).running,
            parts=parts,
            best=best_table(facts),
            trials=trials_table(facts),
            evaluated=evaluation,
            region=region,
            again=again_of(study, rounds or [study], storage),
            reproduction=reproduction(facts, storage),
            figures=[{"name": c.name, **c.figure} for each in panels for c in each.charts],
            names=facts.names(),
            plotly=get_plotlyjs(),
        )
    )


def _environment() -> Environment:
    """Return what fills in the template: it escapes whatever it is given."""
    environment = Environment(
        loader=PackageLoader("hpsearch.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    environment.globals["counted"] = counted
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def breakable(text: str) -> Markup:
    """Return a text of the user's, escaped, which may break after each _ and /."""
    return Markup("<wbr>").join(part for part in re.split("(?<=[_/])", text) if part)


def _parts(
    facts: Facts, region: Region, saved: Saved, evaluation: Evaluated | None, now: datetime
) -> list[Part]:
    importances = importances_of(facts)
    parameters = [
        importance_panels(facts, importances),
        parallel_panels(facts, region),
        slice_panels(facts, region),
        contour_panels(facts, importances, region),
    ]
    trials = [timeline_panels(facts, now), pruning_panels(facts, saved)]
    return [
        Part("best", "The best"),
        *([Part("evaluation", "Evaluation")] if evaluation else []),
        Part("curves", "Learning curves", [learning_panels(facts)]),
        Part("search", "The search", [history_panels(facts)]),
        Part("parameters", "Parameters", parameters),
        Part("runs", "Time and pruning", trials),
        Part("trials", "All trials"),
        Part("again", "To do it again"),
    ]


def _headline(facts: Facts, saved: Saved) -> list[tuple[str, str, str]]:
    """Return what is said first: a name, a figure, and what there is to add."""
    seconds = _seconds(facts)
    found = [_best(facts)]
    counts = count_trials(facts.trials)
    figure, name = counted(len(facts.trials), "trial").split()
    found.append((figure, name, str(counts)))
    if facts.has_curves:
        figure, name = counted(facts.epochs, "epoch").split()
        found.append((figure, name, "trained"))
        if saved.trials:
            share = saved.epochs / (facts.epochs + saved.epochs)
            spared = f"{counted(saved.epochs, 'epoch')}, about {duration(saved.seconds)}"
            found.append((f"{share:.0%}", "saved by pruning", spared))
    if seconds is not None:
        found.append((duration(seconds), "in all", "in which a trial ran"))
    return found


def _best(facts: Facts) -> tuple[str, str, str]:
    if facts.seeds > 1 and (best := best_configurations(facts.study, 1)):
        spread = "" if best[0].deviation is None else f" ± {best[0].deviation:.2g}"
        mean = f"{best[0].mean:{common_format([best[0].mean], facts.metric)}}"
        return f"{mean}{spread}", f"best {facts.title}", f"in {best[0].label}"
    trial = facts.best.trial
    label = f" “{label_of(trial)}”" if label_of(trial) else ""
    return format_value(facts.best.value), f"best {facts.title}", f"in {title_of(trial)}{label}"


def _seconds(facts: Facts) -> float | None:
    """Return the seconds in which a trial ran, None if the trials do not say."""
    spans = [span_of(trial) for trial in facts.trials if trial.datetime_complete is not None]
    return max(seconds_passed(spans).values(), default=None)


def check_page(
    argument: Argument, path: str | os.PathLike[str], *, force: bool, update: str | None = None
) -> None:
    """Raise SettingsError, naming `argument`, if no page can be written to `path`.

    update: the name of a study whose earlier report may be overwritten without `force`.
    """
    force = force or (update is not None and is_report_of(path, update))
    check_output(argument, path, force=force)


def is_report_of(path: str | os.PathLike[str], study: str) -> bool:
    """Whether the file at `path` is a report that hpsearch made about the study of that name."""
    try:
        if is_special(path):  # nobody may ever write to a pipe
            return False
        with open(path, "rb") as file:
            beginning = file.read(BEGINNING).decode(errors="replace")
    except OSError:
        return False
    marks = [("generator", "hpsearch"), ("hpsearch-study", html.escape(study))]
    return all(f'<meta name="{name}" content="{content}">' in beginning for name, content in marks)
