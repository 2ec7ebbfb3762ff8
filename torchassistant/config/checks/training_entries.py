"""The training pipelines of a stage, whether they are written as names or as objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchassistant.config.checks.resolver import Names, Use
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import Items, View, seen
from torchassistant.config.spec import TrainingEntrySpec
from torchassistant.errors import nearest

WORDS = ("longest", "shortest")
"""What may end an epoch beside the pass of a pipeline that is named."""


class TrainingEntries(Items):
    """A list like one of plain names: the name of an entry stands in the entry."""

    def uses(self) -> list[Use]:
        """Every name as it is written."""
        places = ((item, (*self.path, index)) for index, item in enumerate(self.written))
        return [
            Use(item.pipeline, (*path, "pipeline"))
            if isinstance(item, TrainingEntrySpec)
            else Use(item, path)
            for item, path in places
        ]

    def all(self) -> list[Any]:
        """What each name means; unknown where it cannot be read."""
        return [seen(use.name, use.path, self.resolver) for use in self.uses()]

    def has_wild_guess(self) -> bool:
        """Whether a name that nothing has is taken for one that it is not like."""
        pairs = zip(self.uses(), self.all(), strict=True)
        return any(
            isinstance(meant, str) and use.name != meant and nearest(use.name, [meant]) is None
            for use, meant in pairs
        )

    def __iter__(self) -> Iterator[Any]:
        for use, name in zip(self.uses(), self.all(), strict=True):
            if not isinstance(name, Unknown):
                yield Use(name, use.path)


def training_entries(stage: View) -> Any:
    """The training pipelines of a stage; unknown where they cannot be read."""
    items = stage.training_pipelines
    if isinstance(items, Unknown):
        return items
    return TrainingEntries(items.written, items.path, items.resolver)


def check_epoch_length(scope: Scope, stage: View) -> None:
    """What an epoch is as long as is a training pipeline of the stage."""
    length, entries = stage.epoch_length, training_entries(stage)
    if isinstance(length, str) and length not in WORDS and not isinstance(entries, Unknown):
        scope.resolver.resolve(
            Names(dict.fromkeys([*entries.names, *WORDS]), entries.unreadable),
            [stage.use("epoch_length")],
            lambda name, hint: (
                f'"{name}" is neither a training pipeline of this stage nor "longest" or '
                f'"shortest"{hint}'
            ),
            only_one=False,
        )
