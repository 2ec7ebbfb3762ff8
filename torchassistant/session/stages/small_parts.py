"""Parts of one row under batch norm, which has no statistics of one value; told beforehand."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from torchassistant.training import Pipeline, Stage


def small_parts(stage: Stage, parts: int) -> Iterator[tuple[Pipeline, str]]:
    """The pipelines of which parts of a batch have one row under batch norm, and what to say.

    Args:
        stage: Whose; its models are in the modes in which it trains them.
        parts: Into so many each batch is cut.
    """
    for pipeline in stage.training:
        layers = (layer for module in pipeline.modules for layer in module.modules())
        if not any(isinstance(one, nn.BatchNorm1d) and one.training for one in layers):
            continue
        for source in pipeline.inputs:
            small = [size for size in source.factory.batch_sizes if 0 < size < 2 * parts]
            if small:
                yield (
                    pipeline,
                    f'a batch of {small[-1]} examples of "{source.factory.name}" is cut into '
                    f"{parts} parts, of which some have one row, and BatchNorm1d over (B, C) needs "
                    'two: "drop_last" leaves out a smaller last batch, and "sync_batch_norm" of '
                    '"distributed" takes all parts together',
                )
