"""From a pattern of the config to one over live modules, with a problem where it fits nothing."""

from __future__ import annotations

from torch import nn

from torchassistant.assembly.importing import NotFound, find
from torchassistant.assembly.object_maker import ObjectMaker
from torchassistant.config import Path, PatternSpec
from torchassistant.graph import Models, ModulePattern, why_nothing_fits

_TYPES = ("torch.nn",)
"""Where short names of types are looked for."""


def pattern_of(maker: ObjectMaker, spec: PatternSpec, path: Path, models: Models) -> ModulePattern:
    """A pattern, each text and type of which fits something.

    Args:
        maker: Finds classes, and knows where things stand.
        spec: What the config says.
        path: Where that stands.
        models: What is meant is looked for in those.

    Raises:
        ConfigError: A type is none, or something fits nothing; near names are told.
    """
    types = tuple(
        _type_named(maker, name, (*path, "types", index))
        for index, name in enumerate(spec.types or ())
    )
    parts: list[tuple[Path, ModulePattern]]
    parts = [(where, ModulePattern([text])) for where, text in spec.globs]
    parts += [(("types", i), ModulePattern((), (kind,))) for i, kind in enumerate(types)]
    pattern = ModulePattern([text for _, text in spec.globs], types)
    for where, part in [*parts, ((), pattern)]:
        message = why_nothing_fits(part, models)
        if message is not None:
            raise maker.problem(message, (*path, *where))
    return pattern


def _type_named(maker: ObjectMaker, name: str, path: Path) -> type[nn.Module]:
    try:
        found = find(name, _TYPES, maker.allowlist)
    except NotFound as error:
        raise maker.problem(str(error), path) from None
    if isinstance(found, type) and issubclass(found, nn.Module):
        return found
    raise maker.problem(f'"{name}" is no class of torch.nn.Module', path)
