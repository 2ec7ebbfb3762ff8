"""Neural graphs: nodes in a batch processor, batch processors in a batch graph."""

from torchassistant.graph.batch_graph import BatchGraph, Plan
from torchassistant.graph.calls import Calling, Compiling
from torchassistant.graph.frame import Frame, Frames, rows_of
from torchassistant.graph.keeping import buffers_of, elements_of, overlaps
from torchassistant.graph.mode import evaluating
from torchassistant.graph.processor import NeuralProcessor, Node, ObjectProcessor, Processor

__all__ = [
    "BatchGraph",
    "Calling",
    "Compiling",
    "Frame",
    "Frames",
    "NeuralProcessor",
    "Node",
    "ObjectProcessor",
    "Plan",
    "Processor",
    "buffers_of",
    "elements_of",
    "evaluating",
    "overlaps",
    "rows_of",
]
