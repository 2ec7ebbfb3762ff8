"""Losses and gradients that are not finite: seen before they do harm, and explained.

On the CPU a loss is looked at before the backward pass, and the gradients before the step. On a
GPU nothing waits for the device: the answer is copied to the host behind the computation, and is
read when it has arrived, an iteration or two later, or before anything is saved. By then weights
in memory may be NaN; those that are saved never are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from torchassistant.compat.nonfinite import nonfinite_check
from torchassistant.data import MultiLoader
from torchassistant.errors import DataError
from torchassistant.frames import Frames
from torchassistant.graph import BatchGraph
from torchassistant.parallel import World, own_rows
from torchassistant.training.events import Batch, Listener
from torchassistant.training.optimizer_calls import parameters_of
from torchassistant.training.pipeline import Pipeline

_MOST_INDICES = 256


class NotFinite(DataError):
    """A loss, or a gradient, became infinite or NaN."""


class BatchNotFinite(Exception):
    """A batch has a loss or a gradient that is infinite or NaN: to be explained, or left out.

    Args:
        batch: Which one.
        made_by: What made weights that are not finite, though the batch itself is; None where it is
            not.
        is_late: Whether weights may have been changed by it.
    """

    def __init__(self, batch: Batch, made_by: str | None = None, is_late: bool = False) -> None:
        super().__init__()
        self.batch = batch
        self.made_by = made_by
        self.is_late = is_late


def nan_guard_of(pipeline: Pipeline, waits: bool) -> NanGuard:
    """What looks at the losses and gradients of a pipeline.

    Args:
        pipeline: Which one.
        waits: Whether to wait for a GPU's answer in every iteration, so that a step can be left
            out.
    """
    parameters = parameters_of(pipeline.optimizers)
    if pipeline.world is not None and pipeline.world.shares_models:
        return SharedNanGuard(parameters, pipeline.world)
    is_late = not waits and any(parameter.is_cuda for parameter in parameters)
    kind = LateNanGuard if is_late else NanGuard
    return kind(parameters, is_scaled=pipeline.scaler is not None)


class NanGuard(Listener):
    """Looks at losses and gradients as soon as they are there.

    Args:
        parameters: Whose gradients.
        is_scaled: Whether a scaler takes care of gradients that are not finite.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], is_scaled: bool) -> None:
        self.is_scaled = is_scaled
        self.by_device: dict[torch.device, list[torch.Tensor]] = {}
        for parameter in parameters:
            self.by_device.setdefault(parameter.device, []).append(parameter)
        self.check = nonfinite_check()
        self.check_each: set[torch.device] = set()  # where some gradients are sparse or complex
        self.ones: dict[torch.device, torch.Tensor] = {}
        self.found: dict[torch.device, torch.Tensor] = {}
        for device in self.by_device:
            self._watch(device)

    def losses_computed(self, batch: Batch, total: torch.Tensor) -> None:
        if not math.isfinite(total.item()):
            raise BatchNotFinite(batch)

    def gradients_computed(self, batch: Batch, total: torch.Tensor) -> None:
        if self.is_scaled:
            return
        self._check_gradients()
        is_finite = True
        for found in self.found.values():
            if found.item():
                found.zero_()
                is_finite = False
        if not is_finite:
            raise BatchNotFinite(batch)

    def settle(self) -> None:
        """Wait until it is known that every step so far was finite.

        Raises:
            BatchNotFinite: One was not.
        """

    def _watch(self, device: torch.device) -> None:
        self.ones[device] = torch.ones((), dtype=torch.float32, device=device)
        self.found[device] = torch.zeros((), dtype=torch.float32, device=device)

    def _check_gradients(self) -> None:
        """Note on each device whether one of its gradients is not finite."""
        for device, parameters in self.by_device.items():
            self._note(device, [own_rows(g) for p in parameters if (g := p.grad) is not None])

    def _note(self, device: torch.device, values: list[torch.Tensor]) -> None:
        """Note whether one of some tensors of a device is not finite."""
        found = self.found[device]
        if device not in self.check_each:
            try:
                # In one pass over all, which multiplies each of them by one.
                self.check(values, found, self.ones[device])
                return
            except RuntimeError:
                self.check_each.add(device)
        for one in values:
            dense = one.coalesce().values() if one.is_sparse else one
            torch.maximum(found, (~dense.isfinite()).any().float(), out=found)


