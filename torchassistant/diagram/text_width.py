"""How wide text is, about, without a font at hand: an SVG is shown in whatever font there is."""

from __future__ import annotations

import unicodedata

# Parts of the font size, after the widths of Helvetica, to which Arial and Liberation Sans keep.
_WIDTHS = {
    0.24: "'ijl|",
    0.3: " !,./:;I[]ft\\·",
    0.36: '"()-r`{}*',
    0.5: "ckszvxyJ^",
    0.6: "#$+<=>?_abdeghnopqu0123456789FLTZ~×",
    0.7: "ABEKPSVXY&CDHNRUw",
    0.8: "GOQ",
    0.87: "mM%",
    0.96: "W",
    1.03: "@…→",
}
_WIDTH_OF = {letter: width for width, letters in _WIDTHS.items() for letter in letters}
_BOLD = 1.08
_MORE = 1.04
"""Fonts that stand in for others may be wider."""


def width_of(text: str, size: float, is_bold: bool = False) -> float:
    """The width of a line of text, in the unit of the size of its font."""
    whole = sum(map(_width_of_letter, text))
    return whole * size * _MORE * (_BOLD if is_bold else 1)


def shortened(text: str, size: float, most: float, is_bold: bool = False) -> str:
    """A text that fits; what is in the middle gives way, because names differ at their ends.

    >>> shortened("discriminator_of_real_images", 10, 100)
    'discrim…_images'
    """
    if width_of(text, size, is_bold) <= most:
        return text
    for kept in range(len(text) - 1, 2, -1):
        tail = kept * 2 // 5
        short = f"{text[: kept - tail]}…{text[len(text) - tail :]}"
        if width_of(short, size, is_bold) <= most:
            return short
    return "…"


def _width_of_letter(letter: str) -> float:
    known = _WIDTH_OF.get(letter)
    if known is not None:
        return known
    if unicodedata.combining(letter):
        return 0.0
    return 1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.65
