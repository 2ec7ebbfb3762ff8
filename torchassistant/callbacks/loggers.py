"""Loggers: callbacks that send the history of a run to TensorBoard, MLflow or Trackio."""

from __future__ import annotations

from pathlib import Path

from torchassistant.callbacks.logger import Logger, expect_name, inside
from torchassistant.trackers import MLflowTracker, TensorBoardTracker, Tracker, TrackioTracker
from torchassistant.writing import Place


class TensorBoard(Logger):
    """Writes event files for TensorBoard; needs ``torchassistant[tensorboard]``.

    Args:
        folder: Where the runs are; the run is a folder in it. Relative to the working folder. None:
            the run is ``tensorboard`` in the session folder.
        name: The name of the run in that folder; None: that of the session's folder.

    Raises:
        ValueError: The name cannot be that of a folder.
    """

    tracker = TensorBoardTracker
    own_folder = command = "tensorboard"

    def run_place(self, place: Place, session: str) -> Place:
        """See :class:`Logger`."""
        if self.folder is None and self.run_name is None:
            return place
        return inside(place, session if self.run_name is None else self.run_name)

    def tracker_in(self, folder: str) -> Tracker:
        """See :class:`Logger`."""
        return TensorBoardTracker(folder)


class MLflow(Logger):
    """Writes a run of MLflow into an SQLite file; needs ``torchassistant[mlflow]``.

    Args:
        folder: Where ``mlflow.db`` and ``artifacts`` are; relative to the working folder. None:
            ``mlflow`` in the session folder.
        experiment: The experiment of the run, which is made where there is none.
        name: The name of the run; None: that of the session's folder.

    Raises:
        ValueError: A name is empty, or could not be that of a folder.
    """

    tracker = MLflowTracker
    own_folder = command = "mlflow"

    def __init__(
        self,
        folder: str | Path | None = None,
        experiment: str = "torchassistant",
        name: str | None = None,
    ) -> None:
        super().__init__(folder, name)
        expect_name(experiment)
        self.experiment = experiment

    @property
    def database(self) -> str:
        """See :class:`Logger`."""
        return "mlflow.db"

    def tracker_in(self, folder: str) -> Tracker:
        """See :class:`Logger`."""
        return MLflowTracker(folder, self.experiment, self.run_name)


class Trackio(Logger):
    """Writes a run of Trackio into a local database; needs ``torchassistant[trackio]``.

    Args:
        folder: Where ``PROJECT.db`` and ``media`` are: what ``TRACKIO_DIR`` has to be for Trackio
            to show them. Relative to the working folder. None: ``trackio`` in the session folder.
        project: The project of the run, which is made where there is none: letters, digits, ``-``
            and ``_``.
        name: The name of the run; None: that of the session's folder.

    Raises:
        ValueError: A name is empty, or could not be that of a folder.
    """

    tracker = TrackioTracker
    own_folder = command = "trackio"

    def __init__(
        self,
        folder: str | Path | None = None,
        project: str = "torchassistant",
        name: str | None = None,
    ) -> None:
        super().__init__(folder, name)
        if not project or not project.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"a project has letters, digits, - and _; found {project!r}")
        self.project = project

    @property
    def database(self) -> str:
        """See :class:`Logger`."""
        return f"{self.project}.db"

    def tracker_in(self, folder: str) -> Tracker:
        """See :class:`Logger`."""
        return TrackioTracker(folder, self.project, self.run_name)
