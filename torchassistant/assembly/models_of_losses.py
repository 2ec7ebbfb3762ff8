"""The models that the losses of a pipeline are called with: how each is run, and what trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from torchassistant.assembly.parts import Parts
from torchassistant.config import LossSpec
from torchassistant.graph import BatchGraph, Calling, distinct, is_among, is_part_of_one
from torchassistant.training import LossOfModels, PipelineLoss, needs_gradient, parameters_of


def with_models(
    losses: Sequence[PipelineLoss],
    specs: Sequence[LossSpec],
    graph: BatchGraph,
    models: Mapping[str, nn.Module],
    parts: Parts,
) -> list[PipelineLoss]:
    """The losses of a pipeline, with the models that they name.

    A model that no node of the graph runs is trained where an optimizer that steps in the pipeline
    holds some of it.

    Args:
        losses: Without models.
        specs: What the config says of each.
        graph: What the pipeline runs.
        models: What a name of a model means in the pipeline.
        parts: All that is built.
    """
    steps = [parts.optimizers.get(spec.optimizer_name or "") for spec in specs]
    own = [optimizer for item in losses for optimizer in item.optimizers]
    optimizers = [*graph.optimizers, *own, *(o for o in steps if o is not None)]
    held = {id(parameter) for parameter in parameters_of(distinct(optimizers))}
    run = [node.model for node in graph.nodes]

    def is_trained(model: nn.Module) -> bool:
        if is_among(model, run):
            return is_part_of_one(model, graph.trained)
        return any(id(parameter) in held for parameter in model.parameters())

    found = []
    for item, spec, optimizer in zip(losses, specs, steps, strict=True):
        named = [(models[name], _calling(models[name], graph, parts)) for name in spec.models]
        loss = item.loss
        if named or needs_gradient(loss.function):
            loss = LossOfModels(loss, named, is_trained)
        trained = [m for m, _ in named if not is_among(m, run) and is_trained(m)]
        found.append(
            replace(item, loss=loss, models=named, trained=trained, model_optimizer=optimizer)
        )
    return found


def _calling(model: nn.Module, graph: BatchGraph, parts: Parts) -> Calling:
    """How a model is run in a loss: as in its nodes here, else as in all that there are.

    It is in eval mode only where each of these says so.
    """
    everywhere = [node for p in parts.batch_processors.values() for node in p.nodes]
    for nodes in (graph.nodes, everywhere):
        callings = [node.calling for node in nodes if node.model is model]
        if callings:
            return next((one for one in callings if not one.in_eval_mode), callings[0])
    return Calling()
