"""StudySettings: a study file as checked settings, and settings as a study file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from hpsearch.data.memory import write_table
from hpsearch.errors import SettingsError, refuse_shadowed_model
from hpsearch.formatting import counted, unknown_name, without_middle
from hpsearch.settings.data import DataSettings
from hpsearch.settings.figures import Figures, FigureSettings, check_figures
from hpsearch.settings.model import ModelSettings, Resources, with_files_beside
from hpsearch.settings.names import (
    REPEATING,
    Direction,
    Judged,
    PrunerName,
    SamplerName,
    as_name,
    valid_name,
)
from hpsearch.settings.notify import NotifySettings
from hpsearch.settings.search import SearchSettings
from hpsearch.settings.table import TableError, wrong_value
from hpsearch.space.grid import grid_size
from hpsearch.space.keys import FreeKeys
from hpsearch.space.ranges import Keys, SpaceError, Value, as_toml
from hpsearch.space.space import SearchSpace
from hpsearch.trainables.source import declared_metrics
from hpsearch.trials.metrics import METRICS, NETWORK_METRICS, known_direction

LARGEST_FILE = 1_000_000  # characters
DEEP_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]+[ \t]*\.[ \t]*){100}""")
LONGEST_SENTENCE = 1_000  # characters of an error, which quotes what is wrong
LARGE_GRID = 10_000  # points; a larger grid needs an explicit search.trials

KINDS: dict[int | str, Any] = {  # keys with names as values, which an error lists
    "sampler": SamplerName,
    "pruner": PrunerName,
    "direction": Direction,
    "value": Judged,
}

_PACKAGE = Path(__file__).parent.parent
_PACKAGED = _PACKAGE / "studies"  # in a wheel; a checkout has them beside the package
STUDIES = _PACKAGED if _PACKAGED.is_dir() else _PACKAGE.parent / "studies"
TABLES: dict[str, type[BaseModel]] = {
    "model": ModelSettings,
    "model.resources": Resources,
    "data": DataSettings,
    "search": SearchSettings,
    "figure": FigureSettings,
    "notify": NotifySettings,
}


@dataclass(frozen=True)
class _SpaceTable:
    """A [trial] table that is not read yet, and the keys that it may have."""

    table: object
    keys: Keys

    def read(self) -> SearchSpace:
        if isinstance(self.table, SearchSpace):
            return self.table
        if not isinstance(self.table, Mapping):
            raise ValueError(f"must be a table, but got {self.table!r}")
        return SearchSpace.from_table(self.table, self.keys)


def keys_for(table: Mapping[str, Any]) -> Keys:
    """Return which keys the [trial] table of a study file may have."""
    if table.get("model") is not None:
        return FreeKeys()
    refuse_shadowed_model()
    from hpsearch.trainables.network_keys import NETWORK  # imports the training core

    return NETWORK


def space_of(table: Mapping[str, Any]) -> SearchSpace:
    """Return the search space of a study file, given as plain data; raises SpaceError."""
    return SearchSpace.from_table(table.get("trial", {}), keys_for(table))


class LabelledConfiguration(BaseModel):
    """An [[enqueue]] entry: a configuration with a label. Entry n is configuration n of a study."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    label: str
    values: Mapping[str, Value]


def _read_entry(space: SearchSpace, number: int, entry: object) -> LabelledConfiguration:
    """Return [[enqueue]] entry `number`; raises ValueError that names it and its key."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"enqueue[{number}]: must be a table, but got {entry!r}")
    label = entry.get("label", f"configuration {number}")
    if not isinstance(label, str):
        raise ValueError(f"enqueue[{number}].label: must be text, but got {label!r}")
    try:
        values = space.check_entry({k: v for k, v in entry.items() if k != "label"})
    except SpaceError as error:
        raise ValueError(f"enqueue[{number}].{error}") from None
    return LabelledConfiguration(label=label, values=values)


