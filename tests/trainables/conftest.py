"""A folder to write models in, as a user's working directory."""

import sys

import pytest


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    """The working directory; what tests import from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
