"""Training with a profiler: a trace of a few iterations, in the session folder."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

from torch.profiler import profile

from torchassistant.errors import shown_path
from torchassistant.parallel import Processes
from torchassistant.session.files.durable_files import clear_aside, refuse_links, replace_file
from torchassistant.session.session import Session
from torchassistant.training import (
    ProfilerNames,
    Recording,
    Reporter,
    Reporters,
    StopRequest,
    decoded,
)

PROFILE = "profile"
VIEWER = "https://ui.perfetto.dev"


def train_profiled(
    session: Session,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
    processes: Processes | None = None,
) -> None:
    """Train a session, and write a trace of some iterations into its folder ``profile``.

    Args:
        session: What is trained; the results are the same bits as without a profiler.
        reporter: Is called when something happens, and gets the path of the trace.
        stop: Ends training after the iteration at hand; what is recorded by then is written.
        processes: Those that train it together; the first one writes the trace.

    Raises:
        SessionError: There is a link where the trace is to be written.
        Exception: Whatever :meth:`Session.train` raises.
    """
    if processes is not None and not processes.is_first:
        session.train(reporter, stop, processes=processes)
        return
    refuse_links(session.path, (PROFILE,))
    clear_aside(session.path / PROFILE)
    reporter = reporter or Reporter()
    traces = _Traces(session, reporter)
    recording = Recording(traces.add)
    try:
        session.train(Reporters(reporter, recording, ProfilerNames()), stop, processes=processes)
    finally:
        if recording.window is not None and not traces.was_asked:
            reporter.noted("no trace was written: the run ended before an iteration was recorded")


class _Traces:
    """The traces of a session, as JSON in the format of Chrome's own.

    Args:
        session: Whose.
        reporter: Gets a message for each.
    """

    def __init__(self, session: Session, reporter: Reporter) -> None:
        self.session = session
        self.reporter = reporter
        self.was_asked = False

    def add(self, profiler: profile) -> None:
        """Write what a profiler has recorded. What goes wrong with it ends no training."""
        self.was_asked = True
        path = self._new_path()
        try:
            path.parent.mkdir(exist_ok=True)  # not the session folder, where it is gone
            replace_file(path, _exported(profiler))
        except OSError as error:
            self.reporter.noted(f"error: the trace could not be written: {error}")
        else:
            self.reporter.noted(f"a trace is in {shown_path(path)}; {VIEWER} opens it")

    def _new_path(self) -> Path:
        step = f"step-{self.session.progress.step}"
        names = (f"{step}-{number}" if number else step for number in count())
        paths = (self.session.path / PROFILE / f"{name}.json" for name in names)
        return next(path for path in paths if not path.exists())


def _exported(profiler: profile) -> bytes:
    """The trace of a profiler.

    Raises:
        OSError: There was no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="trace-") as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        trace = path.read_bytes()
    # The profiler does not tell when it could write a part only.
    if not trace.rstrip().endswith(b"}"):
        raise OSError(f"only {len(trace)} bytes of it fitted into {tempfile.gettempdir()}")
    return decoded(trace)
