"""Neural graphs: nodes in a batch processor, batch processors in a batch graph."""

from torchassistant.graph.batch_graph import BatchGraph, Plan, Watched, set_training
from torchassistant.graph.buffers import buffers_of, elements_of, overlaps
from torchassistant.graph.by_identity import distinct, is_among
from torchassistant.graph.carries import Carry, first_values, mapped, recut_carries
from torchassistant.graph.freezing import (
    NOTHING_FROZEN,
    Frozen,
    FrozenPart,
    frozen_part,
    sparing_call,
)
from torchassistant.graph.mode import (
    evaluating,
    is_part_of_one,
    mode_dependent,
    norms_in_train_mode,
)
from torchassistant.graph.model_calls import Calling, Compiling
from torchassistant.graph.module_patterns import Models, ModulePattern, why_nothing_fits
from torchassistant.graph.node_values import Call, Place, keyword_call, values_by_name
from torchassistant.graph.processor import NeuralProcessor, Node, ObjectProcessor, Processor, moved
from torchassistant.graph.taps import Tap

__all__ = [
    "NOTHING_FROZEN",
    "BatchGraph",
    "Call",
    "Calling",
    "Carry",
    "Compiling",
    "Frozen",
    "FrozenPart",
    "Models",
    "ModulePattern",
    "NeuralProcessor",
    "Node",
    "ObjectProcessor",
    "Place",
    "Plan",
    "Processor",
    "Tap",
    "Watched",
    "buffers_of",
    "distinct",
    "elements_of",
    "evaluating",
    "first_values",
    "frozen_part",
    "is_among",
    "is_part_of_one",
    "keyword_call",
    "mapped",
    "mode_dependent",
    "moved",
    "norms_in_train_mode",
    "overlaps",
    "recut_carries",
    "set_training",
    "sparing_call",
    "values_by_name",
    "why_nothing_fits",
]
