"""A training graph as SVG: for light and dark, with words for those who do not see it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from torchassistant.diagram.layout import (
    GAP,
    HEADING,
    LABEL,
    LEADING,
    LINE,
    PADDING,
    TITLE,
    WIDEST,
    PlacedBox,
    PlacedLine,
    PlacedPanel,
    Point,
    Rectangle,
    placed,
)
from torchassistant.diagram.parts import Box, Diagram
from torchassistant.diagram.text_width import width_of
from torchassistant.diagram.words import in_words

_CLASS = "training-graph"
_ROUNDING = 6.0
_MARGIN = 12.0

# Okabe and Ito's colours, which people with any kind of colour vision tell apart; in the dark,
# lighter ones of the same hues.
_STYLE = """
.training-graph {
  --ground: #ffffff; --panel: #f6f8fa; --frame: #d0d7de; --text: #1f2328; --quiet: #57606a;
  --edge: #57606a; --plain: #ffffff; --data: #e7ecf0; --data-edge: #6e7781;
  --trained: #dcedf9; --trained-edge: #0072b2; --frozen: #eef7fd; --frozen-edge: #2b8cc4;
  --average: #f9ecf3; --average-edge: #a8507f; --loss: #fde8dc; --loss-edge: #c45500;
  --metric: #fff4d6; --metric-edge: #a87400; --optimizer: #dff3ec; --optimizer-edge: #00805c;
  font-family: "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif;
}
@media (prefers-color-scheme: dark) {
  .training-graph {
    --ground: #0d1117; --panel: #161b22; --frame: #3d444d; --text: #f0f6fc; --quiet: #a3adb8;
    --edge: #9aa4af; --plain: #0d1117; --data: #262d36; --data-edge: #8b949e;
    --trained: #0c2d48; --trained-edge: #56b4e9; --frozen: #12242f; --frozen-edge: #56b4e9;
    --average: #38192b; --average-edge: #e08fbd; --loss: #3f1e07; --loss-edge: #f08a3c;
    --metric: #362900; --metric-edge: #e6b422; --optimizer: #06301f; --optimizer-edge: #35c08e;
  }
}
.training-graph text { fill: var(--text); font-size: 11px; }
.training-graph .ground { fill: var(--ground); }
.training-graph .panel { fill: var(--panel); stroke: var(--frame); }
.training-graph .group { fill: none; stroke: var(--quiet); stroke-dasharray: 2 3; }
.training-graph .heading { font-size: 15px; font-weight: 600; }
.training-graph .title { font-size: 13px; font-weight: 600; text-anchor: middle; }
.training-graph .line { fill: var(--quiet); text-anchor: middle; }
.training-graph .aside { fill: var(--quiet); }
.training-graph .column { font-size: 10.5px; text-anchor: middle; }
.training-graph .edge { fill: none; stroke: var(--edge); stroke-width: 1.3px; }
.training-graph .carried { stroke-dasharray: 4 3; }
.training-graph .arrow { fill: var(--edge); }
.training-graph .box { fill: var(--plain); stroke: var(--data-edge); stroke-width: 1.3px; }
.training-graph .data { fill: var(--data); }
.training-graph .trained { fill: var(--trained); stroke: var(--trained-edge); stroke-width: 2px; }
.training-graph .fixed { stroke-dasharray: 5 3; }
.training-graph .frozen {
  fill: var(--frozen); stroke: var(--frozen-edge); stroke-width: 2px; stroke-dasharray: 1.5 3;
}
.training-graph .average {
  fill: var(--average); stroke: var(--average-edge); stroke-width: 2px;
}
.training-graph .loss { fill: var(--loss); stroke: var(--loss-edge); }
.training-graph .metric { fill: var(--metric); stroke: var(--metric-edge); }
.training-graph .optimizer { fill: var(--optimizer); stroke: var(--optimizer-edge); }
.training-graph .badge { fill: var(--text); }
.training-graph .letter {
  fill: var(--ground); font-size: 10.5px; font-weight: 700; text-anchor: middle;
}
"""

_LEGEND = (
    ("data", "data"),
    ("model trained", "trained"),
    ("model fixed", "not trained here"),
    ("model frozen", "frozen"),
    ("model average", "average"),
    ("model", "model"),
    ("loss", "loss"),
    ("metric", "metric"),
    ("optimizer", "optimizer"),
)


def svg_of(diagram: Diagram) -> str:
    """A picture of a training graph; the same for the same graph, byte for byte.

    Raises:
        UserError: graphlay is not installed.
    """
    panels = placed(diagram)
    places = [panel.place for panel in panels]
    width = max((one.x + one.width for one in places), default=200.0)
    height = max((one.y + one.height for one in places), default=0.0)
    legend, wide, below = _legend(diagram, width)
    width = max(width, wide)
    whole = (width + 2 * _MARGIN, height + below + 2 * _MARGIN)
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": _CLASS,
            "role": "img",
            "aria-label": _clean(f"Training graph of {diagram.title}"),
            "width": _number(whole[0]),
            "height": _number(whole[1]),
            "viewBox": f"0 0 {_number(whole[0])} {_number(whole[1])}",
        },
    )
    _child(root, "title", text=f"Training graph of {diagram.title}")
    _child(root, "desc", text=in_words(diagram))
    _child(root, "style", text=_STYLE)
    _arrow(root)
    _child(root, "rect", {"class": "ground", **_measures(Rectangle(0, 0, *whole))})
    inside = _group(root, _MARGIN, _MARGIN)
    for panel in panels:
        _draw_panel(_group(inside, panel.place.x, panel.place.y), panel, diagram)
    lower = _group(inside, 0, height + GAP)
    lower.extend(legend)
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode", short_empty_elements=True) + "\n"


def _arrow(root: ET.Element) -> None:
    marker = _child(
        _child(root, "defs"),
        "marker",
        {
            "id": f"{_CLASS}-arrow",
            "viewBox": "0 0 8 8",
            "refX": "7",
            "refY": "4",
            "markerWidth": "7",
            "markerHeight": "7",
            "orient": "auto",
            "markerUnits": "userSpaceOnUse",
        },
    )
    _child(marker, "path", {"class": "arrow", "d": "M0 0.5L8 4L0 7.5z"})


def _draw_panel(parent: ET.Element, panel: PlacedPanel, diagram: Diagram) -> None:
    whole = Rectangle(0, 0, panel.place.width, panel.place.height)
    _child(parent, "rect", {"class": "panel", "rx": "8", **_measures(whole)})
    y = PADDING
    for index, text in enumerate(panel.texts):
        size = LINE if index else HEADING
        _text(parent, text, "aside" if index else "heading", PADDING, y + size)
        y += size * LEADING
    for name, place in panel.groups:
        _child(parent, "rect", {"class": "group", "rx": "6", **_measures(place)})
        _text(parent, name, "aside", place.x + 10, place.y + 15)
    for line in panel.lines:
        _draw_line(parent, line)
    for columns in panel.columns:
        place = columns.place
        y = place.y + 1
        for text in columns.texts:
            _text(parent, text, "column", place.x + place.width / 2, y + LABEL)
            y += LABEL * LEADING
    for box in panel.boxes:
        _draw_box(parent, box, diagram.shared)


def _draw_line(parent: ET.Element, line: PlacedLine) -> None:
    attributes = {"class": "edge", "d": _rounded(line.points)}
    if line.is_carried:
        attributes["class"] += " carried"
    if line.has_arrow:
        attributes["marker-end"] = f"url(#{_CLASS}-arrow)"
    _child(parent, "path", attributes)


def _rounded(points: Sequence[Point]) -> str:
    """A path along some points, with rounded corners."""
    parts = [f"M{_at(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(_ROUNDING, _distance(before, corner) / 2, _distance(corner, after) / 2)
        parts.append(f"L{_at(_towards(corner, before, radius))}")
        parts.append(f"Q{_at(corner)} {_at(_towards(corner, after, radius))}")
    return "".join([*parts, f"L{_at(points[-1])}"])


def _distance(one: Point, other: Point) -> float:
    return float(((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) ** 0.5)


def _towards(start: Point, end: Point, length: float) -> Point:
    part = length / (_distance(start, end) or 1.0)
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part


def _draw_box(parent: ET.Element, placed_box: PlacedBox, shared: dict[str, str]) -> None:
    box, place = placed_box.box, placed_box.place
    group = _child(parent, "g")
    _child(group, "title", text="\n".join([box.title, *box.lines]))
    behind = min(box.count, 3) - 1
    for step in range(behind, -1, -1):
        _draw_outline(group, _class_of(box), place.moved(4.0 * step, 4.0 * step))
    x, y = place.x + place.width / 2, place.y + 7
    if box.kind == "sum" and len(placed_box.texts[0]) == 1:
        _text(group, placed_box.texts[0], "title", x, place.y + place.height / 2 + TITLE * 0.36)
        return
    for index, text in enumerate(placed_box.texts):
        size = LINE if index else TITLE
        _text(group, text, "line" if index else "title", x, y + size)
        y += size * LEADING
    letters = [shared[model] for model in dict.fromkeys(box.models) if model in shared]
    for index, letter in enumerate(letters):
        _draw_badge(group, letter, place.x + place.width - 2 - 19 * index, place.y + 1)


def _class_of(box: Box) -> str:
    kind = box.kind if box.kind in ("data", "model", "loss", "metric", "optimizer") else ""
    return " ".join(filter(None, ("box", kind, box.state)))


def _draw_outline(parent: ET.Element, kind: str, place: Rectangle) -> None:
    if place.width == place.height == 30:
        center = {"cx": _number(place.x + 15), "cy": _number(place.y + 15), "r": "15"}
        _child(parent, "circle", {"class": kind, **center})
    elif "optimizer" in kind:
        _child(parent, "path", {"class": kind, "d": _octagon(place, min(8, place.height / 4))})
    else:
        whole = 14 if "data" in kind else 5 if "model" in kind else 0
        rounding = min(whole, place.height / 2.2)
        _child(parent, "rect", {"class": kind, "rx": _number(rounding), **_measures(place)})
    if "average" in kind:
        inner = Rectangle(place.x + 3.5, place.y + 3.5, place.width - 7, place.height - 7)
        attributes = {"class": kind, "rx": "3", "style": "fill: none; stroke-width: 1px"}
        _child(parent, "rect", {**attributes, **_measures(inner)})


def _octagon(place: Rectangle, cut: float) -> str:
    left, top, right, bottom = place.x, place.y, place.x + place.width, place.y + place.height
    corners = [
        (left + cut, top),
        (right - cut, top),
        (right, top + cut),
        (right, bottom - cut),
        (right - cut, bottom),
        (left + cut, bottom),
        (left, bottom - cut),
        (left, top + cut),
    ]
    return "M" + "L".join(map(_at, corners)) + "z"


def _draw_badge(parent: ET.Element, letter: str, x: float, y: float) -> None:
    _child(parent, "circle", {"class": "badge", "cx": _number(x), "cy": _number(y), "r": "8.5"})
    _text(parent, letter, "letter", x, y + 3.7)


# The legend


def _legend(diagram: Diagram, width: float) -> tuple[list[ET.Element], float, float]:
    """What colours and letters mean, how wide that is, and how high."""
    whole = ET.Element("g")
    boxes = [box for panel in diagram.panels for box in panel.boxes]
    there = {_class_of(box) for box in boxes}
    flow = _Flow(whole, max(width, WIDEST / 3))
    for kind, text in _LEGEND:
        if f"box {kind}" in there:
            _draw_outline(flow.next(text), f"box {kind}", Rectangle(0.5, 1.5, 26, 15))
    flow.break_line()
    for model, letter in diagram.shared.items():
        places = sum(model in box.models for box in boxes)
        _draw_badge(flow.next(f"the same {model} in {places} places"), letter, 13, 9)
    return list(whole), flow.used, flow.height + GAP


class _Flow:
    """Entries of a legend, in lines."""

    def __init__(self, parent: ET.Element, width: float) -> None:
        self.parent = parent
        self.width = width
        self.x = self.y = self.used = self.height = 0.0

    def next(self, text: str) -> ET.Element:
        """A place of 27 × 18 before a text."""
        needed = 33 + width_of(text, LINE)
        if self.x and self.x + needed > self.width:
            self.break_line()
        group = _group(self.parent, self.x, self.y)
        _text(group, text, "aside", 33, 13)
        self.used = max(self.used, self.x + needed)
        self.x += needed + 18
        self.height = self.y + 20
        return group

    def break_line(self) -> None:
        """The next entry begins a line."""
        self.x, self.y = 0.0, self.height


# Elements


def _child(
    parent: ET.Element, tag: str, attributes: dict[str, str] | None = None, text: str | None = None
) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes or {})
    child.text = None if text is None else _clean(text)
    return child


def _text(parent: ET.Element, text: str, kind: str, x: float, y: float) -> None:
    _child(parent, "text", {"class": kind, "x": _number(x), "y": _number(y)}, text)


def _group(parent: ET.Element, x: float, y: float) -> ET.Element:
    return _child(parent, "g", {"transform": f"translate({_number(x)} {_number(y)})"})


def _measures(place: Rectangle) -> dict[str, str]:
    found = {"x": place.x, "y": place.y, "width": place.width, "height": place.height}
    return {key: _number(value) for key, value in found.items()}


def _at(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _clean(text: str) -> str:
    """A text without the characters that XML cannot have."""
    return _NOT_IN_XML.sub("\ufffd", text)
