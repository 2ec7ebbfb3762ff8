"""From what happened to an exit status, and to what a person reads on standard error."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from torchassistant.errors import Interrupted, UserCodeError, UserError

DONE, USER_CODE, USER_ERROR = 0, 1, 2

_PACKAGE = str(Path(__file__).resolve().parents[1])
_INSTALLED = tuple(
    dict.fromkeys(sysconfig.get_paths()[key] for key in ("purelib", "platlib", "stdlib"))
)


def status_of(run: Callable[[], int]) -> int:
    """Run a command and answer for what it raises."""
    try:
        return run()
    except UserError as error:
        for problem in error.problems:
            _say(f"error: {problem}")
        return USER_ERROR
    except UserCodeError as error:
        cause = error.__cause__ or error
        _say(f"error: {error.part}: {type(cause).__name__}: {_first_line(cause)}")
        _say(_users_traceback(cause))
        return USER_CODE
    except Interrupted as error:
        what = "terminated" if error.signum == signal.SIGTERM else "interrupted"
        _say(f"{what}: {error}")
        return 128 + error.signum
    except KeyboardInterrupt:
        _say("interrupted")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read the output has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USER_CODE
    except OSError as error:
        # The user's own code raises as a UserCodeError; this is a disk that is full, a folder that
        # may not be written, and the like.
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {where}{error.strerror or error}")
        return USER_ERROR


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""


def _users_traceback(error: BaseException) -> str:
    """The traceback of an error without the frames of TorchAssistant and of what is installed."""
    frames = traceback.StackSummary.extract(traceback.walk_tb(_traceback(error)))
    users = [frame for frame in frames if not _is_foreign(frame.filename)]
    chosen = traceback.StackSummary.from_list(users or list(frames))
    lines = ["Traceback (your code, the last call at the end):\n", *chosen.format()]
    lines += traceback.format_exception_only(error)
    return "".join(lines).rstrip()


def _traceback(error: BaseException) -> TracebackType | None:
    return error.__traceback__


def _is_foreign(file: str) -> bool:
    path = os.path.realpath(file)
    if path.startswith(_PACKAGE + os.sep) or file.startswith("<frozen"):
        return True
    return any(path.startswith(os.path.realpath(folder) + os.sep) for folder in _INSTALLED)
