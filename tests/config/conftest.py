"""A whole small config, for tests that change one thing about it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from small_config import CONFIG


@pytest.fixture
def config() -> dict[str, Any]:
    """A config that is right, and the test's own to change."""
    return copy.deepcopy(CONFIG)
