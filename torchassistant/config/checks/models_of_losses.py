"""Losses that are called with models: what trains these, and where they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torchassistant.config.checks.scope import Scope, in_words, optimizers_of
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.references import LOSSES, Key
from torchassistant.config.spec import PipelineSpec

_PENALTY = ("GradientPenalty", "torchassistant.losses.GradientPenalty")


def check_models_of_losses(scope: Scope, used: Collection[str] | None) -> None:
    """Check the models and the optimizers that losses name."""
    for name, loss in scope.groups[LOSSES].items():
        for use in loss.spec.models.repeated():
            scope.note(f'the model "{use.name}" is named twice', use.path)
        _penalty(scope, loss.spec)
        _optimizer(scope, name, loss.spec)
    if not scope.scored:
        return
    homes = _homes(scope)
    for _, pipeline in scope.pipelines(used):
        if isinstance(pipeline.block, PipelineSpec):
            _one_optimizer_a_model(scope, pipeline)
            _one_device_a_model(scope, pipeline, homes)


def _penalty(scope: Scope, spec: Any) -> None:
    """A gradient penalty of ours is called with one model."""
    if spec.block.class_ not in _PENALTY or isinstance(spec.models, Unknown) or not spec.complete:
        return
    count = len(spec.block.models)
    if count != 1:
        found = f"{count} models" if count else "none"
        scope.note(
            "GradientPenalty is called with one model, the critic, and with real and generated "
            f'samples: "models": ["critic"], "inputs": ["real", "fake"]; found {found}',
            spec.at("models") if count else spec.path,
        )


def _optimizer(scope: Scope, name: str, spec: Any) -> None:
    """The optimizer of a loss is for a model that it names, or for the loss itself."""
    if spec.optimizer_name is None or isinstance(spec.models, Unknown):
        return
    written = [scope.resolver.written(use) for use in spec.models.uses()]
    if any(isinstance(model, Unknown) for model in written):
        return
    found = scope.held_by(scope.groups["optimizers"][spec.optimizer_name])
    meant = {*(Key("models", model) for model in spec.models.names), Key(LOSSES, name)}
    if found and scope.definitions.keys() >= {*found} and meant.isdisjoint(found):
        scope.note(
            f'the optimizer "{spec.optimizer_name}" is for {in_words(found)}, which is not among '
            'the "models" of this loss',
            spec.at("optimizer_name"),
        )


def _one_optimizer_a_model(scope: Scope, pipeline: View) -> None:
    """What a node of a pipeline runs is trained by the optimizer of the node, or not at all."""
    nodes = [node for node in scope.nodes(pipeline) if not isinstance(node, Unknown)]
    for item in pipeline.losses:
        spec = scope.groups[LOSSES][item.loss_name].spec
        if isinstance(spec, Unknown) or spec.optimizer_name is None:
            continue
        trained = scope.held_by(scope.groups["optimizers"][spec.optimizer_name])
        for node in nodes:
            is_same = Key("models", node.model_name) in trained
            if is_same and all(name != spec.optimizer_name for name in optimizers_of(node)):
                scope.note(
                    f'the loss "{item.loss_name}" would train the model "{node.model_name}" with '
                    f'"{spec.optimizer_name}", and a node of this pipeline runs it without that '
                    "optimizer: name it there",
                    item.at("loss_name"),
                )


def _homes(scope: Scope) -> dict[Any, Any]:
    """The device of each model that a node runs."""
    found: dict[Any, Any] = {}
    for processor in scope.groups["batch_processors"].values():
        device = processor.spec.device or scope.config.device
        for node in processor.spec.neural_graph or ():
            found.setdefault(node.model_name, device)
    return found


def _one_device_a_model(scope: Scope, pipeline: View, homes: dict[Any, Any]) -> None:
    """A model is where the frame is that the loss is computed from."""
    wiring = scope.wiring(pipeline)
    for item in pipeline.losses:
        processor = wiring.runs.get(scope.node(item, wiring), Unknown())
        spec = scope.groups["batch_processors"][processor].spec
        device = spec.device or scope.config.device
        for use in scope.groups[LOSSES][item.loss_name].spec.models:
            home = homes.setdefault(use.name, device)
            if home != device and not isinstance(home, Unknown):
                scope.note(
                    f'the model "{use.name}" is on the device {home}, and the loss '
                    f'"{item.loss_name}", which is called with it, on {device}',
                    item.at("loss_name"),
                )
