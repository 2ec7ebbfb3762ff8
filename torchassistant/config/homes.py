"""Where a short name is looked for, by what the object is there for."""

from __future__ import annotations

TORCHMETRICS = "torchmetrics.*"

HOMES: dict[str, tuple[str, ...]] = {
    "optimizers": ("torch.optim",),
    "lr_scheduler": ("torch.optim.lr_scheduler",),
    "losses": ("torch.nn", "torchassistant.losses"),
    "metrics": ("torchassistant.metrics", TORCHMETRICS),
    "collators": ("torchassistant.collators",),
    "preprocessors": ("torchassistant.preprocessors",),
    "input_adapter": ("torchassistant.adapters",),
    "output_adapter": ("torchassistant.output_adapters",),
    "batch_processors": ("torchassistant.batch_processors",),
    "transform": ("torchassistant.transforms",),
    "stop_condition": ("torchassistant.stop_conditions",),
    "output_device": ("torchassistant.output_devices",),
    "input_converter": ("torchassistant.input_converters",),
}
