"""In which precision forward passes and losses are computed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

_MIXED = {"bf16": torch.bfloat16, "fp16": torch.float16}
_AS_EVER: AbstractContextManager[None] = nullcontext()


class Precision:
    """A precision on a device.

    Args:
        name: ``float32`` (torch's own defaults), ``tf32`` (float32 whose matrix products are
            rounded to 10 bits on GPUs that can), or mixed precision with ``bf16`` or ``fp16``:
            operations that bear it run in 16 bits, weights and gradients stay float32 (P.
            Micikevicius et al., "Mixed Precision Training", 2018).
        device: Where the models are.
    """

    def __init__(self, name: str = "float32", device: torch.device | None = None) -> None:
        self.name = name
        self.device = device or torch.device("cpu")
        self.dtype = _MIXED.get(name)

    def forward(self) -> AbstractContextManager[object]:
        """Forward passes and losses are computed in here; backward passes are not."""
        if self.dtype is None:
            return _AS_EVER
        return torch.autocast(self.device.type, self.dtype)

    def scaler(self) -> torch.amp.GradScaler | None:
        """What keeps small gradients from vanishing in ``fp16``; None where none need it."""
        return torch.amp.GradScaler(self.device.type) if self.name == "fp16" else None

    def set_for_process(self) -> None:
        """Let torch round matrix products, where that is what was asked for."""
        if self.name == "tf32" and self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.allow_tf32 = True
