"""What an object of a config is there for, as data: its short names, and what it has to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torchassistant.config.change_rule import Effect

ADAPTER = "adapter"
BATCH_PROCESSOR = "batch processor"
CALLBACK = "callback"
COLLATOR = "collator"
COMBINE = "combination of losses"
DATASET = "dataset"
INPUT_CONVERTER = "input converter"
METRIC = "metric"
MODULE = "torch.nn.Module"
OPTIMIZER = "optimizer"
OUTPUT_DEVICE = "output device"
POSTPROCESSOR_KIND = "post-processor"
PREPROCESSOR = "preprocessor"
SCHEDULER = "learning rate scheduler"
STEP = "step"
STOP_CONDITION = "stop condition"
TRANSFORM = "transform"
WEIGHT = "weight of a loss"

CALLABLE = (("__call__",),)
MODULE_BASES = ("torch.nn.Module", "torch.nn.modules.module.Module")


@dataclass(frozen=True, slots=True)
class Role:
    """What an object is there for.

    The role of a definition has the name of its group, and stands in the declaration of the group.
    That of an object inside a block stands in the annotation of the key.

    Args:
        name: The group, or a key of the language.
        noun: What the object is called in messages, with what it may lack.
        search_paths: Modules that a short name is looked for in, in this order; ``NAME.*`` is a
            library with all of its modules.
        bases: A class by each dotted name that it has: the object is an instance of it.
        methods: Alternatives: the object has all methods of one of them. Where there are bases
            too, either is enough.
        kind: The kind of object, of the libraries and of our catalogue, that plays the role.
        other_kinds: Kinds that play it too.
        holds: Kinds that may stand in the arguments of what is of this kind.
        modules: Modules of our catalogue with objects of this kind, beside the search paths.
        given: The names of the arguments that a class gets before those of the config.
        only_as: A class gets them only if its first parameter has this name; empty: any does.
        after_session: Those that a ``factory_fn`` gets between the session and the config's.
        or_itself: Whether a function that needs arguments, and is given none, is the object.
        or_name: Whether a text in its place names something else: no class and no function.
        functions: Whether a function of a library may be called to make one.
        code: What becomes of a change in the user's code for it, and why; None: it is refused.
    """

    name: str
    noun: str
    search_paths: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    methods: tuple[tuple[str, ...], ...] = ()
    kind: str = ""
    other_kinds: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    only_as: str = ""
    after_session: tuple[str, ...] = ()
    or_itself: bool = False
    or_name: bool = False
    functions: bool = False
    code: tuple[Effect, str] | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind that plays it."""
        return (self.kind, *self.other_kinds) if self.kind else self.other_kinds


def role_of_key(field: Any) -> Role | None:
    """The role that the annotation of a key declares, if it does.

    Args:
        field: A field of a block, as pydantic has it.
    """
    return next((one for one in field.metadata if isinstance(one, Role)), None)


NO_TRACE: tuple[Effect, str] = ("free", "it does not affect the training")
"""What becomes of changed code that only shows, or reads, what a model gives or gets."""
