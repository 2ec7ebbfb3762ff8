"""What a stage leaves as it is, though it runs: parameters, buffers, and the mode of modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from torchassistant.compat.modules import own_buffers
from torchassistant.graph.by_identity import distinct
from torchassistant.graph.module_patterns import Models, ModulePattern

Buffer = tuple[nn.Module, str]
"""A buffer by the module that it stands in, and the name that it has there."""


@dataclass(frozen=True, slots=True, eq=False)
class FrozenPart:
    """What one entry of a config freezes.

    Args:
        shown: The entry in short, for people.
        parameters: Each once.
        buffers: Likewise.
        in_eval_mode: The modules that run in eval mode; None where the entry says nothing of that.
    """

    shown: str
    parameters: Sequence[nn.Parameter]
    buffers: Sequence[Buffer]
    in_eval_mode: Sequence[nn.Module] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """All that one stage freezes.

    Args:
        parts: One for each entry of the config.
    """

    parts: Sequence[FrozenPart] = ()

    def __bool__(self) -> bool:
        return bool(self.parts)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Every parameter, once."""
        return distinct(parameter for part in self.parts for parameter in part.parameters)

    @property
    def in_eval_mode(self) -> list[nn.Module]:
        """Every module that runs in eval mode, once; its submodules are among them if they do."""
        return distinct(module for part in self.parts for module in part.in_eval_mode or ())

    def buffers_in(self, model: nn.Module) -> list[Buffer]:
        """The buffers of a model that stay as they are."""
        names = {(id(module), name) for part in self.parts for module, name in part.buffers}
        return [
            (module, name)
            for module in model.modules()
            for name in own_buffers(module)
            if (id(module), name) in names
        ]

    def among(self, parameters: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """Those of some parameters that are frozen."""
        if not self.parts:
            return []
        frozen = {id(parameter) for parameter in self.parameters}
        return [parameter for parameter in parameters if id(parameter) in frozen]

    def holds_all_of(self, parameters: Sequence[torch.Tensor]) -> bool:
        """Whether each of some parameters is frozen; not where there are none."""
        return 0 < len(parameters) == len(self.among(parameters))

    def set_mode(self) -> None:
        """Eval mode for the modules that are to run in it; others keep theirs."""
        for module in self.in_eval_mode:
            module.training = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """No parameter gets a gradient in here; afterwards each may that could before.

        What has no gradient, no optimizer of torch changes: neither by weight decay nor by the
        momentum that it has.
        """
        parameters = self.parameters
        could_learn = [parameter for parameter in parameters if parameter.requires_grad]
        modes = [(module, module.training) for module in self.in_eval_mode]
        for parameter in parameters:
            parameter.grad = None
        for parameter in could_learn:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in could_learn:
                parameter.requires_grad_(True)
            for module, training in modes:
                module.training = training


NOTHING_FROZEN = Frozen()


def frozen_part(
    shown: str, pattern: ModulePattern, models: Models, in_eval_mode: bool
) -> FrozenPart:
    """What a pattern of a config freezes.

    A module is frozen if the pattern fits it, or all parameters and buffers that it has itself: of
    ``bn1.*``, the module ``bn1``.

    Args:
        shown: The pattern in short, for people.
        pattern: Fits something.
        models: Where it is looked for.
        in_eval_mode: Whether the frozen modules run in eval mode.
    """
    parameters = pattern.parameters(models)
    buffers = pattern.buffers(models)
    return FrozenPart(
        shown,
        parameters,
        buffers,
        _whole_modules(pattern, models, parameters, buffers) if in_eval_mode else None,
    )


def _whole_modules(
    pattern: ModulePattern,
    models: Models,
    parameters: Sequence[nn.Parameter],
    buffers: Sequence[Buffer],
) -> list[nn.Module]:
    frozen = {id(parameter) for parameter in parameters}
    kept = {(id(module), name) for module, name in buffers}

    def is_whole(module: nn.Module) -> bool:
        own = [id(parameter) in frozen for parameter in module.parameters(recurse=False)]
        own += [(id(module), name) in kept for name in own_buffers(module)]
        return bool(own) and all(own)

    everything = distinct(module for model in models.values() for module in model.modules())
    return distinct([*pattern.modules(models), *filter(is_whole, everything)])


def sparing_call(buffers: Sequence[Buffer], call: Callable[..., Any]) -> Callable[..., Any]:
    """A call that leaves some buffers as they are.

    In eval mode no layer of torch changes any, so nothing is copied for those.

    Args:
        buffers: Which ones.
        call: Calls the model that they are in.
    """
    spared = [(module, name, _may_change_in_eval(module)) for module, name in buffers]

    def sparing(*args: Any, **kwargs: Any) -> Any:
        own = [
            (own_buffers(module), name, own_buffers(module)[name])
            for module, name, always in spared
            if always or module.training
        ]
        copies: dict[int, torch.Tensor] = {}
        for table, name, buffer in own:
            if buffer is not None:
                table[name] = copies.setdefault(id(buffer), buffer.clone())
        try:
            return call(*args, **kwargs)
        finally:
            for table, name, buffer in own:
                table[name] = buffer

    return sparing if spared else call


def _may_change_in_eval(module: nn.Module) -> bool:
    return not type(module).__module__.startswith("torch.")
