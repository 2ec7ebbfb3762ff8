"""Names in the trace of a profiler: pipelines, processors, nodes, losses, backward, optimizers.

A listener that is there only while somebody profiles.
"""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager, nullcontext
from urllib.parse import quote, unquote

from torch.profiler import record_function

from torchassistant.compat.profiler import profiler_check
from torchassistant.training.events import Listener, Part

_MARK = "torchassistant:"
_MARKED = re.compile(f'"{_MARK}([^"]*)"'.encode())
_NOTHING = nullcontext()
_is_profiling = profiler_check()


def span(name: str) -> AbstractContextManager[object]:
    """A stretch of a trace; nothing while no profiler is on."""
    if not _is_profiling():
        return _NOTHING
    return record_function(coded(name))


def coded(name: str) -> str:
    """A name as the profiler can write it: it changes quotes, and gives up what is not ASCII."""
    return _MARK + quote(name, safe="")


def decoded(trace: bytes) -> bytes:
    """A trace as the profiler wrote it, with the names of spans as they were given."""
    return _MARKED.sub(lambda found: json.dumps(unquote(found[1].decode())).encode(), trace)


class ProfilerNames(Listener):
    """Gives the parts of steps and evaluations names in a trace."""

    def __init__(self) -> None:
        self.spans: list[AbstractContextManager[object]] = []

    def part_started(self, part: Part, name: str) -> None:
        self.spans.append(span(f'{part.value} "{name}"' if name else part.value))
        self.spans[-1].__enter__()

    def part_finished(self, part: Part, name: str) -> None:
        self.spans.pop().__exit__(None, None, None)
