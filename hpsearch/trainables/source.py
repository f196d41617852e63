"""Where a user's model comes from: a file, a module, a function or a program; and its identity."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from hpsearch.errors import SettingsError
from hpsearch.formatting import unknown_name

TRAIN, DATA, FINAL = "model.train", "model.data", "model.final"  # keys of a study file
EXAMPLES = '"net.py:train", "package.module:train", or a program such as ["Rscript", "train.R"]'
METRICS = "METRICS"  # what a file calls the directions of its metrics
LARGEST_SOURCE = 10**6  # bytes


@dataclass(frozen=True)
class Source:
    """What trains, as a study file names it, or a function as Python hands it over.

    place: "net.py:train" or "package.module:train", or the words of a program.
    """

    place: str | tuple[str, ...]
    function: Callable[..., Any] | None = field(default=None, compare=False, repr=False)
    digest: str = field(default="", compare=False, repr=False)  # of a function without a file

    @classmethod
    def of(cls, given: object) -> Source:
        """Return the source that a study file or a Python user gives; raises ValueError."""
        match given:
            case Source():
                return given
            case str() if _is_place(given):
                return cls(given)
            case [_, *_]:
                words = tuple(word for word in given if isinstance(word, str))
                if len(words) == len(given):
                    return cls(words)
            case _ if callable(given):
                return cls(_place_of(given), given, _digest_of_function(given))
        raise ValueError(f"must be {EXAMPLES}, but got {given!r}")

    @property
    def is_program(self) -> bool:
        """Whether it is a program of its own, in whatever language."""
        return not isinstance(self.place, str)

    @property
    def file(self) -> Path | None:
        """The file of the function, None for a module or a program."""
        path, _, _ = str(self.place).rpartition(":")
        return Path(path) if not self.is_program and path.endswith(".py") else None

    def beside(self, folder: Path) -> Source:
        """Return the source with its files looked up in `folder`, unless they are here."""
        if not isinstance(self.place, str):
            beside = (folder / word for word in self.place)
            return Source(
                tuple(
                    str(there) if there.is_file() and not os.path.exists(word) else word
                    for word, there in zip(self.place, beside, strict=True)
                )
            )
        if self.file is None or self.function is not None or self.file.is_file():
            return self
        found = folder / self.file
        return Source(f"{found}:{self.function_name}") if found.is_file() else self

    @property
    def code_file(self) -> Path | None:
        """The file of the function or module, None for a program or a module that is not found."""
        if self.is_program or self.file is not None:
            return self.file
        try:
            spec = importlib.util.find_spec(str(self.place).rpartition(":")[0])
        except (ImportError, ValueError):
            return None
        return Path(spec.origin) if spec is not None and spec.origin is not None else None

    def code_files(self) -> list[Path]:
        """Return the file of the function, once it is loaded, and those beside it that it imports.

        Of a program, those of its words that are files; of a function that travels by value, none.
        """
        if not isinstance(self.place, str):
            return [Path(word) for word in self.place if os.path.isfile(word)]
        if self.function is not None or self.file is None:
            return []
        module = _loaded(self.file.resolve())
        return [self.file] if module is None else _files_of_module(module)

    @property
    def function_name(self) -> str:
        """The name of the function in its file or module."""
        return str(self.place).rpartition(":")[2]

    @property
    def name(self) -> str:
        """What messages call it, and what identifies it: without the folders of its files."""
        if not isinstance(self.place, str):
            words = (os.path.basename(w) if os.path.isfile(w) else w for w in self.place)
            return " ".join(words)
        return f"{self.file.name}:{self.function_name}" if self.file else self.place

    def __reduce__(self) -> tuple[Any, ...]:
        if self.function is None:
            return type(self), (self.place,)
        # A function of a script or a notebook travels by value.
        import cloudpickle  # type: ignore[import-untyped]

        return _unpickled, (self.place, cloudpickle.dumps(self.function), self.digest)

    def load(self, key: str = TRAIN) -> tuple[Callable[..., Any], str]:
        """Return the function and a digest of its code; raises SettingsError, which names `key`."""
        if self.function is not None:
            return self.function, self.digest
        place, _, name = str(self.place).rpartition(":")
        module = _import_file(key, self.file) if self.file else _import_module(key, place)
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if not callable(found):
            known = [key for key, value in vars(module).items() if inspect.isfunction(value)]
            sentence = unknown_name(name, known, f"a function of {place}")
            raise SettingsError(f"{key}: {sentence}")
        return found, _digest_of_module(module)


def declared_metrics(source: Source) -> dict[str, Any]:
    """Return METRICS, which the file of a function may declare: a direction for each metric.

    It is read without importing the file, which may take seconds. {} if there is none, or if the
    file is not found. Raises ValueError if it is no such mapping.
    """
    if source.function is not None:
        found = getattr(source.function, "__globals__", {}).get(METRICS)
    else:
        found = _literal(source.code_file, METRICS)
    if found is None:
        return {}
    if not isinstance(found, Mapping) or not {*found.values()} <= {"maximize", "minimize"}:
        raise ValueError(
            f'{METRICS} of {source.name} must be such as {{"val/auc": "maximize"}}, a plain '
            f"dictionary with 'maximize' or 'minimize' for each metric, but is {found!r}"
        )
    return {str(name): direction for name, direction in found.items()}


def _literal(file: Path | None, name: str) -> Any:
    """Return the value of a name that a file assigns as plain data, or else its source."""
    try:
        tree = ast.parse(file.read_bytes()) if file is not None else ast.Module([], [])
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None  # importing it says what is wrong
    for node in reversed(tree.body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(each, ast.Name) and each.id == name for each in targets):
            value: Any = node.value  # type: ignore[attr-defined]
            try:
                return ast.literal_eval(value)
            except ValueError:
                return ast.unparse(value)
    return None


def _unpickled(place: str, dumped: bytes, digest: str) -> Source:
    import cloudpickle

    return Source(place, cloudpickle.loads(dumped), digest)


def _is_place(text: str) -> bool:
    place, _, name = text.rpartition(":")
    return bool(place) and all(part.isidentifier() for part in name.split("."))


def _place_of(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', '?')}"


def _import_module(key: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{place}.".startswith(f"{missing}."):
            raise SettingsError(
                f"{key}: there is no module '{place}'; a file is named with its ending, such as "
                "net.py:train"
            ) from error
        raise _not_imported(key, place, error) from error


def _import_file(key: str, path: Path) -> ModuleType:
    """Import a file as `python FILE` does: its folder comes first where it imports from."""
    if not path.is_file():
        raise SettingsError(f"{key}: there is no file '{path}' (relative to {os.getcwd()})")
    path = path.resolve()
    if (loaded := _loaded(path)) is not None:
        return loaded
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    name = path.stem if path.stem not in sys.modules else f"{path.stem} of {path.parent.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its classes can be pickled
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _not_imported(key, path.name, error) from error
    return module


def _loaded(path: Path) -> ModuleType | None:
    """Return the module that was imported from a file, None if it was not."""
    modules = list(sys.modules.values())
    return next((each for each in modules if getattr(each, "__file__", None) == str(path)), None)


def _not_imported(key: str, place: str, error: BaseException) -> SettingsError:
    """Return the error of an import, with the user's own line."""
    where = ""
    if isinstance(error, SyntaxError) and error.filename:
        where = f" ({Path(error.filename).name}, line {error.lineno})"
        error = SyntaxError(error.msg)
    elif frames := traceback.extract_tb(error.__traceback__):
        own = [frame for frame in frames if "importlib" not in frame.filename]
        last = (own or frames)[-1]
        where = f" ({Path(last.filename).name}, line {last.lineno})"
    return SettingsError(
        f"{key}: {place} cannot be imported: {type(error).__name__}: {error}{where}"
    )


