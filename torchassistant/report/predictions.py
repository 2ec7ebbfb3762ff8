"""What models have made of examples, the worst first: stored samples, evaluations, predictions."""

from __future__ import annotations

import csv
import heapq
import io
import json
import os
import re
from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import count, islice
from math import exp, inf, isfinite, log, prod
from pathlib import Path
from typing import Any

from torchassistant.files import InvalidFile, open_regular, read_regular
from torchassistant.report.images import SIGNATURE, flat, is_image, png_of_numbers, shape_of
from torchassistant.report.row_arrays import images_of_rows

SAMPLES, EVALUATIONS = "samples", "evaluations"
_LINES = (".jsonl", ".ndjson")
_EPOCH = re.compile(r"epoch-([0-9]{1,18})")
_STEP = re.compile(r"([0-9]{1,18})(-[0-9]+)?")
_OF_TENSOR = re.compile(r"(.+)\[([0-9]{1,6}(?:,[0-9]{1,6})*)\]")

MOST_ROWS = 60
"""Rows of one look that are shown."""

_MOST_BYTES = 1 << 26
_MOST_EPOCHS = 8
_LONGEST_TEXT = 2000
_LARGEST_IMAGE = 1 << 19
_ALIKE_UP_TO = 400

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A row, and how bad it is.

    Args:
        cells: By column: a text, a number, a list, or ``{"png": BASE64}``.
        error: The larger, the worse; None where nobody knows.
        is_wrong: Whether what came out is not what should have.
        predicted: What came out, in short.
        expected: What should have.
    """

    cells: Row
    error: float | None = None
    is_wrong: bool | None = None
    predicted: Any = None
    expected: Any = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """What came out at one time.

    Args:
        label: When, or where from: ``epoch 3``, ``step 1500``, the name of a file.
        rows: The worst first, where that is known; else in their order.
        count: How many rows there are in all.
        measure: What ``error`` is, as ``val loss``; None where there is none.
        left_out: How many images were left out, as there was no room for them.
    """

    label: str
    rows: list[Judged]
    count: int
    measure: str | None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """The predictions of one callback, pipeline or file, in the order in which they were made.

    Args:
        name: Of it.
        source: ``samples``, ``evaluation`` or ``file``.
        looks: One for each epoch or step.
    """

    name: str
    source: str
    looks: list[Predictions]


class Judge:
    """Says how bad rows are.

    Args:
        losses: Columns that are losses of a row, if a row has them.
        compared: Columns that are compared: what came out, and what should have.
    """

    def __init__(
        self, losses: Sequence[str] = (), compared: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.losses = losses
        self.compared = compared

    def judged(self, row: Row) -> Judged:
        """A row with what is known of it."""
        for one, other in self.compared:
            if one in row and other in row:
                error, is_wrong, predicted, expected = _compared(row[one], row[other])
                if error is not None:
                    return Judged(row, self._loss(row, error), is_wrong, predicted, expected)
        return Judged(row, self._loss(row, None))

    def measure(self, row: Row) -> str | None:
        """What the error of a row is."""
        named = self._named(row)
        if named is not None:
            return named
        pairs = [pair for pair in self.compared if pair[0] in row and pair[1] in row]
        return f"{pairs[0][0]} against {pairs[0][1]}" if pairs else None

    def _named(self, row: Row) -> str | None:
        return next((name for name in self.losses if _is_number(row.get(name))), None)

    def _loss(self, row: Row, otherwise: float | None) -> float | None:
        named = self._named(row)
        return otherwise if named is None else float(row[named])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _compared(given: Any, wanted: Any) -> tuple[float | None, bool | None, Any, Any]:
    """The error, whether it is one at all, and both in short."""
    if isinstance(given, str) and isinstance(wanted, str):
        alike = SequenceMatcher(None, given[:_ALIKE_UP_TO], wanted[:_ALIKE_UP_TO]).ratio()
        return 1 - alike, given != wanted, given, wanted
    numbers = given if isinstance(given, list) else [given]
    targets = wanted if isinstance(wanted, list) else [wanted]
    if not numbers or not all(map(_is_number, [*numbers, *targets])):
        return None, None, None, None
    (target, *others) = targets or [None]
    if len(numbers) > 1 and not others and target == int(target) and 0 <= target < len(numbers):
        best = max(range(len(numbers)), key=lambda place: numbers[place])
        return _cross_entropy(numbers, int(target)), best != target, best, int(target)
    if len(numbers) != len(targets):
        return None, None, None, None
    error = sum((a - b) ** 2 for a, b in zip(numbers, targets, strict=True)) / len(numbers)
    is_one = len(numbers) == 1
    is_whole = is_one and all(isinstance(n, int) for n in (*numbers, *targets))
    shown = (numbers[0], targets[0]) if is_one else (None, None)
    return error, numbers != targets if is_whole else None, *shown


def _cross_entropy(scores: Sequence[float], target: int) -> float:
    """Of scores, or of probabilities, which are those that add up to 1."""
    if not all(map(isfinite, scores)):
        return inf
    if all(score >= 0 for score in scores) and abs(sum(scores) - 1) < 1e-3:
        return -log(max(scores[target], 1e-12))
    top = max(scores)
    return top + log(sum(exp(score - top) for score in scores)) - scores[target]


class ImageRoom:
    """How many bytes of images there is room for.

    Args:
        left: Bytes.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def taken(self, path: Path) -> str | None:
        """An image in Base64; None where it is too large, or no PNG file."""
        try:
            image = read_regular(path, min(self.left, _LARGEST_IMAGE))
        except (OSError, InvalidFile):
            return None
        return self.kept(image) if image.startswith(SIGNATURE) else None

    def kept(self, image: bytes) -> str | None:
        """An image in Base64; None where there is no room for it."""
        if len(image) > min(self.left, _LARGEST_IMAGE):
            return None
        self.left -= len(image)
        return b64encode(image).decode()


