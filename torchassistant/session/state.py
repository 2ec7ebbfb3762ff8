"""The whole state of a run: taken from live objects, and put back into them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import IterableDataset

from torchassistant.build import Parts, Statics
from torchassistant.config import Spec
from torchassistant.config.references import Key
from torchassistant.data.cached import uncached
from torchassistant.data.generators import (
    Generator,
    generators_in,
    has_state,
    set_states_of,
    states_of,
)
from torchassistant.errors import SessionError, shown_path
from torchassistant.session.checkpoints import Checkpoint
from torchassistant.session.contents import Contents
from torchassistant.training import Progress

_EXTRA = "extra state"


class Restored(NamedTuple):
    """What a checkpoint says beside the state of live objects.

    Args:
        progress: How far the run had come.
        random: The state of the random number generators.
        environment: Under what it was saved.
    """

    progress: Progress
    random: Any
    environment: dict[str, Any]


def snapshot(
    parts: Parts, progress: Progress, random: Any, environment: dict[str, Any]
) -> Contents:
    """A copy of the state as it is now.

    Args:
        parts: Whose state.
        progress: How far the run has come.
        random: The state of the random number generators.
        environment: What the state may depend on beside all that.

    Raises:
        SessionError: Some state holds what cannot be stored.
    """
    contents = Contents()
    extra: dict[str, dict[str, Any]] = {}
    for name, model in parts.models.items():
        tensors = model.state_dict()
        # What torch's get_extra_state gives need not be a tensor.
        others = [key for key, value in tensors.items() if not isinstance(value, torch.Tensor)]
        extra[name] = {key: tensors.pop(key) for key in others}
        contents.add_tensors(f"models/{name}", tensors)
    for name, optimizer in parts.optimizers.items():
        what = f'the optimizer "{name}"'
        contents.add_state(f"optimizers/{name}", optimizer.state_dict(), what)
    state = {
        "progress": asdict(progress),
        "random": random,
        "generators": states_of(_generators(parts)),
        "samplers": {name: f.memory.state() for name, f in parts.loader_factories.items()},
        "training": {what: item.state_dict() for what, item in _of_training(parts)},
        "modules": {what: item.state_dict() for what, item in _of_modules(parts)},
        "buffers": {what: _unsaved_buffers(module) for what, module in _with_buffers(parts)},
        _EXTRA: extra,
        "environment": environment,
    }
    contents.add_state("state", state, "the session")
    return contents


def restore(checkpoint: Checkpoint, parts: Parts, weights_only: bool = False) -> Restored:
    """Put the state of a checkpoint into live objects.

    Args:
        checkpoint: A sound one.
        parts: What is restored. What the checkpoint lacks stays as it is; for a model there is a
            warning.
        weights_only: Leave alone what only training needs: optimizers, schedulers, stop
            conditions, datasets.

    Raises:
        SessionError: The code of a model or an optimizer has changed, so that its state does
            not fit.
        FileNotFoundError: Somebody who trains the session has taken the checkpoint away.
    """
    folder = checkpoint.path
    state = checkpoint.state("state")
    for name, model in parts.models.items():
        if checkpoint.has(f"models/{name}.safetensors"):
            tensors = {**checkpoint.tensors(f"models/{name}"), **state[_EXTRA].get(name, {})}
            _load(model, tensors, f'the model "{name}"', folder)
        else:
            print(f'warning: no weights of the model "{name}" are stored', file=sys.stderr)
    if not weights_only:
        for name, optimizer in parts.optimizers.items():
            if checkpoint.has(f"optimizers/{name}.json"):
                stored = checkpoint.state(f"optimizers/{name}")
                _load(optimizer, stored, f'the optimizer "{name}"', folder)
                _as_it_was(optimizer, stored)
        for what, item in _of_training(parts):
            if what in state["training"]:
                _load(item, state["training"][what], what, folder)
        for path in set_states_of(_generators(parts), state["generators"]):
            print(
                f"warning: a random number generator was kept at {path}, and is not there yet; one "
                "that is made when it is needed first cannot go on from where it was",
                file=sys.stderr,
            )
        for name, factory in parts.loader_factories.items():
            factory.memory.set_state(state["samplers"].get(name))
    for what, item in _of_modules(parts):
        if what in state["modules"]:
            _load(item, state["modules"][what], what, folder)
    for what, module in _with_buffers(parts):
        _set_buffers(module, state["buffers"].get(what, {}))
    progress = Progress.of(state["progress"])
    if progress.step and not weights_only:
        for scheduled in parts.schedulers.values():
            # torch warns of schedulers that step first; their optimizers have, in another process.
            scheduled.optimizer._opt_called = True  # type: ignore[attr-defined]
    return Restored(progress, state["random"], state["environment"])


def progress_of(checkpoint: Checkpoint) -> Progress:
    """How far a run had come when a checkpoint was saved."""
    return Progress.of(checkpoint.state("state")["progress"])


def stored_definitions(checkpoint: Checkpoint, spec: Spec, statics: Statics) -> set[Key]:
    """The definitions whose state :func:`restore` puts back, and the preprocessors of a session.

    Args:
        checkpoint: A sound one.
        spec: The config of the session.
        statics: What was decided when the session was created.
    """
    modules = checkpoint.state("state")["modules"]

    def is_stored(group: str, name: str, own: Any) -> bool:
        if group == "models":
            return checkpoint.has(f"models/{name}.safetensors")
        if group == "optimizers":
            return checkpoint.has(f"optimizers/{name}.json")
        if group == "losses":
            parts = [f'the loss "{name}"', f'the transform of the loss "{name}"']
            return all(what in modules for what in parts[: 1 if own.transform is None else 2])
        if group == "batch_processors":
            return own.is_object and f'part 0 of the batch processor "{name}"' in modules
        return group == "preprocessors" and name in statics.preprocessors

    return {
        Key(one.group, one.name)
        for one in spec.initialize.definitions
        if is_stored(one.group, one.name, one.spec)
    }


def has_weights_of(checkpoint: Checkpoint, parts: Parts) -> bool:
    """Whether a checkpoint has, bit for bit, the weights of the live models."""
    for name, model in parts.models.items():
        stored, live = checkpoint.tensors(f"models/{name}"), model.state_dict()
        if not all(torch.equal(live[key].cpu(), tensor) for key, tensor in stored.items()):
            return False
    return True


def _of_training(parts: Parts) -> Iterator[tuple[str, Any]]:
    """What has a state that only training needs, with what it is called."""
    for name, item in parts.schedulers.items():
        yield f'the scheduler of "{name}"', item.scheduler
    for name, pipeline in parts.pipelines.items():
        if pipeline.scaler is not None:
            yield f'the gradient scaler of "{name}"', pipeline.scaler
    for index, stage in enumerate(parts.stages):
        if has_state(stage.stop_condition):
            yield f"the stop condition of stage {index}", stage.stop_condition
    for name, dataset in parts.datasets.items():
        # One that can only be iterated over is read again from its beginning.
        if has_state(dataset) and not isinstance(dataset, IterableDataset):
            yield f'the dataset "{name}"', dataset
    for name, collator in parts.collators.items():
        if has_state(collator):
            yield f'the collator "{name}"', collator
    for factory in parts.loader_factories.values():
        for augment in factory.augments:
            if has_state(augment.transform) and not isinstance(augment.transform, nn.Module):
                yield augment.what, augment.transform


def _of_modules(parts: Parts) -> Iterator[tuple[str, Any]]:
    """What has a state and is no model: losses, processors and adapters of the user."""
    candidates: list[tuple[str, Any]] = []
    for name, loss in parts.losses.items():
        candidates += [(f'the loss "{name}"', loss.function)]
        candidates += [(f'the transform of the loss "{name}"', loss.transform)]
    for name, processor in parts.batch_processors.items():
        models = {node.model for node in processor.nodes}
        own = [part for part in processor.parts if part is not None and part not in models]
        candidates += [
            (f'part {index} of the batch processor "{name}"', part)
            for index, part in enumerate(own)
        ]
    for what, item in candidates:
        if has_state(item) and (not isinstance(item, nn.Module) or _is_full(item)):
            yield what, item


def _is_full(module: nn.Module) -> bool:
    return bool(module.state_dict()) or next(module.buffers(), None) is not None


def _generators(parts: Parts) -> dict[str, Generator]:
    """The random number generators that the parts of the user keep to themselves."""
    groups: dict[str, Any] = {
        "datasets": {name: uncached(dataset) for name, dataset in parts.datasets.items()},
        "collators": parts.collators,
        "loader_factories": {
            name: [augment.transform for augment in factory.augments]
            for name, factory in parts.loader_factories.items()
        },
        "preprocessors": parts.preprocessors,
        "models": parts.models,
        "losses": {n: [loss.function, loss.transform] for n, loss in parts.losses.items()},
        "metrics": {n: [m.function, m.transform] for n, m in parts.metrics.items()},
        "batch_processors": {n: list(p.parts) for n, p in parts.batch_processors.items()},
        "forward_hooks": parts.forward_hooks,
        "backward_hooks": parts.backward_hooks,
        "optimizers": {
            name: {key: value for key, value in vars(optimizer).items() if key != "state"}
            for name, optimizer in parts.optimizers.items()
        },
        "stages": {str(i): stage.stop_condition for i, stage in enumerate(parts.stages)},
    }
    return generators_in(
        {f"{group}.{name}": part for group, found in groups.items() for name, part in found.items()}
    )


def _with_buffers(parts: Parts) -> Iterator[tuple[str, nn.Module]]:
    yield from ((f'the model "{name}"', model) for name, model in parts.models.items())
    yield from ((what, item) for what, item in _of_modules(parts) if isinstance(item, nn.Module))


def _unsaved_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers that torch leaves out of a state_dict; training may change them all the same."""
    buffers = dict(model.named_buffers())
    saved = model.state_dict(keep_vars=True) if buffers else {}
    return {name: buffer for name, buffer in buffers.items() if name not in saved}


