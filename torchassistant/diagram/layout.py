"""Where everything in a picture goes: layers from top to bottom, by graphlay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torchassistant.diagram.parts import Box, Diagram, Panel
from torchassistant.diagram.text_width import shortened, width_of
from torchassistant.errors import UserError

TITLE, LINE, LABEL = 13.0, 11.0, 10.5
"""Sizes of fonts: names, what is said of them, and columns."""
LEADING = 1.32
"""The height of a line, in font sizes."""
HEADING = 15.0
WIDEST_TEXT = 190.0
WIDEST = 860.0
"""Of the picture, unless one pipeline needs more: about the width of a README."""
GAP, PADDING = 14.0, 16.0
GROUP_HEADER = 20.0

_OPTIONS = {
    "direction": "topbottom",
    "routing": {"merge_edges": "forks"},
    "coords": {"branch_style": "symmetric"},
    "spacing": {
        "layer_gap": 16,
        "node_gap": 20,
        "dummy_gap": 14,
        "port_gap": 14,
        "port_stroke_clear": 10,
        "stub": 8,
        "compound_header": GROUP_HEADER,
        "compound_padding": 12,
        "isolated_gap": 20,
    },
}

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A place in a picture, by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def moved(self, x: float, y: float) -> Rectangle:
        """The same elsewhere."""
        return Rectangle(self.x + x, self.y + y, self.width, self.height)


@dataclass(frozen=True, slots=True)
class PlacedBox:
    """A box, where it is, and what of its text fits: the title first."""

    box: Box
    place: Rectangle
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class PlacedText:
    """What stands on the way from one box to others."""

    texts: Sequence[str]
    place: Rectangle


@dataclass(frozen=True, slots=True)
class PlacedLine:
    """A line, by its corners; with an arrow where it ends at a box."""

    points: Sequence[Point]
    has_arrow: bool
    is_carried: bool


@dataclass(frozen=True, slots=True)
class PlacedPanel:
    """A pipeline, where it is, and everything in it, seen from its own corner."""

    panel: Panel
    place: Rectangle
    texts: Sequence[str]
    boxes: Sequence[PlacedBox]
    lines: Sequence[PlacedLine]
    columns: Sequence[PlacedText]
    groups: Sequence[tuple[str, Rectangle]]


def placed(diagram: Diagram) -> list[PlacedPanel]:
    """A place for everything.

    Raises:
        UserError: graphlay is not installed.
    """
    return _packed([_placed_panel(panel) for panel in diagram.panels])


def _placed_panel(panel: Panel) -> PlacedPanel:
    try:
        import graphlay
    except ImportError:
        raise UserError(
            "a graph as SVG needs the package graphlay, which is not installed: "
            'pip install "torchassistant[graph]" installs it'
        ) from None
    texts = {box.id: _texts(box) for box in panel.boxes}
    graph = graphlay.Graph()
    groups = _groups(panel)
    parents = {name: graph.node(("group", name), width=1, height=1) for name in groups}
    for box in panel.boxes:
        width, height = _size(box, texts[box.id])
        inside = _inside(parents.get(box.group or ""))
        graph.node(box.id, width=width, height=height, **inside)
    ways = _ways(panel)
    groups_of = {box.id: box.group for box in panel.boxes}
    lines: list[tuple[bool, bool]] = []

    def draw_line(source: object, target: object, has_arrow: bool, way: Way) -> None:
        # What stands on a line is near the box that it comes from.
        graph.edge(source, target, weight=1.0 if has_arrow and way.texts else 4.0)
        lines.append((has_arrow, way.is_carried))

    for way in ways:
        start: object = way.source
        if way.texts:
            start = ("columns", way)
            width, height = _size_of_columns(way.texts)
            # Between two boxes of a processor it is in there too: layers run through whole frames.
            group = groups_of[way.source]
            is_inside = group in {groups_of[box] for box in way.targets}
            inside = _inside(parents.get(group or "") if is_inside else None)
            graph.node(start, width=width, height=height, **inside)
            draw_line(way.source, start, False, way)
        for target in way.targets:
            draw_line(start, target, True, way)
    drawn = graphlay.layout(graph, options=_OPTIONS)
    least, most = drawn.bounds["min"], drawn.bounds["max"]
    heading = _heading(panel)
    top = PADDING + sum(size * LEADING for _, size in heading) + 10
    x, y = PADDING - least["x"], top - least["y"]
    rectangles = {
        key: _rectangle(node).moved(x, y) for key, node in zip(graph.ids, drawn.nodes, strict=True)
    }
    placed_lines = [
        PlacedLine([(point["x"] + x, point["y"] + y) for point in edge["points"]], *line)
        for line, edge in zip(lines, drawn.edges, strict=True)
    ]
    columns = [PlacedText(way.texts, rectangles["columns", way]) for way in ways if way.texts]
    wide = max(most["x"] - least["x"], *(_heading_width(heading)))
    return PlacedPanel(
        panel,
        Rectangle(0, 0, wide + 2 * PADDING, top + most["y"] - least["y"] + PADDING),
        [text for text, _ in heading],
        [PlacedBox(box, rectangles[box.id], texts[box.id]) for box in panel.boxes],
        placed_lines,
        columns,
        [(name, rectangles["group", name]) for name in groups],
    )


def _inside(parent: int | None) -> dict[str, Any]:
    """What says that a node is inside another."""
    return {} if parent is None else {"parent": parent}


def _groups(panel: Panel) -> list[str]:
    """The batch processors that have a frame: those in which there is more than one box."""
    inside: dict[str, int] = {}
    for box in panel.boxes:
        if box.group is not None:
            inside[box.group] = inside.get(box.group, 0) + 1
    return [name for name, count in inside.items() if count > 1]


def _heading(panel: Panel) -> list[tuple[str, float]]:
    """The lines above a pipeline, each with the size of its font."""
    texts = [(panel.title, HEADING), *((line, LINE) for line in panel.lines)]
    return [
        (shortened(text, size, WIDEST - 2 * PADDING, size == HEADING), size) for text, size in texts
    ]


def _heading_width(heading: Sequence[tuple[str, float]]) -> Iterator[float]:
    return (width_of(text, size, size == HEADING) for text, size in heading)


def _texts(box: Box) -> list[str]:
    title = box.title if box.count == 1 else f"{box.title} ×{box.count}"
    return [
        shortened(title, TITLE, WIDEST_TEXT, is_bold=True),
        *(shortened(line, LINE, WIDEST_TEXT) for line in box.lines),
    ]


def _size(box: Box, texts: Sequence[str]) -> tuple[float, float]:
    if box.kind == "sum" and len(texts[0]) == 1:
        return 30, 30
    title, *lines = texts
    width = max([width_of(title, TITLE, is_bold=True), *(width_of(line, LINE) for line in lines)])
    height = LEADING * (TITLE + LINE * len(lines))
    return max(width + 24, 60), height + 14


@dataclass(frozen=True, slots=True)
class Way:
    """What goes from one box to the same others, and is drawn as one line that forks.

    Args:
        source: The box.
        targets: The others.
        texts: The columns, and what else is said.
        is_carried: Whether it goes to the next batch.
    """

    source: str
    targets: tuple[str, ...]
    texts: tuple[str, ...]
    is_carried: bool


def _ways(panel: Panel) -> list[Way]:
    """The links of a pipeline; columns that go the same ways are together."""
    targets: dict[tuple[str, str, bool], list[str]] = {}
    for link in panel.links:
        for text in link.lines or [""]:
            targets.setdefault((link.source, text, link.is_carried), []).append(link.target)
    texts: dict[tuple[str, tuple[str, ...], bool], list[str]] = {}
    for (source, text, is_carried), found in targets.items():
        short = shortened(text, LABEL, WIDEST_TEXT)
        texts.setdefault((source, tuple(found), is_carried), []).append(short)
    return [
        Way(source, found, tuple(filter(None, lines)), is_carried)
        for (source, found, is_carried), lines in texts.items()
    ]


def _size_of_columns(texts: Sequence[str]) -> tuple[float, float]:
    width = max(width_of(text, LABEL) for text in texts)
    return width + 8, len(texts) * LABEL * LEADING + 2


def _rectangle(node: dict[str, Any]) -> Rectangle:
    center, size = node["center"], node["size"]
    width, height = size["width"], size["height"]
    return Rectangle(center["x"] - width / 2, center["y"] - height / 2, width, height)


def _packed(panels: Sequence[PlacedPanel]) -> list[PlacedPanel]:
    """Pipelines beside and below each other: each as high up, then as far left, as it fits."""
    taken: list[Rectangle] = []
    for panel in panels:
        place = panel.place
        lefts = sorted({0.0, *(one.x + one.width + GAP for one in taken)})
        fitting = [x for x in lefts if x + place.width <= WIDEST] or [0.0]
        found = [(_lowest(taken, x, place.width), x) for x in fitting]
        y, x = min(found)
        taken.append(place.moved(x, y))
    return [replace(panel, place=place) for panel, place in zip(panels, taken, strict=True)]


def _lowest(taken: Sequence[Rectangle], x: float, width: float) -> float:
    """How far down something has to go, to be below all that is in its way."""
    above = [one for one in taken if one.x < x + width + GAP and x < one.x + one.width + GAP]
    return max((one.y + one.height + GAP for one in above), default=0.0)
