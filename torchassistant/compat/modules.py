"""The tables and base classes of ``nn.Module`` that torch keeps private."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import nn

Buffers = MutableMapping[str, torch.Tensor | None]

_BUFFERS = "_buffers"
_NON_PERSISTENT = "_non_persistent_buffers_set"
_TABLES = ("_parameters", "_buffers", "_modules")


def own_buffers(module: nn.Module) -> Buffers:
    """The buffers of a module itself, by name; what is put there becomes a buffer of the module.

    Private: ``Module._buffers``, in torch 2.10 to 2.14. The public ``named_buffers`` leaves out
    buffers that are None.

    Without it: a view that reads ``named_buffers`` and sets attributes. It does not list buffers
    that are None, and takes any attribute that is None for one.
    """
    table: Buffers | None = getattr(module, _BUFFERS, None)
    return _RegisteredBuffers(module) if table is None else table


def own_parameters(module: nn.Module) -> MutableMapping[str, nn.Parameter | None]:
    """The parameters of a module itself, by name, also where an attribute of its class hides one.

    Private: ``Module._parameters``, in torch 2.10 to 2.14. What a property of that name hides can
    be read by no public way.

    Without it: none, and an error.
    """
    return vars(module)[_TABLES[0]]


def set_flat_weights(module: nn.RNNBase, kept: bool) -> None:
    """Let the kernel of an RNN use its weights as its attributes are now, or keep none.

    Private: ``RNNBase._flat_weights`` and ``_flat_weights_names``, in torch 2.10 to 2.14: the list
    that the kernel is given is made when weights are registered, and not when they are read.

    Without them: none, and an error.
    """
    names = module._flat_weights_names
    module._flat_weights = [getattr(module, name) for name in names] if kept else []


def set_own_buffers(module: nn.Module, buffers: Mapping[str, torch.Tensor | None]) -> None:
    """Let a module have these buffers and no others, in this order; see :func:`own_buffers`."""
    table = own_buffers(module)
    if isinstance(table, dict):
        table.clear()
    for name in [name for name in table if name not in buffers]:
        del table[name]
    table.update(buffers)


class _RegisteredBuffers(MutableMapping[str, torch.Tensor | None]):
    """The buffers of one module, by public names alone."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def _table(self) -> dict[str, torch.Tensor]:
        return dict(self.module.named_buffers(recurse=False, remove_duplicate=False))

    def __getitem__(self, name: str) -> torch.Tensor | None:
        value = self._table().get(name)
        if value is None and getattr(self.module, name, self) is not None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: torch.Tensor | None) -> None:
        if name in self:
            setattr(self.module, name, value)
        else:
            self.module.register_buffer(name, value)

    def __delitem__(self, name: str) -> None:
        delattr(self.module, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table())

    def __len__(self) -> int:
        return len(self._table())


def unsaved_names(module: nn.Module) -> Collection[str]:
    """The names of the buffers of a module itself that its ``state_dict`` leaves out.

    Private: ``Module._non_persistent_buffers_set``, in torch 2.10 to 2.14. It is asked for buffers
    that are None, which no ``state_dict`` shows.

    Without it: none. A buffer that is None is not stored then, and stays as the code makes it.
    """
    names: Collection[str] = getattr(module, _NON_PERSISTENT, ())
    return names


def state_tables(module: nn.Module) -> dict[str, dict[str, Any]]:
    """The tables of a module's parameters, buffers and submodules, by the names of the tables.

    Private: ``_parameters``, ``_buffers`` and ``_modules``, in torch 2.10 to 2.14. Who puts back
    what a table holds needs the table itself.

    Without them: copies, by which what they hold is found, and what was exchanged is not put back.
    """
    tables = {name: vars(module).get(name) for name in _TABLES}
    if all(isinstance(table, dict) for table in tables.values()):
        return tables  # type: ignore[return-value]
    return {
        "parameters": dict(module.named_parameters(recurse=False)),
        "buffers": dict(module.named_buffers(recurse=False)),
        "modules": dict(module.named_children()),
    }


def dropout_classes() -> tuple[type[Any], ...]:
    """What every dropout layer is an instance of; it has the attribute ``p``.

    Private: ``nn.modules.dropout._DropoutNd``, in torch 2.10 to 2.14: classes of users may be
    derived from it.

    Without it: the public classes.
    """
    base = getattr(nn.modules.dropout, "_DropoutNd", None)
    return _DROPOUTS if base is None else (base,)


def running_norm_classes() -> tuple[type[Any], ...]:
    """What every norm with running statistics is an instance of.

    They have the attribute ``track_running_stats``.

    Private: ``nn.modules.batchnorm._NormBase``, in torch 2.10 to 2.14: classes of users may be
    derived from it.

    Without it: the public classes.
    """
    base = getattr(nn.modules.batchnorm, "_NormBase", None)
    return _NORMS if base is None else (base,)


_DROPOUTS = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)
_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
