"""Checkpoints: the state of a run at a step, verified whenever it is read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchassistant.build import Parts
from torchassistant.data.randomness import random_state
from torchassistant.errors import SessionError, shown_path
from torchassistant.session.state import read_state, write_state
from torchassistant.session.storage import (
    clear_aside,
    damage,
    new_folder,
    read_tensors,
    remove_folder,
    write_manifest,
    write_tensors,
)
from torchassistant.training import Progress

_EXTRA = "extra state"


class Checkpoints:
    """The checkpoints of a session, each a folder named by its step.

    Args:
        folder: Holds them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """The names of all checkpoints, the newest last."""
        if not self.folder.is_dir():
            return []
        return sorted(p.name for p in self.folder.iterdir() if p.name.isdigit() and p.is_dir())

    def save(self, parts: Parts, progress: Progress, keep_last: int | None = None) -> None:
        """Store the state as it is now; only the last few checkpoints are kept.

        Raises:
            SessionError: Some state holds what cannot be stored.
        """
        with new_folder(self.folder / f"{progress.step:010d}") as aside:
            _write(aside, parts, progress)
            write_manifest(aside)
        for name in self.names()[: -keep_last if keep_last else 0]:
            remove_folder(self.folder / name)
        clear_aside(self.folder)

    def newest_sound(self) -> Path:
        """The newest checkpoint that is as it was written; damaged ones are named.

        Raises:
            SessionError: There is none; with what is wrong with each.
        """
        found: list[str] = []
        for name in reversed(self.names()):
            wrong = damage(self.folder / name)
            if wrong is None:
                for line in found:
                    print(f"warning: {line}", file=sys.stderr)
                if found:
                    print(f"warning: going on from checkpoint {name}", file=sys.stderr)
                return self.folder / name
            found.append(f"{shown_path(self.folder / name)} is damaged: {wrong}")
        raise SessionError(*(found or [f"{shown_path(self.folder)} holds no checkpoint"]))


def holds_weights_of(checkpoints: Checkpoints, parts: Parts) -> bool:
    """Whether the newest sound checkpoint has, bit for bit, the weights of the live models."""
    folder = checkpoints.newest_sound() / "models"
    for name, model in parts.models.items():
        stored = read_tensors(folder / f"{name}.safetensors")
        live = model.state_dict()
        if not all(torch.equal(live[key].cpu(), tensor) for key, tensor in stored.items()):
            return False
    return True


def _write(folder: Path, parts: Parts, progress: Progress) -> None:
    extra: dict[str, dict[str, Any]] = {}
    for name, model in parts.models.items():
        tensors = model.state_dict()
        # What torch's get_extra_state gives need not be a tensor.
        others = [key for key in tensors if key.endswith("_extra_state")]
        extra[name] = {key: tensors.pop(key) for key in others}
        write_tensors(folder / "models" / f"{name}.safetensors", tensors)
    for name, optimizer in parts.optimizers.items():
        what = f'the optimizer "{name}"'
        write_state(folder / "optimizers", name, optimizer.state_dict(), what)
    state = {
        "progress": asdict(progress),
        "random": random_state(),
        "training": {what: item.state_dict() for what, item in _of_training(parts)},
        "modules": {what: item.state_dict() for what, item in _of_modules(parts)},
        _EXTRA: extra,
    }
    write_state(folder, "state", state, "the session")


def _of_training(parts: Parts) -> Iterator[tuple[str, Any]]:
    """What has a state that only training needs, with what it is called."""
    for name, item in parts.schedulers.items():
        yield f'the scheduler of "{name}"', item.scheduler
    for index, stage in enumerate(parts.stages):
        if hasattr(stage.stop_condition, "state_dict"):
            yield f"the stop condition of stage {index}", stage.stop_condition


def _of_modules(parts: Parts) -> Iterator[tuple[str, Any]]:
    """Modules with a state that are no models: losses, processors and adapters of the user."""
    candidates: list[tuple[str, Any]] = [
        (f'the loss "{name}"', loss.function) for name, loss in parts.losses.items()
    ]
    for name, processor in parts.batch_processors.items():
        models = {node.model for node in processor.nodes}
        own = [module for module in processor.modules if module not in models]
        candidates += [
            (f'part {index} of the batch processor "{name}"', module)
            for index, module in enumerate(own)
        ]
    for what, module in candidates:
        if isinstance(module, nn.Module) and module.state_dict():
            yield what, module


def restore(folder: Path, parts: Parts, weights_only: bool = False) -> tuple[Progress, Any]:
    """Put the state of a checkpoint into live objects.

    Args:
        folder: A sound checkpoint.
        parts: What is restored. Models that the checkpoint lacks stay as they are, with a
            warning.
        weights_only: Leave alone what only training needs: optimizers, schedulers, stop
            conditions.

    Returns:
        The progress, and the state of the random number generators.

    Raises:
        SessionError: The code of a model or an optimizer has changed, so that its state does
            not fit.
    """
    state = read_state(folder, "state")
    for name, model in parts.models.items():
        path = folder / "models" / f"{name}.safetensors"
        if path.exists():
            tensors = {**read_tensors(path), **state[_EXTRA].get(name, {})}
            _load(model, tensors, f'the model "{name}"', folder)
        else:
            print(f'warning: no weights of the model "{name}" are stored', file=sys.stderr)
    if not weights_only:
        for name, optimizer in parts.optimizers.items():
            stored = read_state(folder / "optimizers", name)
            _load(optimizer, stored, f'the optimizer "{name}"', folder)
        for what, item in _of_training(parts):
            _load(item, state["training"][what], what, folder)
    for what, item in _of_modules(parts):
        if what in state["modules"]:
            _load(item, state["modules"][what], what, folder)
    return Progress(**state["progress"]), state["random"]


def _load(target: Any, stored: Any, what: str, folder: Path) -> None:
    try:
        target.load_state_dict(stored)
    except Exception as error:
        lines = str(error).splitlines()
        details = "; ".join(line.strip() for line in lines[1:]) or str(error)
        reason = details if isinstance(target, nn.Module) else str(error)
        raise SessionError(
            f"the state of {what} in {shown_path(folder)} does not fit its code: {reason}"
        ) from error