def read_samples(folder: Path, judge: Judge, room: ImageRoom) -> Iterator[Look]:
    """What callbacks of the class ``Samples`` have kept in a session.

    Args:
        folder: The session.
        judge: Says how bad rows are.
        room: For images; those of the last epoch have the first right to it.
    """
    for name in _names(folder / SAMPLES):
        epochs = [
            (int(match[1]), inner)
            for inner in _names(folder / SAMPLES / name)
            if (match := _EPOCH.fullmatch(inner))
        ]
        looks = []
        for epoch, inner in reversed(_evenly(sorted(epochs), _MOST_EPOCHS)):
            place = folder / SAMPLES / name / inner
            rows = list(_lines(place / "samples.jsonl"))
            if rows:
                looks.append(_ranked(f"epoch {epoch}", rows, judge, place / "samples.jsonl", room))
        if looks:
            yield Look(name, "samples", looks[::-1])


def read_evaluations(folder: Path, judge: Judge, room: ImageRoom) -> Iterator[Look]:
    """What ``evaluate --keep`` has kept in a session."""
    found: dict[str, list[Predictions]] = {}
    steps = [name for name in _names(folder / EVALUATIONS) if _STEP.fullmatch(name)]
    for step in steps:
        for file in _names(folder / EVALUATIONS / step):
            path = folder / EVALUATIONS / step / file
            if path.suffix == ".csv":
                made = read_predictions(path, judge, room, f"step {int(step.partition('-')[0]):,}")
                if made is not None:
                    found.setdefault(path.stem, []).append(made)
    for name, looks in found.items():
        yield Look(name, "evaluation", looks)


def read_predictions(path: Path, judge: Judge, room: ImageRoom, label: str) -> Predictions | None:
    """What stands in a file that ``infer -o`` or ``evaluate --keep`` has written."""
    rows = _lines(path) if path.suffix in _LINES else _csv_rows(path)
    made = _ranked(label, rows, judge, path, room)
    return made if made.rows else None


