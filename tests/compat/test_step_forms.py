"""Both forms of an optimizer's step: the same bits, and nobody sees which one it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from torchassistant.compat import step_forms
from torchassistant.training.optimizer_calls import stepping

OPTIONS = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([1e-3, 0.1]),
        "betas": st.sampled_from([(0.9, 0.999), (0.5, 0.9), (0.0, 0.99)]),
        "eps": st.sampled_from([1e-8, 1e-3]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "amsgrad": st.booleans(),
        "maximize": st.booleans(),
    }
)
SHAPES = st.lists(st.lists(st.integers(0, 20), max_size=3).map(tuple), min_size=8, max_size=12)


def parameters(count: int = 10, dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2, 3, dtype=dtype)) for _ in range(count)]


@settings(max_examples=40)
@given(st.sampled_from([Adam, AdamW]), OPTIONS, SHAPES, st.integers(-20, 8), st.integers(0, 9999))
def test_the_bits_are_those_of_the_method(
    kind: Any, options: dict[str, Any], shapes: list[tuple[int, ...]], power: int, seed: int
) -> None:
    found = []
    for is_ours in (False, True):
        draw = torch.Generator().manual_seed(seed)
        dtypes = (torch.float32, torch.float64)
        weights = [
            nn.Parameter(torch.randn(shape, generator=draw, dtype=dtypes[i % 5 == 0]))
            for i, shape in enumerate(shapes)
        ]
        optimizer = kind(weights, **options)
        step = stepping(optimizer) if is_ours else optimizer.step
        for number in range(4):
            for i, weight in enumerate(weights):
                gradient = torch.randn(weight.shape, generator=draw, dtype=weight.dtype)
                weight.grad = None if (i + number) % 5 == 4 else gradient * 10.0**power
            step()
        states = [optimizer.state[weight] for weight in weights]
        found.append([*weights, *(value for state in states for value in state.values())])
        assert all(group["foreach"] is None for group in optimizer.param_groups)
    one, other = found
    assert len(one) == len(other)
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (Adam(parameters()), True),
        (AdamW(parameters()), True),
        (SGD(parameters(), lr=0.1), False),
        (Adam(parameters(4)), False),
        (Adam([nn.Parameter(torch.ones(2**16)) for _ in range(8)]), False),
        (Adam(parameters(dtype=torch.bfloat16)), False),
        (Adam(parameters(), lr=torch.tensor(0.1)), False),
        (Adam(parameters(), differentiable=True), False),
        (Adam([nn.Parameter(torch.ones(2, device="meta")) for _ in range(9)]), None),
        (type("Own", (Adam,), {"__module__": "own"})(parameters()), None),
    ],
)
def test_which_form_is_taken(optimizer: Optimizer, expected: bool | None) -> None:
    assert step_forms._form_of(optimizer) is expected


@pytest.mark.parametrize("foreach", [True, False])
def test_what_was_asked_for_stays(foreach: bool) -> None:
    optimizer = Adam(parameters(), foreach=foreach)
    seen = []
    adam = type(optimizer).step.__wrapped__  # type: ignore[attr-defined]

    def step() -> None:
        seen.append(optimizer.param_groups[0]["foreach"])
        adam(optimizer)

    step_forms.stepping_in_form(optimizer, lambda _: step())()
    assert seen == [foreach]
    assert optimizer.param_groups[0]["foreach"] is foreach


def test_a_step_that_fails_leaves_no_trace() -> None:
    optimizer = Adam(parameters())

    def fails(_: object) -> None:
        assert optimizer.param_groups[0]["foreach"] is True
        raise ValueError

    with pytest.raises(ValueError):
        step_forms.stepping_in_form(optimizer, fails)()
    assert optimizer.param_groups[0]["foreach"] is None


def test_where_a_version_computes_otherwise_its_own_form_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = step_forms._tried

    def differs(kind: Any, foreach: bool) -> list[torch.Tensor]:
        return [tensor + foreach for tensor in real(kind, foreach)]

    monkeypatch.setattr(step_forms, "_tried", differs)
    step_forms._has_same_bits.cache_clear()
    try:
        assert step_forms._form_of(Adam(parameters())) is False
    finally:
        step_forms._has_same_bits.cache_clear()
