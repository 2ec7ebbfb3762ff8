"""How batches are drawn from a dataset, and what is done to them at random in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from torchassistant.config.blocks import ONE_OR_SEVERAL, Block, Name, ObjectSpec, Position
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group
from torchassistant.config.references import DATASET_OR_SLICE, Reference
from torchassistant.config.role import CALLABLE, MODULE, TRANSFORM, Role

AUGMENT = Role(
    "augment",
    "transform (it cannot be called)",
    methods=CALLABLE,
    kind=TRANSFORM,
    other_kinds=(MODULE,),
    or_itself=True,
)


class AugmentSpec(ObjectSpec):
    """A transform of training data: a callable, values of columns in, as many out."""

    on: Literal["examples", "batches"] = Field(
        "examples", description="Each example before it is collated, or each batch after."
    )
    columns: Annotated[list[Position], Field(min_length=1)] = Field(
        [0], description="Positions of the columns that it is called with, from 0."
    )


class LoaderFactorySpec(Block):
    """How batches are drawn from a dataset."""

    dataset: Name = Field(description="A dataset, or a slice as `split.train`.")
    collator: Name | None = Field(None, description="Left out: numbers and tensors are stacked.")
    kwargs: dict[str, Any] = Field({}, description="Arguments of `torch.utils.data.DataLoader`.")
    augment: Annotated[
        Annotated[
            Annotated[AugmentSpec, Tag("one")] | Annotated[list[AugmentSpec], Tag("several")],
            ONE_OR_SEVERAL,
        ]
        | None,
        AUGMENT,
    ] = Field(
        None,
        description="Random transforms of the data, in training only: one, or several in order.",
    )

    shuffle_group: Name | None = Field(
        None,
        description="Loader factories of one group, over datasets of one length, draw one order "
        "for each pass.",
    )

    contiguous: bool = Field(
        False,
        description="Whether each row of the batches goes on from batch to batch: row r of batch b "
        "is example r·⌊N/B⌋+b of N, in batches of B; the rest is left out.",
    )

    @property
    def augments(self) -> list[AugmentSpec]:
        """The transforms, in the order in which they are called."""
        if isinstance(self.augment, list):
            return self.augment
        return [self.augment] if self.augment is not None else []


def _references(spec: LoaderFactorySpec) -> Iterator[Reference]:
    yield Reference(("dataset",), DATASET_OR_SLICE, spec.dataset)
    if spec.collator:
        yield Reference(("collator",), "collators", spec.collator)


LOADER_FACTORIES = Group(
    "loader_factories",
    "loader factory",
    LoaderFactorySpec,
    section="loader_factories",
    references=_references,
    is_shared=True,
    role=Role("loader_factories", "argument of a loader", functions=True),
    state="training",
    changes=(
        Rule(
            "spec.kwargs.num_workers",
            "applied",
            "workers draw other random numbers than the main process",
        ),
        *(
            Rule(f"spec.kwargs.{key}", "free", "speed only")
            for key in ("prefetch_factor", "pin_memory", "timeout", "multiprocessing_context")
        ),
        *(
            Rule(f"spec.{key}", "refused", "it decides the order of the data")
            for key in ("contiguous", "shuffle_group")
        ),
    ),
)
