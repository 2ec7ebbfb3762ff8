"""What the shape of a config cannot say: every name is defined, every graph can run."""

from __future__ import annotations

from collections.abc import Collection

from torchassistant.config.checks.block_rules import check_blocks
from torchassistant.config.checks.column_flow import check_columns
from torchassistant.config.checks.definitions import check_definitions
from torchassistant.config.checks.distributed import check_distributed
from torchassistant.config.checks.inference import check_inference
from torchassistant.config.checks.linked_inputs import check_linked_inputs
from torchassistant.config.checks.loaders import check_loaders
from torchassistant.config.checks.models_of_losses import check_models_of_losses
from torchassistant.config.checks.pipeline_steps import check_steps
from torchassistant.config.checks.pipelines import check_pipelines
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.stages import check_stages
from torchassistant.config.checks.undefined import check_names
from torchassistant.config.checks.unused import check_unused
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.spec import Spec

__all__ = ["check", "check_blocks"]


def check(
    spec: Spec,
    diagnostics: Diagnostics,
    used: Collection[str] | None = None,
    scored: bool = True,
) -> None:
    """Find every problem of a completed spec.

    Args:
        spec: The spec, completed.
        diagnostics: Gets the problems; knows which parts are broken.
        used: The pipelines that are to be run, where it is not to be trained: others, and the
            stages, are left alone then.
        scored: Whether losses and metrics are computed.
    """
    scope = Scope(spec, diagnostics, scored)
    check_blocks(spec, diagnostics)
    check_names(scope, used)
    check_definitions(scope)
    check_loaders(scope)
    check_pipelines(scope, used)
    check_linked_inputs(scope, used)
    check_models_of_losses(scope, used)
    check_steps(scope, used)
    check_columns(scope, used)
    if used is None:
        check_unused(scope, check_stages(scope))
        check_distributed(scope)
        check_inference(scope)
