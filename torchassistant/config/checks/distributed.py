"""What cannot go with models that the processes share (``fsdp``), or with batch norm over all."""

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

_COMPILED = "what is compiled runs as one piece"


def check_distributed(scope: Scope) -> None:
    """Report what needs whole models in one process, or runs them when it likes."""
    distributed = scope.config.distributed
    if not isinstance(distributed, View):
        return
    shares, syncs = distributed.strategy == "fsdp", distributed.sync_batch_norm is True
    if not (shares or syncs):
        return
    key = "fsdp" if shares else "sync_batch_norm"
    if isinstance(distributed.logical_ranks, int):
        message = (
            f'"logical_ranks" cannot go with "{key}": there each process computes one part of a '
            "batch, all at the same time"
        )
        scope.note(message, distributed.at("logical_ranks"), at_key=True)
    if shares and scope.config.precision == "fp16":
        message = '"fp16" scales losses, which cannot go with "fsdp"; "bf16" can'
        scope.note(message, ("precision",))
    otherwise = f"; {_OTHERWISE}" if shares else ""
    for path, what in dict(_misfits(scope, shares)).items():
        scope.note(f'{what}, which cannot go with "{key}"{otherwise}', path)


def _misfits(scope: Scope, shares: bool) -> Iterator[tuple[Path, str]]:
    """What cannot go with shared models, or with batch norm over all parts, and where it stands."""
    for definition in scope.definitions.values():
        for path, what in _of_definition(scope, definition):
            if shares or _COMPILED in what or "closure" in what:
                yield path, what
    for stage in scope.config.train.stages:
        if shares:
            yield from _of_stage(stage)
        entries = training_entries(stage)
        for use in () if isinstance(entries, Unknown) else entries:
            pipeline = scope.pipeline(use.name)
            if not isinstance(pipeline, View) or not isinstance(pipeline.block, PipelineSpec):
                continue
            yield from _of_steps(pipeline)
            yield from _of_nodes(scope, pipeline, shares)


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


def _of_steps(pipeline: View) -> Iterator[tuple[Path, str]]:
    block = pipeline.block
    if block.train_step is not None:
        yield pipeline.at("train_step"), "a step of one's own may run models when it likes"
    if block.combine is not None:
        yield pipeline.at("combine"), '"combine" needs the whole gradients of each loss'
    if block.compile:
        yield pipeline.at("compile"), _COMPILED


def _of_nodes(scope: Scope, pipeline: View, shares: bool) -> Iterator[tuple[Path, str]]:
    for node in scope.nodes(pipeline):
        if not isinstance(node, View):
            continue
        if node.block.compile:
            yield node.at("compile"), _COMPILED
        if shares and node.block.taps:
            yield node.at("taps"), "a tap leads gradients past the end of its model"
        model = scope.models.get(node.block.model_name)
        if shares and getattr(model, "part_of", None) is not None:
            yield node.at("model_name"), "a part of a model is run by itself"
