"""Training graphs as pictures: what there is to draw, where it goes, and how it is written."""

from torchassistant.diagram.mermaid import mermaid_of
from torchassistant.diagram.parts import Diagram
from torchassistant.diagram.png import png_of
from torchassistant.diagram.structure import diagram_of
from torchassistant.diagram.svg import svg_of

__all__ = ["Diagram", "diagram_of", "mermaid_of", "png_of", "svg_of"]
