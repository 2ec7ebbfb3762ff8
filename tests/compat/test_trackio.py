"""Trackio keeps its files where it is told, and only as long."""

from __future__ import annotations

import os

from torchassistant.compat.trackio import trackio_in


def test_two_folders_in_one_process(tmp_path, monkeypatch):
    # Names of the network: nobody is asked.
    monkeypatch.setenv("TRACKIO_BUCKET_ID", "somebody/bucket")
    from trackio.sqlite_storage import SQLiteStorage

    before = SQLiteStorage.get_project_db_path("p")
    for name in ("one", "two"):
        with trackio_in(str(tmp_path / name)) as storage:
            storage.bulk_log("p", name, [{"loss": 1.0}], steps=[3])
            assert [log["step"] for log in storage.get_logs("p", name)] == [3]
    assert SQLiteStorage.get_project_db_path("p") == before
    assert not SQLiteStorage._dataset_import_attempted
    for name in ("one", "two"):
        assert "p.db" in os.listdir(tmp_path / name)
