"""What the stages of a picture freeze."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torchassistant.config import EVERYTHING, StageSpec, glob_of, owner_of


class Freezing:
    """What stages freeze.

    Args:
        stages: Those in view, by what a picture calls them.
    """

    def __init__(self, stages: Mapping[str, StageSpec]) -> None:
        self._stages = stages

    def of(self, model: str, models: Mapping[str, Any]) -> tuple[bool, list[str]]:
        """Whether all of a model is frozen in all stages, and what is said of it."""
        found = {title: _frozen(stage, model, models) for title, stage in self._stages.items()}
        if found and all(what == [EVERYTHING] for what in found.values()):
            return True, ["frozen in this stage" if len(found) == 1 else "frozen"]
        said = []
        for title, what in found.items():
            if what:
                part = "frozen" if what == [EVERYTHING] else f"frozen: {', '.join(what)}"
                said.append(part if len(found) == 1 else f"{title}: {part}")
        return False, said


def _frozen(stage: StageSpec, model: str, models: Mapping[str, Any]) -> Sequence[str]:
    """What a stage freezes of a model: patterns, or all of it."""
    found: list[str] = []
    for block in stage.frozen_blocks:
        for _, text in block.globs:
            glob = glob_of(text, models)
            if glob.model not in (None, model, owner_of(model, models)):
                continue
            if glob.path == EVERYTHING and not block.types:
                return [EVERYTHING]
            found.append(glob.path)
        if block.types and not block.globs:
            found.append(", ".join(block.types))
    return found
