"""Checks the sources of weights before anything is built: each is there, and each pattern fits."""

from __future__ import annotations

from torchassistant.assembly.build_context import ReadSession
from torchassistant.assembly.model_weights import stored_source
from torchassistant.assembly.pretrained import why_not_fetched
from torchassistant.assembly.weight_names import named
from torchassistant.config import Diagnostics, ModelWeightsSpec, Path, Spec
from torchassistant.errors import UserError


def report_weights(
    spec: Spec, diagnostics: Diagnostics, read_session: ReadSession, allow_download: bool = False
) -> None:
    """Report sources that cannot be read, and patterns that fit none of their names.

    Args:
        spec: The config of a new session; what is broken in it is left alone.
        diagnostics: Gets the problems.
        read_session: Gives weights of other sessions.
        allow_download: Whether what nobody pinned may be downloaded; nothing is downloaded here.
    """
    for index, definition in enumerate(spec.initialize.definitions):
        path: Path = ("initialize", "definitions", index, "spec")
        for at, one in definition.spec.sources if definition.group == "models" else ():
            whole = (*path, *at)
            if one.is_url and (why := why_not_fetched(one.shown, allow_download)) is not None:
                diagnostics.note(why, (*whole, "from"))
            is_here = one.from_ and not one.is_url and not one.factory_fn
            if is_here and diagnostics.is_whole(whole):
                _report(one, definition.name, whole, diagnostics, read_session)


def _report(
    one: ModelWeightsSpec,
    model: str,
    path: Path,
    diagnostics: Diagnostics,
    read_session: ReadSession,
) -> None:
    try:
        source = stored_source(one, model, read_session)
    except UserError as error:
        for problem in error.problems:
            diagnostics.note(problem.message, (*path, "from"))
        return
    try:
        names = named(one, source)
    except UserError as error:
        diagnostics.note(str(error), path)
        return
    for idle in names.unmatched:
        diagnostics.note(idle.message, (*path, *idle.path))
