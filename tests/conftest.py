"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from torchassistant.cli.log_handler import messages_on_stderr


@pytest.fixture(autouse=True)
def _messages() -> Iterator[None]:
    """Messages are printed as the commands print them; pytest would take them for itself."""
    with messages_on_stderr():
        yield
