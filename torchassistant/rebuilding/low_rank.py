"""Linear and convolutional layers as two of a lower rank, by singular values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchassistant.rebuilding.misfit import Misfit, module_at, replaced

_CONVOLUTIONS: dict[type[nn.Module], Any] = {
    nn.Conv1d: nn.Conv1d,
    nn.Conv2d: nn.Conv2d,
    nn.Conv3d: nn.Conv3d,
}


class LowRank(nn.Module):
    """Two layers in the place of one: the first has as many outputs as the rank.

    Args:
        layer: A linear or convolutional layer.
        rank: At most that of its weight.
        convert: Whether the weights are those of the layer; else they are to be loaded.
    """

    def __init__(self, layer: Any, rank: int, convert: bool) -> None:
        super().__init__()
        self.first, self.second = _two_of(layer, rank)
        self.training = layer.training
        with torch.no_grad():
            if convert:
                left, right = _factors(_matrix(layer), rank)
                self.first.weight.copy_(right.view_as(self.first.weight))
                self.second.weight.copy_(left.view_as(self.second.weight))
                if self.second.bias is not None:
                    self.second.bias.copy_(layer.bias)
        self.requires_grad_(layer.weight.requires_grad)
        self.to(layer.weight)

    @property
    def weight(self) -> Tensor:
        """The weight of one layer that does the same."""
        first, second = self.first.weight, self.second.weight
        return (second.flatten(1) @ first.flatten(1)).view(len(second), *first.shape[1:])

    @property
    def bias(self) -> Tensor | None:
        """The bias of the layer."""
        return self.second.bias

    def forward(self, values: Tensor) -> Tensor:
        """What the layer gives, as far as the rank lets it."""
        return self.second(self.first(values))


def with_low_rank(model: nn.Module, ranks: Mapping[str, int], convert: bool) -> nn.Module:
    """Replace layers of a model.

    Args:
        model: Is changed, unless it is itself such a layer.
        ranks: By the path of each layer.
        convert: See :class:`LowRank`.

    Raises:
        Misfit: There is no such layer, or it has no such rank.
    """
    for path, rank in ranks.items():
        layer = module_at(model, path)
        if not suits_low_rank(layer):
            raise Misfit(f'"{path}" is no linear or convolutional layer that can be cut in two')
        if not 0 < rank <= min(_matrix(layer).shape):
            raise Misfit(f'the layer "{path}" has no rank {rank}')
        model = replaced(model, path, LowRank(layer, rank, convert))
    return model


def suits_low_rank(layer: Any) -> bool:
    """Whether two layers can stand in its place: nothing may look into it, as subclasses do."""
    if type(layer) is nn.Linear:
        return True
    return (
        type(layer) in _CONVOLUTIONS
        and int(layer.groups) == 1
        and (layer.padding_mode == "zeros")
        and not isinstance(layer.padding, str)
    )


def ranks_within(model: nn.Module, share: float) -> dict[str, int]:
    """The ranks by which the layers of a model keep a share of their parameters.

    What is left of each layer is the same part of its squared singular values; a layer that
    would not get smaller stays.

    Args:
        model: Its layers are looked at.
        share: Between 0 and 1, of the parameters of the layers that can be replaced.
    """
    layers = _own_layers(model)
    values = {path: torch.linalg.svdvals(_matrix(layer)) for path, layer in layers.items()}
    kept = {path: (v**2).cumsum(0) / (v**2).sum().clamp(min=1e-30) for path, v in values.items()}
    whole = sum(layer.weight.numel() for layer in layers.values())

    def ranks_at(part: float) -> dict[str, int]:
        found = {p: 1 + int((k < part).sum().clamp(max=len(k) - 1)) for p, k in kept.items()}
        return {p: r for p, r in found.items() if _cost(layers[p], r) < layers[p].weight.numel()}

    def size_of(ranks: Mapping[str, int]) -> int:
        return sum(
            _cost(layer, ranks[path]) if path in ranks else layer.weight.numel()
            for path, layer in layers.items()
        )

    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if size_of(ranks_at(middle)) <= share * whole else (low, middle)
    return ranks_at(low)


def _own_layers(model: nn.Module) -> dict[str, Any]:
    """The layers that can be replaced, by path; those with a weight that others have too stay."""
    places: dict[int, int] = {}
    for _, parameter in model.named_parameters(remove_duplicate=False):
        places[id(parameter)] = places.get(id(parameter), 0) + 1
    found = {}
    module: Any
    for path, module in model.named_modules():
        if suits_low_rank(module) and places[id(module.weight)] == 1:
            found[path] = module
    return found


def _cost(layer: Any, rank: int) -> int:
    rows, columns = _matrix(layer).shape
    return rank * (rows + columns)


def _matrix(layer: Any) -> Tensor:
    """Its weight as one row for each output, float32."""
    return layer.weight.detach().flatten(1).float()


def _factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Two matrices whose product is the nearest of that rank."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    root = values[:rank].sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank]


def _two_of(layer: Any, rank: int) -> tuple[Any, Any]:
    has_bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return (
            nn.Linear(layer.in_features, rank, bias=False),
            nn.Linear(rank, layer.out_features, bias=has_bias),
        )
    kind = _CONVOLUTIONS[type(layer)]
    first = kind(
        layer.in_channels,
        rank,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        bias=False,
    )
    return first, kind(rank, layer.out_channels, 1, bias=has_bias)
