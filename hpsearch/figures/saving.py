"""TODO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import SettingsError
from hpsearch.files import check_output
from hpsearch.tracking.artifacts import log_figures
from model.files import written_whole

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure

    from hpsearch.tracking.store import TrackingStore


def check_files(folder: str | os.PathLike[str], names: Iterable[str], *, force: bool) -> None:
    """Raise SettingsError if figures of these names cannot be saved in `folder`; create nothing."""
    for name in names:
        check_output("--save", _file(folder, name), force=force, make_folder=True)


def save_figures(
    figures: Mapping[str, Figure], folder: str | os.PathLike[str], *, force: bool = False
) -> list[Path]:
    """Write each figure to NAME.png in `folder`, which is made if need be; return the paths.

    A file that exists is overwritten with `force` alone. Raises SettingsError, before a file is
    written where that can be known.
    """
    check_files(folder, figures, force=force)
    paths = [_file(folder, name) for name in figures]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for figure, path in zip(figures.values(), paths, strict=True):
            with written_whole(path) as file:
                figure.savefig(file, format="png")
    except OSError as error:
        where = error.filename2 or error.filename or folder
        raise SettingsError(f"--save: {where}: {error.strerror}") from error
    return paths


def _file(folder: str | os.PathLike[str], name: str) -> Path:
    return Path(folder) / f"{name}.png"


def publish(
    figures: Mapping[str, Figure],
    experiment: str,
    *,
    save: str | os.PathLike[str] | None = None,
    force: bool = False,
    store: TrackingStore | None = None,
) -> list[Path]:
    """Save figures that are of no study, and log them to MLflow; return the paths.

    Either is left out where it is None. What can be checked is checked before either is done.
    Raises HpsearchError.
    """
    if save is not None:
        check_files(save, figures, force=force)
    if store is not None:
        store.check(experiment)
    paths = [] if save is None else save_figures(figures, save, force=force)
    if store is not None:
        log_figures(store, experiment, figures)
    return paths
