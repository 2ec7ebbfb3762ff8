"""A training graph as PNG, for papers and programs that show no SVG: drawn by resvg."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from torchassistant.errors import UserError

_SCALE = 2.0
"""Pixels for one of the SVG: letters are sharp in print."""

_LAST_FONT = "DejaVu Sans"
"""Where the system has none of those that the SVG names; without it letters would have serifs."""

_MOST_PIXELS = 60e6
_NAMED = re.compile(r"(--[a-z-]+): ([^;]+);")
_USE = re.compile(r"var\((--[a-z-]+)\)")
_DARK = re.compile(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")


def png_of(svg: str) -> bytes:
    """A picture as :func:`svg_of` gives it, in pixels and light colours.

    Raises:
        UserError: resvg is not installed.
    """
    try:
        import resvg_py
    except ImportError:
        raise UserError(
            "a graph as PNG is drawn by resvg, which is not installed: "
            'pip install "torchassistant[report]"'
        ) from None
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=_in_plain_colors(svg),
            zoom=_scale(svg),
            sans_serif_family=_LAST_FONT,
        )
    )


def _in_plain_colors(svg: str) -> str:
    """The same with each color where it is used: resvg knows no names of colors."""
    style = svg[svg.index("<style>") : svg.index("</style>")]
    light = _DARK.sub("", style)
    colors = dict(_NAMED.findall(light))
    plain = _USE.sub(lambda use: colors[use[1]], _NAMED.sub("", light))
    return svg.replace(style, plain, 1)


def _scale(svg: str) -> float:
    """Less for what is very large, which no program would open."""
    root = ET.fromstring(svg)
    pixels = float(root.attrib["width"]) * float(root.attrib["height"])
    return min(_SCALE, (_MOST_PIXELS / max(pixels, 1.0)) ** 0.5)
