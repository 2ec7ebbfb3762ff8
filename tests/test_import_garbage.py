"""The garbage collector rests while modules are imported, and at no other time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from torchassistant.assembly import Allowlist
from torchassistant.assembly.importing import find_constant
from torchassistant.import_garbage import imports_uncollected, of_command


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    assert gc.isenabled()


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a module that nobody has imported."""
    (tmp_path / "never_seen.py").write_text("import gc\n\nCOLLECTS = gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "never_seen"
    sys.modules.pop("never_seen", None)


def test_a_command_keeps_what_it_has_imported_out_of_all_collections(name: str) -> None:
    with of_command(), imports_uncollected():
        assert not import_module(name).COLLECTS
    assert gc.isenabled()
    assert gc.get_freeze_count()


def test_what_lives_while_nothing_new_is_imported_is_collected_as_usual() -> None:
    with of_command(), imports_uncollected():
        import_module("gc")
    assert not gc.get_freeze_count()


def test_elsewhere_all_is_collected_as_usual(name: str) -> None:
    before = gc.get_freeze_count()
    with of_command():
        pass
    with imports_uncollected():
        assert not import_module(name).COLLECTS
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_so_are_modules_that_a_config_names_imported(name: str) -> None:
    collects = find_constant(f"{name}.COLLECTS", Allowlist([name]))
    assert (collects, gc.isenabled()) == (False, True)


def test_it_collects_again_after_an_import_that_fails() -> None:
    with pytest.raises(ImportError), of_command(), imports_uncollected():
        raise ImportError
    assert gc.isenabled()


def test_what_rested_before_goes_on_resting() -> None:
    gc.disable()
    try:
        with of_command(), imports_uncollected(), imports_uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
        assert not gc.get_freeze_count()
    finally:
        gc.enable()
