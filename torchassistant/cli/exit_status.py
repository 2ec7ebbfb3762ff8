"""From what happened to an exit status, and to what a person reads on standard error."""

from __future__ import annotations

import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace

from torchassistant.cli.streams import deliver, say
from torchassistant.errors import (
    Interrupted,
    NotSaved,
    NotWritten,
    Problem,
    UserCodeError,
    UserError,
    WorkerLost,
    cause_of,
    without_controls,
)
from torchassistant.ownership import WORKERS_TRACEBACK, is_users_file

DONE, USER_CODE, USER_ERROR = 0, 1, 2
NOT_SAVED = 1
MOST_SHOWN = 100
_WORDS: dict[int, str] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def status_of(run: Callable[[], int], verbose: bool = False) -> int:
    """Run a command and answer for what it raises.

    Args:
        run: The command.
        verbose: Whether the whole traceback of what it raises is printed too, before what is said.
    """
    try:
        return _status_of(_telling_all(run) if verbose else run)
    except BrokenPipeError:
        # Whoever read the output has gone; there is nobody to tell.
        return USER_CODE


def _telling_all(run: Callable[[], int]) -> Callable[[], int]:
    """The same, which prints the traceback of what it raises."""

    def told() -> int:
        try:
            return run()
        except BrokenPipeError:
            raise
        except BaseException as error:
            _say_lines("".join(traceback.format_exception(error)).rstrip())
            raise

    return told


def _status_of(run: Callable[[], int]) -> int:
    try:
        status = run()
        deliver()
        return status
    except UserError as error:
        _say_problems(error.problems)
        warn(error.warnings)
        return USER_ERROR
    except UserCodeError as error:
        _say_problems(error.problems)
        print_raised(error)
        return USER_CODE
    except NotSaved as error:
        for failure in error.failures:
            say(f"error: {failure}")
        return NOT_SAVED
    except SystemExit as error:
        say(f"error: your code asked Python to exit (with {error.code!r})")
        _say_lines("".join(_here(error)[0]).rstrip())
        return USER_CODE
    except Interrupted as error:
        what = _WORDS.get(error.signum) or f"ended by {signal.Signals(error.signum).name}"
        say(f"{what}: {error}")
        return 128 + error.signum
    except KeyboardInterrupt:
        say("interrupted")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        raise
    except OSError as error:
        # The user's own code raises as a UserCodeError; this is a disk that is full, a folder that
        # may not be written, and the like.
        say(f"error: {_refusal(error)}")
        return USER_ERROR


def _refusal(error: OSError) -> str:
    if isinstance(error, NotWritten):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def print_raised(error: UserCodeError, about: str = "") -> None:
    """Print what the user's code raised, and where.

    Args:
        error: What was raised.
        about: What it was raised for; stands in front.
    """
    cause = cause_of(error)
    if isinstance(cause, WorkerLost):
        say(f"error: {about}{error.part}: {cause}")
        return
    frames, last = _in_worker(cause) or _here(cause)
    say(f"error: {about}{error.part}: {last.splitlines()[0]}")
    _say_lines("".join(["Traceback (your code, the last call at the end):\n", *frames, last]))


def print_failed(given: str, error: UserError | UserCodeError) -> None:
    """Print why there is no prediction for an input."""
    if isinstance(error, UserCodeError):
        print_raised(error, f"{given}: ")
        return
    for problem in error.problems:
        _say_problem("error" if given in str(problem) else f"error: {given}", problem)


def _say_problem(what: str, problem: Problem) -> None:
    say(f"{what}: {replace(problem, details='')}")
    if problem.details:
        _say_lines(problem.details)


def _say_lines(text: str) -> None:
    """Print what has several lines, as a traceback or a diff."""
    print(without_controls(text), file=sys.stderr, flush=True)


def warn(warnings: Iterable[Problem]) -> None:
    """Print what is allowed, and is probably not meant."""
    for warning in warnings:
        _say_problem("warning", warning)


def _say_problems(problems: list[Problem]) -> None:
    for problem in problems[:MOST_SHOWN]:
        _say_problem("error", problem)
    if len(problems) > MOST_SHOWN:
        say(f"… and {len(problems) - MOST_SHOWN} more")


def _here(error: BaseException) -> tuple[list[str], str]:
    """The user's frames of a traceback, formatted, and what was raised."""
    stack = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__))
    users = [frame for frame in stack if is_users_file(frame.filename)]
    frames = traceback.StackSummary.from_list(users or list(stack)).format()
    return frames, "".join(traceback.format_exception_only(error)).rstrip()


def _in_worker(error: BaseException) -> tuple[list[str], str] | None:
    """The same for what was raised in a loader's worker, which arrives as text; else None."""
    _, found, text = str(error).partition(WORKERS_TRACEBACK)
    if not found:
        return None
    # Where one error led to another, the last of them; what it says may have several lines.
    text = text.rpartition("\nTraceback (most recent call last):\n")[2]
    pieces = re.split(r"^(?=  File )|^(?=\S)", text, flags=re.MULTILINE)
    frames = [piece for piece in pieces if piece.startswith("  File ")]
    last = "".join(pieces[pieces.index(frames[-1]) + 1 :]) if frames else text
    users = [frame for frame in frames if is_users_file(frame.split('"')[1])]
    return users or frames, last.rstrip()
