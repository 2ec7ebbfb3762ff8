"""What predict.py does with NumPy alone, beside what the built-in classes do with torch."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from torchassistant.errors import DataError
from torchassistant.export import portable
from torchassistant.export.exported_graph import form_of, leaves
from torchassistant.export.prediction_files import described_postprocessor, described_preprocessor
from torchassistant.input_converters import ImageFile, JsonValue
from torchassistant.output_devices import Printer
from torchassistant.postprocessors import BestClass, DecodedText
from torchassistant.preprocessors import (
    Categories,
    ImageNormalizer,
    NumberNormalizer,
    TextTokenizer,
)

WORDS = st.lists(st.sampled_from(["a", "B", "b", "<s>", "</s>", "<pad>", "ß"])).map(" ".join)
NUMBERS = st.floats(-1e6, 1e6, width=32)


def as_portable(value: Any) -> Any:
    """A value as the portable functions have it: tensors are arrays."""
    return value.numpy() if isinstance(value, torch.Tensor) else value


def same(preprocessor: Any, value: Any) -> None:
    """Expect the portable function to do what a preprocessor does, errors too."""
    said = described_preprocessor(preprocessor)
    assert said is not None
    function = getattr(portable, said["does"])
    try:
        wanted = as_portable(preprocessor.process(value))
    except DataError:
        with pytest.raises(ValueError, match=r"needed|among|values of an image"):
            function(as_portable(value), said)
        return
    found = function(as_portable(value), said)
    assert type(found) is type(wanted)
    np.testing.assert_array_equal(found, wanted)
    if isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype


@given(texts=st.lists(WORDS, min_size=1), text=WORDS, lowercase=st.booleans())
def test_texts(texts: list[str], text: str, lowercase: bool) -> None:
    tokenizer = TextTokenizer(lowercase=lowercase)
    tokenizer.fit(texts)
    same(tokenizer, text)
    session = SimpleNamespace(preprocessors={"words": tokenizer})
    decoder = DecodedText(session, "y", "words")
    numbers = torch.tensor([tokenizer.process(text)])
    said = described_postprocessor(decoder, ["y"])
    assert portable.decoded_text({"y": numbers.numpy()}, said) == decoder({"y": numbers})


@given(
    values=st.lists(st.text(max_size=2), min_size=1) | st.lists(st.integers(), min_size=1),
    value=st.text(max_size=2) | st.integers(),
)
def test_values(values: list[Any], value: Any) -> None:
    categories = Categories()
    categories.fit([(one,) for one in values])
    same(categories, value)
    same(categories, values[0])


@given(values=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1), value=st.lists(NUMBERS))
def test_numbers(values: list[tuple[float, float]], value: list[float]) -> None:
    normalizer = NumberNormalizer()
    normalizer.fit([(torch.tensor(one),) for one in values])
    same(normalizer, torch.tensor(value))
    same(normalizer, torch.tensor(values[0]))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (4, 3, 3), (1, 4, 3, 3), (3,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("channels", [1, 3])
def test_images(shape: tuple[int, ...], dtype: Any, channels: int) -> None:
    draw = np.random.default_rng(0)
    kind = ImageNormalizer()
    whole = draw.integers(0, 256, (6, 5, channels)).astype(np.uint8)
    kind.fit([whole[..., 0] if channels == 1 else whole])
    value = (draw.random(shape) * 255).astype(dtype)
    if dtype is np.uint8 or value.ndim != 3:
        same(kind, value)
    else:  # floats of three dimensions are (H, W, C) here, and what a converter gave is (C, H, W)
        same(kind, torch.from_numpy(value))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "F"])
@pytest.mark.parametrize("size", [None, (2, 5)])
def test_image_files(tmp_path: Path, mode: str, size: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    path = str(tmp_path / "a.png")
    Image.fromarray(pixels).save(path)
    converter = ImageFile(mode, size)
    found = portable.image_file(path, {"mode": mode, "size": size})
    normalizer = ImageNormalizer()
    normalizer.fit([converter(path)])
    said = described_preprocessor(normalizer)
    wanted = normalizer.process(converter(path)).numpy()
    np.testing.assert_array_equal(portable.image_normalizer(found, said), wanted)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | NUMBERS | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
)


def plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor | np.ndarray):
        return "array", str(value.dtype).removeprefix("torch."), value.tolist()
    if isinstance(value, list):
        return [plain(one) for one in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


@given(value=JSON | st.text())
def test_json(value: Any) -> None:
    text = json.dumps(value)
    assert plain(portable.json_value(text, None)) == plain(JsonValue()(text))


@pytest.mark.parametrize("text", ["", "{", "NaN0", "[1, 2"])
def test_no_json(text: str) -> None:
    with pytest.raises(ValueError, match="not valid JSON"):
        portable.json_value(text, None)


@given(scores=st.lists(NUMBERS, min_size=3, max_size=3), named=st.booleans())
def test_classes(scores: list[float], named: bool) -> None:
    best = BestClass(None, "y", ["p", "q", "r"] if named else None)
    y = torch.tensor([scores])
    found = portable.best_class({"y": y.numpy()}, described_postprocessor(best, ["y"]))
    assert found == best({"y": y})


TENSORS = st.lists(NUMBERS, max_size=3).map(torch.tensor) | st.just(torch.zeros(1001) + 0.5)
VALUES = st.recursive(
    st.none() | TENSORS | st.integers(0, 3).map(torch.tensor),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from("pqr"), inner)
    ),
)


@given(value=VALUES)
def test_what_is_printed(value: Any) -> None:
    given = {name: tensor.numpy() for name, tensor in leaves("y", value)}
    form = json.loads(json.dumps(form_of("y", value)))
    shown = portable.shown(portable.filled(form, given))
    assert printed({"y": value}) == f"y: {shown}\n"


def printed(data: Any) -> str:
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        Printer()(data)
    return out.getvalue()


def test_folders_stand_for_the_images_in_them(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", ".c.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "d.png").mkdir()
    image, text = (
        {"port": "x", "converter": {"does": "image_file"}},
        {"port": "y", "converter": None},
    )
    folder = str(tmp_path)
    first, last = str(tmp_path / "a.PNG"), str(tmp_path / "b.png")
    assert portable.grouped([folder, "no.png"], [image]) == [[first], [last], ["no.png"]]
    assert portable.grouped([folder, folder], [image, text]) == [[first, folder], [last, folder]]
    with pytest.raises(ValueError, match="holds no image file"):
        portable.grouped([str(tmp_path / "d.png")], [image])
    with pytest.raises(ValueError, match="one input is needed for each of x, y; found 3"):
        portable.grouped(["1", "2", "3"], [image, text])
    (tmp_path / "d.png" / "a.png").touch()
    with pytest.raises(ValueError, match="as many files"):
        portable.grouped([folder, str(tmp_path / "d.png")], [image, image])