def read_results(folder: Path) -> dict[str, dict[str, float]]:
    """The numbers that ``evaluate --keep`` has printed, by step and display name."""
    found = {}
    for step in _names(folder / EVALUATIONS):
        try:
            text = read_regular(folder / EVALUATIONS / step / "results.json", _MOST_BYTES)
            results = json.loads(text)
        except (OSError, InvalidFile, ValueError, RecursionError):
            continue
        if isinstance(results, dict):
            found[step] = {name: value for name, value in results.items() if _is_number(value)}
    return found


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return []


def _evenly(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many, with the first and the last one."""
    if len(items) <= most:
        return list(items)
    return [items[round((len(items) - 1) * n / (most - 1))] for n in range(most)]


def _lines(path: Path) -> Iterator[Row]:
    """The rows of a file of JSON lines, as far as they are objects."""
    for line in _text(path).splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return  # cut off
        if isinstance(row, dict):
            yield row


def _csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV file; ``scores[0]``, ``scores[1]``, … become a list ``scores``."""
    lines = csv.reader(io.StringIO(_text(path), newline=""))
    try:
        header = next(lines, [])
        matches = [_OF_TENSOR.fullmatch(name) for name in header]
        # The last place is the one that says how large a tensor is.
        sizes = {match[1]: [int(n) + 1 for n in match[2].split(",")] for match in matches if match}
        for line in lines:
            row: Row = {}
            for name, match, cell in zip(header, matches, line, strict=False):
                if match is None:
                    row[name] = _cell(cell)
                else:
                    row.setdefault(match[1], []).append(_cell(cell))
            if len(line) == len(header):
                yield {name: _nested(value, sizes.get(name, [])) for name, value in row.items()}
    except csv.Error:
        return


def _nested(value: Any, sizes: Sequence[int]) -> Any:
    """A list of numbers as lists of lists, of these sizes."""
    if len(sizes) < 2 or prod(sizes) != len(value):
        return value
    for size in reversed(sizes[1:]):
        value = [value[at : at + size] for at in range(0, len(value), size)]
    return value


def _text(path: Path) -> str:
    """The text of a file, as far as it is read."""
    try:
        with open_regular(path) as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except (OSError, InvalidFile):
        return ""


def _cell(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _ranked(
    label: str, rows: Iterable[Row], judge: Judge, path: Path, room: ImageRoom
) -> Predictions:
    """The worst rows; where nobody knows which these are, the first ones."""
    counted = count()
    judged = ((judge.judged(row), at) for row, at in zip(rows, counted, strict=False))
    first = list(islice(judged, 1))
    measure = judge.measure(first[0][0].cells) if first and _is_judged(first[0][0]) else None
    if measure is None:
        chosen = [*first, *islice(judged, MOST_ROWS - 1)]
        deque(judged, maxlen=0)  # they only count
    else:
        chosen = heapq.nlargest(MOST_ROWS, [*first, *judged], key=lambda one: _badness(one[0]))
    apart = images_of_rows(path, [at for _, at in chosen])
    left_out = 0
    for one, at in chosen:
        for name, (shape, numbers) in apart[at].items():
            one.cells[name] = _kept(png_of_numbers(shape, numbers), room)
            left_out += one.cells[name] is None
        for name, value in one.cells.items():
            if isinstance(value, dict) and [*value] == ["png"] and name not in apart[at]:
                file = str(value["png"])
                image = room.taken(path.parent / file) if Path(file).name == file else None
                one.cells[name] = None if image is None else {"png": image}
                left_out += image is None
            elif isinstance(value, list) and is_image(shape := shape_of(value)):
                one.cells[name] = _kept(png_of_numbers(shape, flat(value, len(shape))), room)
                left_out += one.cells[name] is None
            elif isinstance(value, str) and len(value) > _LONGEST_TEXT:
                one.cells[name] = f"{value[:_LONGEST_TEXT]}…"
    return Predictions(label, [one for one, _ in chosen], next(counted), measure, left_out)


def _is_judged(one: Judged) -> bool:
    return one.error is not None


def _kept(image: bytes, room: ImageRoom) -> dict[str, str] | None:
    kept = room.kept(image)
    return None if kept is None else {"png": kept}


def _badness(judged: Judged) -> float:
    error = judged.error
    if error is None:
        return -inf
    return error if error == error else inf
