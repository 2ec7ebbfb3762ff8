"""The state that optimizers begin with: read once, when a session is created.

The state of the parameters counts, as momenta and steps. The options of the groups, as the learning
rate, are those of the config.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from torchassistant.assembly import Builder, Defined, one_named, optimizer_state_in
from torchassistant.config import Diagnostics, Key, ObjectSpec, OptimizerStateSpec, Spec
from torchassistant.errors import UserCodeError, UserError, listing
from torchassistant.session.building.session_weights import checkpoint_of
from torchassistant.session.checkpoints.state_schema import is_optimizer_state
from torchassistant.session.state.library_state import is_torchs, unlike_optimizer
from torchassistant.session.state.optimizer_state import load_optimizer
from torchassistant.training import has_own_form


def begin_optimizers(builder: Builder, stored: Collection[Key], own: Path) -> None:
    """Give optimizers the state that the config says they begin with.

    Args:
        builder: Has built them.
        stored: The definitions whose state is put back afterwards.
        own: The session that is being created.

    Raises:
        ConfigError: A state cannot be read, or does not fit its optimizer.
        UserCodeError: The user's code raised.
    """
    for one in builder.defined("optimizers"):
        if one.spec.state is not None and one.key not in stored:
            _begin(builder, one, builder.parts.optimizers[one.name], own)


def report_optimizer_states(spec: Spec, diagnostics: Diagnostics, own: Path | None) -> None:
    """Report states that cannot be read, before anything is built."""
    for index, definition in enumerate(spec.initialize.definitions):
        path = ("initialize", "definitions", index, "spec", "state")
        state = definition.spec.state if definition.group == "optimizers" else None
        if state is None or not state.from_ or not diagnostics.is_whole(path):
            continue
        try:
            _state_of(state, definition.name, own)
        except UserError as error:
            for problem in error.problems:
                diagnostics.note(problem.message, (*path, "from"))


def state_of_session(spec: OptimizerStateSpec, name: str, own: Path | None) -> Any:
    """The state of an optimizer as a checkpoint of a session holds it.

    Args:
        spec: Which session, optimizer and checkpoint.
        name: The optimizer that it is for.
        own: The session that is being created, which cannot be meant; None where it is not known.

    Raises:
        SessionError: There is no such session, checkpoint or optimizer.
    """
    shown, checkpoint = checkpoint_of(spec, own)
    known = checkpoint.spec.group("optimizers")
    meant = one_named(spec.optimizer, name, known, "optimizer", shown)
    return checkpoint.state(f"optimizers/{meant}")


def _state_of(spec: OptimizerStateSpec, name: str, own: Path | None) -> Any:
    """The state of an optimizer in a session or a file.

    Raises:
        UserError: There is none.
    """
    if spec.session is None:
        return optimizer_state_in(Path(spec.from_ or ""))
    return state_of_session(spec, name, own)


def _begin(builder: Builder, one: Defined, optimizer: Optimizer, own: Path) -> None:
    path, what = (*one.path, "state"), f"the state of {one.what}"
    state = _read(builder, one, own)
    if not is_optimizer_state(state):
        message = f"{what} must be the state_dict of an optimizer; found {type(state).__name__}"
        raise builder.maker.problem(message, path)
    groups = [dict(group) for group in optimizer.param_groups]
    try:
        if not has_own_form(optimizer):
            state = {**state, "param_groups": _own_groups(optimizer, state)}
        load_optimizer(optimizer, state)
        wrong = list(unlike_optimizer(optimizer, groups, state)) if is_torchs(optimizer) else []
        if wrong:
            raise ValueError(f"it has another form in {listing(wrong, 3)}")
    except Exception as error:
        message = f'{what} does not fit: {error}; a "change_fn" can change it'
        raise builder.maker.problem(message, path) from error


def _own_groups(optimizer: Optimizer, state: Any) -> Any:
    """The groups as the config makes them, for parameters that stand where they stood.

    Raises:
        ValueError: There are other groups, or groups of other sizes.
    """
    own = optimizer.state_dict()["param_groups"]
    here = [len(group["params"]) for group in own]
    there = [len(group["params"]) for group in state.get("param_groups", [])]
    if here != there:
        raise ValueError(f"it has groups of {there} parameters, and the optimizer has {here}")
    return own


def _read(builder: Builder, one: Defined, own: Path) -> Any:
    spec, path, what = one.spec.state, (*one.path, "state"), f"the state of {one.what}"
    try:
        if spec.factory_fn:
            state = builder.maker.make(spec, path, what, "state")
        else:
            state = _state_of(spec, one.name, own)
    except UserError as error:
        if spec.factory_fn:
            raise
        message = "; ".join(problem.message for problem in error.problems)
        raise builder.maker.problem(message, (*path, "from")) from None
    if spec.change_fn is None:
        return state
    named = ObjectSpec(class_=spec.change_fn)
    change = builder.callable_of(named, (*path, "change_fn"), f"the change of {what}", "change_fn")
    try:
        return change(state)
    except Exception as error:
        raise UserCodeError(f"changing {what}") from error
