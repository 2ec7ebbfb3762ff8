"""Which kind of config something is, for who was given one and wants another."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torchassistant.config.aliases import key_aliases
from torchassistant.config.blocks import Block
from torchassistant.config.spec import EvaluationSpec, InferenceSpec, Spec, SweepSpec
from torchassistant.errors import ConfigError, Place, Problem, listing


class Kind(NamedTuple):
    """A kind of config: its block, what it is called with its article, and what it is for."""

    block: type[Block]
    noun: str
    script: str

    @property
    def own_keys(self) -> set[str]:
        """The keys that no other kind has."""
        others = (kind for kind in KINDS if kind.block is not self.block)
        return _keys(self.block).difference(*(_keys(kind.block) for kind in others))


KINDS = (
    Kind(Spec, "a training config", "init.py"),
    Kind(EvaluationSpec, "an evaluation config", "evaluate.py"),
    Kind(InferenceSpec, "an inference config", "infer.py"),
    Kind(SweepSpec, "a sweep", "torchassistant sweep"),
)


def _keys(block: type[Block]) -> set[str]:
    own = {field.alias or name for name, field in block.model_fields.items()}
    return own | key_aliases(block).keys()


def kind_of(tree: Any) -> Kind | None:
    """The kind of a config that has keys of one kind alone; None where it may be another."""
    if not isinstance(tree, dict):
        return None
    found = [kind for kind in KINDS if kind.own_keys & tree.keys()]
    if len(found) != 1:
        return None
    # A key may be there by mistake: then what is defined tells.
    is_training = "train" in tree or _trains(tree)
    return found[0] if (found[0].block is Spec) is is_training else None


def _trains(tree: dict[str, Any]) -> bool:
    """Whether a config defines an optimizer, as one that is merged into another hardly does."""
    initialize = tree.get("initialize")
    definitions = initialize.get("definitions") if isinstance(initialize, dict) else None
    if isinstance(definitions, dict) and "optimizers" in definitions:
        return True
    rows = definitions if isinstance(definitions, list) else []
    return any(isinstance(row, dict) and row.get("group") == "optimizers" for row in rows)


def expect_kind(tree: Any, block: type[Block], file: str = "") -> None:
    """See that a config is of the kind that is wanted, as far as that can be told.

    Raises:
        ConfigError: It is of another.
    """
    found = kind_of(tree)
    (wanted,) = [kind for kind in KINDS if kind.block is block]
    if found is None or found is wanted:
        return
    message = f"this is {found.noun}, which {found.script} takes; {wanted.noun} is expected here"
    if wanted.block not in (Spec, SweepSpec):
        message += ", or a session folder"
        if found.block is Spec and isinstance(tree.get("session_dir"), str):
            message += f", as {tree['session_dir']}"
    raise ConfigError(Problem(message, Place(file, *((1, 1) if file else ()))))


SESSION_PARTS = (
    *("spec.json", "environment.json", "changes.jsonl", "report.html"),
    *(
        "static",
        "checkpoints",
        "metrics",
        "history",
        "weights",
        "samples",
        "evaluations",
        "profile",
        "find-lr",
    ),
    # of loggers
    *("tensorboard", "mlflow", "trackio"),
)
"""What a session folder holds, and our own commands alone write."""


_ENDS = (".json", ".yaml", ".yml")
"""How the names of configs end."""


def is_session(path: Path) -> bool:
    """Whether a folder looks like a session."""
    return (path / "spec.json").is_file() and (path / "checkpoints").is_dir()


def expect_file(path: Path) -> None:
    """See that the path of a config leads to no folder.

    Raises:
        ConfigError: It does.
    """
    if not path.is_dir():
        return
    if is_session(path):
        message = (
            "this is a session folder, and a config is expected here; train.py, evaluate.py and "
            f"infer.py take the folder, and {path / 'spec.json'} is its config"
        )
    else:
        names = sorted(file.name for end in _ENDS for file in path.glob(f"*{end}"))
        holds = f"; it holds {listing(names)}" if names else ""
        message = f"this is a folder, and a config is expected here{holds}"
    raise ConfigError(Problem(message, Place(str(path))))
