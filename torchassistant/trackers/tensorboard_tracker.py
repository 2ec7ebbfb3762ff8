"""Writes event files, which TensorBoard shows."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Iterator
from typing import Any

from torchassistant.trackers.drawing import as_png
from torchassistant.trackers.record import About, Key, News, Outcome, Picture, Point, Text, key_of
from torchassistant.trackers.tracker import Tracker

CONFIG = "torchassistant/config"
"""The tag of the config, as a text."""

_FILE = "events.out.tfevents.{:010d}.torchassistant"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TensorBoardTracker(Tracker):
    """A run of TensorBoard: a folder of event files, of which each process adds one.

    Numbers are scalars (float32, as TensorBoard has them), pictures are images, the config is a
    text, and the parameters are those of its page "HParams".

    Args:
        folder: The folder of the run, which is there.
    """

    packages = ("tensorboard",)
    extra = "tensorboard"

    def __init__(self, folder: str) -> None:
        self.where = self.folder = folder
        self._about: About | None = None
        self._handle: int | None = None
        self._buffer = io.BytesIO()
        """Events that are not written yet."""
        self._records: Any = None

    def open(self, about: About) -> set[Key]:
        """See :class:`Tracker`."""
        self._about = about
        return self._described()

    def forget(self, step: int) -> set[Key]:
        """See :class:`Tracker`; TensorBoard itself leaves out what such an event is about."""
        from tensorboard.compat.proto import event_pb2

        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(event_pb2.Event(wall_time=time.time(), step=step, session_log=start))
        self._write()
        return self._described()

    def _described(self) -> set[Key]:
        """Say what the session is, where that is not said; gives what there is."""
        found = _Found()
        for event in _events_in(self.folder):
            found.note(event)
        assert self._about is not None, "it is opened first"
        if found.config != self._about.config:
            self._add_summary(0, self._about.created, _config(self._about))
        if not found.has_parameters:
            self._add_summary(0, self._about.created, _parameters(self._about))
        return found.keys

    def send(self, news: News) -> None:
        """See :class:`Tracker`."""
        for point in news.points:
            self._add_summary(point.step, point.time, _scalar(point))
        for picture in news.pictures:
            self._add_summary(picture.step, picture.time, _image(picture))
        for text in news.texts:
            self._add_summary(text.step, text.time, _text(text))
        self._write()

    def end(self, outcome: Outcome) -> None:
        """See :class:`Tracker`; TensorBoard keeps the first outcome that it is told."""
        if outcome == "finished":
            self._add_summary(0, time.time(), _end())
            self._write()

    def let_go(self) -> None:
        """See :class:`Tracker`."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def lock_for(self, about: About) -> str:
        """See :class:`Tracker`; the folder is that of one run."""
        return ".tensorboard.lock"

    def _add_summary(self, step: int, when: float, summary: Any) -> None:
        from tensorboard.compat.proto import event_pb2

        self._add(event_pb2.Event(wall_time=when, step=step, summary=summary))

    def _add(self, event: Any) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._records is None:
            self._records = RecordWriter(self._buffer)
            version = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
            self._records.write(version.SerializeToString())
        self._records.write(event.SerializeToString())

    def _write(self) -> None:
        """Write what was added, and wait until it is on the disk.

        A file that could not be written to the end is not written to again: what follows would not
        be read.
        """
        left = memoryview(self._buffer.getvalue())
        if not left:
            return
        if self._handle is None:
            # After all others in the order in which TensorBoard reads them.
            numbers = [_number_of(name) + 1 for name in _files_in(self.folder)]
            path = os.path.join(self.folder, _FILE.format(max([int(time.time()), *numbers])))
            self._handle = os.open(path, _NEW, 0o666)
        while left:
            left = left[os.write(self._handle, left) :]
        os.fsync(self._handle)
        self._buffer.seek(0)
        self._buffer.truncate()


class _Found:
    """What event files hold, as far as it still counts."""

    def __init__(self) -> None:
        self.keys: set[Key] = set()
        self.config = ""
        self.has_parameters = False

    def note(self, event: Any) -> None:
        """The next event."""
        from tensorboard.compat.proto import event_pb2
        from tensorboard.plugins.hparams import metadata

        is_start = event.session_log.status == event_pb2.SessionLog.START
        if event.HasField("session_log") and is_start:
            self.keys = {key for key in self.keys if key.step < event.step}
            self.config = self.config if event.step > 0 else ""
        for value in event.summary.value:
            if value.tag == CONFIG:
                self.config = _text_of(value)
            elif value.tag == metadata.SESSION_START_INFO_TAG:
                self.has_parameters = True
            elif _is_of_ours(value):
                self.keys.add(key_of(value.tag, event.step, event.wall_time))


def _is_of_ours(value: Any) -> bool:
    """Whether it is a number, a picture or a text."""
    is_text = value.metadata.plugin_data.plugin_name == "text"
    return is_text or value.HasField("simple_value") or value.HasField("image")


def _files_in(folder: str) -> list[str]:
    """The names of the event files, in the order in which TensorBoard reads them."""
    return sorted(name for name in os.listdir(folder) if "tfevents" in name)


def _number_of(name: str) -> int:
    found = re.search(r"tfevents\.(\d+)", name)
    return int(found[1]) if found else 0


def _events_in(folder: str) -> Iterator[Any]:
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    for name in _files_in(folder):
        yield from LegacyEventFileLoader(os.path.join(folder, name)).Load()


def _scalar(point: Point) -> Any:
    from tensorboard.compat.proto import summary_pb2

    value = summary_pb2.Summary.Value(tag=point.tag, simple_value=point.value)
    return summary_pb2.Summary(value=[value])


def _image(picture: Picture) -> Any:
    from tensorboard.compat.proto import summary_pb2

    pixels = picture.draw()
    height, width, _ = pixels.shape
    image = summary_pb2.Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=as_png(pixels)
    )
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=picture.tag, image=image)])


def _text(text: Text) -> Any:
    from tensorboard.plugins.text.summary_v2 import text_pb

    return text_pb(text.tag, text.read())


def _config(about: About) -> Any:
    from tensorboard.plugins.text.summary_v2 import text_pb

    return text_pb(CONFIG, _FENCE.format(about.config))


_FENCE = "```json\n{}\n```"


def _text_of(value: Any) -> str:
    from tensorboard.util.tensor_util import make_ndarray

    text = make_ndarray(value.tensor).item().decode()
    before, after = _FENCE.split("{}")
    return str(text).removeprefix(before).removesuffix(after)


def _parameters(about: About) -> Any:
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    return hparams_pb(dict(about.parameters), trial_id=about.name, start_time_secs=about.created)


def _end() -> Any:
    """That the run is done, for the page "HParams"."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
    from tensorboard.plugins.hparams.metadata import (
        NULL_TENSOR,
        SESSION_END_INFO_TAG,
        create_summary_metadata,
    )
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    end = SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=time.time())
    value = summary_pb2.Summary.Value(
        tag=SESSION_END_INFO_TAG,
        metadata=create_summary_metadata(HParamsPluginData(session_end_info=end)),
        tensor=NULL_TENSOR,
    )
    return summary_pb2.Summary(value=[value])
