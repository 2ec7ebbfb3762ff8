"""A step of the optimizers of a pipeline, which is taken back."""

from __future__ import annotations

from functools import partial

import torch

from torchassistant.config import Key
from torchassistant.frames import Frames
from torchassistant.graph import is_among
from torchassistant.session.preflight.findings import Findings
from torchassistant.session.preflight.losses import Losses
from torchassistant.training import (
    BatchRun,
    Pipeline,
    clippers_within,
    is_by_closure,
    parameters_of,
    stepping,
    unchanged,
    weighted_losses,
)


class StepTrial:
    """Clips the gradients of a pipeline, and lets each of its optimizers make a step.

    Args:
        pipeline: Its gradients have been computed.
        losses: Its losses, for an optimizer that computes gradients itself.
        whole: Names the pipeline in messages.
        found: Gets the problems.
    """

    def __init__(self, pipeline: Pipeline, losses: Losses, whole: str, found: Findings) -> None:
        self.pipeline = pipeline
        self.losses = losses
        self.whole = whole
        self.found = found

    def run(self, frames: Frames, scaler: torch.amp.GradScaler | None) -> None:
        """Make the step.

        Args:
            frames: Those of the ports.
            scaler: What the losses were scaled by.
        """
        pipeline, session = self.pipeline, self.found.session
        used = pipeline.optimizers
        optimizers = {name: o for name, o in session.optimizers.items() if is_among(o, used)}
        roots = {f"optimizers/{name}": optimizer for name, optimizer in optimizers.items()}
        with unchanged({**roots, "models": pipeline.trained}):
            if scaler is not None:
                for optimizer in optimizers.values():
                    scaler.unscale_(optimizer)
            for name, clipper in session.gradient_clippers.items():
                own = clipper.within(pipeline)
                if own is not None:
                    what = f'the gradient clipper "{name}"'
                    self.found.attempt(Key("gradient_clippers", name), what, self.whole, own)
            for name, optimizer in optimizers.items():
                is_idle = pipeline.graph.frozen.holds_all_of(parameters_of([optimizer]))
                step = stepping(optimizer)
                if scaler is not None and not is_idle:
                    step = partial(scaler.step, optimizer)
                if is_by_closure(optimizer):
                    step = partial(optimizer.step, partial(self._closure, frames))
                what = f'the step of the optimizer "{name}"'
                self.found.attempt(Key("optimizers", name), what, self.whole, step)

    def _closure(self, frames: Frames) -> torch.Tensor:
        """Once more the loss, and the gradients, for an optimizer that asks for them."""
        pipeline = self.pipeline
        clear_gradients(pipeline)
        own = Frames({port: dict(frame) for port, frame in frames.items()}, frames.counts)
        losses = weighted_losses(pipeline).unweighted
        with torch.enable_grad():
            _, values = BatchRun.for_training(pipeline.graph, pipeline.precision, losses).run(own)
            weighted = self.losses.times_weights(values)
            self.losses.backward(weighted)
        for clipper in clippers_within(pipeline, self.found.session.gradient_clippers.values()):
            clipper()
        return torch.stack([value.detach().reshape(()) for value in weighted]).sum()


def clear_gradients(pipeline: Pipeline) -> None:
    """Let no parameter of a pipeline have a gradient."""
    for module in pipeline.modules:
        for parameter in module.parameters():
            parameter.grad = None
