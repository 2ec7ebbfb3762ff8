"""Objects of a user, one of each kind that a config can name, that answer no question but one.

Each does what its kind is there for, and draws no random numbers. What it says when it is asked
whether it is true, or equal, or how long it is, is chosen by ``how``, a key of ``ANSWERS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset, Sampler


def _raises(*asked: Any) -> Any:
    raise ArithmeticError("nobody had to know that")


ANSWERS: dict[str, dict[str, Any]] = {
    "nothing of its own": {},
    "no truth": {"__bool__": _raises},
    "no elements": {"__len__": lambda self: 0},
    "no length": {"__len__": _raises},
    "no equality": {"__eq__": _raises, "__ne__": _raises, "__hash__": None},
    "many equalities": {
        "__eq__": lambda self, other: np.array([True, False]),
        "__ne__": lambda self, other: np.array([True, False]),
        "__hash__": None,
    },
    "all alike": {
        "__eq__": lambda self, other: type(self).__name__ == type(other).__name__,
        "__ne__": lambda self, other: type(self).__name__ != type(other).__name__,
        "__hash__": lambda self: 0,
    },
}
_OF_MODULES = {"__hash__": nn.Module.__hash__}
"""torch puts modules into sets, and parameters of optimizers; unless they can be, nothing works."""


def turned(thing: Any, how: str, keeping: tuple[str, ...] = ()) -> None:
    """Make an object answer as ``how`` says, but for the methods that its kind is there for."""
    own = {name: answer for name, answer in ANSWERS[how].items() if name not in keeping}
    if isinstance(thing, nn.Module) and own.get("__hash__", 0) is None:
        own |= _OF_MODULES
    kind = type(thing)
    thing.__class__ = type(kind.__name__, (kind,), {**own, "__module__": kind.__module__})


class Plain:
    """What answers so and is nothing else."""

    def __init__(self, how: str) -> None:
        turned(self, how)


class Rows(Dataset[Any]):
    """12 examples: x (3,) float32, y a class number, and an object of the user."""

    def __init__(self, how: str) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(12, 3, generator=generator)
        self.how = how
        turned(self, how, keeping=("__len__",))

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        return self.x[index], index % 2, Plain(self.how)


class Stream(IterableDataset[Any]):
    """The same, one after the other."""

    def __init__(self, how: str) -> None:
        self.rows = Rows(how)
        turned(self, how)

    def __iter__(self) -> Iterator[Any]:
        return (self.rows[index] for index in range(12))


class Backwards(Sampler[int]):
    """Indices from the last to the first."""

    def __init__(self, how: str) -> None:
        turned(self, how)

    def __iter__(self) -> Iterator[int]:
        return iter(range(11, -1, -1))


class Fours(Sampler[list[int]]):
    """Batches of 4 indices."""

    def __init__(self, how: str) -> None:
        turned(self, how)

    def __iter__(self) -> Iterator[list[int]]:
        return ([first, first + 3, first + 6, first + 9] for first in range(3))


class Shift:
    """A preprocessor: subtracts the mean of a column."""

    def __init__(self, how: str) -> None:
        self.mean = 0.0
        turned(self, how)

    def fit(self, dataset: Any) -> None:
        self.mean = float(torch.stack([example[0] for example in dataset]).mean())

    def process(self, value: Tensor) -> Tensor:
        return value - self.mean


class Collator:
    """Stacks two columns; the third stays a list."""

    def __init__(self, how: str) -> None:
        turned(self, how)

    def __call__(self, batch: Any) -> Any:
        first, *others = zip(*batch, strict=True)
        return [torch.stack(first), *(torch.tensor(o) for o in others[:1]), *others[1:]]


class Same:
    """An augment, an adapter, a postprocessor, an output device: gives what it is given."""

    def __init__(self, how: str) -> None:
        turned(self, how)

    def __call__(self, *values: Any) -> Any:
        return values[0] if len(values) == 1 else values


class Arguments(Same):
    """A transform of the arguments of a score."""

    def __init__(self, session: Any, how: str) -> None:
        super().__init__(how)


class ToProc:
    """An input adapter."""

    def __init__(self, how: str) -> None:
        turned(self, how)

    def __call__(self, frame: dict[str, Any]) -> dict[str, Any]:
        return {"body": {"x": frame["x"]}, "head": {}, "judge": {}}


class Doubled:
    """A batch processor."""

    def __init__(self, how: str) -> None:
        turned(self, how)

    def __call__(self, frame: dict[str, Any]) -> dict[str, Any]:
        return {**frame, "x": 2 * frame["x"]}


class Layer(nn.Module):
    """(B, 3) → (B, size), with a running mean that changes in train mode."""

    def __init__(self, how: str, size: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(3, size)
        self.norm = nn.BatchNorm1d(size)
        turned(self.linear, how)
        turned(self.norm, how)
        turned(self, how)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x))


class SGD(torch.optim.SGD):
    """An optimizer."""

    def __init__(self, parameters: Any, how: str) -> None:
        super().__init__(parameters, lr=0.1, momentum=0.9)
        turned(self, how)


class Halving(torch.optim.lr_scheduler.LRScheduler):
    """A scheduler."""

    def __init__(self, optimizer: torch.optim.Optimizer, how: str) -> None:
        super().__init__(optimizer)
        turned(self, how)

    def get_lr(self) -> list[float]:
        return [0.1 * 0.9**self.last_epoch for _ in self.optimizer.param_groups]


class Loss(nn.Module):
    """Cross entropy, with a buffer."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, 2.0]))
        turned(self, how)

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(scores, target, self.weight)


class Hits:
    """A metric."""

    def __init__(self, how: str) -> None:
        self.reset()
        turned(self, how)

    def reset(self) -> None:
        self.hits, self.count = 0, 0

    def update(self, scores: Tensor, target: Tensor) -> None:
        self.hits += int((scores.argmax(1) == target).sum())
        self.count += len(target)

    def compute(self) -> float:
        return self.hits / self.count


class Stop:
    """A stop condition, which may answer with what numpy or torch think of as true."""

    def __init__(self, how: str) -> None:
        turned(self, how)

    def __call__(self, epoch: int, history: Any) -> Any:
        return np.bool_(epoch >= 2)


class Hook:
    """A hook, of a parameter or of a module."""

    def __init__(self, how: str) -> None:
        turned(self, how)

    def __call__(self, *seen: Any) -> None:
        return None


def hooks_of(how: str) -> Callable[[str], Hook]:
    """What makes a hook for a name."""
    return lambda name: Hook(how)


hooks_0, hooks_1, hooks_2, hooks_3, hooks_4, hooks_5, hooks_6 = map(hooks_of, ANSWERS)


class Number:
    """An input converter: a text as a row."""

    def __init__(self, how: str) -> None:
        turned(self, how)

    def __call__(self, text: str) -> Tensor:
        return torch.full((3,), float(text))


class Best:
    """A post-processor."""

    def __init__(self, session: Any, how: str) -> None:
        turned(self, how)

    def __call__(self, columns: dict[str, Tensor]) -> Any:
        return columns["scores"].argmax(1).item()
