"""Figures as PNG files."""

import pytest
from matplotlib.figure import Figure

from hpsearch.errors import SettingsError
from hpsearch.figures.declared import draw_figures
from hpsearch.figures.saving import save_figures

PNG = b"\x89PNG\r\n"


def test_figures_are_saved(grid, tmp_path):
    folder = tmp_path / "a" / "b"
    paths = save_figures(draw_figures(grid), folder)
    assert paths == [folder / "curves.png", folder / "means.png"]
    assert sorted(folder.iterdir()) == paths
    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_a_file_is_only_overwritten_with_force(tmp_path):
    (tmp_path / "two.png").write_text("mine")
    figures = {"one": Figure(), "two": Figure()}
    with pytest.raises(SettingsError) as error:
        save_figures(figures, tmp_path)
    assert str(error.value) == (
        f"save: {tmp_path / 'two.png'} exists already; force=True overwrites it"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["two.png"]
    save_figures(figures, tmp_path, force=True)
    assert (tmp_path / "two.png").read_bytes().startswith(PNG)


def test_a_folder_is_not_overwritten(tmp_path):
    (tmp_path / "one.png").mkdir()
    with pytest.raises(SettingsError, match=r"^save: .*/one\.png is a folder$"):
        save_figures({"none": Figure(), "one": Figure()}, tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


def test_a_folder_name_that_is_too_long_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match=r"^save: .*one\.png: File name too long$"):
        save_figures({"one": Figure()}, tmp_path / ("x" * 300))


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_place_of_the_folder_is_an_error(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(SettingsError, match=r"^save: .*/file is not a folder"):
        save_figures({"one": Figure()}, file / below)
