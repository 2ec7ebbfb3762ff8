"""Attention in the form that ONNX knows: over (B, heads, T, E)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


class AttentionWithHeads(TorchFunctionMode):
    """Attention over (B, T, E) has one head in here, as torch's exporter takes no other."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch."""
        # Graphs that were traced before call the operator itself.
        traced = torch.ops.aten.scaled_dot_product_attention.default
        if func is scaled_dot_product_attention or func is traced:
            return _with_heads(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _with_heads(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *args: Any,
    **more: Any,
) -> Tensor:
    if not query.ndim == key.ndim == value.ndim == 3:
        return scaled_dot_product_attention(query, key, value, attn_mask, *args, **more)
    if attn_mask is not None and attn_mask.ndim == 3:
        attn_mask = attn_mask.unsqueeze(1)
    query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
    return scaled_dot_product_attention(query, key, value, attn_mask, *args, **more).squeeze(1)
