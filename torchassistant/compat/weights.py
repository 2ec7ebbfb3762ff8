"""Through what torch.hub, torchvision and timm read weights.

Modules of torchvision and timm are looked at only where somebody has imported them.
"""

from __future__ import annotations

import sys
import zipfile
from types import ModuleType
from typing import Any

import torch

READER = "load_state_dict_from_url"
"""The public function of ``torch.hub`` that the libraries read through, each by its own name."""

_READERS = ("torchvision.models._api", "timm.models._builder", "timm.models._hub")
_LIBRARIES = ("torchvision", "timm")
_TIMM_READS = (
    ("timm.models._builder", "load_pretrained"),
    ("timm.models._factory", "load_checkpoint"),
)


def is_unpacked_when_read(path: str) -> bool:
    """Whether torch.hub unpacks a file of weights before it reads it.

    Private: ``torch.hub._is_legacy_zip_format``, in torch 2.10 to 2.14: what it says is what
    torch.hub does.

    Without it: whether the file is a zip archive of one file.
    """
    said = getattr(torch.hub, "_is_legacy_zip_format", _holds_one_file)(path)
    return bool(said)


def _holds_one_file(path: str) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        inside = archive.infolist()
    return len(inside) == 1 and not inside[0].is_dir()


def reading_modules() -> list[ModuleType]:
    """The imported modules of torchvision and timm that have the function :data:`READER`.

    Private: ``torchvision.models._api``, in torchvision 0.25 to 0.29; ``timm.models._builder`` and
    ``timm.models._hub``.

    Without them: all imported modules of these libraries that have it.
    """
    named = [module for name in _READERS if READER in vars(module := _imported(name))]
    if {_top(module) for module in named} == {n for n in _LIBRARIES if n in sys.modules}:
        return named
    imported = [m for name, m in [*sys.modules.items()] if name.partition(".")[0] in _LIBRARIES]
    return [module for module in imported if READER in vars(module)]


def weights_enum() -> Any:
    """The class of all weights of torchvision; None where nobody has imported its models.

    Private: ``torchvision.models._api.WeightsEnum``, in torchvision 0.25 to 0.29.

    Without it: the base of a public class of weights.
    """
    found = vars(_imported(_READERS[0])).get("WeightsEnum")
    if found is not None:
        return found
    some = vars(_imported("torchvision.models")).get("ResNet18_Weights")
    return None if some is None else some.__base__


def timm_readers() -> list[tuple[ModuleType, str]] | None:
    """The functions through which timm reads weights for a model: modules, and names there.

    Private: ``timm.models._builder.load_pretrained`` and ``timm.models._factory.load_checkpoint``.

    Returns:
        None where one is missing: then the arguments that ask for weights are to be left out.
    """
    found = [(_imported(module), name) for module, name in _TIMM_READS]
    return found if all(name in vars(module) for module, name in found) else None


def _imported(name: str) -> ModuleType:
    """A module, or an empty one in the place of what nobody has imported."""
    return sys.modules.get(name, ModuleType(name))


def _top(module: ModuleType) -> str:
    return module.__name__.partition(".")[0]
