"""What a loader raises, with the loader and the example that are to blame."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from torchassistant.data.batch_errors import failure_of, shown_indices
from torchassistant.data.port import Port
from torchassistant.errors import DataError, UserCodeError, UserError, WorkerLost


def guarded(port: Port) -> Generator[tuple[Any, int | None], None, None]:
    """The batches of a loader; what the user's code raises says which loader it was in."""
    number, given, pieces = port.loader.skipped, 0, port.loader.pieces
    try:
        for batch in port.loader.batches():
            yield batch
            given += 1
            if given == pieces:
                number, given = number + 1, 0
    except UserError as error:
        raise _located(_from_worker(error), port, number) from None
    except UserCodeError as error:
        blamed = _blamed_in_worker(error)
        located = _located(blamed, port, number)
        raise located from located.__cause__
    except Exception as error:
        located = _located(error, port, number)
        if located is error:
            located = UserCodeError(_whole(port))
            located.__cause__ = error
        raise located from located.__cause__


def _located(error: Exception, port: Port, number: int) -> Exception:
    """An error of a loader, with the example that is to blame, as far as that can be found.

    Args:
        error: What was raised instead of a batch.
        port: What the loader feeds.
        number: Of the batch, in its epoch.
    """
    origin, indices = port.loader.origin, port.loader.examples_of(number)
    if isinstance(error, WorkerLost) or not indices:
        return error
    found = failure_of(origin, indices, port.columns, error)
    if isinstance(found, UserCodeError):
        cause = error.__cause__ if isinstance(error, UserCodeError) else error
        located: Exception = UserCodeError(f"{_whole(port)}, {found.part}")
        located.__cause__ = cause
        return located
    if found is not None:
        return found
    if not origin.name:
        return error
    if isinstance(error, UserError):
        return DataError(f'{error} (in the dataset "{origin.name}")')
    where = shown_indices(origin, indices)
    if isinstance(error, UserCodeError):
        located = UserCodeError(f"{error.part}, at {where}")
        located.__cause__ = error.__cause__
        return located
    located = UserCodeError(f"{_whole(port)}, at {where}")
    located.__cause__ = error
    return located


def _whole(port: Port) -> str:
    return f'the data of the loader factory "{port.source}"'


def _from_worker(error: UserError) -> UserError:
    """An error of ours that crossed from a worker arrives as a traceback; its last line counts."""
    text = str(error)
    if "Original Traceback" not in text:
        return error
    last = text.rstrip().splitlines()[-1]
    return type(error)(last.partition(": ")[2] or last)


_SEAM = "\n\nThe above exception was the direct cause of the following exception:\n"


def _blamed_in_worker(error: UserCodeError) -> UserCodeError:
    """The same for an error that says which part it was in: what caused it stands before that."""
    cause, seam, text = error.part.rpartition(_SEAM)
    if not seam:
        return error
    blamed = UserCodeError(text.rstrip().splitlines()[-1].partition(": ")[2])
    blamed.__cause__ = RuntimeError(cause)
    return blamed
