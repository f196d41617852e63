"""One self-contained HTML page about a study, which opens from the disk and needs no network."""

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
from hpsearch.analysis.history import running_seconds, span_of
from hpsearch.analysis.ranking import better_found, count_trials
from hpsearch.files import check_output, is_special
from hpsearch.formatting import counted, format_value
from hpsearch.report.charts.base import Panels
from hpsearch.report.charts.contours import contour_panels
from hpsearch.report.charts.history import history_panels
from hpsearch.report.charts.importance import importance_panels, importances_of
from hpsearch.report.charts.learning import learning_panels
from hpsearch.report.charts.parameters import parallel_panels, slice_panels
from hpsearch.report.charts.trials import pruning_panels, timeline_panels
from hpsearch.report.evaluation import EvaluationSection, evaluation_section
from hpsearch.report.facts import Facts, Savings, duration, saved_by_pruning, trial_title
from hpsearch.report.region import Region, region_of
from hpsearch.report.reproduction import provenance, reproduction_of
from hpsearch.report.tables import all_trials_table, best_trials_table
from hpsearch.trials.metrics import common_format
from hpsearch.trials.records import label_of

if TYPE_CHECKING:
    import os

    from optuna.study import Study

    from hpsearch.errors import Argument

BEGINNING = 4096  # bytes of a page; the meta tags that identify it are within them
TOP = 20


@dataclass(frozen=True)
class Section:
    """A section of the page: its anchor, its title and its charts."""

    anchor: str
    title: str
    panels: Sequence[Panels] = ()


def report_page(
    study: Study, *, rounds: Sequence[Study] = (), top: int = TOP, storage: str = ""
) -> str:
    """Return an HTML page about `study` as it is now.

    rounds: all rounds of its search; the page of a later round needs them for the command that runs
    it again. top: how many of the best trials are shown with their curves. storage: the URL of the
    storage; the page hides its password.

    Raises StudyError for a study with several objectives or without a completed trial.
    """
    facts, now = Facts.of(study, top), datetime.now()
    region, saved = region_of(facts), saved_by_pruning(facts.trials)
    evaluation = evaluation_section(facts)
    sections = _sections(facts, region, saved, evaluation, now)
    panels = [each for section in sections for each in section.panels]
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
            sections=sections,
            best=best_trials_table(facts),
            trials=all_trials_table(facts),
            evaluation=evaluation,
            region=region,
            reproduction=reproduction_of(study, rounds or [study], storage),
            provenance=provenance(facts, storage),
            figures=[{"name": c.name, **c.figure} for each in panels for c in each.charts],
            hover_texts=facts.hover_texts(),
            plotly=get_plotlyjs(),
        )
    )


def _environment() -> Environment:
    """Return the environment that renders the template and escapes all values."""
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
    """Return `text` escaped for HTML, with a possible line break after each _ and /."""
    return Markup("<wbr>").join(part for part in re.split("(?<=[_/])", text) if part)


def _sections(
    facts: Facts,
    region: Region,
    saved: Savings,
    evaluation: EvaluationSection | None,
    now: datetime,
) -> list[Section]:
    importances = importances_of(facts)
    parameters = [
        importance_panels(facts, importances),
        parallel_panels(facts, region),
        slice_panels(facts, region),
        contour_panels(facts, importances, region),
    ]
    trials = [timeline_panels(facts, now), pruning_panels(facts, saved)]
    return [
        Section("best", "The best"),
        *([Section("evaluation", "Evaluation", evaluation.panels)] if evaluation else []),
        Section("curves", "Learning curves", [learning_panels(facts)]),
        Section("search", "Search history", [history_panels(facts)]),
        Section("parameters", "Parameters", parameters),
        Section("runs", "Time and pruning", trials),
        Section("trials", "All trials"),
        Section("again", "Run it again"),
    ]


def _headline(facts: Facts, saved: Savings) -> list[tuple[str, str, str]]:
    """Return the large figures at the top of the page: figure, name and detail of each."""
    seconds = _seconds(facts)
    headline = [_best(facts)]
    counts = count_trials(facts.trials)
    figure, name = counted(len(facts.trials), "trial").split()
    headline.append((figure, name, str(counts)))
    if facts.has_curves:
        figure, name = counted(facts.epochs, "epoch").split()
        headline.append((figure, name, "trained"))
        if saved.trials:
            share = saved.epochs / (facts.epochs + saved.epochs)
            detail = f"{counted(saved.epochs, 'epoch')}, about {duration(saved.seconds)}"
            headline.append((f"{share:.0%}", "saved by pruning", detail))
    if seconds is not None:
        headline.append((duration(seconds), "running time", "without pauses"))
    return headline


def _best(facts: Facts) -> tuple[str, str, str]:
    if facts.seeds > 1 and (best := best_configurations(facts.study, 1)):
        spread = "" if best[0].deviation is None else f" ± {best[0].deviation:.2g}"
        mean = f"{best[0].mean:{common_format([best[0].mean], facts.metric)}}"
        return f"{mean}{spread}", f"best {facts.title}", f"in {best[0].label}"
    trial = facts.best.trial
    label = f" “{label_of(trial)}”" if label_of(trial) else ""
    return format_value(facts.best.value), f"best {facts.title}", f"in {trial_title(trial)}{label}"


def _seconds(facts: Facts) -> float | None:
    """Return the seconds in which at least one trial ran, None if the trials have no times."""
    spans = [span_of(trial) for trial in facts.trials if trial.datetime_complete is not None]
    return max(running_seconds(spans).values(), default=None)


def check_page(
    argument: Argument, path: str | os.PathLike[str], *, force: bool, update: str | None = None
) -> None:
    """Raise SettingsError, which names `argument`, if no page can be written to `path`.

    update: the name of a study; an earlier report of it is overwritten even without `force`.
    """
    force = force or (update is not None and is_report_of(path, update))
    check_output(argument, path, force=force)


def is_report_of(path: str | os.PathLike[str], study: str) -> bool:
    """Whether the file at `path` is an hpsearch report on the study with that name."""
    try:
        if is_special(path):  # reading a pipe would wait for a writer
            return False
        with open(path, "rb") as file:
            beginning = file.read(BEGINNING).decode(errors="replace")
    except OSError:
        return False
    tags = [("generator", "hpsearch"), ("hpsearch-study", html.escape(study))]
    return all(f'<meta name="{name}" content="{content}">' in beginning for name, content in tags)
