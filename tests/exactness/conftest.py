"""What the tests of this folder share."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power failure is tested here, and hundreds of sessions are written."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
