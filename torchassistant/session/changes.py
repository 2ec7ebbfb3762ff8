"""What may be changed in the config of a session that exists already, and how it is applied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchassistant.config import Findings, Spec, as_data
from torchassistant.config.tree import Path
from torchassistant.session.session import Session

_FREE = ("checkpoints", "device")
_FREE_IN_STAGE = ("stop_condition", "eval_steps", "debug_pipelines")


def judge(before: Spec, after: Spec, findings: Findings) -> list[Path]:
    """Note what may not be changed any more.

    Free are when checkpoints are made, the device, and when and how stages end and are validated;
    the arguments of an optimizer are applied to it; everything else was decided when the session
    was created.

    Args:
        before: The config of the session.
        after: The same with the changes.
        findings: Gets a problem for each change that is refused.

    Returns:
        The paths of what has changed.
    """
    changed = list(_differences(as_data(before), as_data(after), ()))
    for path in changed:
        reason = _why_refused(path, after)
        if reason is not None:
            findings.note(reason, path)
    return changed


def apply(changed: list[Path], session: Session) -> None:
    """Give the optimizers of a restored session the arguments that have changed."""
    definitions = session.spec.initialize.definitions
    for path in changed:
        if path[:2] != ("initialize", "definitions") or path[3:5] != ("spec", "kwargs"):
            continue
        definition, key = definitions[int(path[2])], str(path[5])
        value = getattr(definition.spec, "kwargs", {})[key]
        for group in session.optimizers[definition.name].param_groups:
            group[key] = tuple(value) if isinstance(value, list) else value


def _why_refused(path: Path, spec: Spec) -> str | None:
    if path[0] in _FREE or (
        path[:2] == ("train", "stages") and path[3:4] and path[3] in _FREE_IN_STAGE
    ):
        return None
    if path[:2] == ("initialize", "definitions") and len(path) > 2:
        definition = spec.initialize.definitions[int(path[2])]
        if definition.group == "optimizers" and path[3:5] == ("spec", "kwargs") and len(path) > 5:
            if path[5] == "lr" and definition.spec.lr_scheduler is not None:
                return "the learning rate is the scheduler's to set, once a session is created"
            return None
    return "this was decided when the session was created; a change needs a new session"


def _differences(before: Any, after: Any, path: Path) -> Iterator[Path]:
    """The paths at which two pieces of plain data differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from _differences(before.get(key), after.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(old, new, (*path, index))
    elif before != after or type(before) is not type(after):
        yield path
