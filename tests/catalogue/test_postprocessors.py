"""From the columns of a prediction to names and texts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from torchassistant.errors import DataError
from torchassistant.postprocessors import BestClass, DecodedText
from torchassistant.preprocessors import Categories, TextTokenizer

SCORES = {"y": torch.tensor([[0.1, 0.7, 0.2]])}


def session() -> Any:
    colours, words = Categories(), TextTokenizer()
    colours.fit([("red",), ("blue",), ("green",)])
    words.fit(["one two two"])
    pictures = SimpleNamespace(classes=("cat", "dog", "cow"))
    return SimpleNamespace(
        datasets={"pictures": pictures, "plain": [1]},
        preprocessors={"colours": colours, "words": words},
    )


@pytest.mark.parametrize(
    ("names", "wanted"),
    [(None, 1), (["a", "b", "c"], "b"), ("pictures", "dog"), ("colours", "green")],
)
def test_the_best_class(names: Any, wanted: Any) -> None:
    assert BestClass(session(), "y", names)(SCORES) == wanted


def test_a_text() -> None:
    words = session().preprocessors["words"]
    numbers = torch.tensor([[*words.process("two one"), 0, 0]])
    assert DecodedText(session(), "x", "words")({"x": numbers}) == "two one"


def test_what_does_not_fit() -> None:
    for names, message in (
        ("picture", 'named "picture"; did you mean "pictures"'),
        ("plain", "knows no names of classes"),
        ("words", "knows no names of classes"),
    ):
        with pytest.raises(DataError, match=message):
            BestClass(session(), "y", names)
    with pytest.raises(DataError, match="3 classes, and there are names of 2"):
        BestClass(session(), "y", ["a", "b"])(SCORES)
    with pytest.raises(DataError, match='no column "z"'):
        BestClass(session(), "z")(SCORES)
    with pytest.raises(DataError, match="of one input"):
        BestClass(session(), "y")({"y": torch.zeros(2, 3)})
    with pytest.raises(DataError, match="must be a TextTokenizer; found Categories"):
        DecodedText(session(), "x", "colours")
