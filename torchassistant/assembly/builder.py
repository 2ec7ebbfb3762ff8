"""Builds the definitions of a config: in which order, under which seed, and with what put back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.build_order import build_order
from torchassistant.assembly.groups import assembler_of
from torchassistant.assembly.pretrained import LeftOut
from torchassistant.assembly.unfilled import only_lacks_parameters, unfilled
from torchassistant.config import Key, Path, Reference
from torchassistant.data import derived, seed_everything, seeded


@dataclass(eq=False)
class Builder(BuildContext):
    """Builds definitions into parts, which it fills.

    Args:
        stored: The definitions whose state is put back when all is built.
        fills_later: Whether models of which that is so are built without the values of their
            parameters, and get memory for them afterwards.
    """

    stored: Collection[Key] = ()
    fills_later: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.definitions: dict[Key, Any] = {
            Key(d.group, d.name): d for d in self.spec.initialize.definitions
        }
        self.paths: dict[Key, Path] = {
            key: ("initialize", "definitions", index, "spec")
            for index, key in enumerate(self.definitions)
        }

    def build(self, wanted: Iterable[Key] | None = None) -> None:
        """Build all definitions, or only these and what they need; what is there already stays.

        Each is built under a seed of its own, so that one more definition changes no other.
        """
        with seeded(self.parts.seed):
            for key in build_order(self.definitions, wanted, self.is_needed):
                built = getattr(self.parts, key.group)
                if dict.__contains__(built, key.name):
                    continue
                restores = key in self.stored
                built[key.name] = self.restorable(key) if restores else self._seeded(key)

    def built(self, key: Key) -> Any:
        """One definition, as its group is built."""
        return assembler_of(key.group).build(self, self._defined(key))

    def defined(self, group: str) -> list[Defined]:
        """The definitions of a group that are built."""
        built = getattr(self.parts, group)
        keys = (key for key in self.definitions if key.group == group and key.name in built)
        return [self._defined(key) for key in keys]

    def _defined(self, key: Key) -> Defined:
        return Defined(key, self.definitions[key].spec, self.paths[key])

    def restorable(self, key: Key) -> Any:
        """One whose state is put back afterwards: weights that this replaces are not read."""
        self.parts.restoring, self.maker.left_out = True, LeftOut()
        try:
            built = self._unfilled(key)
            if built is None:
                built = self._seeded(key)
            if not self.maker.left_out.is_missed_in(built):
                return built
            # It keeps some of the weights where nobody would put them back.
            self.maker.left_out = None
            return self._seeded(key)
        finally:
            self.parts.restoring, self.maker.left_out = False, None

    def _seeded(self, key: Key) -> Any:
        """One under the seed of its own, however often it is built."""
        seed_everything(derived(self.parts.seed, *key))
        return self.built(key)

    def _unfilled(self, key: Key) -> nn.Module | None:
        """A model without the values of its parameters; None where it must have them."""
        if not self.fills_later or key.group != "models":
            return None
        self.lacks_parameters = True
        try:
            with unfilled():
                built: nn.Module = self.built(key)
        except Exception:  # it asks for values; else it raises again where it has them
            return None
        finally:
            self.lacks_parameters = False
        return built if only_lacks_parameters(built) else None

    def is_needed(self, key: Key, reference: Reference) -> bool:
        """Whether a definition is built with what a reference in it names."""
        unneeded = assembler_of(key.group).unneeded(self.fitted, key.name)
        return reference.path[1] not in unneeded
