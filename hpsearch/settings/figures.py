"""The [[figure]] tables of a study file: which figures to draw, checked without matplotlib."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from hpsearch.formatting import unknown_name
from hpsearch.settings.table import Count, SettingsTable, TableError
from hpsearch.trials.metrics import known_direction

MOST_METRICS = 2  # as many kinds of lines are told apart
TOP = 20  # more lines are hard to tell apart

KINDS: dict[str, dict[str, Any]] = {
    "curves": {"metrics": (), "smooth": 1, "log": False, "top": TOP, "labels": ()},
    "panels": {
        "metrics": (),
        "smooth": 1,
        "log": False,
        "panels": None,
        "lines": None,
    },
    "best": {"metrics": (), "smooth": 1, "log": False, "top": TOP},
    "gradients": {"top": TOP, "labels": ()},
    "values": {},
    "means": {"top": None, "labels": ()},
}
"""Kind of figure → the keys that it takes besides kind, name and title, with their defaults."""

FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
SEARCHED_KEYS = ("panels", "lines")


class FigureSettings(SettingsTable):
    """[[figure]]: one figure of a study.

    metrics: what to draw: the first metric as solid lines, the second as dashed lines; () draws the
    study's metric and the same on the training rows, and in panels the latter alone.
    smooth: each point is the mean of this many epochs, up to and including its own.
    log: whether the metrics' axis is logarithmic.
    panels, lines: the searched keys whose values make the panels, and the lines in each panel.
    top: draw only this many of the best trials or configurations; None draws all.
    labels: draw only the [[enqueue]] entries with these labels; () draws all.
    """

    kind: str
    name: str = ""  # of the file, without its suffix; by default the kind
    title: str | None = None
    metrics: Annotated[tuple[str, ...], Field(strict=False)] = ()
    smooth: Count = 1
    log: bool = False
    panels: str | None = None
    lines: str | None = None
    top: Count | None = None
    labels: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @model_validator(mode="before")
    @classmethod
    def _with_defaults_of_the_kind(cls, table: Any) -> Any:
        if not isinstance(table, Mapping):
            return table
        kind = table.get("kind")
        defaults = KINDS.get(kind, {}) if isinstance(kind, str) else {}
        set_ones = {key: value for key, value in defaults.items() if value != ()}
        return {"name": kind, **set_ones, **table}

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        if value not in KINDS:
            raise ValueError(unknown_name(value, KINDS, "a figure"))
        return value

    @field_validator("name")
    @classmethod
    def _file_name(cls, value: str) -> str:
        if not FILE_NAME.fullmatch(value):
            raise ValueError(
                f"{value!r} is not a valid file name; use up to 100 letters, digits, '.', '_' "
                "and '-', and do not begin with '.'"
            )
        return value

    @field_validator("metrics")
    @classmethod
    def _one_or_two(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if not 1 <= len(values) <= MOST_METRICS or len(set(values)) < len(values):
            raise ValueError(f"must name one or two different metrics, but got {list(values)!r}")
        return values

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> FigureSettings:
        taken = {"kind", "name", "title", *KINDS[self.kind]}
        for key in type(self).model_fields:
            if key in self.model_fields_set and key not in taken:
                kinds = ", ".join(f"'{kind}'" for kind, keys in KINDS.items() if key in keys)
                raise TableError(f".{key}: is not for '{self.kind}'; it is for {kinds}")
        if self.kind == "panels" and self.panels is None:
            raise TableError(
                ".panels: is missing; it names the searched key whose values make the panels"
            )
        return self

    def as_table(self) -> dict[str, Any]:
        """Return the figure as a study file writes it."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _check_metrics(metrics: Sequence[str], known: Sequence[str]) -> None:
    """Raise ValueError for a metric that does not exist, or for two that cannot share an axis.

    known: all that there are; [] if that is not known, as of a user's own model.
    """
    for metric in metrics if known else ():
        if metric not in known:
            raise ValueError(unknown_name(metric, known, "a metric"))
    directions = {known_direction(metric) for metric in metrics} - {None}
    if len(directions) > 1:
        raise ValueError(f"{' and '.join(metrics)} cannot share an axis; draw two figures")


def _tables(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be [[figure]] tables, but got {value!r}")
    return value


def _names_differ(figures: tuple[FigureSettings, ...]) -> tuple[FigureSettings, ...]:
    """Refuse two figures whose names are the same but for case, which some file systems ignore."""
    places: dict[str, int] = {}
    for number, figure in enumerate(figures):
        first = places.setdefault(figure.name.casefold(), number)
        if first != number:
            raise TableError(
                f".{number}.name: figure.{first} is also called '{figures[first].name}'; rename one"
            )
    return figures


Figures = Annotated[
    tuple[FigureSettings, ...], BeforeValidator(_tables), AfterValidator(_names_differ)
]


def check_figures(
    figures: Sequence[FigureSettings],
    searched: Collection[str],
    labels: Collection[str],
    *,
    metrics: Sequence[str],
    diagnostics: bool,
) -> None:
    """Raise ValueError for a figure that the study cannot draw.

    searched: the keys that the study searches. labels: those of its labelled configurations.
    metrics: all that its trials have, [] if they are not known. diagnostics: whether its trials
    record gradient norms.
    """
    for number, figure in enumerate(figures):
        place = f"figure.{number}"
        try:
            _check_metrics(figure.metrics, metrics)
        except ValueError as error:
            raise ValueError(f"{place}.metrics: {error}") from None
        for key in SEARCHED_KEYS:
            value = getattr(figure, key)
            if value is not None and value not in searched:
                what = unknown_name(value, searched, "a searched key")
                raise ValueError(f"{place}.{key}: {what}")
        if figure.lines is not None and figure.lines == figure.panels:
            raise ValueError(
                f"{place}.lines: '{figure.lines}' already makes the panels; name another key"
            )
        for label in figure.labels:
            if label not in labels:
                raise ValueError(f"{place}.labels: {unknown_name(label, labels, 'a label')}")
        if figure.kind == "gradients" and not diagnostics:
            raise ValueError(f"{place}.kind: 'gradients' needs diagnostics = true in [search]")
