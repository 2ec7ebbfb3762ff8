"""What a new session begins with that another one has: weights of its models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch

from torchassistant.assembly import Source, held, one_named
from torchassistant.config import ModelWeightsSpec, OptimizerStateSpec, owner_of, path_within
from torchassistant.errors import SessionError, shown_path
from torchassistant.messages import logger_for
from torchassistant.session.checkpoints.selection import LAST
from torchassistant.session.checkpoints.storage import Checkpoint
from torchassistant.session.folder.session_folder import SessionFolder

_log = logger_for(__name__)


def weights_of_session(
    spec: ModelWeightsSpec, name: str, own: Path | None, tells: bool = True
) -> Source:
    """The tensors of a model as a checkpoint of a session holds them; no code of it is imported.

    Args:
        spec: Which session, model and checkpoint.
        name: The model that they are for.
        own: The session that is being created, which cannot be meant; None where it is not known.
        tells: Whether what is odd about them is told.

    Raises:
        SessionError: There is no such session, checkpoint or model.
    """
    shown, checkpoint = checkpoint_of(spec, own)
    models = checkpoint.spec.group("models")
    meant = one_named(spec.model, name, models, "model", shown)
    owner, inside = owner_of(meant, models), path_within(meant, models)
    prefix = f"{inside}." if inside else ""
    tensors = checkpoint.tensors(f"models/{owner}")
    if tells and _is_stale(checkpoint, owner):
        tell_stale_statistics(owner, shown)
    return held(_below(prefix, tensors))


def _is_stale(checkpoint: Checkpoint, model: str) -> bool:
    """Whether a model is an average whose statistics are due to be recomputed."""
    found = checkpoint.state("state")
    for key in ("results", f"averages/{model}", "stale"):
        found = found.get(key) if isinstance(found, dict) else None
    return type(found) is int and found > 0


def tell_stale_statistics(average: str, shown: str) -> None:
    """Warn of an average whose batch norm statistics are not those of its weights.

    Args:
        average: Its name.
        shown: The session in messages.
    """
    _log.warning(
        f'the batch norm statistics of the average "{average}" of {shown} are those of its model: '
        "they are recomputed when it is evaluated, which did not happen after its last update"
    )


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def checkpoint_of(
    spec: ModelWeightsSpec | OptimizerStateSpec, own: Path | None
) -> tuple[str, Checkpoint]:
    """The checkpoint that something is read from, and what its session is called in messages.

    Args:
        spec: Which session, and which of its checkpoints.
        own: The session that is being created, which cannot be meant; None where it is not known.

    Raises:
        SessionError: There is none.
    """
    path = Path(spec.session or "")
    shown = shown_path(path)
    if "\0" in shown:
        raise SessionError(f"{shown} cannot be read: embedded null byte")
    if own is not None and os.path.realpath(path) == os.path.realpath(own):
        raise SessionError(f"{shown} is this session itself")
    return shown, SessionFolder(path).verified(spec.checkpoint or LAST, with_history=False)
