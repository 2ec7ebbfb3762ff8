"""A folder with a module of the user, as the working directory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from hostile_config import MINE  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory; its modules can be imported, and are forgotten afterwards."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine.py").write_text(MINE)
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.delenv("TORCHASSISTANT_TRUST", raising=False)
    before = set(sys.modules)
    yield home
    for name in set(sys.modules) - before:
        module = vars(sys.modules[name])
        # A folder without an __init__.py is a module without a file.
        places = [module.get("__file__") or "", *module.get("__path__", ())]
        if any(place.startswith(str(tmp_path)) for place in places):
            del sys.modules[name]
