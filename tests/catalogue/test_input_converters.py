"""Input converters."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchassistant.errors import DataError
from torchassistant.input_converters import ImageFile, JsonValue, Text

quick = settings(deadline=None, max_examples=60)


@given(st.text())
@quick
def test_text_is_taken_as_it_is(text):
    assert Text()(text) == text


# --- ImageFile ----------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path):
    """A file 4 wide and 2 high, red on the left and black on the right."""
    image = Image.new("RGB", (4, 2))
    image.paste((255, 0, 0), (0, 0, 2, 2))
    image.save(tmp_path / "picture.png")
    return str(tmp_path / "picture.png")


@pytest.mark.parametrize(("mode", "pixel"), [("L", 76), ("RGB", (255, 0, 0))])
def test_an_image_is_read_in_the_colours_asked_for(picture, mode, pixel):
    image = ImageFile(mode=mode)(picture)
    assert (image.mode, image.size, image.getpixel((0, 0))) == (mode, (4, 2), pixel)


@pytest.mark.parametrize(("size", "expected"), [([3, 5], (5, 3)), (6, (6, 6)), (None, (4, 2))])
def test_a_size_is_height_then_width(picture, size, expected):
    assert ImageFile(size=size)(picture).size == expected


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*nothing\.png"):
        ImageFile()(str(tmp_path / "nothing.png"))


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_told(tmp_path, content):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"picture\.png"):
        ImageFile()(str(path))


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_damaged_file_is_told_or_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "picture.png"
    Image.linear_gradient("L").resize((16, 16)).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(3):
        index = data.draw(st.integers(0, len(content) - 1))
        content[index] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        ImageFile()(str(path))
    except DataError as error:
        assert "picture.png" in str(error)


@pytest.mark.parametrize("path", [".", "a\0b", ""])
def test_a_path_that_is_no_file_is_told(path):
    with pytest.raises(DataError):
        ImageFile()(path)


@pytest.mark.parametrize(
    "arguments",
    [{"mode": "grey"}, {"size": 0}, {"size": [1]}, {"size": [1, 2.5]}, {"size": 2.5},
     {"size": True}, {"size": "ab"}],
)  # fmt: skip
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        ImageFile(**arguments)


# --- JsonValue ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2.5]", torch.tensor([1, 2.5])),
        ("[[1, 2], [3, 4]]", torch.tensor([[1.0, 2], [3, 4]])),
        ("[[[1]], [[2]]]", torch.tensor([[[1.0]], [[2.0]]])),
    ],
)
def test_lists_of_numbers_become_tensors(text, expected):
    value = JsonValue()(text)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)


@pytest.mark.parametrize(
    "text", ["3", "2.5", '"a"', "null", "true", "[]", "[true]", '["a", 1]', "{}"]
)
def test_the_rest_stays_what_it_is(text):
    assert JsonValue()(text) == json.loads(text)


def test_lists_inside_are_found():
    value = JsonValue()('{"x": [1, 2], "rows": [[1], [2, 3]], "n": 1}')
    assert value["x"].tolist() == [1, 2]
    assert [row.tolist() for row in value["rows"]] == [[1], [2, 3]]
    assert value["n"] == 1


numbers = st.integers(-(2**24), 2**24) | st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(numbers, min_size=1))
@quick
def test_every_list_of_numbers_comes_through(values):
    assert JsonValue()(json.dumps(values)).tolist() == values


@given(st.text() | st.binary().map(repr))
@quick
def test_any_text_is_parsed_or_told(text):
    try:
        json.loads(text)
    except ValueError:
        with pytest.raises(DataError, match="not valid JSON"):
            JsonValue()(text)
    else:
        JsonValue()(text)


def test_the_place_of_a_mistake_is_told():
    with pytest.raises(DataError, match=r"at character 5 of \[1, x\]"):
        JsonValue()("[1, x]")


@pytest.mark.parametrize("text", ["[" * 100_000, f"[1{'0' * 400}]", "1" * 5000])
def test_what_is_too_much_is_told(text):
    with pytest.raises(DataError, match="the input"):
        JsonValue()(text)
