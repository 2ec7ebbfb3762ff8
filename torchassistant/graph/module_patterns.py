"""Which parameters and submodules of some models a pattern fits.

A parameter fits a glob if its path does, as ``layer4.0.weight``, or the path of a module that it
stands in, as ``layer4``. A module fits likewise; the path of a model itself is empty, which only
``*`` fits. What is tied or shared counts once, and may be meant by any of its paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from torchassistant.compat.modules import own_buffers
from torchassistant.config import Glob, glob_of
from torchassistant.errors import all_near, listing, near

Models = Mapping[str, nn.Module]
"""The models that a pattern may mean, by the names that the config gives them."""

_MOST_NEAR = 3


@dataclass(frozen=True, slots=True)
class ModulePattern:
    """What is meant: what fits one of the texts, and of it what stands in a module of these types.

    Args:
        texts: Each a path, ``MODEL:PATH`` or a model's name; none: everything.
        types: Classes of modules; none: any. Of a module that is an instance of one, its own
            parameters are meant, and not those of its submodules.
    """

    texts: Sequence[str] = ()
    types: tuple[type[nn.Module], ...] = ()

    def parameters(self, models: Models) -> list[nn.Parameter]:
        """The parameters that it fits, each once, in the order of ``Module.parameters()``."""
        found = {
            id(parameter): parameter
            for name, model in models.items()
            for path, module in model.named_modules(remove_duplicate=False)
            if self._is_of_type(module)
            for own, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
            if self._fits(name, f"{path}.{own}" if path else own, models)
        }
        return list(found.values())

    def buffers(self, models: Models) -> list[tuple[nn.Module, str]]:
        """The buffers that it fits, as a parameter of their path would be: module and name."""
        found = {
            (id(module), own): (module, own)
            for name, model in models.items()
            for path, module in model.named_modules(remove_duplicate=False)
            if self._is_of_type(module)
            for own in own_buffers(module)
            if self._fits(name, f"{path}.{own}" if path else own, models)
        }
        return list(found.values())

    def modules(self, models: Models) -> list[nn.Module]:
        """The modules that it fits, each once; a model itself may be one."""
        found = {
            id(module): module
            for name, model in models.items()
            for path, module in model.named_modules(remove_duplicate=False)
            if self._is_of_type(module) and self._fits(name, path, models)
        }
        return list(found.values())

    def _is_of_type(self, module: nn.Module) -> bool:
        return not self.types or isinstance(module, self.types)

    def _fits(self, model: str, path: str, models: Models) -> bool:
        globs = (glob_of(text, models) for text in self.texts)
        wanted = [glob.path for glob in globs if glob.model in (None, model)]
        if self.texts and not wanted:
            return False
        return not self.texts or any(_is_within(path, glob) for glob in wanted)


def why_nothing_fits(pattern: ModulePattern, models: Models) -> str | None:
    """Why a pattern fits neither a parameter nor a module: a sentence with near names, or None.

    Args:
        pattern: It has one text, or types, or both.
        models: Where it is looked for.
    """
    if pattern.modules(models) or pattern.parameters(models):
        return None
    globs = [glob_of(text, models) for text in pattern.texts]
    for glob in globs:
        if glob.model is not None and glob.model not in models:
            return f'no model "{glob.model}" is meant here{near(glob.model, models)}'
    named = [glob.model for glob in globs if glob.model is not None] or list(models)
    names = listing(named)
    if not pattern.types:
        hint = _near_path(globs, {name: models[name] for name in named})
        return f"{listing(pattern.texts)} matches nothing in {names}{hint}"
    kinds = listing([kind.__name__ for kind in pattern.types])
    if pattern.texts:
        return f"nothing that {listing(pattern.texts)} matches in {names} is of type {kinds}"
    there = {type(part).__name__ for model in models.values() for part in model.modules()}
    return f"no module of {names} is of type {kinds}; there are {listing(sorted(there))}"


def _is_within(path: str, glob: str) -> bool:
    """Whether a path, or that of a module around it, fits a glob.

    >>> _is_within("layer1.0.weight", "layer?"), _is_within("layer1.0.weight", "*.bias")
    (True, False)
    """
    if fnmatchcase(path, glob):
        return True
    return any(fnmatchcase(path[:end], glob) for end, sign in enumerate(path) if sign == ".")


def _near_path(globs: Sequence[Glob], models: Models) -> str:
    """A clause that names near paths, or the first steps of all."""
    modules = [path for model in models.values() for path, _ in model.named_modules() if path]
    parameters = [path for model in models.values() for path, _ in model.named_parameters()]
    paths = list(dict.fromkeys([*modules, *parameters]))
    for glob in globs:
        name, dot, path = glob.path.partition(".")
        if dot and name in models:
            return f'; did you mean "{name}:{path}"?'
        suffix = ".*" if glob.path.endswith(".*") else ""
        # A text without a model may be a model's name.
        known = [*models, *paths] if glob.model is None else paths
        found = all_near(glob.path.removesuffix(suffix), known)[:_MOST_NEAR]
        if found:
            meant = " or ".join(f'"{path}{suffix}"' for path in found)
            return f"; did you mean {meant}?"
    first = dict.fromkeys(path.partition(".")[0] for path in paths)
    return f"; there are {listing(list(first))}" if first else ""
