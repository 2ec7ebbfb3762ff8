"""Draws shapes: light ones on dark ground, somewhere, in some size, turn and colour."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw
from torch.utils.data import Dataset

SIZE = 32
"""Height and width of an image in pixels."""

FINER = 4
"""Images are drawn that many times as large and scaled down, for smooth edges."""

Place = tuple[float, float, float]
"""The centre of a shape (x, y) and its radius, in pixels."""

Colour = tuple[int, ...]


def picture(shape: str, random: Random) -> Image.Image:
    """An RGB image of 32 by 32 pixels that shows ``shape``, a key of `SHAPES`, and some noise."""
    size = SIZE * FINER
    ground, light = (tuple(random.choices(range(*ends), k=3)) for ends in ((0, 100), (120, 256)))
    radius = random.uniform(0.22, 0.36) * size
    x, y = (random.uniform(radius, size - radius) for _ in "xy")
    image = Image.new("RGB", (size, size), ground)
    SHAPES[shape](ImageDraw.Draw(image), (x, y, radius), random.uniform(0, 360), light)
    noise = Image.frombytes("L", (SIZE, SIZE), random.randbytes(SIZE * SIZE)).convert("RGB")
    return Image.blend(image.resize((SIZE, SIZE), Image.Resampling.BOX), noise, 0.15)


class Shapes(Dataset[tuple[Image.Image, int]]):
    """Drawn images. An example is an RGB image of 32 by 32 pixels and the index of its shape.

    Args:
        shapes: What is drawn, in turn.
        count: The number of examples.
        seed: The same seed gives the same images.
    """

    def __init__(self, shapes: list[str], count: int, seed: int) -> None:
        random = Random(seed)
        self.labels = [index % len(shapes) for index in range(count)]
        self.images = [picture(shapes[label], random) for label in self.labels]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return self.images[index], self.labels[index]


Draw = Callable[[ImageDraw.ImageDraw, Place, float, Colour], None]


def _polygon(corners: int, waist: float = 0.0) -> Draw:
    """A regular polygon; with a waist, a star whose inner corners are that far from the centre."""

    def draw(on: ImageDraw.ImageDraw, place: Place, turn: float, colour: Colour) -> None:
        x, y, radius = place
        distances = [1.0, waist] if waist else [1.0]
        points = []
        for index in range(corners * len(distances)):
            angle = math.radians(turn) + math.tau * index / (corners * len(distances))
            distance = radius * distances[index % len(distances)]
            points.append((x + distance * math.cos(angle), y + distance * math.sin(angle)))
        on.polygon(points, fill=colour)

    return draw


def _slice(angle: float) -> Draw:
    """A part of a disc, of so many degrees."""

    def draw(on: ImageDraw.ImageDraw, place: Place, turn: float, colour: Colour) -> None:
        on.pieslice(_box(place), turn, turn + angle, fill=colour)

    return draw


def _disc(on: ImageDraw.ImageDraw, place: Place, turn: float, colour: Colour) -> None:
    # As large an area as that of a square with the same radius.
    on.ellipse(_box(place, 0.8), fill=colour)


def _ring(on: ImageDraw.ImageDraw, place: Place, turn: float, colour: Colour) -> None:
    on.ellipse(_box(place, 0.85), outline=colour, width=round(0.4 * place[2]))


def _box(place: Place, share: float = 1.0) -> tuple[float, float, float, float]:
    x, y, radius = place
    return x - share * radius, y - share * radius, x + share * radius, y + share * radius


SHAPES: dict[str, Draw] = {
    "disc": _disc,
    "square": _polygon(4),
    "triangle": _polygon(3),
    "pentagon": _polygon(5),
    "star": _polygon(5, 0.45),
    "cross": _polygon(4, 0.35),
    "trefoil": _polygon(3, 0.35),
    "ring": _ring,
    "half": _slice(180),
    "quarter": _slice(90),
}
