"""A study that is deleted while somebody looks."""

import optuna

from hpsearch.service import service as service_module
from hpsearch.storage import catalog


def test_the_list_leaves_out_what_has_just_been_deleted(serve, tmp_path, monkeypatch):
    with serve(tmp_path / "j") as (service, _):
        for name in ("kept", "gone"):
            optuna.create_study(storage=service.storage, study_name=name)
        before = catalog.all_searches(service.storage)
        optuna.delete_study(storage=service.storage, study_name="gone")
        monkeypatch.setattr(optuna, "get_all_study_names", lambda _: ["gone", "kept"])
        assert [each.study_name for each in catalog.all_searches(service.storage)] == ["kept"]
        monkeypatch.setattr(service_module, "all_searches", lambda _: before)
        service._states = (0.0, {})
        assert [each.summary.name for each in service.states()] == ["kept"]
