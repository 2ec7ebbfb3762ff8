"""What of a session keeps a state, by ids that stay: the group and the name of its definition.

An id is a path of names, as ``schedulers/adam``, ``losses/mse/transform``,
``batch_processors/p/input_adapter``, ``loader_factories/train/augment/0``,
``stages/1/stop_condition``. Names of definitions hold no ``/``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.utils.data import IterableDataset

from torchassistant.assembly import Parts
from torchassistant.data.cached_dataset import uncached
from torchassistant.data.object_rngs import has_state
from torchassistant.graph import NeuralProcessor

Members = dict[str, Any]


def members_of(parts: Parts) -> Members:
    """Every object of a session that may be the user's own and takes part in the training."""
    members: Members = {}
    for name, dataset in parts.datasets.items():
        members[f"datasets/{name}"] = uncached(dataset)
    for name, collator in parts.collators.items():
        members[f"collators/{name}"] = collator
    members |= _augments(parts)
    for name, preprocessor in parts.preprocessors.items():
        members[f"preprocessors/{name}"] = preprocessor
    for name, model in parts.models.items():
        members[f"models/{name}"] = model
    members |= _scores(parts) | _adapters(parts)
    for group in ("forward_hooks", "backward_hooks"):
        for name, hooks in getattr(parts, group).items():
            members[f"{group}/{name}"] = hooks
    for name, optimizer in parts.optimizers.items():
        own = {key: value for key, value in vars(optimizer).items() if key != "state"}
        members[f"optimizers/{name}"] = own
    for index, stage in enumerate(parts.stages):
        members[f"stages/{index}/stop_condition"] = stage.stop_condition
    return members


def run_by(parts: Parts) -> Members:
    """Everything that is run with a batch, or that holds what is: all that may change then."""
    members = members_of(parts)
    members |= {f"loader_factories/{name}": f for name, f in parts.loader_factories.items()}
    members |= {f"optimizers/{name}": optimizer for name, optimizer in parts.optimizers.items()}
    for name, scheduler in parts.schedulers.items():
        members[f"schedulers/{name}"] = scheduler.scheduler
    for name, pipeline in parts.pipelines.items():
        # On another device, losses and metrics are copies of their own.
        scores = [item.loss for item in pipeline.losses]
        functions = [score.function for score in (*scores, *(m.metric for m in pipeline.metrics))]
        members[f"pipelines/{name}"] = [*functions, pipeline.scaler]
    return members


def of_training(parts: Parts) -> Members:
    """What has a state that only training needs."""
    members: Members = {f"schedulers/{n}": item.scheduler for n, item in parts.schedulers.items()}
    for name, pipeline in parts.pipelines.items():
        if pipeline.scaler is not None:
            members[f"pipelines/{name}/scaler"] = pipeline.scaler
    told = {
        f"stages/{index}/stop_condition": stage.stop_condition
        for index, stage in enumerate(parts.stages)
    }
    for name, dataset in parts.datasets.items():
        # One that can only be iterated over is read again from its beginning.
        if not isinstance(dataset, IterableDataset):
            told[f"datasets/{name}"] = dataset
    told |= {f"collators/{name}": collator for name, collator in parts.collators.items()}
    told |= {k: a for k, a in _augments(parts).items() if not isinstance(a, nn.Module)}
    return members | {key: item for key, item in told.items() if has_state(item)}


def of_results(parts: Parts) -> Members:
    """What has a state, is no model, and takes part in every result: losses, adapters, …"""
    members = _scores(parts) | _adapters(parts)
    return {
        key: item
        for key, item in members.items()
        # Metrics that are kept from batch to batch begin anew with each pass.
        if has_state(item) and not (key.startswith("metrics/") and hasattr(item, "update"))
    }


def is_full(item: Any) -> bool:
    """Whether something that has a state has anything in it."""
    if not isinstance(item, nn.Module):
        return True
    return bool(item.state_dict()) or next(item.buffers(), None) is not None


def with_buffers(parts: Parts) -> dict[str, nn.Module]:
    """What may have buffers that a ``state_dict`` leaves out."""
    modules: dict[str, nn.Module] = {f"models/{n}": model for n, model in parts.models.items()}
    for key, item in of_results(parts).items():
        if isinstance(item, nn.Module) and is_full(item):
            modules[key] = item
    return modules


_CODE = ("class", "factory_fn")
_MAKING = (*_CODE, "args", "kwargs")


def described(data: Mapping[str, Any], key: str, with_arguments: bool = False) -> Any:
    """What a config says that a member is; None where it says nothing of one.

    Args:
        data: The config as data.
        key: The id of the member.
        with_arguments: Whether its arguments count too.

    Returns:
        Two configs that give the same describe objects whose states fit each other; with their
        arguments, objects that are the same when they are built.
    """
    keys = _MAKING if with_arguments else _CODE
    group, name, *rest = key.split("/")
    initialize = data["initialize"]
    if group == "stages":
        stages = data["train"]["stages"]
        return _parts(stages[int(name)][rest[0]], keys) if int(name) < len(stages) else None
    if group == "pipelines":
        pipeline = key.removeprefix("pipelines/").removesuffix("/scaler")
        return data.get("precision") if pipeline in initialize["pipelines"] else None
    home = "optimizers" if group == "schedulers" else group
    specs = [
        d["spec"] for d in initialize["definitions"] if (d["group"], d["name"]) == (home, name)
    ]
    if not specs:
        return None
    part = specs[0].get("lr_scheduler") if group == "schedulers" else specs[0]
    for step in rest:
        if isinstance(part, Mapping):
            part = part.get(step)
        if step.isdecimal() and isinstance(part, list):
            part = part[int(step)] if int(step) < len(part) else None
    return None if part is None else _parts(part, keys)


def _parts(part: Any, keys: Sequence[str]) -> Any:
    """What makes an object."""
    return [part.get(key) for key in keys] if isinstance(part, Mapping) else part


def _augments(parts: Parts) -> Members:
    return {
        f"loader_factories/{name}/augment/{index}": augment.transform
        for name, factory in parts.loader_factories.items()
        for index, augment in enumerate(factory.augments)
    }


def _scores(parts: Parts) -> Members:
    members: Members = {}
    for group in ("losses", "metrics"):
        for name, score in getattr(parts, group).items():
            members[f"{group}/{name}"] = score.function
            if score.transform is not None:
                members[f"{group}/{name}/transform"] = score.transform
    return members


def _adapters(parts: Parts) -> Members:
    members: Members = {}
    for name, processor in parts.batch_processors.items():
        key = f"batch_processors/{name}"
        if not isinstance(processor, NeuralProcessor):
            members[key] = processor.parts[0]
            continue
        models = [node.model for node in processor.nodes]
        for place in ("input_adapter", "output_adapter"):
            adapter = getattr(processor, place)
            if adapter is not None and not any(adapter is model for model in models):
                members[f"{key}/{place}"] = adapter
    return members
