"""The groups whose definitions become more than an object: how each is built, by group."""

from __future__ import annotations

from torchassistant.assembly.groups.assembler import Assembler, build_object, itself
from torchassistant.assembly.groups.batch_graphs import BATCH_GRAPHS
from torchassistant.assembly.groups.batch_processors import BATCH_PROCESSORS
from torchassistant.assembly.groups.datasets import DATASETS
from torchassistant.assembly.groups.gradient_clippers import GRADIENT_CLIPPERS
from torchassistant.assembly.groups.hooks import BACKWARD_HOOKS, FORWARD_HOOKS
from torchassistant.assembly.groups.loader_factories import LOADER_FACTORIES
from torchassistant.assembly.groups.losses_and_metrics import LOSSES, METRICS
from torchassistant.assembly.groups.models import MODELS
from torchassistant.assembly.groups.optimizers import OPTIMIZERS
from torchassistant.assembly.groups.preprocessors import PREPROCESSORS
from torchassistant.assembly.groups.splits import SPLITS

ASSEMBLERS: dict[str, Assembler] = {
    "datasets": DATASETS,
    "splits": SPLITS,
    "preprocessors": PREPROCESSORS,
    "loader_factories": LOADER_FACTORIES,
    "models": MODELS,
    "optimizers": OPTIMIZERS,
    "losses": LOSSES,
    "metrics": METRICS,
    "batch_processors": BATCH_PROCESSORS,
    "batch_graphs": BATCH_GRAPHS,
    "gradient_clippers": GRADIENT_CLIPPERS,
    "backward_hooks": BACKWARD_HOOKS,
    "forward_hooks": FORWARD_HOOKS,
}


def assembler_of(group: str) -> Assembler:
    """How a group is built; where nothing is said, the object that is described is all of it."""
    return ASSEMBLERS.get(group) or Assembler(build_object, itself(group))
