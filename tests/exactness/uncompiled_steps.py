"""A process that steps optimizers, first without torch's compiler, and then as torch does."""

import copy
import sys

import torch
from torch import nn
from torch.optim import (
    ASGD,
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)

from torchassistant.compat.compiler import defer_compiler_import
from torchassistant.training.optimizer_calls import stepping, zeroing

KINDS = [SGD, Adam, AdamW, Adamax, NAdam, RAdam, Adadelta, Adagrad, RMSprop, Rprop, ASGD]


def stepped(kind: type[Optimizer], directly: bool) -> tuple[list[torch.Tensor], object]:
    """Weights and state after three steps, the last of an optimizer that was given the state."""
    torch.manual_seed(3)
    net = nn.Sequential(*(nn.Linear(5, 5) for _ in range(4)))  # many enough for steps by lists
    optimizer = kind(net.parameters(), lr=0.05)
    for number in range(3):
        if number == 2:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = kind(net.parameters(), lr=0.1)
            optimizer.load_state_dict(state)
        zeroing(optimizer)() if directly else optimizer.zero_grad()
        net(torch.randn(6, 5)).square().mean().backward()
        stepping(optimizer)() if directly else optimizer.step()
    assert torch.is_grad_enabled()
    return [p.detach() for p in net.parameters()], optimizer.state_dict()["param_groups"]


defer_compiler_import()
mine = [stepped(kind, directly=True) for kind in KINDS]
assert "torch._dynamo" not in sys.modules
torchs = [stepped(kind, directly=False) for kind in KINDS]
assert "torch._dynamo" in sys.modules
again = [stepped(kind, directly=True) for kind in KINDS]
for kind, (one, groups), (other, theirs), (third, _) in zip(
    KINDS, mine, torchs, again, strict=True
):
    assert all(map(torch.equal, one, other)), kind
    assert all(map(torch.equal, third, other)), kind
    assert groups == theirs, kind
assert stepping(LBFGS([nn.Parameter(torch.ones(1))]))
print("the same bits")
