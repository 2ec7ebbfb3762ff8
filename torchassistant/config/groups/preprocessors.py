"""What is done to the values of a column, and may be learnt from data first."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from torchassistant.config.blocks import Name, ObjectSpec
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group, all_of_it
from torchassistant.config.references import DATASET_OR_SLICE, Reference
from torchassistant.config.role import PREPROCESSOR, Role


class PreprocessorSpec(ObjectSpec):
    """An object with ``process(value)`` and, if it learns, ``fit(dataset)``."""

    fit: Name | None = Field(None, description="The dataset or slice that it is fitted to.")


def _references(spec: PreprocessorSpec) -> Iterator[Reference]:
    if spec.fit:
        yield Reference(("fit",), DATASET_OR_SLICE, spec.fit)


PREPROCESSORS = Group(
    "preprocessors",
    "preprocessor",
    PreprocessorSpec,
    section="preprocessors",
    references=_references,
    role=Role(
        "preprocessors",
        "preprocessor (it has no process)",
        ("torchassistant.preprocessors",),
        methods=(("process",),),
        kind=PREPROCESSOR,
        holds=(PREPROCESSOR,),
        modules=("torchassistant.tabular",),
    ),
    held=all_of_it,
    changes=(Rule("**", "fixed", "what was fitted is stored"),),
)