class SharedNanGuard(NanGuard):
    """Asks all processes, of which each has some rows of the gradients.

    Args:
        parameters: Whose gradients.
        world: The processes.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], world: World) -> None:
        super().__init__(parameters, is_scaled=False)
        self.world = world

    def _check_gradients(self) -> None:
        super()._check_gradients()
        for found in self.found.values():
            found.copy_(self.world.processes.gather(found.flatten()).max())


_NOT_YET = -1.0
"""What stands where an answer of a GPU is to arrive: none of its answers is negative."""


class LateNanGuard(NanGuard):
    """Asks a GPU, and takes the answer an iteration or two later, or before anything is saved.

    The GPU writes its answers to memory of the host that it can reach by itself. To look there is
    cheaper than to ask an event, and nothing is allocated once there are enough such places.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], is_scaled: bool) -> None:
        super().__init__(parameters, is_scaled)
        self.pending: deque[tuple[Batch, torch.Tensor]] = deque()
        self.free: list[torch.Tensor] = []

    def losses_computed(self, batch: Batch, total: torch.Tensor) -> None:
        """The loss is looked at with the gradients."""

    def gradients_computed(self, batch: Batch, total: torch.Tensor) -> None:
        home = total.device
        if home not in self.found:
            self._watch(home)
        losses = [total.detach()]
        if self.is_scaled:
            self._note(home, losses)
        else:
            for device in self.found:
                parameters = self.by_device.get(device, ())
                values = [g for p in parameters if (g := p.grad) is not None]
                self._note(device, values + losses if device == home else values)
        answer = self._place()
        answer.copy_(self._bad(home), non_blocking=True)
        self.pending.append((batch, answer))

    def step_finished(self, pipeline: Pipeline) -> None:
        while self.pending and self.pending[0][1].item() != _NOT_YET:
            self._take()

    def settle(self) -> None:
        if self.pending:
            for device in self.found:
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
        while self.pending:
            self._take()

    def _take(self) -> None:
        """Take the oldest answer, which has arrived."""
        batch, answer = self.pending.popleft()
        is_bad = answer.item() != 0
        self.free.append(answer)
        if is_bad:
            raise BatchNotFinite(batch)

    def _place(self) -> torch.Tensor:
        """A place for an answer that is to arrive."""
        if not self.free:
            self.free += torch.empty(64, pin_memory=True).unbind()
        return self.free.pop().fill_(_NOT_YET)

    def _bad(self, home: torch.device) -> torch.Tensor:
        """More than 0 where something was not finite on any device."""
        if len(self.found) == 1:
            return self.found[home]
        flags = [found.to(home, non_blocking=True) for found in self.found.values()]
        return torch.stack(flags).sum()


def explained(
    error: BatchNotFinite, pipeline: str, graph: BatchGraph, data: MultiLoader
) -> NotFinite:
    """What was not finite, where it began, and with which examples."""
    batch = error.batch
    bad = [(name, value.item()) for name, _, value, *_ in batch.losses if not _is_finite(value)]
    # Of a loss that gives a dict, the keys say more than their sum.
    bad = [one for one in bad if not any(name.startswith(f"{one[0]}/") for name, _ in bad)]
    if bad:
        what = " and ".join(f'the loss "{name}" is {value}' for name, value in bad)
        read = dict.fromkeys(n for _, n, value, *_ in batch.losses if not _is_finite(value))
        where = _first_output(graph, batch.frames, read)
    elif error.made_by is not None:
        return NotFinite(
            f"{error.made_by} made weights that are not finite, in iteration {batch.iteration} of "
            f'the pipeline "{pipeline}", though the loss that it began with is finite; '
            f"{_examples(data, batch.numbers)}; no weight of it is stored"
        )
    else:
        what, where = "a gradient is not finite, though every loss is", _gradients(graph)
    kept = "no weight of it is stored" if error.is_late else "no weight was changed"
    return NotFinite(
        f'{what}, in iteration {batch.iteration} of the pipeline "{pipeline}": {where}; '
        f'{_examples(data, batch.numbers)}; {kept} ("on_nonfinite": "skip" skips such batches)'
    )


def _first_output(graph: BatchGraph, frames: Frames, read: Iterable[str]) -> str:
    for port in graph.ports:
        for name, column in frames.get(port, {}).items():
            if not _is_finite(column):
                return f'the column "{name}" of the batch is not finite itself'
    for name, processor in graph.processors.items():
        for node in processor.nodes:
            for output in node.outputs:
                if not _is_finite(frames.get(name, {}).get(output)):
                    return (
                        f'the first output that is not finite is "{output}" of the node '
                        f'"{node.name}" of "{name}"'
                    )
    nodes = [
        f'"{node.name}"'
        for name, processor in graph.processors.items()
        if name in read
        for node in processor.nodes
    ]
    if not nodes:
        return "every column of the batch is finite"
    return f"every output of the nodes ({', '.join(nodes)}) is finite; the loss itself is not"


def _gradients(graph: BatchGraph) -> str:
    """The nodes whose gradients are not finite, the last one first: gradient flows backwards."""
    nodes = [
        f'"{node.name}" of "{name}"'
        for name, processor in graph.processors.items()
        for node in processor.nodes
        if any(not _is_finite(p.grad) for p in node.model.parameters())
    ]
    if not nodes:
        return "the node where it began cannot be determined any more"
    return f"it is that of the node {' and '.join(reversed(nodes))}"


def _examples(data: MultiLoader, numbers: range) -> str:
    said = []
    for port in data.ports:
        found = [data.examples_of(port, number) for number in numbers]
        indices = [index for some in found for index in some or ()]
        if None in found:
            continue
        shown = ", ".join(map(str, indices[:_MOST_INDICES]))
        more = f", … ({len(indices)} in all)" if len(indices) > _MOST_INDICES else ""
        said.append(f'{shown}{more} of "{port.dataset or port.source}"')
    batches = "the batch has" if len(numbers) == 1 else f"the {len(numbers)} batches have"
    if not said:
        return f"it is batch {numbers.start + 1} of its epoch"
    return f"{batches} the examples {' and '.join(said)} (counted from 0)"


def _is_finite(value: Any) -> bool:
    if not isinstance(value, torch.Tensor) or not (value.is_floating_point() or value.is_complex()):
        return True
    values = value.detach()
    return bool((values.coalesce().values() if values.is_sparse else values).isfinite().all())
