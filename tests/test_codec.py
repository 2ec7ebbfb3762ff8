"""State as JSON and tensors makes a round trip, bit for bit."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from torchassistant.codec import CodecError, decode, encode
from torchassistant.whole_files import own_memory

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(max_size=8)
)
hashable = st.integers() | st.text("ab$.", max_size=3) | st.tuples(st.integers(), st.booleans())
states = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.dictionaries(hashable, inner, max_size=3).map(OrderedDict)
        | st.sets(st.integers(), max_size=3)
        | st.lists(st.text("ab", max_size=1), max_size=4).map(Counter)
        | st.lists(st.integers(), max_size=3).map(lambda items: deque(items, maxlen=5))
    ),
    max_leaves=12,
)


def stored(state: Any) -> Any:
    data, tensors = encode(state)
    return decode(json.loads(json.dumps(data, allow_nan=False)), tensors)


def kinds(value: Any) -> Any:
    """The types of a value and of everything in it."""
    if isinstance(value, dict):
        return type(value), [(kinds(k), kinds(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [kinds(item) for item in value]
    return type(value)


@given(states)
def test_round_trip(state: Any) -> None:
    assert stored(state) == state
    assert kinds(stored(state)) == kinds(state)


def test_nan_and_infinities() -> None:
    result = stored([math.nan, math.inf, -math.inf, -0.0])
    assert math.isnan(result[0])
    assert result[1:3] == [math.inf, -math.inf]
    assert math.copysign(1, result[3]) == -1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_tensors(dtype: torch.dtype) -> None:
    tensor = torch.randn(3, 2).to(dtype)
    result = stored({"a": {"b": [tensor]}, 3: tensor})
    assert torch.equal(result["a"]["b"][0], tensor)
    assert torch.equal(result[3], tensor)


EYE = torch.eye(4)
ODD: dict[str, Callable[[], torch.Tensor]] = {
    "sparse": EYE.to_sparse,
    "twice": lambda: torch.sparse_coo_tensor([[0, 0]], [1.0, 2.0], (3,), check_invariants=True),
    "sparse rows": EYE.to_sparse_csr,
    "sparse columns": EYE.to_sparse_csc,
    "blocks in rows": lambda: EYE.to_sparse_bsr((2, 2)),
    "blocks in columns": lambda: EYE.to_sparse_bsc((2, 2)),
    "quantized": lambda: torch.quantize_per_tensor(EYE, 0.1, 3, torch.quint8),
    "quantized by channel": lambda: torch.quantize_per_channel(
        EYE, torch.ones(4), torch.zeros(4), 1, torch.qint8
    ),
    "complex64": lambda: torch.complex(EYE, EYE),
    "complex128": lambda: torch.complex(EYE.double(), EYE.double()),
    "conjugated": lambda: torch.complex(EYE, EYE).conj(),
    "no axis": lambda: torch.tensor(1.5),
    "empty": lambda: torch.zeros(0, 3),
    "expanded": lambda: torch.ones(1).expand(3),
}


@pytest.mark.filterwarnings("ignore:Sparse", "ignore:torch.quantize")
@pytest.mark.parametrize("kind", ODD)
def test_tensors_of_every_layout(kind: str) -> None:
    """As a file holds them: with memory of their own, and safetensors has few of these."""
    tensor = ODD[kind]()
    data, tensors = encode([tensor])
    (result,) = decode(json.loads(json.dumps(data)), load(save(own_memory(tensors))))
    assert (result.dtype, result.layout) == (tensor.dtype, tensor.layout)
    assert result.shape == tensor.shape
    one, other = (t.dequantize() if t.is_quantized else t.to_dense() for t in (result, tensor))
    assert torch.equal(one, other)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors(layout: torch.layout) -> None:
    parts = [torch.ones(2, 1), torch.zeros(3, 1)]
    result = stored(torch.nested.nested_tensor(parts, layout=layout))
    assert result.layout is layout
    assert all(map(torch.equal, result.unbind(), parts))


def test_numpy() -> None:
    result = stored({"array": np.arange(4, dtype=np.int16), "number": np.float32(0.1)})
    assert result["array"].dtype == np.int16
    assert result["array"].tolist() == [0, 1, 2, 3]
    assert type(result["number"]) is np.float32


def test_what_cannot_be_stored_is_named() -> None:
    with pytest.raises(CodecError, match=r"words\.1 is a function"):
        encode({"words": [1, test_numpy]})


def test_optimizers_and_schedulers() -> None:
    """Optimizers of torch.optim, and many schedulers."""
    schedulers = [
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [1, 3]),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=9),
        lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o),
        lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, cycle_momentum=False),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
    ]
    names = ("Adam", "AdamW", "SGD", "RMSprop", "Adagrad", "Adadelta", "NAdam", "RAdam", "LBFGS")
    for name in names:
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = getattr(torch.optim, name)([weight], lr=0.01)

        def closure(weight: torch.Tensor = weight, optimizer: Any = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            loss = weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        again = getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(3))], lr=0.5)
        again.load_state_dict(stored(optimizer.state_dict()))
        assert str(again.state_dict()) == str(optimizer.state_dict())
    for make in schedulers:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
        state = make(optimizer).state_dict()
        assert str(stored(state)) == str(state)


def test_what_was_on_a_device_returns_to_the_one_of_the_run() -> None:
    """The device ``meta`` stands in for a GPU: its tensors have no values, but a place."""
    state = {"there": torch.empty(2, device="meta"), "here": torch.ones(2), "at": [1.5]}
    data, tensors = encode(state)
    stored = {name: torch.zeros(2) for name in tensors}
    back = decode(json.loads(json.dumps(data)), stored, torch.device("meta"))
    assert (back["there"].is_meta, back["here"].is_cpu, back["at"]) == (True, True, [1.5])
    assert decode(data, stored)["there"].is_cpu
