"""Writes a tracking store of MLflow, which is an SQLite file and a folder of artifacts."""

from __future__ import annotations

import fcntl
import logging
import os
import posixpath
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any
from urllib.parse import unquote, urlparse

from torchassistant.trackers.record import About, Key, News, Outcome
from torchassistant.trackers.tracker import Tracker

DATABASE = "mlflow.db"
_ARTIFACTS = "artifacts"
_CONFIG = "config.json"
_SESSION = "torchassistant.session"
"""The tag of a run that says which session it is of."""

_METRICS, _PARAMETERS = 1000, 100
"""How many MLflow takes at once, at most."""

_LONGEST_NAME, _LONGEST_VALUE = 250, 6000
_STATUS: dict[Outcome, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MLflowTracker(Tracker):
    """A run of an experiment, in ``mlflow.db`` and ``artifacts`` of a folder.

    Args:
        folder: The folder, which is there.
        experiment: The name of the experiment; it is made where there is none.
        name: That of the run; None: as the session's folder.
    """

    packages = ("mlflow", "sqlalchemy", "alembic")
    extra = "mlflow"

    def __init__(self, folder: str, experiment: str, name: str | None) -> None:
        self.folder = folder
        self.where = os.path.join(folder, DATABASE)
        self.experiment = experiment
        self.name = name
        self._client: Any = None
        self._about: About | None = None
        self._run = ""

    def open(self, about: About) -> set[Key]:
        """See :class:`Tracker`."""
        self._about = about
        with _quiet():
            self._client = _client(self.where)
        run = self._found(about)
        self._run = self._begun(about) if run is None else run.info.run_id
        self._describe(about)
        return {*self._points(), *self._pictures(), *self._texts()}

    def forget(self, step: int) -> set[Key]:
        """See :class:`Tracker`. Points cannot be taken away: the run is deleted, as MLflow does.

        ``mlflow gc`` removes it for good, and until then it can be restored.
        """
        assert self._about is not None, "it is opened first"
        self._client.delete_run(self._run)
        self._run = self._begun(self._about)
        self._describe(self._about)
        return set()

    def shown(self, tag: str) -> str:
        """See :class:`Tracker`; MLflow takes few signs in names."""
        return _name(tag)

    def place_of(self, about: About) -> tuple[str, ...]:
        """See :class:`Tracker`."""
        return self.experiment, self._run_name(about)

    def send(self, news: News) -> None:
        """See :class:`Tracker`."""
        from mlflow.entities import Metric

        metrics = [Metric(p.tag, p.value, p.key.milliseconds, p.step) for p in news.points]
        for part in _parts(metrics, _METRICS):
            self._client.log_batch(self._run, metrics=part, synchronous=True)
        for picture in news.pictures:
            self._client.log_image(
                self._run,
                picture.draw(),
                key=picture.tag,
                step=picture.step,
                timestamp=picture.key.milliseconds,
                synchronous=True,
            )

        for text in news.texts:
            key = text.key
            name = f"{_quoted(key.tag)}+step+{key.step}+timestamp+{key.milliseconds}.md"
            self._client.log_text(self._run, text.read(), f"{_TEXTS}/{name}")

    def end(self, outcome: Outcome) -> None:
        """See :class:`Tracker`."""
        self._client.set_terminated(self._run, _STATUS[outcome])

    def _found(self, about: About) -> Any:
        """The run of the session; None where there is none."""
        experiment = self._experiment()
        if experiment is None:
            return None
        runs = self._client.search_runs(
            [experiment], f"tags.`{_SESSION}` = '{about.session}'", max_results=1000
        )
        return next((run for run in runs if run.info.run_name == self._run_name(about)), None)

    def _run_name(self, about: About) -> str:
        return about.name if self.name is None else self.name

    def _begun(self, about: About) -> str:
        """The id of a new run."""
        run = self._client.create_run(
            self._experiment(make=True),
            start_time=round(about.created * 1000),
            tags={_SESSION: about.session},
            run_name=self._run_name(about),
        )
        return str(run.info.run_id)

    def _experiment(self, make: bool = False) -> str | None:
        """The id of the experiment; None where there is none.

        One that keeps its artifacts elsewhere, as the folder was moved or copied since, or that was
        deleted, is left alone: then it is one with a number after its name.

        Args:
            make: Whether to make it.
        """
        place = os.path.join(self.folder, _ARTIFACTS)
        for number in count(1):
            name = self.experiment if number == 1 else f"{self.experiment} {number}"
            found = self._client.get_experiment_by_name(name)
            if found is None:
                create = self._client.create_experiment
                return str(create(name, artifact_location=place)) if make else None
            there = os.path.realpath(_path_of(found.artifact_location))
            if found.lifecycle_stage == "active" and there == os.path.realpath(place):
                return str(found.experiment_id)
        raise AssertionError("numbers do not end")

    def _describe(self, about: About) -> None:
        """Note the parameters that are missing, which never change, and the config as it is."""
        from mlflow.entities import Param

        self._client.update_run(self._run, status="RUNNING")
        there = self._client.get_run(self._run).data.params
        missing = [
            Param(_name(key), str(value)[:_LONGEST_VALUE])
            for key, value in about.parameters.items()
            if _name(key) not in there
        ]
        for part in _parts(missing, _PARAMETERS):
            self._client.log_batch(self._run, params=part, synchronous=True)
        self._client.log_text(self._run, about.config, _CONFIG)

    def _points(self) -> Iterator[Key]:
        for name in self._client.get_run(self._run).data.metrics:
            for metric in self._client.get_metric_history(self._run, name):
                yield Key(name, metric.step, metric.timestamp)

    def _pictures(self) -> Iterator[Key]:
        for file in self._client.list_artifacts(self._run, "images"):
            found = _PICTURE.fullmatch(file.path)
            if found:
                tag, step, milliseconds = found.groups()
                yield Key(re.sub("[~#]", "/", tag), int(step), int(milliseconds))

    def _texts(self) -> Iterator[Key]:
        for file in self._client.list_artifacts(self._run, _TEXTS):
            found = _TEXT.fullmatch(file.path)
            if found:
                tag, step, milliseconds = found.groups()
                yield Key(tag.replace("~", "/"), int(step), int(milliseconds))


def _quoted(tag: str) -> str:
    """A tag, of which :func:`_name` has left few signs, as part of a file name."""
    return tag.replace("/", "~")


_TEXTS = "texts"
_TEXT = re.compile(_TEXTS + r"/(.+)\+step\+(\d+)\+timestamp\+(\d+)\.md")

_PICTURE = re.compile(r"images/(.+)[+%]step[+%](\d+)[+%]timestamp[+%](\d+)[+%][^+%]*\.png")
"""How ``log_image`` names files."""


def _client(database: str) -> Any:
    # Set before it is imported: then it reports to nobody.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    _make_tables(database, MlflowClient)
    return MlflowClient(tracking_uri=f"sqlite:///{database}")


def _make_tables(database: str, client: Any) -> None:
    """Make of an empty file, or none, a database; who comes meanwhile waits.

    MLflow takes seconds for that, and would not go on where it was killed: so it is made aside.
    """
    with open(database, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.path.getsize(database) > 0:
            return
        aside = f"{database}.{os.getpid()}.part"
        try:
            client(tracking_uri=f"sqlite:///{aside}").search_experiments(max_results=1)
            shutil.copystat(database, aside)  # and so who has made it
            os.replace(aside, database)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(aside)
            raise


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow and Alembic tell of every table that they make."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _name(text: str) -> str:
    """A name that MLflow takes for parameters, metrics and pictures; other signs are ``_xHEX_``."""
    name = re.sub(r"[^A-Za-z0-9_\-./ ]", _escaped, text)
    if posixpath.normpath(name) != name or name.startswith(("/", "..")) or name == ".":
        name = re.sub(r"[/.]", _escaped, name)
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 9]}_{zlib.crc32(text.encode()):08x}"
    return name


def _escaped(sign: re.Match[str]) -> str:
    return f"_x{ord(sign[0]):x}_"


def _path_of(uri: str) -> str:
    return unquote(urlparse(uri).path) if "://" in uri else uri


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
