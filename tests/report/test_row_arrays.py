"""Tensors of predictions that are images: in an archive of NumPy, in cells, in nested lists."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from torchassistant.report.images import png_of_numbers
from torchassistant.report.predictions import ImageRoom, Judge, read_predictions
from torchassistant.report.row_arrays import images_of_rows


def archive_of(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


WHOLE = archive_of(image=np.arange(48, dtype="f4").reshape(1, 3, 4, 4), flat=np.ones((1, 9)))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "i8", "bool"])
def test_images_of_rows_are_found(tmp_path: Path, dtype: str) -> None:
    images = (np.arange(5 * 3 * 4 * 6) % 7).reshape(5, 3, 4, 6).astype(dtype)
    (tmp_path / "check.npz").write_bytes(archive_of(image=images, scores=np.zeros((5, 200))))
    found = images_of_rows(tmp_path / "check.csv", [4, 0, 9])
    assert {row: [*columns] for row, columns in found.items()} == {
        4: ["image"],
        0: ["image"],
        9: [],
    }
    shape, numbers = found[4]["image"]
    assert np.array_equal(np.array(numbers).reshape(shape), images[4])


@given(st.integers(0, len(WHOLE)), st.binary(max_size=8))
def test_whatever_an_archive_holds_is_read_or_left_out(place: int, put: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        damaged = WHOLE[:place] + put + WHOLE[place + len(put) :]
        Path(folder, "check.npz").write_bytes(damaged)
        assert images_of_rows(Path(folder, "check.csv"), [0]).keys() == {0}


def test_brightness_follows_from_the_numbers() -> None:
    def pixels(numbers: list[float], channels: int = 1) -> list[int]:
        with Image.open(io.BytesIO(png_of_numbers((channels, 1, len(numbers)), numbers))) as image:
            return np.asarray(image).ravel().tolist()

    assert pixels([0.0, 0.5, 1.0]) == [0, 128, 255]
    assert pixels([0, 128, 200]) == [0, 128, 200]
    assert pixels([-2.0, 0.0, 2.0]) == [0, 128, 255]
    assert pixels([float("nan"), 1.0, float("inf")]) == [0, 255, 0]
    with Image.open(io.BytesIO(png_of_numbers((3, 1, 2), [1, 0, 0, 1, 0, 0]))) as image:
        assert np.asarray(image).tolist() == [[[255, 0, 0], [0, 255, 0]]]


def test_each_form_of_a_table_shows_its_images_worst_first(tmp_path: Path) -> None:
    images = np.linspace(0, 1, 32).reshape(2, 1, 4, 4)
    named = [f'"image[0,{y},{x}]"' for y in range(4) for x in range(4)]
    cells = "\n".join(f"{n},{n}," + ",".join(map(str, images[n].ravel())) for n in range(2))
    (tmp_path / "cells.csv").write_text(f"index,loss,{','.join(named)}\n{cells}\n")
    (tmp_path / "apart.csv").write_text("index,loss\n0,0\n1,1\n")
    (tmp_path / "apart.npz").write_bytes(archive_of(image=images))
    lines = [json.dumps({"index": n, "loss": n, "image": images[n].tolist()}) for n in range(2)]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines))
    shown = []
    for name in ("cells.csv", "apart.csv", "lines.jsonl"):
        room = ImageRoom(1 << 16)
        found = read_predictions(tmp_path / name, Judge(["loss"]), room, name)
        assert found is not None
        assert [row.cells["index"] for row in found.rows] == [1, 0]
        shown.append([row.cells["image"]["png"] for row in found.rows])
    assert shown[0] == shown[1] == shown[2]
    assert shown[0][0] != shown[0][1]
    none = read_predictions(tmp_path / "apart.csv", Judge(["loss"]), ImageRoom(0), "")
    assert none is not None
    assert (none.left_out, none.rows[0].cells["image"]) == (2, None)
