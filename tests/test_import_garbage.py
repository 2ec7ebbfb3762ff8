"""The garbage collector rests while modules are imported, and at no other time."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from torchassistant.import_garbage import imports_uncollected, of_command


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    assert gc.isenabled()


def test_a_command_keeps_what_it_has_imported_out_of_all_collections() -> None:
    with of_command(), imports_uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count()


def test_elsewhere_all_is_collected_as_usual() -> None:
    before = gc.get_freeze_count()
    with of_command():
        pass
    with imports_uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


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
