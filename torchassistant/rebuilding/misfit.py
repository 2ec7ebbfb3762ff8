"""What a step says that does not fit a model."""

from __future__ import annotations

from torch import nn

from torchassistant.errors import near


class Misfit(ValueError):
    """A step does not fit the model that it is to be done on."""


def module_at(model: nn.Module, path: str) -> nn.Module:
    """A part of a model; the model itself where the path is empty.

    Raises:
        Misfit: There is no such part.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    if path not in modules:
        raise Misfit(f'there is no module "{path}"{near(path, [name for name in modules if name])}')
    return modules[path]


def replaced(model: nn.Module, path: str, part: nn.Module) -> nn.Module:
    """A model with another part; that part where the path is empty."""
    if not path:
        return part
    owner, _, name = path.rpartition(".")
    setattr(model.get_submodule(owner), name, part)
    return model
