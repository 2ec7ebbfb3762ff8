"""What metrics gave as tensors with the rows of a history, read without torch."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, prod
from pathlib import Path
from typing import Any, Literal

from torchassistant.files import InvalidFile, parsed_json, read_regular

_FILE = re.compile(r"([0-9]{1,6})-([0-9]{1,18})\.safetensors")
_FORMS = "torchassistant"
_MOST_BYTES = 2**28
_MOST_ROWS = 12
_MOST_NUMBERS = 1 << 17
"""Numbers of one tensor that are shown."""

_CODES = {
    "F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "I16": "h", "I8": "b",
    "U64": "Q", "U32": "I", "U16": "H", "U8": "B", "BOOL": "B",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Numbers:
    """A tensor.

    Args:
        shape: Its size along each axis.
        values: Its numbers, row by row.
    """

    shape: tuple[int, ...]
    values: Sequence[float]


Value = Any
"""Numbers, or a list of values."""

Look = Literal["matrix", "matrices", "roc", "precision-recall", "curves", "classes"]


@dataclass(frozen=True, slots=True, eq=False)
class RowTensor:
    """What a metric gave with a row.

    Args:
        stage: The index of the stage.
        step: Iterations over all stages.
        value: What it gave.
    """

    stage: int
    step: int
    value: Value


@dataclass(frozen=True, slots=True)
class TensorMetric:
    """What a metric gave with some of the rows.

    Args:
        name: Its display name.
        look: What it is shown as; None where nobody knows how.
        rows: In order; the last one is that of the last row that has any.
        count: How many rows there are in all.
    """

    name: str
    look: Look | None
    rows: list[RowTensor]
    count: int


def read_tensors(
    folder: Path, classes: Mapping[str, str], wanted: Sequence[int] = ()
) -> tuple[list[TensorMetric], list[str]]:
    """What metrics gave as tensors: with the last row, and with some others.

    Args:
        folder: The session.
        classes: The class of each metric, by display name.
        wanted: Steps whose rows are read in any case, as those of the best.

    Returns:
        The metrics, and a sentence for each file that could not be read.
    """
    files = sorted(_files(folder / "metrics"))
    found: dict[str, list[RowTensor]] = {}
    problems = []
    for stage, step, name in _chosen(files, wanted):
        try:
            values = decoded(read_regular(folder / "metrics" / name, _MOST_BYTES))
        except FileNotFoundError:
            continue  # training removes what a kill has undone
        except (InvalidFile, OSError) as error:
            problems.append(f"metrics/{name} {error}")
            continue
        for metric, value in values.items():
            if _size(value) <= _MOST_NUMBERS:
                found.setdefault(metric, []).append(RowTensor(stage, step, value))
    metrics = [
        TensorMetric(
            name, look_of(rows[-1].value, f"{classes.get(name, '')} {name}"), rows, len(files)
        )
        for name, rows in found.items()
    ]
    return metrics, problems


def _files(folder: Path) -> Iterator[tuple[int, int, str]]:
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        match = _FILE.fullmatch(name)
        if match is not None:
            yield int(match[1]), int(match[2]), name


def _chosen(
    files: Sequence[tuple[int, int, str]], wanted: Sequence[int]
) -> Iterator[tuple[int, int, str]]:
    """Some of the files, evenly, with the last one and those of some steps."""
    count = len(files)
    places = {round((count - 1) * n / (_MOST_ROWS - 1)) for n in range(_MOST_ROWS)} if count else ()
    for place, (stage, step, name) in enumerate(files):
        if place in places or step in wanted:
            yield stage, step, name


def decoded(file: bytes) -> dict[str, Value]:
    """The values in a file of a row, by display name.

    Raises:
        InvalidFile: It is none.
    """
    length = int.from_bytes(file[:8], "little")
    header = parsed_json(file[8 : 8 + length])
    data = memoryview(file)[8 + length :]
    try:
        forms = json.loads(header.pop("__metadata__")[_FORMS])
        tensors = {name: _tensor(about, data) for name, about in header.items()}
        return {name: _value(form, tensors) for name, form in forms.items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, struct.error) as error:
        raise InvalidFile(f"holds no data of metrics ({type(error).__name__}: {error})") from None


def _tensor(about: Mapping[str, Any], data: memoryview) -> Numbers:
    shape = tuple(int(size) for size in about["shape"])
    begin, end = about["data_offsets"]
    if begin < 0 or end > len(data) or any(size < 0 for size in shape):
        raise ValueError("a tensor is beyond the end")
    return Numbers(shape, _numbers(about["dtype"], data[begin:end], prod(shape)))


def _numbers(dtype: str, data: memoryview, count: int) -> Sequence[float]:
    if dtype == "BF16":  # the first half of a number of 32 bits
        halves = struct.unpack(f"<{count}H", data)
        return struct.unpack(f"<{count}f", struct.pack(f"<{count}I", *(h << 16 for h in halves)))
    return struct.unpack(f"<{count}{_CODES[dtype]}", data)


def _value(form: Any, tensors: Mapping[str, Numbers]) -> Value:
    return [_value(part, tensors) for part in form] if isinstance(form, list) else tensors[form]


def _size(value: Value) -> int:
    return sum(map(_size, value)) if isinstance(value, list) else len(value.values)


def look_of(value: Value, about: str = "") -> Look | None:
    """What a value is shown as: by its shape, and where that leaves a choice, by words.

    Args:
        value: A tensor, or a list of them.
        about: Names of the metric and of its class.
    """
    if isinstance(value, Numbers):
        if len(value.shape) == 1 and value.shape[0] > 1:
            return "classes"
        if len(value.shape) == 2 and min(value.shape) > 0:
            return "matrix"
        return "matrices" if len(value.shape) == 3 and min(value.shape) > 0 else None
    curves = curves_of(value)
    if not curves:
        return None
    words = about.lower().replace("_", "").replace("-", "").replace(" ", "")
    if "precisionrecall" in words:
        return "precision-recall"
    if "roc" in words:
        return "roc"
    if all(_is_unit(x) and _is_unit(y) for x, y in curves):
        if all(_rises(x) and _rises(y) for x, y in curves):
            return "roc"
        if all(y[-1] == 0 and _rises(y[::-1]) for _, y in curves):
            return "precision-recall"
    return "curves"


def curves_of(value: Value) -> list[tuple[list[float], list[float]]]:
    """The pairs of x and y in ``[x, y, ...]``; none where it is something else."""
    if not isinstance(value, list) or len(value) < 2:
        return []
    xs, ys = (_lines(part) for part in value[:2])
    if (
        not xs
        or len(xs) != len(ys)
        or any(len(x) != len(y) or not x for x, y in zip(xs, ys, strict=True))
    ):
        return []
    return list(zip(xs, ys, strict=True))


def _lines(value: Value) -> list[list[float]]:
    """Each row of numbers in a part of a value."""
    if isinstance(value, list):
        return [line for part in value for line in _lines(part)]
    if len(value.shape) == 1:
        return [list(value.values)]
    if len(value.shape) == 2:
        width = value.shape[1]
        return [list(value.values[i * width : (i + 1) * width]) for i in range(value.shape[0])]
    return []


def _is_unit(numbers: Sequence[float]) -> bool:
    return all(isfinite(n) and 0 <= n <= 1 for n in numbers)


def _rises(numbers: Sequence[float]) -> bool:
    return all(b >= a for a, b in pairwise(numbers))
