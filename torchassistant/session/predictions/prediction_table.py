"""Predictions in a file: one row for each, as CSV or as JSON lines."""

from __future__ import annotations

import csv
import json
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import torch

from torchassistant.errors import DataError, UserError, shown_path
from torchassistant.output_devices import jsonable
from torchassistant.session.predictions.prediction import Prediction
from torchassistant.whole_files import ASIDE, make_folder, naming

MOST_COLUMNS = 128
"""Tensors of more numbers than this stand in no table, but in an ``.npz`` beside it."""

_LINES = (".jsonl", ".ndjson")


class PredictionTable:
    """A new file of predictions, which appears under its name when it is whole.

    A row begins with ``index``, that of the example in its dataset, or with ``input``, the text
    that it is for. CSV has a column for each number of a small tensor (``y_hat``, or ``y_hat[0]``,
    ``y_hat[1]``, ...); larger ones are arrays in a file of the same name that ends in ``.npz``, row
    for row. JSON lines have nested lists.

    Args:
        path: Ends in ``.csv``, ``.jsonl`` or ``.ndjson``.
        overwrite: Whether it may take the place of files that are there.

    Raises:
        UserError: It ends in something else, or is there already.
    """

    def __init__(self, path: str | Path, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.overwrite = overwrite
        if self.path.suffix not in (".csv", *_LINES):
            raise UserError(
                f"predictions are written as .csv, .jsonl or .ndjson; found {shown_path(self.path)}"
            )
        self._expect_free(self.path)
        self.header: list[str] | None = None
        self.arrays: dict[str, _Array] = {}
        self._aside = _aside(self.path)
        self._file: IO[str] | None = None

    @property
    def archive(self) -> Path:
        """Where large tensors are."""
        return self.path.with_suffix(".npz")

    def _expect_free(self, path: Path) -> None:
        if path.exists() and not self.overwrite:
            raise UserError(f"{shown_path(path)} is there already; --overwrite replaces it")

    def __enter__(self) -> Self:
        with naming(self.path):
            make_folder(self.path.parent)
            self._file = self._aside.open("x", encoding="utf-8", newline="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._file is not None, "it is open"
        try:
            with naming(self.path):
                self._file.close()
            if kind is None:
                if self.arrays:
                    self._write_archive()
                self._put(self._aside, self.path)
        finally:
            for array in self.arrays.values():
                array.rows.close()
            with suppress(FileNotFoundError):
                self._aside.unlink()

    def _put(self, aside: Path, path: Path) -> None:
        if self.overwrite:
            with naming(path):
                aside.replace(path)
            return
        try:
            path.hardlink_to(aside)
        except FileExistsError:
            self._expect_free(path)
            raise
        except OSError:  # some file systems know one name for a file
            self._expect_free(path)
            with naming(path):
                aside.replace(path)

    def add(self, prediction: Prediction) -> None:
        """Add a row.

        Raises:
            DataError: It has other columns than the rows before, or what no table can hold.
            NotWritten: There is no room for it.
        """
        with naming(self.path):
            self._add(prediction)

    def _add(self, prediction: Prediction) -> None:
        assert self._file is not None, "it is open"
        first = "input" if prediction.index is None else "index"
        whose = prediction.shown_input if prediction.index is None else prediction.index
        result = prediction.result
        if self.path.suffix in _LINES:
            is_apart = not isinstance(result, Mapping) or first in result
            row = {first: whose, "result": result} if is_apart else {first: whose, **result}
            whole = jsonable(row, "the prediction")
            self._file.write(json.dumps(whole, ensure_ascii=False, allow_nan=False) + "\n")
            return
        named = result if isinstance(result, Mapping) else {"result": result}
        cells = dict(self._cells(named))
        if first in cells:
            raise DataError(f'"{first}" says what a row is for, and cannot be a result too')
        self._write({first: whose, **cells})

    def _write(self, row: Mapping[str, Any]) -> None:
        writer = csv.writer(self._file, lineterminator="\n")  # type: ignore[arg-type]
        if self.header is None:
            self.header = list(row)
            writer.writerow(self.header)
        if list(row) != self.header:
            other = next(
                (
                    name
                    for name in {**dict.fromkeys(self.header), **row}
                    if (name in row) != (name in self.header)
                ),
                "",
            )
            raise DataError(
                f'the predictions have not the same columns: "{other}"; JSON lines (.jsonl) can '
                "hold them"
            )
        writer.writerow(row.values())

    def _cells(self, named: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
        for key, value in named.items():
            name = f"{head}{key}"
            if isinstance(value, Mapping):
                yield from self._cells(value, f"{name}.")
            elif isinstance(value, torch.Tensor | np.ndarray | np.generic):
                yield from self._of_array(name, as_array(value))
            elif value is None or isinstance(value, str | int | float):
                yield name, value
            else:
                yield name, json.dumps(jsonable(value, f'"{name}"'), ensure_ascii=False)

    def _of_array(self, name: str, array: np.ndarray[Any, Any]) -> Iterator[tuple[str, Any]]:
        if name in self.arrays or (array.size > MOST_COLUMNS and self.header is None):
            if name not in self.arrays:
                self.arrays[name] = _Array(name, array, self.path.parent)
            self.arrays[name].add(array)
        elif array.size == 1:
            yield name, array.item()
        else:
            for place in np.ndindex(array.shape):
                yield f"{name}[{','.join(map(str, place))}]", array[place].item()

    def _write_archive(self) -> None:
        self._expect_free(self.archive)
        aside = _aside(self.archive)
        try:
            with naming(self.archive), zipfile.ZipFile(aside, "x", zipfile.ZIP_STORED) as archive:
                for array in self.arrays.values():
                    with archive.open(f"{array.name}.npy", "w", force_zip64=True) as file:
                        array.write(file)
            self._put(aside, self.archive)
        finally:
            with suppress(FileNotFoundError):
                aside.unlink()


def _aside(path: Path) -> Path:
    return path.with_name(f"{ASIDE}{secrets.token_hex(8)}")


class _Array:
    """The rows of a column, all of one shape, on the disk until their number is known."""

    def __init__(self, name: str, first: np.ndarray[Any, Any], folder: Path) -> None:
        self.name = name
        self.shape, self.dtype = first.shape, first.dtype
        self.rows = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed with the table)
        self.count = 0

    def add(self, array: np.ndarray[Any, Any]) -> None:
        if array.shape != self.shape:
            raise DataError(
                f'"{self.name}" has the shape {array.shape}, and {self.shape} in the rows before; '
                "JSON lines (.jsonl) can hold both"
            )
        self.rows.write(np.ascontiguousarray(array, self.dtype).tobytes())
        self.count += 1

    def write(self, file: IO[bytes]) -> None:
        described = np.lib.format.dtype_to_descr(self.dtype)
        whole = (self.count, *self.shape)
        header = {"descr": described, "fortran_order": False, "shape": whole}
        np.lib.format.write_array_header_1_0(file, header)
        self.rows.seek(0)
        shutil.copyfileobj(self.rows, file)


def as_array(value: Any) -> np.ndarray[Any, Any]:
    """A tensor or array as an array; NumPy has no bfloat16."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype == torch.bfloat16 else value
        return value.numpy()
    return np.asarray(value)
