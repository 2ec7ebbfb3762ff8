"""The configs of the sessions of candidates."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torchassistant.rebuilding import Misfit

_TEACHER = "_teacher"
_ONLY_ONCE = ("start_from", "reset", "callbacks", "debug_pipelines")
"""What a stage does with another state, or for somebody who listens."""


def with_steps(
    config: Mapping[str, Any], steps: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """A config whose models are built with further steps.

    Args:
        config: As ``spec.json`` has it.
        steps: By model.
    """
    changed = copy.deepcopy(dict(config))
    for one in _definitions(changed, "models"):
        if steps.get(one["name"]):
            before = one["spec"].get("compressed", [])
            one["spec"]["compressed"] = [*before, *steps[one["name"]]]
    return changed


def for_training(config: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """A config of a short training: what the last stage does, for some epochs."""
    changed = copy.deepcopy(dict(config))
    stage = changed["train"]["stages"][-1]
    for key in _ONLY_ONCE:
        stage.pop(key, None)
    stage["stop_condition"] = {"class": "EpochsCompleted", "kwargs": {"num_epochs": epochs}}
    changed["train"] = {"stages": [stage]}
    changed["checkpoints"] = {"every_epochs": 1, "keep_last": 1}
    changed.pop("log", None)
    dropped = [one for one in changed["initialize"]["definitions"] if one["group"] == "callbacks"]
    for one in dropped:
        changed["initialize"]["definitions"].remove(one)
    return changed


def with_teachers(
    config: Mapping[str, Any], original: Mapping[str, Any], models: Collection[str]
) -> dict[str, Any]:
    """A config of a training in which models learn from what they were, too.

    Beside each node that trains one of them runs its teacher, and each loss of its outputs has
    another one beside it: of the divergence of classes where it is a cross entropy, else of the
    mean squared difference.

    Args:
        config: Of the training.
        original: With the models as they were.
        models: The names of those that learn.

    Raises:
        Misfit: Nothing would be learnt, or a node gets its inputs from an adapter.
    """
    changed = copy.deepcopy(dict(config))
    taught: dict[str, str] = {}
    for processor in _definitions(changed, "batch_processors"):
        taught |= _add_teachers(processor["spec"], models)
    definitions = changed["initialize"]["definitions"]
    for one in _definitions(original, "models"):
        if one["name"] in models:
            teacher = {**one, "name": teacher_of(one["name"])}
            definitions.append(copy.deepcopy(teacher))
    losses = {one["name"]: one["spec"] for one in _definitions(changed, "losses")}
    added = False
    for entry in changed["train"]["stages"][0]["training_pipelines"]:
        name = entry if isinstance(entry, str) else entry["pipeline"]
        pipeline = changed["initialize"]["pipelines"][name]
        for item in list(pipeline["losses"]):
            spec = losses[item["loss_name"]]
            inputs = spec.get("inputs") or []
            columns = inputs.values() if isinstance(inputs, dict) else inputs
            for column in [c for c in columns if c in taught]:
                loss = f"{item['loss_name']}_{column}{_TEACHER}"
                if loss not in losses:
                    losses[loss] = _loss(spec, column, taught[column])
                    own = {"group": "losses", "name": loss, "spec": losses[loss]}
                    definitions.append(own)
                shown = f"{item.get('loss_display_name') or item['loss_name']}{_TEACHER}"
                own = {"loss_name": loss, "loss_display_name": f"{shown} {column}"}
                pipeline["losses"].append({k: v for k, v in item.items() if k == "node_name"} | own)
                added = True
    if not added:
        raise Misfit("no loss is of what a node gives that trains it, so that nothing is taught")
    return changed


def teacher_of(model: str) -> str:
    """The name of what a model was, where it learns from that."""
    return f"{model}{_TEACHER}"


def _add_teachers(processor: dict[str, Any], models: Collection[str]) -> dict[str, str]:
    """Put teachers beside nodes; gives their outputs by those of the nodes."""
    graph: list[dict[str, Any]] = []
    taught: dict[str, str] = {}
    for node in processor.get("neural_graph", []):
        graph.append(node)
        if node["model_name"] not in models or "optimizer_name" not in node:
            continue
        carry: dict[str, str] = node.get("carry", {})
        if carry or "input_adapter" in processor:
            raise Misfit("its node has an input adapter, or carries state from batch to batch")
        outputs = node["outputs"]
        table = isinstance(outputs, dict)
        names = {one: f"{one}{_TEACHER}" for one in (outputs.values() if table else outputs)}
        taught |= names
        graph.append(
            {
                "model_name": teacher_of(node["model_name"]),
                "name": f"{node.get('name', node['model_name'])}{_TEACHER}",
                "inputs": node["inputs"],
                "outputs": {key: names[one] for key, one in outputs.items()}
                if table
                else [names[one] for one in outputs],
                "mode": "eval",
            }
        )
    if graph:
        processor["neural_graph"] = graph
    return taught


def _loss(spec: Mapping[str, Any], student: str, teacher: str) -> dict[str, Any]:
    is_of_classes = str(spec.get("class")).endswith("CrossEntropyLoss")
    kind = "KLDistillation" if is_of_classes and "transform" not in spec else "FeatureMatching"
    return {"class": kind, "inputs": [student, teacher]}


def _definitions(config: Mapping[str, Any], group: str) -> list[dict[str, Any]]:
    return [one for one in config["initialize"]["definitions"] if one["group"] == group]
