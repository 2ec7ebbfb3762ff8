"""What models return becomes columns: one for each output that a node names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from torchassistant.errors import DataError
from torchassistant.graph import NeuralProcessor, Node


class Detects(nn.Module):
    """A dict for each example, as models that detect objects return for a batch."""

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        return [{"boxes": row} for row in x]


class Splits(nn.Module):
    """As many tensors as the batch has examples, in a list or a tuple."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> object:
        return self.kind(x)


def outputs(model: nn.Module, x: Tensor, *names: str) -> dict[str, object]:
    processor = NeuralProcessor("run", [Node("net", model, ("x",), names)])
    run = processor.lowered(lambda node: node.model)
    return {name: value for name, value in run({"x": x}).items() if name != "x"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_dict_for_each_example_is_one_column(count: int) -> None:
    (column,) = outputs(Detects(), torch.ones(count, 4), "found").values()
    assert isinstance(column, list)
    assert [list(one) for one in column] == [["boxes"]] * count


@pytest.mark.parametrize("kind", [list, tuple])
def test_several_tensors_are_several_columns(kind: type) -> None:
    found = outputs(Splits(kind), torch.eye(2), "a", "b")
    assert torch.equal(torch.stack([found["a"], found["b"]]), torch.eye(2))  # type: ignore[list-item]


@pytest.mark.parametrize("kind", [list, tuple])
def test_more_than_named_are_told_and_so_is_one_for_several(kind: type) -> None:
    with pytest.raises(DataError, match=r"names 1 outputs .* returned 2"):
        outputs(Splits(kind), torch.eye(2), "a")
    with pytest.raises(DataError, match=r"names 2 outputs .* returned 1"):
        outputs(nn.Identity(), torch.eye(2), "a", "b")


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_last_outputs_may_be_missing_where_nothing_reads_them(kind: type) -> None:
    assert list(outputs(Splits(kind), torch.eye(2), "a", "b", "c")) == ["a", "b"]
    nodes = [
        Node("net", Splits(kind), ("x",), ("a", "b", "c")),
        Node("next", nn.Identity(), ("c",), ("d",)),
    ]
    run = NeuralProcessor("run", nodes).lowered(lambda node: node.model)
    message = r'"next" of "run" needs the input "c", which the node "net" names, and its model did'
    with pytest.raises(DataError, match=message):
        run({"x": torch.eye(2)})
