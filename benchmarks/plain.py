"""The loop that a person would write by hand, with torch and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks.parts import chained
from benchmarks.tasks import Task, built

Predict = Callable[[Tensor], Tensor]
Criterion = Callable[[Tensor, Tensor], Tensor]
Batches = Iterable[Sequence[Tensor]]


def bare(
    predict: Predict, criterion: Criterion, optimizers: Sequence[Optimizer], batches: Batches
) -> None:
    """One epoch that shows nothing."""
    for x, y in batches:
        loss = criterion(predict(x), y)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()


def with_bar(
    predict: Predict,
    criterion: Criterion,
    optimizers: Sequence[Optimizer],
    batches: Batches,
    stream: TextIO,
) -> None:
    """One epoch with a bar that shows the running loss, read after every iteration."""
    from tqdm import tqdm

    total = 0.0
    bar = tqdm(batches, file=stream, dynamic_ncols=True, leave=False)
    for count, (x, y) in enumerate(bar, start=1):
        loss = criterion(predict(x), y)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        total += loss.item()
        bar.set_postfix(loss=total / count, refresh=False)


def shuffled(
    dataset: Dataset[Any], batch_size: int | None, seed_of: Callable[[int], int] | None = None
) -> Callable[[int], DataLoader[Any]]:
    """Torch's loader with ``shuffle=True``; where seeds are given, its order follows from them.

    Args:
        dataset: Gives examples.
        batch_size: Examples a batch; None where the dataset gives whole batches.
        seed_of: The seed of an epoch's permutation.
    """
    if seed_of is None:
        return lambda epoch: DataLoader(dataset, batch_size, shuffle=True)
    # The sampler is the one that shuffle=True makes; only its generator is ours.
    generator = torch.Generator()
    sampler = RandomSampler(dataset, generator=generator)  # type: ignore[arg-type]
    loader = DataLoader(dataset, batch_size, sampler=sampler)

    def batches(epoch: int) -> DataLoader[Any]:
        generator.manual_seed(seed_of(epoch))
        return loader

    return batches


class ByHand:
    """A task in Python objects, and the loops over it.

    Args:
        task: What is trained.
        modules: Left out: built anew.
        seed_of: The seed of an epoch's permutation; left out: torch draws it.
    """

    def __init__(
        self,
        task: Task,
        modules: Sequence[nn.Module] | None = None,
        seed_of: Callable[[int], int] | None = None,
    ) -> None:
        self.modules = list(modules or map(built, task.models))
        trained = len(task.trained_names)
        for module in self.modules[trained:]:
            module.requires_grad_(False)
        optimizer = {"class": f"torch.optim.{task.optimizer}", "kwargs": task.kwargs or {}}
        self.optimizers = [built(optimizer, m.parameters()) for m in self.modules[:trained]]
        self.criterion = built({"class": f"torch.nn.{task.loss}"})
        self.batches = shuffled(built(task.dataset), task.batch_size, seed_of)
        alone = len(self.modules) == 1
        self.validated = task.validated
        self.predict: Predict = self.modules[0] if alone else partial(chained, self.modules)

    def save(self, path: str | Path) -> None:
        """Write weights and states of optimizers to one file."""
        save_file(saved(self.modules, self.optimizers), path)

    def load(self, path: str | Path) -> None:
        """Put back what :meth:`save` wrote."""
        stored = load_file(path)
        for i, module in enumerate(self.modules):
            module.load_state_dict(_below(stored, f"modules.{i}."))
        for i, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _below(stored, f"optimizers.{i}.").items():
                index, _, key = name.partition(".")
                state.setdefault(int(index), {})[key] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    def epoch(self, epoch: int, stream: TextIO | None = None) -> None:
        """Train for an epoch, with a bar where there is a stream for it."""
        goal = self.predict, self.criterion, self.optimizers
        if stream is None:
            bare(*goal, self.batches(epoch))
        else:
            with_bar(*goal, self.batches(epoch), stream)
        if self.validated:
            self.validate(epoch)

    def validate(self, epoch: int) -> float:
        """The mean of the loss over all batches, in eval mode."""
        for module in self.modules:
            module.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for x, y in self.batches(epoch):
                total += self.criterion(self.predict(x), y).item() * len(x)
                count += len(x)
        for module in self.modules:
            module.train()
        return total / count


def saved(modules: Sequence[nn.Module], optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by name."""
    tensors = {
        f"modules.{i}.{name}": tensor
        for i, module in enumerate(modules)
        for name, tensor in module.state_dict().items()
    }
    for i, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizers.{i}.{index}.{key}": value for key, value in state.items()}
    return tensors


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
