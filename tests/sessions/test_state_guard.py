"""What is run with objects of the user leaves them as they were, wherever they keep something."""

from __future__ import annotations

import time
from typing import Any

import keepers
import numpy as np
import pytest
import torch
from torch import nn

from torchassistant.training.state_guard import Changed, unchanged


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("is_hidden", [False, True])
@pytest.mark.parametrize("kind", keepers.KEEPERS)
def test_every_keeper_is_put_back(kind: str, is_hidden: bool, times: int) -> None:
    """It is asked ahead, put back, and asked again: twice, as what is put back is noted again."""
    keeper = keepers.KEEPERS[kind]()
    if is_hidden:
        keeper = keepers.Hidden(keeper)
    keeper()
    seen = []
    for _ in range(3):
        with unchanged({"keeper": keeper}) as changed:
            seen.append([keeper() for _ in range(times + 1)])
        assert changed == []
    assert seen[0] == seen[1] == seen[2]
    assert len(set(seen[0])) > 1, "it keeps nothing"
    assert [keeper() for _ in range(times + 1)] == seen[0]


def test_it_is_put_back_where_something_raises() -> None:
    keeper = keepers.Data()
    with pytest.raises(KeyError), unchanged({"keeper": keeper}):
        keeper()
        raise KeyError
    assert keeper.calls == 0


def test_what_cannot_be_put_back_is_named() -> None:
    holder: Any = {"still": keepers.stream(), "moved": [keepers.stream()]}
    holder["over"] = (x for x in [1])
    holder["mapped"] = map(float, keepers.stream())
    large = holder["large"] = np.zeros(2**24)
    tensor = holder["tensor"] = torch.zeros(2**25)
    with unchanged({"datasets/rows": holder}) as changed:
        next(holder["moved"][0]), list(holder["over"]), next(holder["mapped"])
        large[5] = 1
        tensor[5] = 1
    found = dict(changed)
    assert found.pop("datasets/rows.moved.0") == "is a generator that has gone on"
    assert found.pop("datasets/rows.over") == "is a generator that has gone on"
    assert found.pop("datasets/rows.large") == "was changed in place, and is large"
    assert found.pop("datasets/rows.tensor") == "was changed in place, and is large"
    assert all(path.startswith("datasets/rows.mapped") for path in found)


def test_identity_stays() -> None:
    """Who holds one of the objects besides holds it afterwards too."""
    keeper = keepers.Iterators()
    before = dict(vars(keeper))
    with unchanged({"keeper": keeper}):
        keeper()
    assert all(vars(keeper)[name] is item for name, item in before.items())


def test_gradients_and_flags() -> None:
    layer = nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    layer.bias.requires_grad_(False)
    gradient = layer.weight.grad
    assert gradient is not None
    before = gradient.clone()
    with unchanged({"layer": layer}):
        layer.weight.grad = None
        layer.bias.requires_grad_(True)
        layer(torch.ones(1, 2)).sum().backward()
        layer.weight.data = torch.zeros(5, 5)
    assert layer.weight.grad is gradient and torch.equal(gradient, before)
    assert layer.weight.shape == (1, 2) and not layer.bias.requires_grad


def test_buffers_that_share_memory() -> None:
    module = nn.Module()
    module.register_buffer("base", torch.zeros(1))
    module.register_buffer("wide", module.base.expand(3))
    with unchanged({"module": module}) as changed:
        module.base += 1
    assert changed == [] and module.wide.tolist() == [0, 0, 0]


def test_memory_that_may_only_be_read_is_not_written_to() -> None:
    array = np.zeros(3)
    array.flags.writeable = False
    with unchanged({"array": array, "tensor": torch.zeros(2)}) as changed:
        pass
    assert changed == []


def test_odd_objects_do_not_stop_it() -> None:
    class Odd(dict[str, Any]):
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        def __len__(self) -> int:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    keeper = keepers.Attribute()
    with unchanged({"odd": [Odd()], "keeper": keeper}) as changed:
        keeper()
    assert (keeper.calls, changed) == (0, [])


def test_large_data_is_not_copied_and_costs_little() -> None:
    rows: list[Any] = [[f"{number}.png", number % 10] for number in range(60_000)]
    rows += [(f"{number}.png", number % 10) for number in range(140_000)]
    holder = {"rows": rows, "pixels": torch.zeros(2**27, dtype=torch.uint8), "calls": [0]}
    begun = time.process_time()
    with unchanged({"holder": holder}):
        holder["calls"][0] += 1  # type: ignore[index]
        rows.append(("x", 1))
    assert time.process_time() - begun < 5
    assert holder["calls"] == [0] and len(rows) == 200_000


def test_nothing_is_told_where_nothing_is_done() -> None:
    kept = {kind: make() for kind, make in keepers.KEEPERS.items()}
    with unchanged(kept) as changed:
        pass
    assert changed == []
    assert Changed("a", "b") == ("a", "b")
