"""One loop over several models, each with batches of its own, and a script of it.

``python -m benchmarks.many_by_hand MODELS EXAMPLES EPOCHS`` imports nothing of TorchAssistant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from torch import nn
from torch.optim import SGD

from benchmarks.plain import shuffled
from benchmarks.tasks import built, part

FEATURES, BATCH, LEARNING_RATE = 16, 32, 0.001


class ManyByHand:
    """Trains several models in turn, iteration by iteration.

    Args:
        models: What is trained; each takes float32 (B, 16).
        examples: In the dataset, which is shared.
        seeds: Of the permutation of an epoch, for each model; left out: torch draws it.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        examples: int,
        seeds: Sequence[Callable[[int], int]] | None = None,
    ) -> None:
        self.models = list(models)
        self.optimizers = [SGD(model.parameters(), lr=LEARNING_RATE) for model in self.models]
        dataset = built(part("Examples", examples, FEATURES))
        each = seeds or [None] * len(self.models)
        self.loaders = [shuffled(dataset, BATCH, seed) for seed in each]

    def epoch(self, epoch: int) -> None:
        """Train all of them for an epoch."""
        for batches in zip(*(loader(epoch) for loader in self.loaders), strict=False):
            each = zip(batches, self.models, self.optimizers, strict=True)
            for (x, y), model, optimizer in each:
                loss = nn.functional.mse_loss(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


def main(models: int, examples: int, epochs: int) -> None:
    """Train so many models."""
    loop = ManyByHand([nn.Linear(FEATURES, 1) for _ in range(models)], examples)
    for epoch in range(epochs):
        loop.epoch(epoch)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
