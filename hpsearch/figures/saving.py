"""Save figures as PNG files in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import Argument
from hpsearch.files import check_output, unwritable, written_whole

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure

SAVE = Argument("save")


def check_figure_files(
    folder: str | os.PathLike[str], names: Iterable[str], *, force: bool
) -> None:
    """Raise SettingsError if figures of these names cannot be saved in `folder`; create nothing."""
    for name in names:
        check_output(SAVE, _file(folder, name), force=force, make_folder=True)


def save_figures(
    figures: Mapping[str, Figure], folder: str | os.PathLike[str], *, force: bool = False
) -> list[Path]:
    """Write each figure to NAME.png in `folder`, and return the paths.

    A missing folder is created. force: overwrite existing files. Everything that can be checked is
    checked before the first file is written. Raises SettingsError.
    """
    check_figure_files(folder, figures, force=force)
    paths = [_file(folder, name) for name in figures]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for figure, path in zip(figures.values(), paths, strict=True):
            with written_whole(path) as file:
                figure.savefig(file, format="png")
    except OSError as error:
        raise unwritable(SAVE, folder, error) from error
    return paths


def _file(folder: str | os.PathLike[str], name: str) -> Path:
    return Path(folder) / f"{name}.png"
