"""What is built before what: names demand it, and code that gets the session sees what is above."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from torchassistant.assembly.build_order import build_order
from torchassistant.config import Key, Spec


def order_of(*definitions: tuple[str, str, Any]) -> list[str]:
    """The names of definitions (group, name, spec) in the order in which they are built."""
    rows = [{"group": group, "name": name, "spec": spec} for group, name, spec in definitions]
    spec = Spec.model_validate({"initialize": {"definitions": rows}})
    found = build_order({Key(d.group, d.name): d for d in spec.initialize.definitions})
    return [key.name for key in found]


MADE = {"factory_fn": "a.f"}


def loader(collator: str) -> dict[str, Any]:
    return {"dataset": "data", "collator": collator}


def test_what_needs_it_is_not_built_before_it() -> None:
    """Each loader needs the collator, and the model above that may look at both loaders."""
    assert order_of(
        ("datasets", "data", {"class": "a.B"}),
        ("loader_factories", "one", loader("pad")),
        ("loader_factories", "two", loader("pad")),
        ("models", "net", MADE),
        ("collators", "pad", MADE),
    ) == ["data", "pad", "one", "two", "net"]


@given(st.lists(st.sampled_from(["loader", "asks", "plain"]), max_size=8), st.integers(0, 8))
def test_all_that_is_named_is_there_first(kinds: list[str], place: int) -> None:
    rows = {
        "loader": lambda i: ("loader_factories", f"l{i}", loader("pad")),
        "asks": lambda i: ("models", f"a{i}", MADE),
        "plain": lambda i: ("models", f"p{i}", {"class": "a.B"}),
    }
    definitions = [rows[kind](index) for index, kind in enumerate(kinds)]
    definitions.insert(min(place, len(kinds)), ("collators", "pad", MADE))
    definitions.append(("datasets", "data", {"class": "a.B"}))
    order = order_of(*definitions)
    assert sorted(order) == sorted(name for _, name, _ in definitions)
    names = [name for _, name, _ in definitions]
    for name in names:
        above = names[: names.index(name)]
        before = order[: order.index(name)]
        if name.startswith("l"):
            assert {"pad", "data"} <= {*before}
        if name.startswith("a"):
            assert {*above} <= {*before}
