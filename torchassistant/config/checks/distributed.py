"""What cannot go with models that the processes share, each with a piece of them (``fsdp``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.training_entries import training_entries
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.search_paths import our_class
from torchassistant.config.spec import PipelineSpec
from torchassistant.config.tree import Path

_OTHERWISE = 'the strategy "ddp" can do that'
_OF_WHOLE_MODELS = ("ModelCheckpoint", "Samples")
"""Callbacks of ours that the first process runs by itself."""

_OF_WHOLE_PARAMETERS = {
    "LBFGS": "needs a closure, which computes losses again",
    "Adafactor": "keeps means over rows and columns",
    "Muon": "steps by whole matrices",
    "Rprop": "takes what torch does not do with rows of a parameter",
}
"""Optimizers of torch, and why."""

_COMPILED = "what is compiled needs whole parameters"


def check_distributed(scope: Scope) -> None:
    """Report what needs whole models in one process, where none has them."""
    distributed = scope.config.distributed
    if not isinstance(distributed, View) or distributed.strategy != "fsdp":
        return
    if isinstance(distributed.logical_ranks, int):
        message = (
            '"logical_ranks" is for the strategy "ddp": with "fsdp" each process computes its part '
            "of a batch, and their number decides the last bits"
        )
        scope.note(message, distributed.at("logical_ranks"), at_key=True)
    if scope.config.precision == "fp16":
        message = '"fp16" scales losses, which cannot go with "fsdp"; "bf16" can'
        scope.note(message, ("precision",))
    for path, what in _misfits(scope):
        scope.note(f'{what}, which cannot go with "fsdp"; {_OTHERWISE}', path)


def _misfits(scope: Scope) -> Iterator[tuple[Path, str]]:
    for definition in scope.definitions.values():
        yield from _of_definition(scope, definition)
    seen: set[Path] = set()
    for stage in scope.config.train.stages:
        yield from _of_stage(stage)
        entries = training_entries(stage)
        for use in () if isinstance(entries, Unknown) else entries:
            pipeline = scope.pipeline(use.name)
            if not isinstance(pipeline, View) or not isinstance(pipeline.block, PipelineSpec):
                continue
            for path, what in _of_pipeline(scope, pipeline):
                if path not in seen:
                    seen.add(path)
                    yield path, what


def _of_definition(scope: Scope, definition: View) -> Iterator[tuple[Path, str]]:
    group, spec = definition.block.group, definition.spec
    if isinstance(spec, Unknown):
        return
    if group == "backward_hooks":
        yield spec.path, "hooks on parameters see whole gradients"
    elif group == "callbacks" and isinstance(spec.class_, str):
        name = our_class(spec.class_, "callbacks")
        if name in _OF_WHOLE_MODELS:
            yield spec.at("class"), f"{name} needs whole models in one process"
    elif group == "batch_processors" and spec.block.compile:
        yield spec.at("compile"), _COMPILED
    elif group == "losses" and spec.block.models:
        yield spec.at("models"), "a loss that runs models by itself runs them a second time"
    elif group == "optimizers":
        short = str(spec.block.class_).rpartition(".")[2]
        if short in _OF_WHOLE_PARAMETERS:
            yield spec.at("class"), f"{short} {_OF_WHOLE_PARAMETERS[short]}"
        for path, key in scope.modules_of(definition):
            if key.group == "losses":
                yield path, "a loss that is trained has parameters that are no model's"


def _of_stage(stage: Any) -> Iterator[tuple[Path, str]]:
    if stage.debug_pipelines:
        yield stage.at("debug_pipelines"), "debug pipelines are run by the first process alone"
    for entry in stage.evaluators:
        if isinstance(entry, View) and entry.block.on == "first":
            yield entry.at("on"), "an evaluator that one process calls has whole models there"


def _of_pipeline(scope: Scope, pipeline: View) -> Iterator[tuple[Path, str]]:
    block = pipeline.block
    if block.train_step is not None:
        yield pipeline.at("train_step"), "a step of one's own may run models when it likes"
    if block.combine is not None:
        yield pipeline.at("combine"), '"combine" needs the whole gradients of each loss'
    if block.compile:
        yield pipeline.at("compile"), _COMPILED
    models = scope.models
    for node in scope.nodes(pipeline):
        if not isinstance(node, View):
            continue
        if node.block.taps:
            yield node.at("taps"), "a tap leads gradients past the end of its model"
        if node.block.compile:
            yield node.at("compile"), _COMPILED
        model = models.get(node.block.model_name)
        if getattr(model, "part_of", None) is not None:
            yield node.at("model_name"), "a part of a model is run by itself"
