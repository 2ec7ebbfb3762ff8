"""The data: every number from 0 to 9999, in words."""

from __future__ import annotations

from num2words import num2words


class NumberWords:
    """Numbers in words, in two languages.

    Args:
        count: How many numbers, from 0 on.
        source: The language to translate from, in the codes of num2words.
        target: The language to translate to.
    """

    def __init__(self, count: int = 10_000, source: str = "fr", target: str = "en") -> None:
        # Spelled once: num2words takes as long for a number as the models do to learn from it.
        self.pairs = [
            (num2words(number, lang=source), num2words(number, lang=target))
            for number in range(count)
        ]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[str, str]:
        """A number in both languages, as ``("mille deux", "one thousand and two")``."""
        return self.pairs[number]
