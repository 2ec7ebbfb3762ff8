"""Preprocessors: fitted when the session is created, and put back as they were ever after."""

from __future__ import annotations

from typing import Any

from torchassistant.assembly.build_context import BuildContext, Defined, FittedArtifacts
from torchassistant.assembly.groups.assembler import Assembler, itself
from torchassistant.data import Origin, failure_of_fit
from torchassistant.errors import DataError, blaming


def _build(context: BuildContext, one: Defined) -> Any:
    with context.noting_draws(one.key):
        preprocessor = context.object_of(one)
        if not callable(getattr(preprocessor, "process", None)):
            raise context.maker.problem(f"{one.what} has no method process(value)", one.path)
        with blaming(f"fitting {one.what}"):
            _fit_or_restore(context, one, preprocessor)
    return preprocessor


def _fit_or_restore(context: BuildContext, one: Defined, preprocessor: Any) -> None:
    states = context.fitted.preprocessors
    if one.name in states:
        _restore(preprocessor, states[one.name], one.what)
    elif one.spec.fit:
        if not callable(getattr(preprocessor, "fit", None)):
            message = f"{one.what} has no method fit(dataset)"
            raise context.maker.problem(message, (*one.path, "fit"))
        _fit(context, preprocessor, one.spec.fit)
    if one.spec.fit or hasattr(preprocessor, "state_dict"):
        states[one.name] = _state(preprocessor)


def _fit(context: BuildContext, preprocessor: Any, name: str) -> None:
    """Let a preprocessor learn; an example that is not like the others is named by its index."""
    dataset = context.parts.dataset(name)
    try:
        preprocessor.fit(dataset)
    except Exception as error:
        origin = Origin(dataset, name, context.parts.datasets)
        column = getattr(preprocessor, "column", None)
        explained = failure_of_fit(origin, error, column if type(column) is int else None)
        if explained is error:
            raise
        raise explained from explained.__cause__


def _state(preprocessor: Any) -> Any:
    """What a preprocessor has learnt: its state_dict, else its attributes."""
    if hasattr(preprocessor, "state_dict"):
        return preprocessor.state_dict()
    return dict(vars(preprocessor))


def _restore(preprocessor: Any, state: Any, what: str) -> None:
    if hasattr(preprocessor, "load_state_dict"):
        preprocessor.load_state_dict(state)
    elif isinstance(state, dict) and all(isinstance(key, str) for key in state):
        vars(preprocessor).update(state)
    else:
        raise DataError(f"what is stored of {what} is not a table of its attributes")


def _unneeded(fitted: FittedArtifacts, name: str) -> tuple[str, ...]:
    """Of one that is fitted already, the data to fit it with."""
    return ("fit",) if name in fitted.preprocessors else ()


PREPROCESSORS = Assembler(_build, itself("preprocessors"), _unneeded)
