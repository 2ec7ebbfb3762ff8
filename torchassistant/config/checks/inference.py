"""How predictions are made with a session, as far as its config says that."""

from __future__ import annotations

from torchassistant.config.checks.resolver import Names
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View


def check_inference(scope: Scope) -> None:
    """The pipeline and the loader factory are there, or are defined for inference."""
    block = scope.config.inference
    if not isinstance(block, View):
        return
    own = block.block.initialize
    if block.block.inference_pipeline is not None:
        there = scope.config.initialize.pipelines
        unreadable = there.unreadable if isinstance(there, Unknown) else 0
        more = own.get("pipelines")
        names = [*scope.spec.initialize.pipelines, *(more if isinstance(more, dict) else ())]
        scope.resolver.resolve(
            Names(names, unreadable),
            [block.use("inference_pipeline")],
            lambda name, hint: f'no pipeline is named "{name}"{hint}',
            only_one=False,
            is_shared=True,
        )
    if block.block.loader_factory is not None and "definitions" not in own:
        scope.resolver.resolve(
            scope.names("loader_factories"),
            [block.use("loader_factory")],
            lambda name, hint: f'no loader factory is named "{name}"{hint}',
            only_one=False,
            is_shared=True,
        )
