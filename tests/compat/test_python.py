"""What Python keeps private: it is still there, and what stands in for it works."""

from __future__ import annotations

import multiprocessing
import sys
import typing
from abc import ABC

import pytest

from tests.call_depths import most_faults
from torchassistant.compat import python


class Speaker(typing.Protocol):
    def speak(self) -> str: ...


class Plain:
    """No protocol."""


def answer(queue: typing.Any) -> None:
    queue.put(python.settings_of_children().get("told"))


def test_a_process_gets_what_was_put_into_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    table = python.settings_of_children()
    assert table is multiprocessing.current_process()._config  # type: ignore[attr-defined]
    monkeypatch.setitem(table, "told", "before it unpickles anything")
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=answer, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == "before it unpickles anything"
    process.join()


def test_without_the_table_something_can_be_put(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "_CONFIG", "_taken_away")
    python.settings_of_children()["told"] = "nobody"
    assert "told" not in python.settings_of_children()


@pytest.mark.parametrize(("kind", "expected"), [(Speaker, True), (Plain, False), (ABC, False)])
def test_protocols_are_told_from_other_classes(kind: type, expected: bool) -> None:
    assert python.is_protocol(kind) is expected


def test_without_the_mark_no_class_is_a_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "_IS_PROTOCOL", "_taken_away")
    monkeypatch.delattr(typing, "is_protocol", raising=False)
    assert not python.is_protocol(Speaker)


def test_the_public_function_is_asked_where_python_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "_IS_PROTOCOL", "_taken_away")
    monkeypatch.setattr(typing, "is_protocol", lambda kind: kind is Speaker, raising=False)
    assert python.is_protocol(Speaker)
    assert not python.is_protocol(Plain)


@pytest.mark.skipif(sys.platform != "linux", reason="counts as Linux does")
def test_no_depth_of_calls_takes_memory_every_time() -> None:
    assert python.with_stack_room(lambda: most_faults(depths=300)) < 50


def test_what_is_called_with_room_returns_and_raises() -> None:
    assert python.with_stack_room(lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        python.with_stack_room(lambda: 1 / 0)
