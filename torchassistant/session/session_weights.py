"""The weights of a model of another session, for a model that begins with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch

from torchassistant.assembly import Source, held
from torchassistant.config import ModelWeightsSpec, Spec, owner_of, path_within
from torchassistant.errors import SessionError, near, shown_path
from torchassistant.session.checkpoint_selection import LAST
from torchassistant.session.session_folder import SessionFolder


def weights_of_session(spec: ModelWeightsSpec, name: str, own: Path | None) -> Source:
    """The tensors of a model as a checkpoint of a session holds them; no code of it is imported.

    Args:
        spec: Which session, model and checkpoint.
        name: The model that they are for.
        own: The session that is being created, which cannot be meant; None where it is not known.

    Raises:
        SessionError: There is no such session, checkpoint or model.
    """
    path = Path(spec.session or "")
    shown = shown_path(path)
    if own is not None and os.path.realpath(path) == os.path.realpath(own):
        raise SessionError(f"{shown} is this session itself")
    folder = SessionFolder(path)
    checkpoint = folder.verified(spec.checkpoint or LAST, with_history=False)
    models = _models(checkpoint.spec)
    meant = spec.model or (name if name in models else "")
    if not meant and len(models) == 1:
        meant = next(iter(models))
    if meant not in models:
        what = f'no model is named "{meant}" in {shown}' if meant else f'"model": which of {shown}?'
        raise SessionError(f"{what}{near(meant or name, models)}")
    owner, inside = owner_of(meant, models), path_within(meant, models)
    prefix = f"{inside}." if inside else ""
    tensors = checkpoint.tensors(f"models/{owner}")
    return held(_below(prefix, tensors))


def _models(spec: Spec) -> Mapping[str, object]:
    return spec.group("models")


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
