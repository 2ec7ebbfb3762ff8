"""Output devices."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchassistant.errors import DataError
from torchassistant.output_devices import JsonLines, Printer, SaveImages

# --- Printer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "printed"),
    [
        ("ninety-seven", "ninety-seven"),
        (["one", "two"], "one\ntwo"),
        ({"label": 7, "word": "cat"}, "label: 7\nword: cat"),
        ({"p": torch.tensor([[0.1, 2 / 3]])}, "p: [[0.1, 0.666667]]"),
        (torch.tensor(3), "3"),
        (torch.tensor([True, False]), "[True, False]"),
        (torch.tensor(0.25, requires_grad=True), "0.25"),
        (torch.tensor([0.1], dtype=torch.float64), "[0.1]"),
        ({"x": ["a", 0.123456789]}, 'x: ["a", 0.123457]'),
        ({"x": {"y": torch.tensor([1])}}, 'x: {"y": [1]}'),
        (250123.5, "250124"),
        (None, "None"),
        ([], "[]"),
        (torch.linspace(0, 1, 1001), "tensor (1001,) float32, 0 to 1"),
        (torch.zeros(2000, dtype=torch.bool), "tensor (2000,) bool, False to False"),
    ],
)
def test_printing(data, printed, capsys):
    Printer()(data)
    assert capsys.readouterr() == (printed + "\n", "")


# --- SaveImages ---------------------------------------------------------------------------------


def pixels(path):
    return np.asarray(Image.open(path))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_image_is_saved_as_it_is(tmp_path):
    image = torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8)
    SaveImages(tmp_path / "new" / "folder")(image)
    assert names(tmp_path / "new" / "folder") == ["000001.png"]
    assert (pixels(tmp_path / "new/folder/000001.png") == image.permute(1, 2, 0).numpy()).all()


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        (torch.rand(4, 5), (4, 5)),
        (torch.rand(1, 4, 5), (4, 5)),
        (torch.rand(3, 4, 5), (4, 5, 3)),
        (torch.rand(4, 4, 5), (4, 5, 4)),
        (torch.rand(1, 3, 4, 5), (4, 5, 3)),
        (torch.rand(4, 5) > 0.5, (4, 5)),
        (torch.rand(4, 5, dtype=torch.float64, requires_grad=True), (4, 5)),
        (torch.rand(4, 5).bfloat16(), (4, 5)),
    ],
)
def test_shapes_and_dtypes(tmp_path, tensor, shape):
    SaveImages(str(tmp_path))(tensor)
    assert pixels(tmp_path / "000001.png").shape == shape


def test_brightness_is_rounded_and_cut_off(tmp_path):
    SaveImages(tmp_path)(torch.tensor([[0.0, 0.5, 1.0, -1.0, 2.0, math.nan, math.inf]]))
    assert pixels(tmp_path / "000001.png").tolist() == [[0, 128, 255, 0, 255, 0, 255]]


def test_every_value_of_a_byte_survives(tmp_path):
    values = torch.arange(256).reshape(16, 16)
    SaveImages(tmp_path)(values.float() / 255)
    assert (pixels(tmp_path / "000001.png") == values.numpy()).all()


def test_a_batch_becomes_a_grid(tmp_path):
    batch = torch.arange(1, 6, dtype=torch.uint8)[:, None, None, None].expand(5, 1, 2, 3)
    SaveImages(tmp_path, columns=3)(batch)
    grid = pixels(tmp_path / "000001.png")
    assert grid.shape == (2 + 2 + 2, 3 * 3 + 2 * 2)
    assert grid[:2, :3].tolist() == [[1] * 3] * 2
    assert grid[:2, 5:8].tolist() == [[2] * 3] * 2
    assert grid[4:, :3].tolist() == [[4] * 3] * 2
    assert grid[4:, 5:8].tolist() == [[5] * 3] * 2
    assert grid.sum() == 6 * (1 + 2 + 3 + 4 + 5)


def test_a_small_batch_is_one_row(tmp_path):
    SaveImages(tmp_path, columns=8)(torch.rand(2, 1, 4, 4))
    assert pixels(tmp_path / "000001.png").shape == (4, 4 + 2 + 4)


def test_numbers_go_on_from_what_is_there(tmp_path):
    device = SaveImages(tmp_path, prefix="gan_")
    image = torch.rand(2, 2)
    (tmp_path / "000050.png").touch()
    (tmp_path / "gan_notes.png").touch()
    device(image)
    device(image)
    (tmp_path / "gan_000009-real.png").touch()
    SaveImages(tmp_path, prefix="gan_")(image)
    found = [name for name in names(tmp_path) if name.startswith("gan_0")]
    assert found == ["gan_000001.png", "gan_000002.png", "gan_000009-real.png", "gan_000010.png"]


def test_a_dict_gives_one_file_a_key_of_one_number(tmp_path):
    SaveImages(tmp_path)({"real": torch.zeros(2, 2), "a/b é": torch.ones(2, 2)})
    SaveImages(tmp_path)({"real": torch.zeros(2, 2)})
    assert names(tmp_path) == ["000001-a_b_é.png", "000001-real.png", "000002-real.png"]
    assert pixels(tmp_path / "000001-a_b_é.png").min() == 255


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (torch.rand(5), r"found \(5,\)"),
        (torch.rand(2, 4, 5), r"found \(2, 4, 5\)"),
        (torch.rand(1, 1, 1, 4, 5), "found"),
        (torch.zeros(2, 2, dtype=torch.int64), "found int64"),
        (torch.rand(0, 1, 2, 2), "no pixels"),
        ([1], "found list"),
        ({"ok": torch.rand(2, 2), "bad": "x"}, '"bad": .* found str'),
        ({"a/b": torch.rand(2, 2), "a:b": torch.rand(2, 2)}, "same file name"),
    ],
)
def test_what_is_no_image_is_refused_and_nothing_saved(tmp_path, data, said):
    with pytest.raises(DataError, match=said):
        SaveImages(tmp_path / "out")(data)
    assert not (tmp_path / "out").exists()


def test_a_failed_save_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OSError, match="disk full"):
        SaveImages(tmp_path)(torch.rand(2, 2))
    assert names(tmp_path) == []


def test_where_a_file_has_one_name_only_images_are_saved_too(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", fail)
    SaveImages(tmp_path)(torch.ones(2, 2))
    SaveImages(tmp_path)(torch.ones(2, 2))
    assert names(tmp_path) == ["000001.png", "000002.png"]
    assert pixels(tmp_path / "000002.png").min() == 255


def test_no_file_takes_the_place_of_another(tmp_path, monkeypatch):
    (tmp_path / "000001-b.png").write_bytes(b"somebody else's")
    (tmp_path / "away").touch()
    (tmp_path / "000002-a.png").symlink_to(tmp_path / "away")
    monkeypatch.setattr(SaveImages, "_next_number", lambda self, folder: 1)  # they came since
    SaveImages(tmp_path)({"a": torch.ones(2, 2), "b": torch.ones(2, 2)})
    assert names(tmp_path) == [
        *("000001-b.png", "000002-a.png", "000003-a.png", "000003-b.png", "away")
    ]
    assert (tmp_path / "000001-b.png").read_bytes() == b"somebody else's"
    assert (tmp_path / "away").read_bytes() == b""


@pytest.mark.parametrize("arguments", [{"columns": 0}, {"prefix": "a/b"}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="must"):
        SaveImages("out", **arguments)


# --- JsonLines ----------------------------------------------------------------------------------


def written(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_one_line_a_call(tmp_path):
    path = tmp_path / "new" / "out.jsonl"
    JsonLines(path)({"text": "à\nb", "p": torch.tensor([[0.5, 1]]), "n": np.int64(3)})
    JsonLines(str(path))({"none": None, "nan": [math.nan, math.inf], 1: (True,)})
    assert written(path) == [
        {"text": "à\nb", "p": [[0.5, 1.0]], "n": 3},
        {"none": None, "nan": [None, None], "1": [True]},
    ]
    assert "à" in path.read_text(encoding="utf-8")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(json_values, min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_what_is_json_already_comes_back(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("lines") / "out.jsonl"
    for value in values:
        JsonLines(path)(value)
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == values


def test_bytes_of_the_command_line_that_are_no_text_come_back(tmp_path):
    JsonLines(tmp_path / "out")("caf\udce9")
    assert written(tmp_path / "out") == ["caf\udce9"]


def test_what_json_cannot_hold_is_named_and_nothing_written(tmp_path):
    with pytest.raises(DataError, match=r"the data\['a'\]\[1\] is of type object"):
        JsonLines(tmp_path / "out")({"a": [1, object()]})
    assert names(tmp_path) == []


# Which input a prediction is for


def test_printer_says_the_input_where_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer()
    printer(7, input="a.png", several=False)
    printer(7, input="a.png", several=True)
    printer({"x": 1, "y": 2}, input={"one": "a.png", "two": "3"}, several=True)
    assert capsys.readouterr().out == "7\na.png: 7\na.png, 3:\n  x: 1\n  y: 2\n"


def test_json_lines_have_the_input(tmp_path: Path) -> None:
    device = JsonLines(tmp_path / "out.jsonl")
    device({"x": 1}, input="a")
    device(7, input={"one": "a", "two": "b"})
    device({"input": 1}, input="a")
    device({"x": 1})
    assert [json.loads(line) for line in device.path.read_text().splitlines()] == [
        {"input": "a", "x": 1},
        {"input": {"one": "a", "two": "b"}, "result": 7},
        {"input": "a", "result": {"input": 1}},
        {"x": 1},
    ]


def test_save_images_tells_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device = SaveImages(tmp_path)
    device({"x": torch.zeros(2, 2), "y": torch.zeros(2, 2)}, input="a")
    files = f"{tmp_path / '000001-x.png'}, {tmp_path / '000001-y.png'}"
    assert capsys.readouterr().out == f"a: {files}\n"
    device(torch.zeros(2, 2))
    assert capsys.readouterr().out == ""
