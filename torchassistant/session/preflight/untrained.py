"""Parameters that look trained, and that no optimizer changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.optim import Optimizer

from torchassistant.assembly import models_reached
from torchassistant.config import Key, module_named
from torchassistant.errors import listing
from torchassistant.graph import distinct, is_among
from torchassistant.session.preflight.findings import Findings
from torchassistant.session.session import Session
from torchassistant.session.state.stateful_parts import members_of
from torchassistant.training import Pipeline, Stage, parameters_of


def warn_of_frozen(stage: Stage, index: int, found: Findings) -> None:
    """Warn of optimizers that step in a stage in which what they train is frozen.

    Of one of several models of an optimizer only where no stage with that optimizer trains it: to
    thaw a backbone later is what freezing is for.
    """
    used = distinct(o for pipeline in stage.training for o in pipeline.optimizers)
    path = ("train", "stages", index, "frozen")
    for name, optimizer in found.session.optimizers.items():
        if not is_among(optimizer, used):
            continue
        if stage.frozen.holds_all_of(parameters_of([optimizer])):
            message = "changes nothing in this stage, as all that it trains is frozen here"
            found.warn(f'the optimizer "{name}" {message}', path)
            continue
        for shown in _never_trained(name, optimizer, found.session):
            message = f'is to train "{shown}", which is frozen in each stage in which it steps'
            found.warn(f'the optimizer "{name}" {message}', path)


def _never_trained(name: str, optimizer: Optimizer, session: Session) -> Iterator[str]:
    """The models and losses that an optimizer names, wholly frozen in each stage where it steps."""
    spec = session.spec.group("optimizers").get(name)
    stages = [
        stage
        for stage in session.stages
        if any(is_among(optimizer, pipeline.optimizers) for pipeline in stage.training)
    ]
    held = {id(parameter) for parameter in parameters_of([optimizer])}
    for _, named in () if spec is None else spec.models:
        key = module_named(named)
        model = (session.losses if key.group == "losses" else session.models)[key.name]
        own = [parameter for parameter in model.parameters() if id(parameter) in held]
        if all(stage.frozen.holds_all_of(own) for stage in stages):
            yield named


def warn_of_untrained(found: Findings) -> None:
    """Warn of parameters that no optimizer holds, other than those of models left untrained."""
    session = found.session
    held = {
        id(parameter)
        for optimizer in session.optimizers.values()
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    held |= {id(p) for left_out in session.untrained.values() for p in left_out}
    training = [pipeline for stage in session.stages for pipeline in stage.training]
    _warn_of_models(training, held, found)
    of_models = {id(p) for model in session.models.values() for p in model.parameters()}
    _warn_of_parts(training, held | of_models, found)


def _warn_of_models(training: list[Pipeline], held: set[int], found: Findings) -> None:
    """Those of models that are trained."""
    for model in distinct(
        model
        for pipeline in training
        for model in (*pipeline.graph.trained, *pipeline.trained_by_losses)
    ):
        left = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in held]
        if left:
            (name, *_) = found.names([model])
            message = f'no optimizer has the parameters {listing(left)} of the model "{name}", '
            found.warn(f"{message}which is trained", found.path_of(Key("models", name)))


def _warn_of_parts(training: list[Pipeline], known: set[int], found: Findings) -> None:
    """Those of losses and batch processors."""
    running = {id(part) for pipeline in training for part in pipeline.parts}
    for key, part in members_of(found.session).items():
        group, name, *rest = key.split("/")
        if id(part) not in running or group not in ("losses", "batch_processors"):
            continue
        left = [
            shown
            for shown, parameter in _parameters_in(part, found.session)
            if parameter.requires_grad and id(parameter) not in known
        ]
        if left:
            trainable = group == "losses" and not rest and isinstance(part, nn.Module)
            hint = f'; one whose "model" is "losses.{name}" does' if trainable else ""
            message = f"no optimizer trains the parameters of {key}: {listing(left)}{hint}"
            found.warn(message, found.path_of(Key(group, name)))


def _parameters_in(part: Any, session: Session) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a module; of another object those of the modules that it holds."""
    if isinstance(part, nn.Module):
        yield from part.named_parameters()
        return
    for module in models_reached([part], session, {}):
        for name, parameter in module.named_parameters():
            yield f"{type(module).__name__}.{name}", parameter
