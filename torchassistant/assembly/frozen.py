"""What a stage freezes: from the patterns of the config to live parameters and modules."""

from __future__ import annotations

from torch import nn

from torchassistant.assembly.builder import Builder
from torchassistant.assembly.module_patterns import pattern_of
from torchassistant.assembly.parts import Parts
from torchassistant.config import LOSSES, FrozenSpec, Path, StageSpec
from torchassistant.errors import ConfigError, Problem
from torchassistant.graph import Frozen, FrozenPart, Models, frozen_part


def frozen_in(builder: Builder, spec: StageSpec, path: Path) -> Frozen:
    """What a stage freezes.

    Args:
        builder: Has built the models.
        spec: The stage.
        path: Where it stands.

    Raises:
        ConfigError: With a problem for each entry that fits nothing, or has no effect.
    """
    parts: list[FrozenPart] = []
    problems: list[Problem] = []
    for index, entry in enumerate(spec.frozen_blocks):
        is_text = isinstance(spec.frozen[index], str)
        try:
            parts.append(_part(builder, entry, (*path, "frozen", index), is_text))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return Frozen(parts)


def _trainable(parts: Parts) -> Models:
    """The models, and the losses with parameters as ``losses.NAME``."""
    functions = {f"{LOSSES}.{name}": loss for name, loss in parts.losses.items()}
    return dict(parts.models) | {
        name: function
        for name, function in functions.items()
        if isinstance(function, nn.Module) and any(True for _ in function.parameters())
    }


def _part(builder: Builder, spec: FrozenSpec, path: Path, is_text: bool) -> FrozenPart:
    models = _trainable(builder.parts)
    try:
        pattern = pattern_of(builder.maker, spec, path, models)
    except ConfigError as error:
        if not is_text:
            raise
        # What the block would have a key for is the entry itself.
        raise builder.maker.problem(error.problems[0].message, path) from None
    part = frozen_part(spec.shown, pattern, models, spec.mode == "eval")
    average = _average_in_part(builder.parts, part)
    if average is not None:
        message = (
            f'{spec.shown} is a part of the average "{average}", which is frozen as a whole or '
            "follows its model"
        )
        raise builder.maker.problem(message, path)
    if part.in_eval_mode is not None and not part.in_eval_mode:
        message = f'"mode": "eval" has no effect, as no whole module fits {spec.shown}'
        raise builder.maker.problem(message, (*path, "mode"))
    return part


def _average_in_part(parts: Parts, part: FrozenPart) -> str | None:
    """The average of which an entry freezes some parameters, not all, and nothing else."""
    frozen = {id(parameter) for parameter in part.parameters}
    for name, average in parts.averages.items():
        own = {id(parameter) for parameter in average.model.parameters()}
        if part.in_eval_mode is None and frozen and frozen < own:
            return name
    return None
