"""Running statistics of batch norm layers, computed anew for weights that were never trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import torch
from torch import nn

from torchassistant.data import derived, object_rngs_seeded, seeded
from torchassistant.frames import Frames
from torchassistant.graph import buffers_of, set_training
from torchassistant.training.batch_run import BatchRun, only_frames
from torchassistant.training.data_pass import DataPass
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import StopCheck

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def batch_norms_of(model: nn.Module) -> list[BatchNorm]:
    """The batch norm layers of a model that keep running statistics."""
    norms = (part for part in model.modules() if isinstance(part, _NORMS))
    return [norm for norm in norms if norm.track_running_stats]


def recompute_statistics(model: nn.Module, pipeline: Pipeline, stop: StopCheck) -> None:
    """Let batch norm layers have the mean statistics of one pass, as ``update_bn`` of torch does.

    The pass reads the training data in the order of the dataset, without augmentation; random
    numbers follow from the seed and the name of the pipeline alone.

    Args:
        model: What has the layers.
        pipeline: What is run: with the model, and nothing behind it. It trains nothing.
        stop: Ends the pass early; the statistics are then as they were.

    Raises:
        Interrupted: ``stop`` asked for it.
    """
    graph = pipeline.graph
    seed = derived(pipeline.seed, "evaluation", pipeline.name)
    batches = BatchRun.for_training(graph, pipeline.precision, only_frames)

    def run(window: Sequence[Frames], numbers: range) -> None:
        batches.run(window[0])

    with (
        closing(pipeline.evaluation_data()) as data,
        seeded(seed),
        object_rngs_seeded(pipeline.rng_holders, seed),
        _modes_kept(graph.reached),
        _cumulative(model),
        torch.no_grad(),
        closing(DataPass(data, stop, restarts=True)) as data_pass,
    ):
        set_training([graph])
        data_pass.start(0)
        number = 0
        while (frames := data_pass.next()) is not None:
            data_pass.run(run, [frames], range(number, number + 1))
            number += 1
            stop.check()


@contextmanager
def _modes_kept(modules: Sequence[nn.Module]) -> Iterator[None]:
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _cumulative(model: nn.Module) -> Iterator[None]:
    """Statistics begin anew in here, as means over all batches; a failure leaves them alone."""
    norms = batch_norms_of(model)
    momenta = [norm.momentum for norm in norms]
    put_back = buffers_of([model])
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        yield
    except BaseException:
        put_back()
        raise
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
