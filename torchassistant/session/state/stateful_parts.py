"""What of a session keeps a state, by ids that stay: the group and the name of its definition.

An id is a path of names, as ``schedulers/adam``, ``losses/mse/transform``,
``batch_processors/p/input_adapter``, ``loader_factories/train/augment/0``,
``stages/1/stop_condition``. Names of definitions hold no ``/``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from torchassistant.assembly import Member, Parts, assembler_of
from torchassistant.config import GROUPS, ID_WORDS
from torchassistant.data import has_state
from torchassistant.training import KeptGradients

Members = dict[str, Any]

STEP_LOG = "log/steps"
"""What was measured since the last row that ``log`` asked for."""

_OF_TRAINING = [name for name, group in GROUPS.items() if group.state == "training"]
_OF_RESULTS = [name for name, group in GROUPS.items() if group.state == "results"]


def _members(parts: Parts, groups: Collection[str] = GROUPS.keys()) -> Iterator[Member]:
    """The members of definitions, group by group."""
    for group in groups:
        for name in getattr(parts, group):
            yield from assembler_of(group).members(parts, name)


def members_of(parts: Parts) -> Members:
    """Every object of a session that may be the user's own and takes part in the training."""
    members = {member.id: member.item for member in _members(parts) if member.draws}
    return members | _stop_conditions(parts) | _weights(parts) | _steps(parts)


def run_by(parts: Parts) -> Members:
    """Everything that is run with a batch, or that holds what is: all that may change then."""
    found = members_of(parts).items()
    # No batch runs a callback.
    members = {key: item for key, item in found if not key.startswith("callbacks/")}
    members |= {m.id: m.item for m in _members(parts) if m.runs and not m.draws}
    for name, pipeline in parts.pipelines.items():
        # On another device, losses and metrics are copies of their own.
        scores = [item.loss for item in pipeline.losses]
        functions = [score.function for score in (*scores, *(m.metric for m in pipeline.metrics))]
        members[f"pipelines/{name}"] = [*functions, pipeline.scaler]
    return members


def of_training(parts: Parts) -> Members:
    """What has a state that only training needs."""
    members = {m.id: m.item for m in _members(parts, _OF_TRAINING) if m.stored}
    for name, pipeline in parts.pipelines.items():
        if pipeline.scaler is not None:
            members[f"pipelines/{name}/scaler"] = pipeline.scaler
    members |= _stop_conditions(parts) | _weights(parts)
    members |= {key: item for key, item in _steps(parts).items() if not _is_of_results(key)}
    for name, pipeline in parts.pipelines.items():
        if pipeline.train_step is not None:
            members[f"pipelines/{name}/gradients"] = KeptGradients(pipeline)
    if parts.step_log is not None:
        members[STEP_LOG] = parts.step_log
    return {key: item for key, item in members.items() if has_state(item)}


def of_results(parts: Parts) -> Members:
    """What has a state, is no model, and takes part in every result: losses, adapters, …"""
    members = {m.id: m.item for m in _members(parts, _OF_RESULTS) if m.stored}
    members |= {f"averages/{name}": average for name, average in parts.averages.items()}
    members |= {key: item for key, item in _steps(parts).items() if _is_of_results(key)}
    return {key: item for key, item in members.items() if has_state(item)}


def _stop_conditions(parts: Parts) -> Members:
    return {
        f"stages/{index}/stop_condition": stage.stop_condition
        for index, stage in enumerate(parts.stages)
    }


def _weights(parts: Parts) -> Members:
    """The objects that give the weights of losses."""
    return {
        f"pipelines/{name}/losses/{shown_as}/weight": schedule.function
        for name, pipeline in parts.pipelines.items()
        for shown_as, schedule in pipeline.schedules.items()
    }


def _steps(parts: Parts) -> Members:
    """The objects that are called in place of a part of a pipeline's steps."""
    return {
        f"pipelines/{name}/{key}": item
        for name, pipeline in parts.pipelines.items()
        for key, item in pipeline.steps.items()
    }


def is_full(item: Any) -> bool:
    """Whether something that has a state has anything in it."""
    if not isinstance(item, nn.Module):
        return True
    return bool(item.state_dict()) or next(item.buffers(), None) is not None


def with_buffers(parts: Parts) -> dict[str, nn.Module]:
    """What may have buffers that a ``state_dict`` leaves out."""
    models = parts.whole_models.items()
    modules: dict[str, nn.Module] = {f"models/{name}": model for name, model in models}
    for key, item in of_results(parts).items():
        if isinstance(item, nn.Module) and is_full(item):
            modules[key] = item
    return modules


STEPS = ("combine", "train_step", "eval_step")
"""Keys of a pipeline with objects that are called in place of a part of its steps."""


def _is_of_results(key: str) -> bool:
    """Whether a step takes part in every result."""
    return key.endswith("/eval_step")


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
    if key == STEP_LOG:
        return None if data.get("log") is None else ""
    group, name, *rest = key.split("/")
    initialize = data["initialize"]
    if group == "stages":
        stages = data["train"]["stages"]
        return _parts(stages[int(name)][rest[0]], keys) if int(name) < len(stages) else None
    if group == "pipelines" and key.endswith("/weight"):
        found = _weight_described(initialize["pipelines"], key)
        return None if found is None else _parts(found, keys)
    if group == "pipelines" and key.endswith("/gradients"):
        # There is nothing to be said of them but that a step may keep some.
        step = described(data, f"{key.removesuffix('/gradients')}/train_step")
        return None if step is None else ""
    for step in STEPS if group == "pipelines" else ():
        if key.endswith(f"/{step}"):
            pipeline = key.removeprefix("pipelines/").removesuffix(f"/{step}")
            found = initialize["pipelines"].get(pipeline, {}).get(step)
            return None if found is None else _parts(found, keys)
    if group == "pipelines":
        pipeline = key.removeprefix("pipelines/").removesuffix("/scaler")
        return data.get("precision") if pipeline in initialize["pipelines"] else None
    home, word = ID_WORDS.get(group, (group, None))
    specs = [
        d["spec"] for d in initialize["definitions"] if (d["group"], d["name"]) == (home, name)
    ]
    if not specs:
        return None
    part = specs[0] if word is None else specs[0].get(word)
    for step in rest:
        if isinstance(part, Mapping):
            part = part.get(step)
        if step.isdecimal() and isinstance(part, list):
            part = part[int(step)] if int(step) < len(part) else None
    return None if part is None else _parts(part, keys)


def _weight_described(pipelines: Mapping[str, Any], key: str) -> Any:
    """What a config says that the weight of a loss is; names of pipelines may hold a ``/``."""
    for name, pipeline in pipelines.items():
        for loss in pipeline.get("losses", []):
            shown_as = loss.get("loss_display_name", loss["loss_name"])
            if key == f"pipelines/{name}/losses/{shown_as}/weight":
                return loss.get("weight")
    return None


def _parts(part: Any, keys: Sequence[str]) -> Any:
    """What makes an object."""
    return [part.get(key) for key in keys] if isinstance(part, Mapping) else part
