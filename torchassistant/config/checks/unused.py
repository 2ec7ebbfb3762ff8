"""Optimizers that train nothing are mistakes; models that nothing trains may be meant."""

from __future__ import annotations

from collections.abc import Sequence

from torchassistant.config.checks.scope import PIPELINES, Scope
from torchassistant.config.groups.batch_processors import NodeSpec
from torchassistant.config.tree import Path


def check_unused(scope: Scope, trained: Sequence[str | None]) -> None:
    """Tell of what no training pipeline uses.

    Args:
        scope: The spec, checked otherwise.
        trained: The training pipelines of all stages; None for those that cannot be made out.
    """
    nodes = _trained_nodes(scope, trained)
    if nodes is None:
        return
    of_losses = {name for p in trained for name in scope.loss_optimizers(p or "")}
    optimizers = [
        name
        for name in _unused(scope, nodes)
        if scope.is_sure("optimizers", name)
        and name not in of_losses
        and not scope.is_for_no_loss(name)
    ]
    for name in optimizers:
        path = (*scope.at("optimizers", name), "name")
        scope.note(f'no training pipeline uses the optimizer "{name}"', path)
    models = {node.model_name for _, node in nodes}
    if not models <= scope.group("models").keys():
        return
    told = {scope.group("optimizers")[name].model for name in optimizers}
    for name in scope.group("models"):
        if name not in models | told and scope.is_sure("models", name):
            # Whether it has anything to train is known when it is built.
            scope.diagnostics.untrained.append((name, (*scope.at("models", name), "name")))


def _trained_nodes(
    scope: Scope, trained: Sequence[str | None]
) -> list[tuple[Path, NodeSpec]] | None:
    """The nodes with an optimizer of all stages; None where that cannot be said, or is told."""
    found: dict[Path, NodeSpec] = {}
    if None in trained:
        return _all_nodes(scope)
    for name in dict.fromkeys(trained):
        pipeline = scope.spec.initialize.pipelines.get(name or "")
        if name is None or pipeline is None:
            return None
        nodes = scope.nodes(pipeline, (*PIPELINES, name))
        training = [(p, node) for p, node in nodes if node is not None and scope.may_train(p, node)]
        if not training or len([node for _, node in nodes if node is None]):
            return None
        found.update(training)
    return list(found.items()) or None


def _all_nodes(scope: Scope) -> list[tuple[Path, NodeSpec]] | None:
    """The nodes with an optimizer of all processors; None where some cannot be read."""
    found = []
    for name, spec in scope.group("batch_processors").items():
        path: Path = (*scope.at("batch_processors", name), "spec", "neural_graph")
        nodes = spec.neural_graph or []
        if scope.may_lack("batch_processors") or scope.lost(nodes, path):
            return None
        found += [(at, node) for at, node in scope.sound(nodes, path) if scope.may_train(at, node)]
    return found or None


def _unused(scope: Scope, nodes: Sequence[tuple[Path, NodeSpec]]) -> list[str]:
    """The optimizers of no node, but for those that a node may mean whose optimizer is wrong."""
    optimizers = scope.group("optimizers")
    used: set[str | None] = set()
    unsure: list[NodeSpec] = []
    for path, node in nodes:
        name = scope.read(node.optimizer_name or "", (*path, "optimizer_name"))
        used.add(name)
        if name not in optimizers or _is_mistaken(scope, optimizers[name].model, node.model_name):
            unsure.append(node)
    left = [name for name in optimizers if name not in used]
    for node in unsure:
        fitting = [name for name in left if optimizers[name].model == node.model_name]
        if left:
            left.remove(fitting[0] if fitting else left[-1])
    return left


def _is_mistaken(scope: Scope, optimized: str, run: str) -> bool:
    """Whether a node runs another model than its optimizer is for."""
    return optimized != run and {optimized, run} <= scope.group("models").keys()
