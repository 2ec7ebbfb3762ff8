"""Running a batch: its frames through a graph, and what is computed from them, in a precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from torch import nn

from torchassistant.errors import UserCodeError, UserError
from torchassistant.frames import Frames
from torchassistant.graph import BatchGraph, Compiling, Plan, Watched, evaluating
from torchassistant.training.precision import Precision

T = TypeVar("T")

Modules = Iterable[nn.Module]

Compute = Callable[[Frames], T]
"""Computes something from the frames of all ports and processors, as losses."""


def only_frames(frames: Frames) -> Frames:
    """Computes nothing beyond the graph."""
    return frames


class BatchRun(Generic[T]):
    """How batches are run through a graph; all that can be settled beforehand is settled here.

    Made by :meth:`for_training`, :meth:`for_evaluation` or :meth:`for_inference`::

        with batches.mode():
            for frames in ...:
                batches.run(frames)

    Args:
        run: Takes a batch through the graph.
        evaluated: Gives the modules that are in eval mode, without gradient, while batches are run;
            None: with gradient, each in the mode that it is in.

    Attributes:
        run: Takes the frames of the ports; adds those of the processors, and returns what is
            computed from all of them.
    """

    def __init__(
        self, run: Callable[[Frames], T], evaluated: Callable[[], Modules] | None = None
    ) -> None:
        self.run = run
        self._evaluated = evaluated

    @classmethod
    def for_training(
        cls,
        graph: BatchGraph,
        precision: Precision,
        compute: Compute[T],
        compiling: Compiling | None = None,
        watched: Watched | None = None,
    ) -> BatchRun[T]:
        """With gradient, each module in the mode that the stage has set.

        Args:
            graph: What is run.
            precision: Of graph and computation.
            compute: What is computed from the frames.
            compiling: How graph and computation are compiled, as one; None leaves them.
            watched: Puts something around the calls of the graph.
        """
        return cls(_run_in(precision, graph.for_training(watched), compute, compiling))

    @classmethod
    def for_evaluation(
        cls,
        graph: BatchGraph,
        precision: Precision,
        compute: Compute[T],
        reached: Callable[[], Modules] | None = None,
        watched: Watched | None = None,
    ) -> BatchRun[T]:
        """In eval mode, without gradient.

        Args:
            graph: What is run.
            precision: Of graph and computation.
            compute: What is computed from the frames.
            reached: Gives every module that runs in it; None: what the graph reaches.
            watched: Puts something around the calls of the graph.
        """
        run = _run_in(precision, graph.for_evaluation(watched), compute)
        return cls(run, (lambda: graph.reached) if reached is None else reached)

    @classmethod
    def for_inference(
        cls, graph: BatchGraph, precision: Precision, compute: Compute[T]
    ) -> BatchRun[T]:
        """In eval mode, without gradient; ``run_inference`` of a model where it has one."""
        return cls(_run_in(precision, graph.for_inference(), compute), lambda: graph.reached)

    def mode(self) -> AbstractContextManager[None]:
        """The mode and the gradient setting in which batches are run; entered once a pass."""
        return nullcontext() if self._evaluated is None else evaluating(self._evaluated())


class _Run(Generic[T]):
    """A graph, and what is computed after it: a method, so that a compiler counts it by itself."""

    def __init__(self, plan: Plan, compute: Compute[T]) -> None:
        self.plan = plan
        self.compute = compute

    def run(self, frames: Frames) -> T:
        return self.compute(self.plan.run(frames))


def _run_in(
    precision: Precision, plan: Plan, compute: Compute[T], compiling: Compiling | None = None
) -> Callable[[Frames], T]:
    run: Callable[[Frames], T] = _Run(plan, compute).run
    if compiling is not None:
        run = _compiled(compiling, run)
    if precision.dtype is None:
        return run

    def run_in_precision(frames: Frames) -> T:
        with precision.forward():
            return run(frames)

    return run_in_precision


def _compiled(compiling: Compiling, run: Callable[[Frames], T]) -> Callable[[Frames], T]:
    compiled = compiling(run)

    def run_compiled(frames: Frames) -> T:
        try:
            result: T = compiled(frames)
            return result
        except (UserError, UserCodeError):
            raise
        except Exception as error:
            # What a graph or a loss raises says where it was; this is what a compiler raises.
            raise UserCodeError("compiling it") from error

    return run_compiled
