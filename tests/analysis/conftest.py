"""Fixtures of the analysis tests: a study with complete, pruned and interrupted trials."""

import pytest

from hpsearch.search.study import run_study


@pytest.fixture(scope="session")
def settings(make_settings):
    entries = [{"label": "wide", "hidden_layer_sizes": [16, 8], "momentum": 0.75}]
    return make_settings(
        search={"trials": 9, "pruner": "halving", "pruner_options": {"min_peers": 0}},
        trial={"epochs": 5, "hidden_layer_sizes": {"choices": [[8], [16, 8]]}},
        enqueue=entries,
    )


@pytest.fixture(scope="session")
def study(settings, tmp_path_factory):
    """A finished study with complete and pruned trials and an interrupted one."""
    journal = str(tmp_path_factory.mktemp("summary") / "s.journal")
    answers = iter([False] * 3)  # for the first trial and its first two epochs
    run_study(settings, storage=journal, should_stop=lambda: next(answers, True))
    return run_study(settings, storage=journal).study
