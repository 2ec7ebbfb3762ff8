"""From what happened to an exit status, and to what a person reads on standard error."""

from __future__ import annotations

import os
import re
import signal
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path

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
        frames, last = _in_worker(cause) or _here(cause)
        _say(f"error: {error.part}: {last.splitlines()[0]}")
        _say("".join(["Traceback (your code, the last call at the end):\n", *frames, last]))
        return USER_CODE
    except SystemExit as error:
        _say(f"error: your code asked Python to exit (with {error.code!r})")
        _say("".join(_here(error)[0]).rstrip())
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


def _here(error: BaseException) -> tuple[list[str], str]:
    """The user's frames of a traceback, formatted, and what was raised."""
    stack = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__))
    users = [frame for frame in stack if not _is_foreign(frame.filename)]
    frames = traceback.StackSummary.from_list(users or list(stack)).format()
    return frames, "".join(traceback.format_exception_only(error)).rstrip()


def _in_worker(error: BaseException) -> tuple[list[str], str] | None:
    """The same for what was raised in a loader's worker, which arrives as text; else None."""
    _, found, text = str(error).partition("Original Traceback (most recent call last):\n")
    if not found:
        return None
    *frames, last = re.split(r"^(?=  File )|^(?=\S)", text, flags=re.MULTILINE)[1:]
    users = [f for f in frames if not _is_foreign(f.split('"')[1])]
    return users or frames, last.rstrip()


def _is_foreign(file: str) -> bool:
    path = os.path.realpath(file)
    if path.startswith(_PACKAGE + os.sep) or file.startswith("<frozen"):
        return True
    return any(path.startswith(os.path.realpath(folder) + os.sep) for folder in _INSTALLED)
