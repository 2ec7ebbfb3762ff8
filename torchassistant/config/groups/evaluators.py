"""Evaluators: the user's own measurements of models over the data of a loader."""

from __future__ import annotations

from torchassistant.config.blocks import ObjectSpec
from torchassistant.config.groups.group import Group
from torchassistant.config.role import CALLABLE, METRIC, MODULE, Role


class EvaluatorSpec(ObjectSpec):
    """An object or a function that is called as ``f(models, loader)``, and gives numbers."""


EVALUATORS = Group(
    "evaluators",
    "evaluator",
    EvaluatorSpec,
    section="evaluators",
    role=Role(
        "evaluators",
        "evaluator (it cannot be called)",
        methods=CALLABLE,
        other_kinds=(MODULE, METRIC),
        holds=(METRIC,),
        or_itself=True,
    ),
    state="results",
    follows_arguments=True,
)
