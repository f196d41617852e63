"""What may be submitted: a study file without code, which names no files but the operator's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.data.remote import is_url
from hpsearch.data.sources import FILES
from hpsearch.errors import SettingsError
from hpsearch.settings.model import SOURCES, with_files_beside
from hpsearch.settings.study import parse_settings, parse_toml

if TYPE_CHECKING:
    from hpsearch.settings.study import StudySettings

PLACE = "study file"
LIBRARIES = ("sklearn", "xgboost", "lightgbm", "catboost")  # whose estimators may be named


@dataclass(frozen=True)
class Allowed:
    """The folders that submitted studies may name files of.

    trainables: with the modules of models. data: with tables. None: there are none.
    """

    trainables: Path | None = None
    data: Path | None = None

    def files(self) -> list[str]:
        """Return the names of the tables."""
        return [*_names(self.data, FILES)]

    def modules(self) -> list[str]:
        """Return the names of the modules."""
        return [*_names(self.trainables, (".py",))]

    def settings(self, file: str | Mapping[str, Any]) -> StudySettings:
        """Return the settings of a submitted study; raises SettingsError.

        file: as TOML, or as plain data.
        """
        table = parse_toml(file, PLACE) if isinstance(file, str) else dict(file)
        if "notify" in table:  # this machine would call any address for whoever submits
            raise SettingsError(
                f"{PLACE}: notify: a service tells the webhook that it was started with; leave "
                "[notify] out"
            )
        if isinstance(table.get("model"), Mapping):
            table["model"] = self._model(table["model"])
        if isinstance(table.get("data"), Mapping):
            table["data"] = self._data(table["data"])
        return parse_settings({"name": "study", **table}, PLACE)

    def _model(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Return a [model] table with the operator's files; raises SettingsError for others."""
        texts = {key: model[key] for key in SOURCES if isinstance(model.get(key), str)}
        model = {**model, **{key: _named(self.trainables, each) for key, each in texts.items()}}
        for key in SOURCES:
            given = model.get(key)
            if given is None or (key == "estimator" and _is_of_a_library(given)):
                continue
            self._check_module(key, given)
        return dict(model) if self.trainables is None else self._found(model)

    def _found(self, model: Mapping[str, Any]) -> dict[str, Any]:
        assert self.trainables is not None
        here = {
            key: f"{self.trainables.resolve()}/{given}"
            for key in SOURCES
            if isinstance(given := model.get(key), str) and ":" in given
        }
        return with_files_beside({**model, **here}, self.trainables)

    def _check_module(self, key: str, given: object) -> None:
        place = f"{PLACE}: model.{key}"
        if self.trainables is None:
            raise SettingsError(
                f"{place}: this service takes no models of others; start it with --trainables DIR "
                "to name a folder of them"
            )
        name, _, function = str(given).rpartition(":") if isinstance(given, str) else ("", "", "")
        known = self.modules()
        if name not in known or not function.isidentifier():
            raise SettingsError(
                f'{place}: must be a function of a file of this service, such as "net.py:train", '
                f"but got {given!r}; it has {', '.join(known) or 'none'}"
            )

    def _data(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return a [data] table with the operator's files; raises SettingsError for others."""
        found = dict(data)
        for key in ("source", "more", "test", "validation"):
            given = data.get(key)
            if isinstance(given, str):
                found[key] = self._place(key, given)
            elif isinstance(given, list | tuple):
                found[key] = [
                    self._place(key, each) if isinstance(each, str) else each for each in given
                ]
        return found

    def _place(self, key: str, given: str) -> str:
        """Return where a table is; the name of a data set as it is."""
        place = f"{PLACE}: data.{key}"
        if is_url(given):
            raise SettingsError(f"{place}: this service reads no URLs; name a table that it has")
        given = _named(self.data, given)
        if "/" not in given and "\\" not in given and not given.endswith(FILES):
            return given
        known = self.files()
        if given in known and self.data is not None:
            return str(self.data.resolve() / given)
        hint = (
            f"it has {', '.join(known[:20])}" if known else "start it with --data DIR to name some"
        )
        raise SettingsError(f"{place}: this service has no table {given!r}; {hint}")


def _is_of_a_library(given: object) -> bool:
    return isinstance(given, str) and given.partition(".")[0] in LIBRARIES and ":" not in given


def _named(folder: Path | None, given: str) -> str:
    """Return a file as the service names it: the study files that it writes have the whole path."""
    return given if folder is None else given.removeprefix(f"{folder.resolve()}/")


def _names(folder: Path | None, endings: tuple[str, ...]) -> Iterator[str]:
    """Yield the names of files in a folder and its subfolders, without links that lead out."""
    if folder is None:
        return
    root = folder.resolve()
    for file in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
        if hidden or not file.name.endswith(endings) or not file.is_file():
            continue
        if file.resolve().is_relative_to(root):
            yield str(file.relative_to(root))
