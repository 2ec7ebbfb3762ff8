"""Optimizers that train nothing are mistakes; models that nothing trains may be meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchassistant.config.checks.scope import Scope, may_train, optimizers_of
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.groups.models import is_part, owner_of
from torchassistant.config.references import Key


def check_unused(scope: Scope, stages: Sequence[Any]) -> None:
    """Report what no training pipeline uses.

    Args:
        scope: The spec, checked otherwise.
        stages: The training pipelines of each.
    """
    trained = list(dict.fromkeys(name for names in stages for name in names.names))
    is_known = all(names.complete and not names.has_wild_guess() for names in stages)
    nodes = _trained_nodes(scope, trained) if is_known else _all_nodes(scope)
    if not nodes or any(isinstance(node, Unknown) for node in nodes):
        return
    used = [optimizer for name in trained for optimizer in scope.loss_optimizers(name)]
    unused = [
        optimizer
        for optimizer in _unused(scope, nodes)
        if optimizer not in used and not scope.is_for_no_loss(optimizer)
    ]
    for optimizer in unused:
        if not isinstance(optimizer.group, Unknown):
            message = f'no training pipeline uses the optimizer "{optimizer.name}"'
            scope.note(message, optimizer.at("name"))
    if is_known:
        _never_run(scope, nodes, trained)
    models = {node.block.model_name for node in nodes} | _trained_by_losses(scope, trained)
    if not models <= scope.groups["models"].keys():
        return
    models |= {name for optimizer in unused for name in _models_of(optimizer)}
    models |= {owner_of(name, scope.models) for name in models}
    for name, model in scope.groups["models"].items():
        is_its = name in models or owner_of(name, scope.models) in models
        if not is_its and not isinstance(model.group, Unknown):
            # Whether it has anything to train is known when it is built.
            scope.diagnostics.untrained.append((name, model.at("name")))


def _never_run(scope: Scope, nodes: Sequence[View], trained: Sequence[str]) -> None:
    """Report models of an optimizer of several, that no training pipeline runs."""
    pipelines = [scope.pipeline(name) for name in trained]
    items = [item for pipeline in pipelines for item in pipeline.losses]
    losses = [scope.groups["losses"][item.loss_name] for item in items]
    is_unsure = any(not pipeline.losses.complete for pipeline in pipelines) or any(
        isinstance(loss, Unknown) for loss in losses
    )
    # A step of one's own calls what it likes.
    if is_unsure or any(pipeline.train_step is not None for pipeline in pipelines):
        return
    run = {model for loss in losses for model in loss.spec.block.models}
    for pipeline in pipelines:
        run.update((pipeline.block.models or {}).values())
        # One that runs without an optimizer is not trained, which is a warning, as it may be meant.
        run.update(n.block.model_name for n in scope.nodes(pipeline) if not isinstance(n, Unknown))
    computed = {loss.block.name for loss in losses}
    for name, optimizer in scope.groups["optimizers"].items():
        own = [node for node in nodes if name in optimizers_of(node)]
        held = scope.modules_of(optimizer)
        if not own or len(held) < 2 or any(_is_mistaken(scope, optimizer, n) for n in own):
            continue
        for path, key in held:
            if key.group == "losses":
                if key.name not in computed:
                    message = f'no training pipeline has the loss "{key.name}"'
                    scope.note(f"{message}, so that nothing trains it", path)
            elif not any(_share(scope, key.name, model) for model in run):
                message = f'no node that a training pipeline runs is of "{key.name}"'
                scope.note(f"{message}, so that nothing trains this model", path)


def _share(scope: Scope, one: str, other: str) -> bool:
    """Whether one model is another, or a part of it, or has it as a part."""
    models = scope.models
    return is_part(one, other, models) or is_part(other, one, models)


def _trained_nodes(scope: Scope, trained: Sequence[str]) -> list[Any]:
    """The nodes with an optimizer of all stages; unknown ones where that cannot be said."""
    found: dict[Any, Any] = {}
    for name in trained:
        nodes = [node for node in scope.nodes(scope.pipeline(name)) if may_train(node)]
        found |= {node.path: node for node in nodes or [Unknown()]}
    return list(found.values())


def _trained_by_losses(scope: Scope, trained: Sequence[str]) -> set[Any]:
    """The models that losses name, and that an optimizer which steps there holds."""
    found: set[Any] = set()
    for name in trained:
        pipeline = scope.pipeline(name)
        at_nodes = [one for node in scope.nodes(pipeline) for one in optimizers_of(node)]
        optimizers = [scope.groups["optimizers"][one] for one in at_nodes]
        optimizers += scope.loss_optimizers(name)
        held = {key for one in optimizers for key in scope.held_by(one)}
        for item in pipeline.losses:
            models = scope.groups["losses"][item.loss_name].spec.models
            found.update(model for model in models.all() if Key("models", model) in held)
    return found


def _all_nodes(scope: Scope) -> list[Any]:
    """The nodes with an optimizer of all processors."""
    found: list[Any] = [] if scope.are_complete("batch_processors") else [Unknown()]
    for processor in scope.groups["batch_processors"].values():
        graph = processor.spec.neural_graph
        found += [graph] if isinstance(graph, Unknown) else graph.all() if graph else ()
    return [node for node in found if may_train(node)]


def _unused(scope: Scope, nodes: Sequence[View]) -> list[View]:
    """The optimizers of no node, but for those that a node may mean whose optimizer is wrong."""
    optimizers = scope.groups["optimizers"]
    named = [(node, name) for node in nodes for name in optimizers_of(node)]
    used = {name for _, name in named}
    left = [optimizer for name, optimizer in optimizers.items() if name not in used]
    for node, name in named:
        own = optimizers[name]
        if isinstance(own, View) and not _is_mistaken(scope, own, node):
            continue
        fitting = [one for one in left if node.block.model_name in _models_of(one)]
        if left:
            left.remove(fitting[0] if fitting else left[-1])
    return left


def _is_mistaken(scope: Scope, optimizer: View, node: View) -> bool:
    """Whether a node runs another model than its optimizer is for."""
    optimized, run = _models_of(optimizer), node.block.model_name
    is_fitting = any(is_part(run, name, scope.models) for name in optimized)
    return not is_fitting and {*optimized, run} <= scope.groups["models"].keys()


def _models_of(optimizer: View) -> list[str]:
    """What an optimizer is for, as it is written."""
    return [name for _, name in optimizer.spec.block.models]