def _set_buffers(model: nn.Module, stored: Mapping[str, Any]) -> None:
    """Put buffers back; those that have another shape now, or none, are replaced."""
    for name, value in stored.items():
        path, _, key = name.rpartition(".")
        try:
            part = model.get_submodule(path)
        except AttributeError:
            continue
        if key not in part._buffers or not isinstance(value, torch.Tensor):
            continue
        buffer = part._buffers[key]
        if buffer is not None and buffer.shape == value.shape:
            with torch.no_grad():
                buffer.copy_(value)
        else:
            device = next(model.parameters(), value).device if buffer is None else buffer.device
            part._buffers[key] = value.to(device, copy=True)


def _as_it_was(optimizer: Optimizer, stored: Mapping[str, Any]) -> None:
    """Give loaded state the dtype that it had, and the memory format of its parameter.

    torch gives it the dtype of the parameter, and files hold no format; fused kernels ask for one.
    """
    for live, group in zip(optimizer.param_groups, stored["param_groups"], strict=True):
        for parameter, index in zip(live["params"], group["params"], strict=True):
            state = optimizer.state.get(parameter, {})
            for key, value in stored["state"].get(index, {}).items():
                loaded = state.get(key)
                if not (isinstance(value, torch.Tensor) and isinstance(loaded, torch.Tensor)):
                    continue
                if loaded.dtype != value.dtype:
                    state[key] = loaded = value.to(loaded.device, copy=True)
                if loaded.shape == parameter.shape and loaded.stride() != parameter.stride():
                    state[key] = torch.empty_like(parameter, dtype=loaded.dtype).copy_(loaded)


def _load(target: Any, stored: Any, what: str, folder: Path) -> None:
    try:
        if isinstance(target, nn.Module):
            shapes = {name: buffer.shape for name, buffer in target.named_buffers()}
            _set_buffers(
                target,
                {n: v for n, v in stored.items() if shapes.get(n) != getattr(v, "shape", None)},
            )
        target.load_state_dict(stored)
    except Exception as error:
        lines = str(error).splitlines()
        details = "; ".join(line.strip() for line in lines[1:]) or str(error)
        reason = details if isinstance(target, nn.Module) else str(error)
        raise SessionError(
            f"the state of {what} in {shown_path(folder)} does not fit its code: {reason}"
        ) from error
