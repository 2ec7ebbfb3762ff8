"""What has changed since a session was saved: found, judged, applied, and logged in the session."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from torchassistant.assembly import meaning
from torchassistant.config import Diagnostics, Effect, Path, Rule, Spec, as_data, path_text
from torchassistant.errors import Problem
from torchassistant.session.changes.change_policy import rule_of, rule_of_code
from torchassistant.training import Progress

Code = Mapping[str, Mapping[str, str]]
"""Source by role and dotted name."""

_MOST = 60


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it was.

    Args:
        what: The path in the config, or the dotted name of code.
        effect: What becomes of it.
        before: The value, or the source, as it was.
        after: As it is.
        path: The path in the config as steps; empty for code.
    """

    what: str
    effect: Effect
    before: Any
    after: Any
    path: Path = ()

    def entry(self, progress: Progress) -> dict[str, Any]:
        """A line of the log."""
        return {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "step": progress.step,
            "epoch": progress.epoch,
            "what": self.what,
            "effect": self.effect,
            "before": self.before,
            "after": self.after,
        }


def judged(
    before: Spec, after: Spec, progress: Progress, diagnostics: Diagnostics, accepted: bool
) -> list[Change]:
    """What has changed in a config; what may not change is noted as a problem.

    Args:
        before: The config of the session.
        after: The same with the changes.
        progress: Where the session is.
        diagnostics: Gets a problem for each change that is refused.
        accepted: Whether the user accepts those too.
    """
    begun = progress.stage + progress.has_begun_stage
    changes = []
    for path, old, new in _differences(as_data(before), as_data(after), ()):
        rule = rule_of(path, before, after, old is _NOTHING, begun)
        shown_old, shown_new = (None if v is _NOTHING else v for v in (old, new))
        if rule.effect == "fixed" or (rule.effect == "refused" and not accepted):
            values = f"{_short(shown_old)} became {_short(shown_new)}"
            way_out = _WAY_OUT if rule.effect == "refused" else "a change needs a new session"
            diagnostics.note(f"{rule.why}: {values}; {way_out}", path)
        changes.append(Change(path_text(path), rule.effect, shown_old, shown_new, path))
    _check_columns(before, after, begun, diagnostics)
    return changes


_WAY_OUT = "a change needs a new session, or --accept-changes"
_NOTHING = object()


def splits_in(changes: Sequence[Change], spec: Spec) -> set[str]:
    """The splits that have changed."""
    definitions = [
        spec.initialize.definitions[int(change.path[2])]
        for change in changes
        if change.path[:2] == ("initialize", "definitions") and len(change.path) > 3
    ]
    return {definition.name for definition in definitions if definition.group == "splits"}


def judged_code(before: Code, after: Code, accepted: bool) -> tuple[list[Change], list[Problem]]:
    """What has changed in the code of the user, and a problem for what is refused, with a diff."""
    changes: dict[str, Change] = {}
    refused: dict[str, Rule] = {}
    for role in before.keys() & after.keys():
        rule = rule_of_code(role)
        for name, source in sorted(after[role].items()):
            old = before[role].get(name)
            if old in (None, source) or meaning(old) == meaning(source):
                continue
            if name not in changes or rule.effect == "refused":
                changes[name] = Change(name, rule.effect, old, source)
            if rule.effect == "refused":
                refused[name] = rule
    if accepted:
        return list(changes.values()), []
    problems = [
        Problem(
            f"the code of {name} has changed, and {rule.why}; {_WAY_OUT}",
            details=_diff(changes[name]),
        )
        for name, rule in refused.items()
    ]
    return list(changes.values()), problems


def log_of(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """The log as a file: one JSON object a line."""
    lines = (json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in entries)
    return "".join(f"{line}\n" for line in lines).encode()


def _diff(change: Change) -> str:
    lines = list(
        difflib.unified_diff(
            change.before.splitlines(), change.after.splitlines(), "then", "now", lineterm=""
        )
    )
    more = [f"… and {len(lines) - _MOST} lines more"] if len(lines) > _MOST else []
    return "\n".join([*lines[:_MOST], *more])


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"


def _check_columns(before: Spec, after: Spec, begun: int, diagnostics: Diagnostics) -> None:
    """The header of a stage is fixed when it begins, whatever is accepted."""
    for index in range(min(begun, len(after.train.stages))):
        old, new = (spec.columns_of_stage(index) for spec in (before, after))
        if old != new:
            added = ", ".join(map(str, set(old) ^ set(new))) or "their order"
            message = (
                f"{after.stage_title(index)} has begun, and the columns of its history are fixed; "
                f"this would change them ({added})"
            )
            diagnostics.note(message, ("train", "stages", index))


def _differences(before: Any, after: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """The paths at which two pieces of plain data differ, and what stands there."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            old, new = before.get(key, _NOTHING), after.get(key, _NOTHING)
            yield from _differences(old, new, (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and path in _GROWING:
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else _NOTHING
            new = after[index] if index < len(after) else _NOTHING
            yield from _differences(old, new, (*path, index))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(old, new, (*path, index))
    elif before is not after and (before != after or type(before) is not type(after)):
        yield path, before, after


_GROWING: tuple[Path, ...] = (("initialize", "definitions"), ("train", "stages"))
"""Lists that may get more at their end."""
