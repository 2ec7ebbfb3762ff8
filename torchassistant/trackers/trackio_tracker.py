"""Writes a local database of Trackio."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torchassistant.compat.trackio import trackio_in
from torchassistant.trackers.drawing import as_png
from torchassistant.trackers.record import About, Key, News, Outcome, Picture, key_of
from torchassistant.trackers.tracker import Tracker

_CONFIG = "config.json"
_OTHERS = ("project", "run", "timestamp", "step", "time", "metrics")
"""What Trackio itself calls something by."""


class TrackioTracker(Tracker):
    """A run of a project, in ``PROJECT.db`` and ``media`` of a folder.

    Nothing is sent anywhere, whatever the environment says of Spaces and servers.

    Args:
        folder: The folder, which is there.
        project: The name of the project; it is made where there is none.
        name: That of the run; None: as the session's folder.
    """

    packages = ("trackio",)
    extra = "trackio"

    def __init__(self, folder: str, project: str, name: str | None) -> None:
        self.where = self.folder = folder
        self.project = project
        self.name = name
        self._about: About | None = None
        self._config: dict[str, Any] | None = None
        """What is to be noted with the next points."""

    def open(self, about: About) -> set[Key]:
        """See :class:`Tracker`."""
        self._about = about
        self._config = {**about.parameters, _CONFIG: about.config}
        with trackio_in(self.folder) as storage:
            logs = storage.get_logs(self.project, self._run, run_id=self._id)
        return set(_keys(logs))

    def forget(self, step: int) -> set[Key]:
        """See :class:`Tracker`. Points cannot be taken away: the run is deleted."""
        with trackio_in(self.folder) as storage:
            storage.delete_run(self.project, self._run, run_id=self._id)
        return set()

    def shown(self, tag: str) -> str:
        """See :class:`Tracker`; what Trackio calls something by gets two underscores."""
        return f"__{tag}" if tag in _OTHERS else tag

    def place_of(self, about: About) -> tuple[str, ...]:
        """See :class:`Tracker`."""
        return self.project, about.name if self.name is None else self.name

    def send(self, news: News) -> None:
        """See :class:`Tracker`; all of it, or nothing."""
        with trackio_in(self.folder) as storage:
            # By step and time in milliseconds, so that what is read again is the same.
            rows: dict[tuple[int, int], dict[str, Any]] = {}
            for point in news.points:
                rows.setdefault(point.key[1:], {})[point.tag] = point.value
            for picture in news.pictures:
                rows.setdefault(picture.key[1:], {})[picture.tag] = self._stored(picture)
            for text in news.texts:
                shown = {"_type": "trackio.markdown", "_value": text.read()}
                rows.setdefault(text.key[1:], {})[text.tag] = shown
            keys = sorted(rows)
            storage.bulk_log(
                self.project,
                self._run,
                [rows[key] for key in keys],
                steps=[step for step, _ in keys],
                timestamps=[_timestamp(milliseconds) for _, milliseconds in keys],
                config=self._config,
                run_id=self._id,
            )
        if keys:
            self._config = None

    def end(self, outcome: Outcome) -> None:
        """See :class:`Tracker`; Trackio notes no end of a run."""

    @property
    def _run(self) -> str:
        assert self._about is not None, "it is opened first"
        return self._about.name if self.name is None else self.name

    @property
    def _id(self) -> str:
        assert self._about is not None, "it is opened first"
        return f"{self._about.session}-{self._run}"

    def _stored(self, picture: Picture) -> dict[str, Any]:
        """A picture, as Trackio notes one; its file has a name that follows from what it is."""
        from trackio.media import get_project_media_path

        folder = get_project_media_path(self.project, self._id, picture.step)
        path = (
            folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', picture.tag)}-{picture.key.milliseconds}.png"
        )
        path.write_bytes(as_png(picture.draw()))
        below = path.relative_to(Path(self.folder) / "media")
        return {"_type": "trackio.image", "file_path": str(below), "caption": None}


def _keys(logs: list[dict[str, Any]]) -> Iterator[Key]:
    for log in logs:
        time = datetime.fromisoformat(log["timestamp"]).timestamp()
        for tag in log.keys() - {"timestamp", "step"}:
            yield key_of(tag, log["step"], time)


def _timestamp(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
