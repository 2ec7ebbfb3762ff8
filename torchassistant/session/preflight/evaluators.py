"""Evaluators of stages, over two batches."""

from __future__ import annotations

from torchassistant.session.preflight.findings import Findings
from torchassistant.training import Stage


def learn_keys_of_evaluators(stage: Stage, index: int, found: Findings) -> None:
    """Run those of a stage that do not say which keys they give."""
    for place, evaluator in enumerate(stage.evaluators):
        found.at = ("train", "stages", index, "evaluators", place)
        with found.problem_of(f"stage {index + 1}"):
            evaluator.learn_keys()
