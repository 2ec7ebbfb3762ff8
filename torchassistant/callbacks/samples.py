"""A callback: keeps what the models make of some examples, at the ends of epochs."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchassistant.callbacks.base import Callback
from torchassistant.callbacks.events import EpochEndEvent, TrainStartEvent
from torchassistant.callbacks.own_folder import make_folder, own_folder
from torchassistant.errors import DataError, near
from torchassistant.output_devices import images_of, jsonable
from torchassistant.whole_files import ASIDE, naming, sync_path
from torchassistant.writing import safe_in_file_names

FOLDER = ("samples",)
"""Where samples are below the folder of the session, in a folder for each callback."""

LINES = "samples.jsonl"
"""The name of the file of an epoch that has a line for each example."""

PNG = "png"
"""The only key of what stands in a line in the place of an image: the name of its file."""

_EXAMPLES = 8

Row = dict[str, Any]


class Samples(Callback):
    """Keeps what the models make of some examples: images, texts, numbers.

    After each epoch that ``every`` divides it runs a debug pipeline, or another pipeline over the
    first examples of its data, and adds a folder ``SESSION/samples/CALLBACK/epoch-0003``. In there
    ``samples.jsonl`` has an object for each example: its ``index`` in the dataset, and a value for
    each column. Where a result has no row for each example, as a post-processor may give one number
    or one image for all, there is an object for each batch, with the number of the ``batch``. In
    the place of an image stands ``{"png": FILE}``, the name of a file beside it. A folder is whole,
    or not there; ``session.samples()`` finds them.

    Nothing of that leaves a trace in the training: models run in eval mode, without gradient, and
    random numbers follow from the seed of the run, the name of the pipeline and the number of
    iterations that are done. The output device and the ``interval`` of a debug pipeline count only
    in stages that name it. After a kill an epoch that has to be trained again is looked at again,
    and its folder is the same.

    Args:
        pipeline: A name among ``initialize.debug_pipelines``, or else among the pipelines.
        every: Only after each epoch whose number over the whole run this divides.
        examples: How many are kept at most. None is all of a debug pipeline, which has a number of
            its own, and 8 of another one.
        columns: What is kept of a pipeline. None is all columns of its data, and what its last
            processors give. A debug pipeline has its ``output_keys``.
        images: The columns that are images, in the shapes that ``SaveImages`` takes. None is what
            looks like one: a tensor (C, H, W) of an example, with C of 1, 3 or 4, of floating-point
            values (from 0 to 1), uint8 or bool.

    Raises:
        ValueError: ``every`` or ``examples`` is no whole number from 1 on.
    """

    only_first = True

    def __init__(
        self,
        pipeline: str,
        every: int = 1,
        examples: int | None = None,
        columns: Sequence[str] | None = None,
        images: Sequence[str] | None = None,
    ) -> None:
        if type(every) is not int or every < 1:
            raise ValueError(f"every must be a whole number from 1 on; it is {every!r}")
        if examples is not None and (type(examples) is not int or examples < 1):
            raise ValueError(f"examples must be a whole number from 1 on; it is {examples!r}")
        self.pipeline = pipeline
        self.every = every
        self.examples = examples
        self.kept_columns = columns
        self.images = images

    def columns(self, session: Any) -> list[str]:
        """It adds none; its pipeline is looked up.

        Raises:
            DataError: There is no such pipeline; or it is a debug pipeline, whose columns are its
                ``output_keys``.
        """
        known = {**session.debug_pipelines, **session.pipelines}
        if self.pipeline not in list(known):  # it may be anything
            shown = f'"{self.pipeline}"{near(str(self.pipeline), known)}'
            raise DataError(f"no pipeline and no debug pipeline is named {shown}")
        for what, names in (("columns", self.kept_columns), ("images", self.images)):
            is_list = isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names)
            if names is not None and not is_list:
                raise DataError(f'"{what}" must be a list of names; it is {names!r}')
        if self.kept_columns is not None and self.pipeline in session.debug_pipelines:
            raise DataError(
                f'"columns" has no effect on the debug pipeline "{self.pipeline}": its '
                '"output_keys" say what is kept'
            )
        return []

    def on_train_start(self, event: TrainStartEvent) -> None:
        """Remove what a process that died has kept past the state that was stored."""
        folder = own_folder(event, FOLDER)
        kept = {found.folder.name for found in event.session.samples(event.name)}
        for path in folder.iterdir() if folder.is_dir() else ():
            is_ours = path.name.startswith(("epoch-", ASIDE)) and not path.is_symlink()
            if is_ours and path.is_dir() and path.name not in kept:
                shutil.rmtree(path)

    def on_epoch_end(self, event: EpochEndEvent) -> None:
        """Look, where it is time for that."""
        if event.epoch % self.every != 0:
            return
        rows = self.rows(event.session)
        folder = own_folder(event, FOLDER)
        make_folder(folder, FOLDER)
        place = folder / f"epoch-{event.epoch:04d}"
        with naming(place):
            _write(rows, place)
        images = dict.fromkeys(name for row in rows for name in row if _is_png(row[name]))
        event.session.note_samples(event.name, event.stage, event.epoch, place.name, list(images))

    def rows(self, session: Any, most: int | None = None) -> list[Row]:
        """What is kept now, as JSON has it; images are PNG files, as bytes.

        Args:
            session: What is looked at.
            most: So many at most, if that is less.

        Raises:
            DataError: A result holds what cannot be kept, or a column has the name ``index``.
            UserCodeError: The user's code raised.
        """
        is_debug = self.pipeline in session.debug_pipelines
        limit = _EXAMPLES if self.examples is None and not is_debug else self.examples
        limits = [number for number in (limit, most) if number is not None]
        limit = min(limits, default=None)
        found: list[Row] = []
        with closing(session.looks(self.pipeline, self.kept_columns)) as looks:
            for look in looks:
                left = None if limit is None else limit - len(found)
                found += self._rows_of(look, left)
                if limit is not None and len(found) >= limit:
                    break
        return found

    def _rows_of(self, look: Any, most: int | None) -> Iterator[Row]:
        """The rows of one batch."""
        result, count = look.result, len(look.indices)
        columns = result if isinstance(result, Mapping) else {"result": result}
        if all(_has_rows(value, count) for value in columns.values()):
            for place, index in list(enumerate(look.indices))[:most]:
                row = {name: _row(value, place) for name, value in columns.items()}
                yield self._as_row("index", index, row)
        else:
            yield self._as_row("batch", look.number, columns)

    def _as_row(self, first: str, number: Any, columns: Mapping[Any, Any]) -> Row:
        named = {str(name): value for name, value in columns.items()}
        if first in named:
            raise DataError(
                f'"{first}" says what a sample is of, and cannot be the name of a column too'
            )
        if self.images is not None:
            for name in self.images:
                if name not in named:
                    raise DataError(f'no column is named "{name}"{near(name, named)}')
        row = {first: jsonable(number, first)}
        return row | {name: self._stored(name, value) for name, value in named.items()}

    def _stored(self, name: str, value: Any) -> Any:
        is_image = _looks_like_image(value) if self.images is None else name in self.images
        if is_image:
            return images_of(value, f'the column "{name}" of the samples')[""]
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
        return jsonable(value, f'the column "{name}" of the samples')


def _looks_like_image(value: Any) -> bool:
    if not isinstance(value, torch.Tensor) or value.ndim != 3 or value.shape[0] not in (1, 3, 4):
        return False
    is_of_pixels = value.is_floating_point() or value.dtype in (torch.uint8, torch.bool)
    return is_of_pixels and value.numel() > 0


def _has_rows(value: Any, count: int) -> bool:
    """Whether a column has a row for each of so many examples."""
    if isinstance(value, Mapping):
        return all(_has_rows(item, count) for item in value.values())
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.ndim > 0 and value.shape[0] == count
    return isinstance(value, list | tuple) and len(value) == count


def _row(value: Any, place: int) -> Any:
    if isinstance(value, Mapping):
        return {key: _row(item, place) for key, item in value.items()}
    return value[place]


def _is_png(value: Any) -> bool:
    return isinstance(value, bytes)


def _write(rows: Sequence[Row], place: Path) -> None:
    """A folder with the rows and their images, which appears when all of it is on the disk."""
    aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=place.parent))
    try:
        lines = "".join(f"{line}\n" for line in _lines(rows, aside))
        (aside / LINES).write_text(lines, encoding="utf-8", errors="backslashreplace")
        for path in (*aside.iterdir(), aside):
            path.chmod(0o755 if path == aside else 0o644)
            sync_path(path)
        if place.is_dir():
            shutil.rmtree(place)
        aside.rename(place)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_path(place.parent)


def _lines(rows: Sequence[Row], folder: Path) -> Iterator[str]:
    """The lines of rows, whose images are written."""
    for number, row in enumerate(rows):
        line = dict(row)
        for name, value in row.items():
            if _is_png(value):
                file = folder / f"{number:04d}-{safe_in_file_names(name)}.png"
                if file.exists():
                    raise DataError(f'two images of a sample have the file name "{file.name}"')
                file.write_bytes(value)
                line[name] = {PNG: file.name}
        yield json.dumps(line, ensure_ascii=False, allow_nan=False)