def _digest_of_function(function: Callable[..., Any]) -> str:
    """Return the digest of a function that Python hands over, "" if its source is not known."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    if module is not None and getattr(module, "__file__", None):
        return _digest_of_module(module)
    try:
        return _digest([inspect.getsource(function).encode()])
    except (OSError, TypeError):
        return ""


def _digest_of_module(module: ModuleType) -> str:
    """Return the digest of a module's file and of the files beside it that it has imported."""
    files = _files_of_module(module)
    return digest_of_files(files) if files else ""


def _files_of_module(module: ModuleType) -> list[Path]:
    """Return a module's file and the files beside it that it has imported, sorted."""
    own = getattr(module, "__file__", None)
    if own is None:
        return []
    folder = Path(own).resolve().parent
    files = {Path(own).resolve()}
    for other in list(sys.modules.values()):
        file = getattr(other, "__file__", None)
        if file and file.endswith(".py") and "site-packages" not in file:
            path = Path(file).resolve()
            hpsearch = getattr(other, "__name__", "").partition(".")[0] == "hpsearch"
            if path.is_relative_to(folder) and not hpsearch:
                files.add(path)
    return sorted(files)


def digest_of_files(files: Iterable[Path]) -> str:
    """Return the digest of source files, whose comments and layout do not matter."""
    return _digest(
        file.read_bytes()
        for file in files
        if file.is_file() and file.stat().st_size <= LARGEST_SOURCE
    )


def _digest(sources: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for source in sources:
        try:
            found.update(ast.unparse(ast.parse(source)).encode())
        except (SyntaxError, ValueError, RecursionError):  # another language
            found.update(source)
    return found.hexdigest()[:16]
