"""What torch puts around the steps of optimizers; tests/exactness holds that they do the same."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import StepLR

from torchassistant.compat import compiler, nonfinite, optimizers, profiler
from torchassistant.training.optimizer_calls import stepping


def stepped(kind: type[Optimizer], scheduled: bool) -> tuple[Optimizer, torch.Tensor]:
    weight = nn.Parameter(torch.ones(2))
    optimizer = kind([weight], lr=0.1)  # type: ignore[call-arg]
    schedulers = [StepLR(optimizer, 1)] if scheduled else []
    step = stepping(optimizer)
    for _ in range(3):
        weight.grad = torch.full((2,), 0.5)
        step()
        for scheduler in schedulers:
            scheduler.step()
    return optimizer, weight.detach()


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize("scheduled", [False, True])
def test_this_version_wraps_steps_as_it_is_known(kind: type[Optimizer], scheduled: bool) -> None:
    optimizer, _ = stepped(kind, scheduled)
    assert optimizers.direct_step(optimizer) is not None
    bare: Any = type(optimizer).step.__wrapped__  # type: ignore[attr-defined]
    assert compiler.without_gradient(bare) is not bare


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (optimizers, "_BY_SCHEDULER", "_taken_away"),
        (optimizers, "_OWN_HOOKS", ("_taken_away",)),
        (optimizers, "_GLOBAL_HOOKS", ("_taken_away",)),
        (compiler, "_GRADIENT_WRAPPER", "_taken_away"),
    ],
)
def test_without_a_name_a_step_is_the_same(
    module: Any, name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected = stepped(Adam, scheduled=True)
    monkeypatch.setattr(module, name, value)
    _, weight = stepped(Adam, scheduled=True)
    assert torch.equal(weight, expected)


def test_hooks_and_profilers_are_seen_where_their_names_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optimizers, "_OWN_HOOKS", ("_taken_away",))
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    step, calls = stepping(optimizer), []
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    step()
    assert calls == ["after"]


def test_a_scheduler_is_told_that_its_optimizer_has_stepped() -> None:
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match="lr_scheduler.step"):
        scheduler.step()
    scheduler = StepLR(optimizer, 1)
    optimizers.mark_stepped(optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()


def test_whether_a_profiler_is_on() -> None:
    check = profiler.profiler_check()
    assert not check()
    with torch.profiler.profile(acc_events=True):
        assert check()
    assert not check()


def test_without_the_name_a_profiler_is_taken_to_be_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.autograd, "_profiler_enabled")
    assert profiler.profiler_check()()
    _, weight = stepped(SGD, scheduled=False)
    assert weight.tolist() == pytest.approx([0.85, 0.85])


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan")])
def test_many_gradients_are_looked_at_at_once(bad: float) -> None:
    check, found, one = nonfinite.nonfinite_check(), torch.zeros(()), torch.ones(())
    values = [torch.randn(3), torch.randn(2, 2)]
    before = [value.clone() for value in values]
    check(values, found, one)
    assert found.item() == 0
    assert all(map(torch.equal, values, before))
    check([torch.tensor([1.0, bad])], found, one)
    assert found.item() == 1


def test_without_the_name_each_is_looked_at_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "_amp_foreach_non_finite_check_and_unscale_")
    check = nonfinite.nonfinite_check()
    with pytest.raises(RuntimeError):
        check([torch.ones(1)], torch.zeros(()), torch.ones(()))


COMPILER = """
import sys, torch
from torchassistant.compat import compiler
{before}
compiler.defer_compiler_import()
optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
optimizer.load_state_dict(optimizer.state_dict())
optimizer.zero_grad()
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize(
    ("before", "is_imported"), [("", "False"), ("compiler._HIDDEN = '_taken_away'", "True")]
)
def test_the_compiler_is_imported_only_without_the_name(before: str, is_imported: str) -> None:
    code = COMPILER.format(before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == [is_imported], done.stderr


def test_what_the_compiler_tries_out_begins_with_our_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.cpu_vec_isa import VecISA

    probe = VecISA._avx_py_load
    monkeypatch.setattr(VecISA, "_avx_py_load", probe)
    for _ in range(2):
        assert compiler.begin_probe_with("pass\n")
    assert VecISA._avx_py_load == f"pass\n{probe}"
    monkeypatch.delattr(VecISA, "_avx_py_load")
    assert not compiler.begin_probe_with("pass\n")
