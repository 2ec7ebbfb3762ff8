"""From a module to a program of torch.export, and what there is to say where that fails."""

from __future__ import annotations

import linecache
import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from torchassistant.compat.causal_masks import causal_where_said
from torchassistant.compat.export_errors import is_about_shapes, is_about_values
from torchassistant.errors import UserCodeError, UserError, cause_of, shown_path
from torchassistant.export.attention import AttentionWithHeads
from torchassistant.export.exportable import CutOff, Exportable, watching
from torchassistant.export.lengths import lengths_of_any_size
from torchassistant.export.recurrent_layers import traceable_recurrence
from torchassistant.ownership import is_users_file

_BATCH = "batch"
_AXIS = "axis_{}_{}"


class NotTraceable(UserError):
    """A graph cannot be written as a file."""


def traced(exportable: Exportable) -> tuple[Exportable, torch.export.ExportedProgram]:
    """The program of a graph, and the graph without the inputs that nothing depends on.

    Raises:
        CutOff: An adapter has to be left outside.
        NotTraceable: Something else cannot be traced.
    """
    program = _traced(exportable)
    unread = _unread(program)
    if unread:
        smaller = exportable.without(unread)
        with suppress(CutOff, NotTraceable):  # an adapter reads them, whatever for
            exportable, program = smaller, _traced(smaller)
    _forget_places(program)
    return exportable, program


def _forget_places(program: torch.export.ExportedProgram) -> None:
    """Take out where in whose folders the code of each node stands; files would have that."""
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)


def _traced(exportable: Exportable) -> torch.export.ExportedProgram:
    shapes = _dynamic_shapes(exportable)
    # What was traced before, with other sizes, would count as what is fixed.
    torch.compiler.reset()
    try:
        with (
            quietly(),
            exportable.batches.mode(),
            traceable_recurrence(),
            causal_where_said(),
            AttentionWithHeads(),
            lengths_of_any_size(),
            watching(exportable.boundary),
        ):
            return _exported(exportable, shapes)
    except (CutOff, UserError):
        raise
    except Exception as error:
        raise NotTraceable(_why(error, exportable)) from error


def _exported(
    exportable: Exportable, shapes: dict[str, dict[int, Any]]
) -> torch.export.ExportedProgram:
    sample = dict(exportable.samples[-1])
    try:
        return torch.export.export(exportable.module, (sample,), dynamic_shapes=(shapes,))
    except Exception as error:
        if not is_about_shapes(error) or _fixed(error):
            raise
        # Axes that must be equal, as those of a text and of its mask, become one; others get the
        # least size for which the code does what it did here.
        refine = torch.export.dynamic_shapes.refine_dynamic_shapes_from_suggested_fixes
        said, fixes, lines = str(error).partition("Suggested fixes:")
        (tied,) = refine(said + fixes + lines.partition("\n\n")[0], (shapes,))
        return torch.export.export(exportable.module, (sample,), dynamic_shapes=(tied,))


def _dynamic_shapes(exportable: Exportable) -> dict[str, dict[int, Any]]:
    """For each input the axes that are of no fixed size."""
    shapes: dict[str, dict[int, Any]] = {}
    size = torch.export.Dim(_BATCH)
    for number, name in enumerate(exportable.samples[-1]):
        axes = exportable.axes[name]
        shapes[name] = {} if exportable.batch is not None else dict.fromkeys(axes.batch, size)
        for axis in axes.varying:
            shapes[name][axis] = torch.export.Dim(_AXIS.format(number, axis))
    return shapes


def _unread(program: torch.export.ExportedProgram) -> list[str]:
    """The inputs that no output depends on, by the names of the module."""
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    read: set[str] = set()
    waiting = [output]
    while waiting:
        node = waiting.pop()
        if node.name not in read:
            read.add(node.name)
            waiting += node.all_input_nodes
    inputs = zip(input_names(program), program.graph_signature.user_inputs, strict=True)
    return [name for name, own in inputs if str(own) not in read]


def input_names(program: torch.export.ExportedProgram) -> list[str]:
    """The names of the inputs, in the order of the program."""
    ((sample,), _) = program.example_inputs
    return list(sample)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings of exporters, which are about their own insides."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _fixed(error: Exception) -> list[tuple[str, int]]:
    """The names of axes that code has fixed, and their sizes."""
    return [(name, int(size)) for name, size in re.findall(r"^\s+(\w+) = (\d+)$", str(error), re.M)]


def _why(error: Exception, exportable: Exportable) -> str:
    """Why something cannot be traced, with the place in the user's code."""
    if is_about_shapes(error):
        return _why_fixed(error, list(exportable.samples[-1]))
    cause = cause_of(error) if isinstance(error, UserCodeError) else error
    part = error.part if isinstance(error, UserCodeError) else "the graph"
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    said = lines[0] if lines else type(cause).__name__
    if is_about_values(cause):
        said = (
            "what it does depends on the values of a tensor, and a file holds one way for all of "
            f"them (torch.where and torch.cond can choose in it): {said}"
        )
    return f"{part} cannot be exported: {_place(cause)}{said}"


def _why_fixed(error: Exception, names: list[str]) -> str:
    fixed = _fixed(error)
    if not fixed:
        return f"the graph cannot be exported: {str(error).strip()}"
    name, size = fixed[0]
    if name == _BATCH:
        return (
            f"the code of the graph fixes the size of a batch to {size}, as by a number in a view "
            f"or int(x.shape[0]); --batch {size} exports it for batches of that size"
        )
    _, number, axis = name.split("_")
    return (
        f'the code of the graph fixes axis {axis} of "{names[int(number)]}" to {size}, and it is '
        "to be of any size: it was asked for, or differs from batch to batch in the data"
    )


def _place(error: BaseException) -> str:
    """The last line of the user's own code in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_users_file(frame.filename)]
    if not own:
        return ""
    frame = own[-1]
    line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    return f"{shown_path(frame.filename)}:{frame.lineno}, in {frame.name}: {line}: "
