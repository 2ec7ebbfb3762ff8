"""A training graph in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from torchassistant.diagram.parts import Diagram, Panel


def in_words(diagram: Diagram) -> str:
    """What a picture shows, for those who do not see it."""
    return "\n".join(line for panel in diagram.panels for line in _of_panel(panel))


def _of_panel(panel: Panel) -> Iterator[str]:
    yield f"Pipeline {panel.title} ({'; '.join(panel.lines)}):"
    boxes = {box.id: box for box in panel.boxes}
    for box in panel.boxes:
        times = f", {box.count} of them" if box.count > 1 else ""
        about = f" ({', '.join(box.lines)})" if box.lines else ""
        yield f"- {box.kind} {box.title}{times}{about}"
    for link in panel.links:
        what = f": {', '.join(link.lines)}" if link.lines else ""
        source, target = boxes[link.source].title, boxes[link.target].title
        kept = ", for the next batch" if link.is_carried else ""
        yield f"- {source} to {target}{what}{kept}"
