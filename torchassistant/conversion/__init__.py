"""Files of one format turned into another. Only a process of its own imports torch for it."""

from torchassistant.conversion.weights import Converted, convert_weights

__all__ = ["Converted", "convert_weights"]
