"""The structure of a compressed model, rebuilt step by step on the model that the config describes.

Each step is data. With ``convert`` a step makes of the weights of a model those of the compressed
one; without, it only makes room for them, to be loaded afterwards.
"""

from torchassistant.rebuilding.int8_graph import LEAST, MOST, explained, input_as_data, traced
from torchassistant.rebuilding.int8_weights import has_int8_weights, weights_by_operator
from torchassistant.rebuilding.low_rank import ranks_within, suits_low_rank
from torchassistant.rebuilding.misfit import module_at
from torchassistant.rebuilding.pruned import difference_of_structure
from torchassistant.rebuilding.quantisable import axes_of
from torchassistant.rebuilding.steps import Misfit, rebuilt

__all__ = [
    "LEAST",
    "MOST",
    "Misfit",
    "axes_of",
    "difference_of_structure",
    "explained",
    "has_int8_weights",
    "input_as_data",
    "module_at",
    "ranks_within",
    "rebuilt",
    "suits_low_rank",
    "traced",
    "weights_by_operator",
]
