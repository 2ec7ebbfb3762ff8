"""Models that act in training as they do not in validation, although nothing changes them."""

from __future__ import annotations

from torch import nn

from torchassistant.graph import (
    Node,
    is_among,
    is_part_of_one,
    mode_dependent,
    norms_in_train_mode,
)
from torchassistant.session.preflight.findings import Findings, path_of_pipeline
from torchassistant.session.preflight.report import NodeReport
from torchassistant.session.session import Session
from torchassistant.training import Pipeline, Stage


def is_average(model: nn.Module, session: Session) -> bool:
    """Whether a model is an average, or a part of one, which nothing else trains."""
    return is_part_of_one(model, [one.model for one in session.averages.values()])


class ModeWarnings:
    """Warns of each model once.

    Args:
        found: Gets the warnings.
    """

    def __init__(self, found: Findings) -> None:
        self.found = found
        self._trained = [model for stage in found.session.stages for model in stage.trained]
        self._warned: set[int] = set()

    def warn_of_nodes(self, reports: list[tuple[Node, NodeReport]]) -> None:
        """Look at models that nodes have run."""
        for node, report in reports:
            model = node.model
            # What has nothing to learn is there for what it does in training, as a layer of noise.
            parts = mode_dependent(model) if report.parameters else []
            is_kept = is_part_of_one(model, self._trained) or is_average(model, self.found.session)
            if not parts or report.mode != "train" or is_kept or id(model) in self._warned:
                continue
            self._warned.add(id(model))
            (name, *_) = self.found.names([model])
            self.found.warn(
                f'the model "{name}" is trained by no stage, and runs in train mode, in which '
                f"{' and '.join(parts)} behave differently than in validation; "
                '"mode": "eval" runs it in eval mode',
                self.found.path_of_node(report.processor, report.node),
            )

    def warn_of_frozen(self, reports: list[tuple[Node, NodeReport]], stage: Stage) -> None:
        """Look at the entries of a stage that freeze running statistics of models that it runs."""
        index = next(i for i, one in enumerate(self.found.session.stages) if one is stage)
        norms = [
            norm
            for node, report in reports
            if report.mode == "train" and not is_average(node.model, self.found.session)
            for norm in norms_in_train_mode(node.model)
        ]
        for place, part in enumerate(stage.frozen.parts):
            held = [module for module, _ in part.buffers]
            kinds = sorted({type(norm).__name__ for norm in norms if is_among(norm, held)})
            if not kinds:
                continue
            self.found.warn_once(
                f"{part.shown} freezes {' and '.join(kinds)} in train mode: training goes by each "
                "batch there, and validation by the running statistics, which stay as they are; "
                '{"match": …, "mode": "eval"} lets both go by these',
                ("train", "stages", index, "frozen", place),
            )

    def warn_of_losses(self, pipeline: Pipeline) -> None:
        """Look at models that losses are called with, and that no node runs."""
        known = {id(model) for model in self._trained} | self._warned
        known |= {id(node.model) for node in pipeline.graph.nodes}
        for index, item in enumerate(pipeline.losses):
            for model, calling in item.models:
                parts = mode_dependent(model)
                if not parts or calling.in_eval_mode or id(model) in known:
                    continue
                self._warned.add(id(model))
                (name, *_) = self.found.names([model])
                self.found.warn(
                    f'the model "{name}" is trained by no stage, and {item.loss.name} runs it in '
                    f"train mode, in which {' and '.join(parts)} behave differently",
                    (*path_of_pipeline(pipeline), "losses", index),
                )