def _fit_trials(search: SearchSettings, space: SearchSpace, labelled: int) -> SearchSettings:
    """Return `search` with a trial for each grid point and each labelled configuration.

    If the study file sets the number of trials, that number stays. Raises ValueError if it is
    larger than the grid allows, or if the grid is large and the file does not set it.
    """
    try:
        points = grid_size(space) if space.searched or not labelled else 0
    except SpaceError as error:
        raise ValueError(f"trial.{error}") from None
    place, total, given = "search.trials", points + labelled, search.model_fields_set
    if "trials" in given:
        if search.trials > total:
            more = f" (and {counted(labelled, 'labelled configuration')})" if labelled else ""
            raise ValueError(
                f"{place}: is {search.trials}, but the grid has {counted(points, 'point')}{more}; "
                "leave trials out to try them all"
            )
        return search
    if total > LARGE_GRID:
        raise ValueError(
            f"{place}: the grid has {counted(points, 'point')}; set how many of them to try"
        )
    # It does not count as given, so that it is computed again when the choices change.
    return SearchSettings.model_construct(set(given), **{**dict(search), "trials": total})


class StudySettings(BaseModel):
    """A study: its name, data, search, space, labelled configurations and figures.

    The constructor raises pydantic's ValidationError; `load_settings` and `parse_settings` raise a
    SettingsError of one sentence instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    name: str
    model: ModelSettings | None = None
    data: DataSettings = DataSettings()
    search: SearchSettings = SearchSettings()
    trial: Annotated[SearchSpace, PlainValidator(_SpaceTable.read)]
    enqueue: tuple[LabelledConfiguration, ...] = ()
    figure: Figures = ()
    notify: NotifySettings | None = None

    _named = field_validator("name")(valid_name)

    @model_validator(mode="before")
    @classmethod
    def _read_space(cls, table: Any) -> Any:
        """Choose the keys of [trial], and read [[enqueue]]: flat tables of a label and values."""
        unread = _SpaceTable(table.get("trial", {}), keys_for(table))
        table, entries = {**table, "trial": unread}, table.get("enqueue", ())
        if not isinstance(entries, list | tuple):
            raise ValueError(f"enqueue: must be [[enqueue]] tables, but got {entries!r}")
        if not entries or isinstance(entries[0], LabelledConfiguration):
            return table
        try:
            space = unread.read()
        except ValueError:
            return {**table, "enqueue": ()}  # pydantic reports it for the field `trial`
        return {**table, "enqueue": tuple(_read_entry(space, n, e) for n, e in enumerate(entries))}

    @model_validator(mode="after")
    def _trials_of_a_grid(self) -> StudySettings:
        if self.search.sampler == "grid":
            search = _fit_trials(self.search, self.trial, len(self.enqueue))
            object.__setattr__(self, "search", search)
        return self

    @model_validator(mode="after")
    def _declared_metrics(self) -> StudySettings:
        """Take the direction of the metric from METRICS beside the function that trains."""
        train = None if self.model is None else self.model.train
        declared = {} if train is None else declared_metrics(train)
        if not declared or self.model is None:
            return self
        metric, given = self.search.metric, self.search.given_direction
        if metric not in declared:
            what = unknown_name(metric, [*declared], f"a metric of {self.model.name}")
            raise ValueError(f"search.metric: {what}")
        if given not in (None, declared[metric]):
            raise ValueError(
                f"search.direction: is '{given}', but METRICS of {self.model.name} has "
                f"'{declared[metric]}' for {metric}"
            )
        search = self.search.model_copy(update={"given_direction": declared[metric]})
        object.__setattr__(self, "search", search)
        return self

    @model_validator(mode="after")
    def _known_metric(self) -> StudySettings:
        metric = self.search.metric
        for key, name in (("metric", metric), *(("metrics", each) for each in self.search.metrics)):
            if self.model is None and name not in NETWORK_METRICS:
                raise ValueError(f"search.{key}: {unknown_name(name, NETWORK_METRICS, 'a metric')}")
        if self.model is not None and self.model.estimator is None and self.search.metrics:
            raise ValueError(
                f"search.metrics: {self.model.name} names its own, all of which are tracked; leave "
                "metrics out"
            )
        if self.model is not None and self.search.threshold is not None:
            raise ValueError(
                f"search.threshold: is for the built-in network, and this study trains "
                f"{self.model.name}; leave threshold out"
            )
        if self.model is None and self.search.direction != known_direction(metric):
            raise ValueError(
                f"search.direction: {metric} is {known_direction(metric)}d; leave direction out"
            )
        if self.search.given_direction is None and known_direction(metric) is None:
            raise ValueError(
                f"search.direction: is missing; write 'maximize' if a higher {metric} is better, "
                "else 'minimize'"
            )
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> StudySettings:
        entries, trials = len(self.enqueue), self.search.trials
        if entries > trials:
            raise ValueError(
                f"enqueue: {entries} labelled configurations, but search.trials is {trials}; "
                "raise trials or drop some"
            )
        if self.search.seeds > 1 and self.search.sampler not in REPEATING:
            raise ValueError(
                f"search.seeds: is {self.search.seeds}, but sampler '{self.search.sampler}' "
                f"repeats nothing; use {' or '.join(REPEATING)}"
            )
        least = self.search.pruner_options.get("min_resource", 1)
        if least > self.max_epochs:
            place = "search.pruner_options.min_resource"
            raise ValueError(f"{place}: is {least}, but trials have {self.max_epochs} epochs")
        check_figures(
            self.figure,
            self.trial.searched,
            [e.label for e in self.enqueue],
            metrics=METRICS if self.model is None else [],
            diagnostics=self.search.diagnostics,
        )
        return self

    @property
    def uses_data(self) -> bool:
        """Whether the trials are trained on the rows of [data]."""
        return self.model is None or self.model.estimator is not None

    @property
    def max_epochs(self) -> int:
        """The largest number of epochs that a trial may run; pruners derive their rungs from it."""
        labelled = (int(str(entry.values.get("epochs", 0))) for entry in self.enqueue)
        return max([self.trial.max_epochs(), *labelled])

    def labelled(self, slot: int) -> LabelledConfiguration | None:
        """Return the labelled configuration that `slot` runs, None if it runs none."""
        number = slot // self.search.seeds
        return self.enqueue[number] if number < len(self.enqueue) else None

    def split_labelled(self, slot: int) -> tuple[dict[str, Any], dict[str, Value]]:
        """Return what a labelled configuration in `slot` sets, as `SearchSpace.split` does."""
        entry = self.labelled(slot)
        return ({}, {}) if entry is None else self.trial.split(entry.values)

    def replace(self, **changes: Any) -> StudySettings:
        """Return a copy with changed values; tables are merged: `replace(search={"seed": 1})`.

        A change of sampler or pruner drops the options of the old one. Raises SettingsError.
        """
        table, search = settings_table(self), changes.get("search", {})
        for kind in ("sampler", "pruner"):
            if search.get(kind, table["search"][kind]) != table["search"][kind]:
                table["search"].pop(f"{kind}_options", None)
        for key in ("trials", "metric", "pruner"):  # defaults that depend on what else is known
            if key not in self.search.model_fields_set:
                del table["search"][key]
        for key, value in changes.items():
            table[key] = {**table.get(key, {}), **value} if isinstance(value, Mapping) else value
        return parse_settings(table, "settings")

    def to_toml(self) -> str:
        """Return the text of the study file, with all values of [data] and [search].

        [notify] is left out: the file is shown to others, and the address may be a secret.
        """
        import tomlkit

        table = settings_table(self)
        table.pop("notify", None)
        for part in (table.get("data", {}), table["trial"]):
            for key, value in part.items():
                if isinstance(value, Mapping):  # a range, or folds, read best on one line
                    part[key] = tomlkit.inline_table()
                    part[key].update(value)
        return tomlkit.dumps(table)


def settings_table(settings: StudySettings) -> dict[str, Any]:
    """Return `settings` as plain data: the tables of a study file."""
    table: dict[str, Any] = {"name": settings.name}
    if settings.model is not None:
        table["model"] = settings.model.as_table()
    if settings.uses_data:
        table["data"] = dict(settings.data.as_table())
    defaults = {"value": "best", "metrics": ()}  # of keys that 0.1 does not know
    unset = {key for key, value in defaults.items() if getattr(settings.search, key) == value}
    search = settings.search.model_dump(exclude=unset, exclude_none=True, by_alias=True)
    table["search"] = {
        key: [*value] if isinstance(value, tuple) else value
        for key, value in search.items()
        if value != {}
    }
    table["trial"] = settings.trial.as_table()
    if settings.enqueue:
        table["enqueue"] = [
            {"label": entry.label, **{key: as_toml(value) for key, value in entry.values.items()}}
            for entry in settings.enqueue
        ]
    if settings.figure:
        table["figure"] = [figure.as_table() for figure in settings.figure]
    if settings.notify is not None:
        table["notify"] = settings.notify.as_table()
    return table


def parse_settings(table: Mapping[str, Any], place: str) -> StudySettings:
    """Return the settings in `table`; raises SettingsError that names `place` and the key."""
    try:
        return StudySettings(**table)
    except ValidationError as error:
        sentence = without_middle(_sentence(error.errors()[0]), LONGEST_SENTENCE)
        raise SettingsError(f"{place}: {sentence}") from None
    except TypeError:
        raise SettingsError(f"{place}: keys must be text") from None


def parse_toml(text: str, place: str) -> dict[str, Any]:
    """Return the tables of a study file; raises SettingsError that names `place`."""
    if len(text) > LARGEST_FILE:
        raise SettingsError(f"{place}: must be at most {LARGEST_FILE:,} characters, but is longer")
    if DEEP_KEY.search(text):  # it would take minutes to read
        raise SettingsError(f"{place}: is no study file: a key in it has more than 100 parts")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and nesting beyond Python's limits
        raise SettingsError(f"{place}: is not TOML: {error}") from None


def load_settings(
    source: str | os.PathLike[str],
    *,
    train: Callable[..., Any] | None = None,
    data: Any = None,
) -> StudySettings:
    """Return the settings of a study file.

    source: its path, or the name of a study that ships with the package ("digits"). train: a
    function that trains, in place of the one that [model] names; see docs/your-own-model.md. data:
    a table, or a pair (X, y), in place of the source of [data]; see `write_table`. A data
    file and the file of a model are looked up in the working directory first, then beside the
    study file. Raises SettingsError.
    """
    path = _find(source)
    try:
        with path.open(encoding="utf-8-sig") as file:
            table = parse_toml(file.read(LARGEST_FILE + 1), str(path))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text: {error.reason}") from None
    except ValueError as error:  # a null byte in the path
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    if isinstance(model := table.get("model", {} if train else None), Mapping):
        model = model if train is None else {**model, "train": train}
        table["model"] = with_files_beside(model, path.parent)
    if data is not None:
        table["data"] = _written(data, table)
    settings = parse_settings({"name": as_name(path.stem), **table}, str(path))
    if not settings.uses_data:
        return settings
    beside = settings.data.found_in(path.parent)
    return settings.replace(data=beside) if beside else settings


def _written(data: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a [data] table with a table in memory, which is written, as its source."""
    written = write_table(data, as_name(str(table.get("name", "table"))))
    targets = {"target": [*written.targets]} if written.targets else {}
    known = table.get("data", {})
    return {**(known if isinstance(known, Mapping) else {}), "source": written.source, **targets}


