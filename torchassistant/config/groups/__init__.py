"""The groups of definitions: one module declares all that is known of one."""

from __future__ import annotations

from torchassistant.config.groups.batch_graphs import BATCH_GRAPHS
from torchassistant.config.groups.batch_processors import BATCH_PROCESSORS
from torchassistant.config.groups.callbacks import CALLBACKS
from torchassistant.config.groups.collators import COLLATORS
from torchassistant.config.groups.datasets import DATASETS
from torchassistant.config.groups.evaluators import EVALUATORS
from torchassistant.config.groups.gradient_clippers import GRADIENT_CLIPPERS
from torchassistant.config.groups.group import Group
from torchassistant.config.groups.hooks import BACKWARD_HOOKS, FORWARD_HOOKS
from torchassistant.config.groups.loader_factories import LOADER_FACTORIES
from torchassistant.config.groups.losses_and_metrics import LOSSES, METRICS
from torchassistant.config.groups.models import MODELS
from torchassistant.config.groups.optimizers import OPTIMIZERS
from torchassistant.config.groups.preprocessors import PREPROCESSORS
from torchassistant.config.groups.splits import SPLITS

_ALL = (
    DATASETS,
    SPLITS,
    PREPROCESSORS,
    COLLATORS,
    LOADER_FACTORIES,
    MODELS,
    OPTIMIZERS,
    LOSSES,
    METRICS,
    EVALUATORS,
    BATCH_PROCESSORS,
    BATCH_GRAPHS,
    GRADIENT_CLIPPERS,
    BACKWARD_HOOKS,
    FORWARD_HOOKS,
    CALLBACKS,
)

GROUPS: dict[str, Group] = {group.name: group for group in _ALL}
"""Every group, by its name in the config."""

ID_WORDS: dict[str, tuple[str, str]] = {
    word: (group.name, key) for group in _ALL for word, key in group.id_keys
}
"""With what an id begins that begins with no group: in which group, and under which key."""
