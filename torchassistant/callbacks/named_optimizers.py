"""Those optimizers of a session that somebody has named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from torchassistant.errors import DataError, near


def named_optimizers(session: Any, names: Sequence[str] | None) -> dict[str, Optimizer]:
    """The optimizers of a session, by name.

    Args:
        session: It has ``optimizers``.
        names: Which; None for all.

    Raises:
        DataError: There is none of a name; or what is given is no list of names, each once.
    """
    known: dict[str, Optimizer] = session.optimizers
    if names is None:
        return dict(known)
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise DataError(f'"optimizers" must be a list of names; it is {names!r}')
    if len(set(names)) < len(names):
        raise DataError(f'"optimizers" names one twice: {", ".join(names)}')
    for name in names:
        if name not in known:
            raise DataError(f'no optimizer is named "{name}"{near(name, known)}')
    return {name: known[name] for name in names}