def _find(source: str | os.PathLike[str]) -> Path:
    path = Path(source)
    if os.path.isfile(path) or path.suffix == ".toml":
        return path
    shipped = {file.stem: file for file in sorted(STUDIES.glob("*.toml"))}
    if str(source) not in shipped:
        raise SettingsError(unknown_name(str(source), shipped, "a study file or a shipped study"))
    return shipped[str(source)]


def _sentence(error: ErrorDetails) -> str:
    """Return pydantic's error as one sentence that begins with its place."""
    key = error["loc"][-1] if error["loc"] else ""
    place = ".".join(str(part) for part in error["loc"])
    match error["type"]:
        case "extra_forbidden":
            outer = TABLES.get(str(error["loc"][0]), StudySettings)
            fields = TABLES.get(place.rpartition(".")[0], outer).model_fields
            keys = [field.alias or name for name, field in fields.items()]
            return f"{place}: {unknown_name(key, keys, 'a key here')}"
        case "literal_error" if key in KINDS:
            return f"{place}: {unknown_name(error['input'], get_args(KINDS[key]), f'a {key}')}"
        case "missing":
            return f"{place}: is missing"
        case "value_error":
            cause = error["ctx"]["error"]
            if isinstance(cause, TableError):
                return f"{place}{cause}"
            separator = "." if isinstance(cause, SpaceError) else ": "
            return f"{place}{separator}{cause}" if place else str(cause)
    return f"{place}: {wrong_value(error)}"
