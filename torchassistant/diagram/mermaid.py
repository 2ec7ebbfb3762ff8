"""A training graph as text for Mermaid, which GitHub and many editors draw."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torchassistant.diagram.parts import Box, Diagram, Link, Panel

_FORMS = {
    "data": ("([", "])"),
    "sum": ("((", "))"),
    "loss": ("[[", "]]"),
    "metric": ("[[", "]]"),
    "optimizer": ("{{", "}}"),
}
_COLOURS = {
    "data": "fill:#e7ecf0,stroke:#6e7781,color:#1f2328",
    "model": "fill:#ffffff,stroke:#6e7781,color:#1f2328",
    "trained": "fill:#dcedf9,stroke:#0072b2,stroke-width:2px,color:#1f2328",
    "fixed": "fill:#ffffff,stroke:#6e7781,stroke-dasharray:5 3,color:#1f2328",
    "frozen": "fill:#eef7fd,stroke:#2b8cc4,stroke-dasharray:2 3,color:#1f2328",
    "average": "fill:#f9ecf3,stroke:#a8507f,stroke-width:2px,color:#1f2328",
    "loss": "fill:#fde8dc,stroke:#c45500,color:#1f2328",
    "metric": "fill:#fff4d6,stroke:#a87400,color:#1f2328",
    "optimizer": "fill:#dff3ec,stroke:#00805c,color:#1f2328",
}


def mermaid_of(diagram: Diagram) -> str:
    """A flowchart; the same for the same graph, letter for letter."""
    names = {
        box.id: f"b{number}"
        for number, box in enumerate((b for p in diagram.panels for b in p.boxes), 1)
    }
    return "\n".join(_lines(diagram, names)) + "\n"


def _lines(diagram: Diagram, names: dict[str, str]) -> Iterator[str]:
    yield "flowchart TB"
    classes: dict[str, list[str]] = {}
    for panel in diagram.panels:
        yield f"  subgraph {panel.id}[{_quoted(' — '.join([panel.title, *panel.lines]))}]"
        yield from _boxes(panel, names, diagram.shared)
        for link in panel.links:
            yield f"    {_link(link, names)}"
        yield "  end"
        for box in panel.boxes:
            classes.setdefault(box.state or box.kind, []).append(names[box.id])
    for kind, colours in _COLOURS.items():
        if kind in classes:
            yield f"  classDef {kind} {colours}"
            yield f"  class {','.join(classes[kind])} {kind}"


def _boxes(panel: Panel, names: dict[str, str], shared: dict[str, str]) -> Iterator[str]:
    """The boxes of a pipeline, those of a batch processor together."""
    by_group: dict[str | None, list[Box]] = {}
    for box in panel.boxes:
        by_group.setdefault(box.group, []).append(box)
    for number, (group, boxes) in enumerate(by_group.items()):
        is_framed = group is not None and len(boxes) > 1
        if is_framed:
            yield f"    subgraph {panel.id}g{number}[{_quoted(group or '')}]"
        for box in boxes:
            before, after = _FORMS.get(box.kind, ("[", "]"))
            letters = [shared[model] for model in dict.fromkeys(box.models) if model in shared]
            title = box.title if box.count == 1 else f"{box.title} ×{box.count}"
            lines = [" ".join([title, *(f"({letter})" for letter in letters)]), *box.lines]
            yield f"    {names[box.id]}{before}{_quoted(*lines)}{after}"
        if is_framed:
            yield "    end"


def _link(link: Link, names: dict[str, str]) -> str:
    arrow = "-.->" if link.is_carried else "-->"
    text = f"|{_quoted(*link.lines)}|" if link.lines else ""
    return f"{names[link.source]} {arrow}{text} {names[link.target]}"


_PLAIN = re.compile(r"[^\w .,:;…·×→Σ—()/+=-]")


def _quoted(*lines: str) -> str:
    """Lines as one text; what may mean something to Mermaid, or HTML, is written by its number.

    >>> _quoted('a "b"', "c")
    '"a #34;b#34;<br/>c"'
    """
    shown = (_PLAIN.sub(lambda match: f"#{ord(match[0])};", line) for line in lines)
    return f'"{"<br/>".join(shown)}"'
