"""A step of one's own whose optimizer steps in every second iteration."""

from __future__ import annotations

from typing import Any

from torch.nn.functional import mse_loss

from torchassistant import TrainStepEvent


class EachSecond:
    """Adds the gradients of two batches up."""

    def __call__(self, event: TrainStepEvent) -> dict[str, Any]:
        net, (optimizer,) = event.models["net"], event.optimizers.values()
        error = mse_loss(net(event.frame["x"]), event.frame["y"])
        event.backward(error)
        if event.iteration % 2 == 0:
            event.step(optimizer)
            optimizer.zero_grad()
        return {"error": error}
