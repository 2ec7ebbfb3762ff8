"""Which keys the losses of a stage give: they are known before its history begins."""

from __future__ import annotations

from dataclasses import replace

from torchassistant.assembly import Parts
from torchassistant.errors import DataError, listing
from torchassistant.session.history.history import History
from torchassistant.session.state.stateful_parts import run_by
from torchassistant.training import Pipeline, Stage, evaluate, unchanged


def learn_keys(parts: Parts, stage: Stage) -> None:
    """Evaluate a batch with each loss of which nobody knows whether it gives a dict.

    The preflight has seen that, where it was run in this process. What goes wrong here goes wrong
    in training, and is told there. Afterwards everything is as it was.

    Args:
        parts: The session.
        stage: Its losses get to know their keys.
    """
    pipelines = [
        pipeline
        for pipeline in (*stage.training, *stage.validation)
        if any(item.loss.keys is None for item in pipeline.losses)
    ]
    if not pipelines:
        return
    with unchanged(run_by(parts)):
        for pipeline in pipelines:
            _evaluate(pipeline)


def _evaluate(pipeline: Pipeline) -> None:
    try:
        inputs = [replace(one, factory=one.factory.in_process()) for one in pipeline.inputs]
        evaluate(replace(pipeline, inputs=inputs, metrics=()), steps=1)
    except Exception:
        return


def check_keys(history: History, index: int, stage: Stage) -> None:
    """Losses of a stage that has begun give the keys that they gave then.

    Args:
        history: The rows of the session.
        index: The stage's place in the config.
        stage: What keys its losses give is known.

    Raises:
        DataError: They give others.
    """
    begun = history.start(index, stage.header)
    for (pipeline, name), column in stage.columns.items():
        items = [p.losses for p in (*stage.training, *stage.validation) if p.name == pipeline]
        for item in (one for losses in items for one in losses if one.shown_as == name):
            if column not in begun or item.loss.keys is None:
                continue
            now = [f"{column}/{key}" for key in item.loss.keys]
            before = [one for one in begun if one.startswith(f"{column}/")]
            if set(now) - set(before) or (set(before) - set(stage.header)):
                there = listing([one.removeprefix(f"{column}/") for one in before])
                found = listing(list(item.loss.keys))
                raise DataError(
                    f"{item.loss.name} gave {there or 'one number'} when the stage began, and "
                    f"gives {found or 'one number'} now"
                )
