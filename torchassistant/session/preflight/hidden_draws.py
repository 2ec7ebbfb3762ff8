"""Layers that draw random numbers which no checkpoint can hold."""

from __future__ import annotations

from torchassistant.config import Key
from torchassistant.session.preflight.findings import Findings
from torchassistant.training import with_hidden_draws


def warn_of_hidden_draws(found: Findings) -> None:
    """Warn of each model that would not go on as it was after a resume."""
    session = found.session
    if session.spec.deterministic:
        return
    for name, model in session.models.items():
        layers = [layer for layer, _ in with_hidden_draws(model)]
        if layers and name not in session.averages:
            named = " and ".join(f'"{layer}"' for layer in layers if layer) or "it"
            found.warn(
                f'the model "{name}" has recurrent layers with dropout between them ({named}), and '
                "on a GPU cuDNN draws that dropout from a generator of its own, which cannot be "
                'stored: a resumed run ends with other weights; "deterministic": true draws it '
                "from torch's, and is slower",
                found.path_of(Key("models", name)),
            )
