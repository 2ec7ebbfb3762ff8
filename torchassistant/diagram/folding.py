"""Repeated parts of a picture, drawn once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from torchassistant.diagram.parts import Box, Column, Link, Panel

FEWEST = 3
"""How many alike are drawn as one."""


def folded(panel: Panel) -> Panel:
    """The same pipeline with what is repeated drawn once: equal branches, then chains."""
    panel = _without(panel, _branches(panel))
    return _without(panel, _chains(panel))


def _branches(panel: Panel) -> list[list[Box]]:
    """Boxes that nothing but their names tells apart, with all that leads to them and from them.

    Colours are refined until they stay: two boxes have one colour when they are alike, and lead to
    and from boxes of the same colours.
    """
    colours: dict[str, object] = {box.id: _look(box) for box in panel.boxes}
    while True:
        around: dict[str, list[tuple[str, object]]] = defaultdict(list)
        for link in panel.links:
            said = (len(link.columns), link.is_carried, link.note)
            around[link.source].append(("to", (said, colours[link.target])))
            around[link.target].append(("from", (said, colours[link.source])))
        finer = {
            box.id: (colours[box.id], frozenset(Counter(around[box.id]).items()))
            for box in panel.boxes
        }
        numbers = {colour: number for number, colour in enumerate(dict.fromkeys(finer.values()))}
        if len(numbers) == len(set(colours.values())):
            break
        colours = {box: numbers[colour] for box, colour in finer.items()}
    alike: dict[object, list[Box]] = defaultdict(list)
    for box in panel.boxes:
        alike[colours[box.id]].append(box)
    return [boxes for boxes in alike.values() if len(boxes) >= FEWEST]


def _chains(panel: Panel) -> list[list[Box]]:
    """Boxes that are alike, each of which leads to the next one only."""
    boxes = {box.id: box for box in panel.boxes}
    after: dict[str, set[str]] = defaultdict(set)
    before: dict[str, set[str]] = defaultdict(set)
    for link in panel.links:
        after[link.source].add(link.target)
        before[link.target].add(link.source)

    def following(box: Box) -> Box | None:
        if len(after[box.id]) != 1:
            return None
        (next_id,) = after[box.id]
        is_alike = _look(boxes[next_id]) == _look(box)
        return boxes[next_id] if is_alike and before[next_id] == {box.id} else None

    nexts = {box.id: following(box) for box in panel.boxes if box.kind in ("model", "object")}
    continued = {box.id for box in nexts.values() if box is not None}
    found = []
    for start in panel.boxes:
        if start.id in continued:
            continue
        chain: list[Box] = [start]
        while (following_box := nexts.get(chain[-1].id)) is not None and following_box not in chain:
            chain.append(following_box)
        if len(chain) >= FEWEST:
            found.append(chain)
    return found


def _look(box: Box) -> object:
    """What a box shows, without its names and weights."""
    names = (box.title, box.model)
    lines = tuple(line for line in box.lines if not any(n and n in line for n in names))
    return box.kind, lines, box.group, box.state, len(box.calls), box.count


def _without(panel: Panel, repeated: Iterable[Sequence[Box]]) -> Panel:
    """A pipeline in which the first of some boxes stands for all of them."""
    stands_for: dict[str, str] = {}
    whole: dict[str, Box] = {}
    for boxes in repeated:
        first = boxes[0]
        for box in boxes:
            stands_for[box.id] = first.id
        title = f"{first.title} … {boxes[-1].title}"
        count = sum(box.count for box in boxes)
        whole[first.id] = replace(first, title=title, count=count, model=None, calls=())
    kept = [whole.get(b.id, b) for b in panel.boxes if stands_for.get(b.id, b.id) == b.id]
    links: dict[tuple[str, str, bool], Link] = {}
    for link in panel.links:
        source = stands_for.get(link.source, link.source)
        target = stands_for.get(link.target, link.target)
        if source == target and not link.is_carried:
            continue
        link = replace(link, source=source, target=target)
        links[source, target, link.is_carried] = _merged(
            links.get((source, target, link.is_carried)), link
        )
    return replace(panel, boxes=tuple(kept), links=tuple(links.values()))


def _merged(known: Link | None, link: Link) -> Link:
    """Links that go the same way, as one; of columns of one shape, the first and the last."""
    if known is None:
        return link
    columns = tuple(dict.fromkeys((*known.columns, *link.columns)))
    shapes = {column.shape for column in columns}
    if len(columns) > 2 and len(shapes) == 1:
        ends = (columns[0].name.partition(" … ")[0], columns[-1].name)
        columns = (Column(" … ".join(ends), *shapes),)
    return replace(known, columns=columns)
