"""What a stage names and has no use for: pipelines whose turn never comes, models at rest."""

from __future__ import annotations

from itertools import islice

from torchassistant.graph import FrozenPart
from torchassistant.session.preflight.findings import Findings
from torchassistant.training import Stage, ends_of_epochs

_MOST_EPOCHS = 10_000
"""Beyond so many nobody waits for the answer."""


def warn_of_idle_parts(stage: Stage, index: int, found: Findings) -> None:
    """Warn of pipelines that never run in a stage, and of frozen models that do not either."""
    path = ("train", "stages", index)
    ends = list(islice(ends_of_epochs(stage), _MOST_EPOCHS))
    is_empty = not any(ends) and stage.before_epoch  # what runs before epochs may make data
    if ends and len(ends) == stage.num_epochs and not is_empty:
        for place, turn in enumerate(stage.all_turns):
            begins = [0, *ends[:-1]]
            spans = zip(begins, ends, strict=True)
            if not any(turn.steps_in(end - begin, begin) for begin, end in spans):
                name = stage.training[place].name
                message = f'the turn of "{name}" never comes: this stage has {ends[-1]} iterations'
                found.warn(message, (*path, "training_pipelines", place))
    averages = [average.model for average in found.session.builder.parts.averages.values()]
    models = [*(model for p in stage.training for model in p.reached), *averages]
    running = {id(part) for model in models for part in (*model.parameters(), *model.modules())}
    for place, part in enumerate(stage.frozen.parts):
        if running.isdisjoint(_ids_in(part)):
            message = f"{part.shown} does not run in this stage, so that freezing it has no effect"
            found.warn(message, (*path, "frozen", place))


def _ids_in(part: FrozenPart) -> set[int]:
    """What an entry freezes: parameters, and modules with buffers, or that run in eval mode."""
    modules = [module for module, _ in part.buffers]
    return {id(one) for one in (*part.parameters, *modules, *(part.in_eval_mode or ()))}
