"""Files of one format turned into another. Only a process of its own imports torch for it."""

from torchassistant.conversion.configs import (
    ConvertedConfig,
    convert_config,
    in_other_form,
    is_config,
)
from torchassistant.conversion.weights import Converted, convert_weights

__all__ = [
    "Converted",
    "ConvertedConfig",
    "convert_config",
    "convert_weights",
    "in_other_form",
    "is_config",
]
