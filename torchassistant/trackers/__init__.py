"""Programs that keep and show the history of many runs: TensorBoard, MLflow, Trackio.

A tracker is asked what it has of a session, and is sent the rest. What each package needs is
imported when it is used.
"""

from torchassistant.trackers.drawing import Pixels, drawing_of, pixels_of, side_by_side
from torchassistant.trackers.following import STEPS, Follower
from torchassistant.trackers.missing_packages import missing_package
from torchassistant.trackers.mlflow_tracker import MLflowTracker
from torchassistant.trackers.record import About, Key, News, Outcome, Picture, Point, Source, Text
from torchassistant.trackers.tensorboard_tracker import TensorBoardTracker
from torchassistant.trackers.tracker import Tracker
from torchassistant.trackers.trackio_tracker import TrackioTracker

__all__ = [
    "STEPS",
    "About",
    "Follower",
    "Key",
    "MLflowTracker",
    "News",
    "Outcome",
    "Picture",
    "Pixels",
    "Point",
    "Source",
    "TensorBoardTracker",
    "Text",
    "Tracker",
    "TrackioTracker",
    "drawing_of",
    "missing_package",
    "pixels_of",
    "side_by_side",
]
