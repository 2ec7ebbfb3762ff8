"""Where examples come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from torchassistant.config.blocks import ByteSize, Name, Names, ObjectSpec
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group
from torchassistant.config.references import DATASET_OR_SLICE, Reference
from torchassistant.config.role import DATASET, INPUT_CONVERTER, Role


class DatasetSpec(ObjectSpec):
    """A dataset: an object, or a ``link`` to a dataset or slice, or a ``merge`` of several."""

    class_: Name | None = Field(None, alias="class", description="Dotted path of a dataset class.")
    link: Name | None = Field(None, description="A dataset, or a slice as `split.train`.")
    merge: Names | None = Field(None, description="Datasets or slices, one after the other.")
    preprocessors: list[str | None] = Field(
        [], description='The i-th is for the i-th column; "" or null leaves a column as it is.'
    )

    cache: Literal["memory", "disk"] | None = Field(
        None,
        description="Where computed examples are cached; left out: nowhere.",
    )
    cache_limit: ByteSize | None = Field(
        None,
        description='Maximum size of the cache: bytes, or a text as `"500 MB"`; left out: 4 GB in '
        "memory, 20 GB on disk (all datasets together).",
    )

    @property
    def is_object(self) -> bool:
        """Whether the dataset is built by a class or a function."""
        return bool(self.class_ or self.factory_fn)


def _references(spec: DatasetSpec) -> Iterator[Reference]:
    if spec.link:
        yield Reference(("link",), DATASET_OR_SLICE, spec.link)
    for index, name in enumerate(spec.merge or []):
        yield Reference(("merge", index), DATASET_OR_SLICE, name)
    for index, preprocessor in enumerate(spec.preprocessors):
        if preprocessor:
            yield Reference(("preprocessors", index), "preprocessors", preprocessor)


DATASETS = Group(
    "datasets",
    "dataset",
    DatasetSpec,
    section="datasets",
    references=_references,
    role=Role(
        "datasets",
        "dataset (it has no __getitem__)",
        methods=(("__getitem__",), ("__iter__",)),
        kind=DATASET,
        # A loader of images, for a dataset over a folder.
        holds=(DATASET, INPUT_CONVERTER),
    ),
    state="training",
    changes=(
        Rule("spec.cache", "free", "speed only"),
        Rule("spec.cache_limit", "free", "speed only"),
    ),
)
