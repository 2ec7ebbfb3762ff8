"""Names in the trace of a profiler: pipelines, processors, nodes, losses, backward, optimizers.

They are put around calls only where somebody profiles; training itself knows nothing of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import torch
from torch import nn
from torch.optim import Optimizer
from torch.profiler import record_function

from torchassistant.compat.profiler import profiler_check
from torchassistant.frames import Frame, Frames
from torchassistant.graph import BatchGraph, Node, Processor
from torchassistant.graph.processor import CallOf
from torchassistant.training.loss_denominators import Count
from torchassistant.training.losses_and_metrics import Loss
from torchassistant.training.pipeline import Pipeline, PipelineLoss
from torchassistant.training.progress import PassProgress
from torchassistant.training.stage import Stage
from torchassistant.training.train_step import Trainer

_MARK = "torchassistant:"
_MARKED = re.compile(f'"{_MARK}([^"]*)"'.encode())
_NOTHING = nullcontext()
_is_profiling = profiler_check()


def span(name: str) -> AbstractContextManager[object]:
    """A stretch of a trace; nothing while no profiler is on."""
    if not _is_profiling():
        return _NOTHING
    return record_function(coded(name))


def coded(name: str) -> str:
    """A name as the profiler can write it: it changes quotes, and gives up what is not ASCII."""
    return _MARK + quote(name, safe="")


def decoded(trace: bytes) -> bytes:
    """A trace as the profiler wrote it, with the names of spans as they were given."""
    return _MARKED.sub(lambda found: json.dumps(unquote(found[1].decode())).encode(), trace)


def named(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, with a name in a trace."""

    def run(*args: Any) -> Any:
        with span(name):
            return call(*args)

    return run


def named_stage(stage: Stage, optimizers: Mapping[str, Optimizer]) -> Stage:
    """The same stage, with names in a trace.

    Args:
        stage: A stage of a session.
        optimizers: The optimizers of the session, by name.
    """
    names = {id(optimizer): name for name, optimizer in optimizers.items()}
    return replace(
        stage,
        training=[_named_pipeline(pipeline) for pipeline in stage.training],
        validation=[_named_pipeline(pipeline) for pipeline in stage.validation],
        trainer=partial(_NamedTrainer, names),
    )


def _named_pipeline(pipeline: Pipeline) -> Pipeline:
    if pipeline.compiling is not None:
        return pipeline  # what is compiled as a whole has no parts that could be named
    given = pipeline.graph
    processors = {name: _NamedProcessor(p) for name, p in given.processors.items()}
    return replace(
        pipeline,
        graph=BatchGraph(given.name, processors, given.ports, given.edges, given.called),
        losses=[replace(item, loss=_NamedLoss(item)) for item in pipeline.losses],
    )


class _NamedProcessor:
    """A batch processor that has a name in a trace, and so have its nodes."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.name = processor.name

    @property
    def nodes(self) -> Sequence[Node]:
        return self.processor.nodes

    @property
    def modules(self) -> Sequence[nn.Module]:
        return self.processor.modules

    @property
    def parts(self) -> Sequence[Any]:
        return self.processor.parts

    @property
    def home(self) -> torch.device | None:
        return self.processor.home

    def lowered(self, call_of: CallOf) -> Callable[[Frame], Frame]:
        if getattr(self.processor, "compiling", None) is None:
            run = self.processor.lowered(lambda node: named(f'node "{node.name}"', call_of(node)))
        else:
            run = self.processor.lowered(call_of)
        return named(f'processor "{self.name}"', run)


class _NamedLoss(Loss):
    """A loss that has a name in a trace."""

    def __init__(self, item: PipelineLoss) -> None:
        loss = item.loss
        super().__init__(loss.name, loss.function, loss.inputs, loss.transform, loss.device)
        self.span = f'loss "{item.shown_as}"'

    def __call__(self, frame: Frame, samples: int) -> tuple[torch.Tensor, Count]:
        with span(self.span):
            return super().__call__(frame, samples)

    def over_terms(
        self, frame: Frame, samples: int
    ) -> tuple[torch.Tensor, torch.Tensor, Count | None]:
        with span(self.span):
            return super().over_terms(frame, samples)


class _NamedTrainer(Trainer):
    """A trainer whose iterations, and what they are made of, have names in a trace."""

    def __init__(
        self, names: Mapping[int, str], pipeline: Pipeline, *args: Any, **kwargs: Any
    ) -> None:
        self.names = names
        super().__init__(pipeline, *args, **kwargs)

    def start_epoch(self, epoch: int, come: PassProgress | None = None) -> None:
        super().start_epoch(epoch, come)
        self.steps = [
            named(f'optimizer "{self.names[id(optimizer)]}"', step)
            for optimizer, step in zip(self.optimizers, self.steps, strict=True)
        ]

    def step(self, iteration: int) -> bool:
        with span(f'pipeline "{self.pipeline.name}"'):
            return super().step(iteration)

    def _next(self) -> Frames | None:
        with span("data"):
            return super()._next()

    def _backward(self, total: torch.Tensor, again: bool = False) -> None:
        with span("backward"):
            super()._backward(total, again)
