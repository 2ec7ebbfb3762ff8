"""Which parameters of a model are worth a byte each, and along which axis they are scaled."""

from __future__ import annotations

from torch import nn
from torch.jit import ScriptModule
from torch.nn.parameter import is_lazy

_SCALE_BYTES = 4
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def axes_of(model: nn.Module) -> dict[str, int]:
    """The parameters that int8 makes smaller, each with the axis of its channels.

    Of a parameter that stands in several places, each place is named.
    """
    axes: dict[str, int] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, ScriptModule):
            continue
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            if is_lazy(parameter) or not parameter.is_floating_point() or parameter.ndim < 2:
                continue
            axis = _axis(module, parameter)
            saved = parameter.numel() * (parameter.element_size() - 1)
            if saved > _SCALE_BYTES * parameter.shape[axis]:
                axes[f"{path}.{name}" if path else name] = axis
    return axes


def _axis(module: nn.Module, parameter: nn.Parameter) -> int:
    """The axis of the outputs; of parameters that are no weights, the first that is an axis."""
    if isinstance(module, _TRANSPOSED):
        return 1
    sizes = list(parameter.shape)
    return next((axis for axis, size in enumerate(sizes) if size > 1), 0)
