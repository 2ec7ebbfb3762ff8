"""What the blocks of the language are made of: types of values, and the block of an object."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from torchassistant import sizes

Name = Annotated[str, Field(min_length=1)]
FolderName = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
Names = Annotated[list[Name], Field(min_length=1)]
ONE_OR_SEVERAL = Discriminator(lambda value: "several" if isinstance(value, list) else "one")
"""Between the tags ``one`` and ``several``, so that a problem is one of that form only."""
NameOrNames = Annotated[
    Annotated[Name, Tag("one")] | Annotated[Names, Tag("several")], ONE_OR_SEVERAL
]
NAMES_OR_TABLE = Discriminator(lambda value: "table" if isinstance(value, dict) else "names")
"""Between the tags ``names`` and ``table``: columns as a list, or by what they are elsewhere."""
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,4})?)$")]
Count = Annotated[int, Field(gt=0, lt=2**63)]
Position = Annotated[int, Field(ge=0, lt=2**63)]
ByteSize = Count | Annotated[str, Field(pattern=sizes.PATTERN)]
EvalSteps = Annotated[
    Count | Annotated[float, Field(gt=0, le=1)],
    Field(description="How many batches: a count, or a fraction (0.5 is half, 1.0 all)."),
]


class Block(BaseModel):
    """A block of the config: unknown keys are errors, values are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


LIKE = "like"
"""The key that names what something has from another."""


class ObjectSpec(Block):
    """An object: a class (or any callable) and its arguments, or a function of the session."""

    class_: Name | None = Field(
        None,
        alias="class",
        description="Dotted path or short name of the class or function to call.",
    )
    factory_fn: Name | None = Field(
        None, description="Dotted path of a function whose first argument is the session."
    )
    args: list[Any] = Field([], description="Positional arguments: data, objects, tensors.")
    kwargs: dict[str, Any] = Field({}, description="Keyword arguments: data, objects, tensors.")

    @property
    def path(self) -> str:
        """The dotted path or short name, whichever way it is given."""
        return self.class_ or self.factory_fn or ""


CompileMode = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]


class CompileSpec(Block):
    """What ``torch.compile`` is asked for."""

    backend: Literal["inductor", "cudagraphs", "aot_eager", "eager"] = Field(
        "inductor", description="Which compiler."
    )
    mode: CompileMode | None = Field(None, description="Mode of the compiler.")
    fullgraph: bool = Field(False, description="Whether graph breaks are errors.")
    dynamic: bool | None = Field(
        None, description="Whether shapes change; left out: the compiler finds out."
    )


def _kind_of_compile(value: Any) -> str:
    return "mode" if isinstance(value, str) else "switch" if isinstance(value, bool) else "block"


Compile = Annotated[
    Annotated[bool, Tag("switch")]
    | Annotated[CompileMode, Tag("mode")]
    | Annotated[CompileSpec, Tag("block")],
    Discriminator(_kind_of_compile),
]


def blocks_of(block: type[Block]) -> dict[type[Block], None]:
    """A block, and all blocks that may stand in it, in the order in which they are found."""
    found: dict[type[Block], None] = {}
    waiting: list[Any] = [block]
    while waiting:
        annotation = waiting.pop(0)
        if isinstance(annotation, type) and issubclass(annotation, Block):
            if annotation not in found:
                found[annotation] = None
                waiting += [field.annotation for field in annotation.model_fields.values()]
        else:
            waiting += get_args(annotation)
    return found
