"""What tests of storages share."""

import optuna
import pytest

from hpsearch.execution.worker import optuna_logs


@pytest.fixture
def quiet():
    """Let Optuna log nothing."""
    with optuna_logs(optuna.logging.CRITICAL):
        yield
