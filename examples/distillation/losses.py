"""The loss by which a student learns from a teacher."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax


class SoftTargets(nn.Module):
    """How far the student's softened predictions are from the teacher's.

    The soft targets of G. Hinton, O. Vinyals and J. Dean, "Distilling the Knowledge in a Neural
    Network", 2015, arXiv:1503.02531. The divergence of Kullback and Leibler stands in place of
    their cross entropy: it has the same gradient, and is 0 where the two agree.

    Args:
        temperature: What scores are divided by before the softmax. The higher, the more the teacher
            says about the classes that it thinks unlikely.

    Raises:
        ValueError: The temperature is not above 0.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be more than 0, found {temperature}")
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Scores before softmax, both floating-point (B, C), to the mean over the batch."""
        divergence = kl_div(
            log_softmax(student / self.temperature, dim=-1),
            log_softmax(teacher / self.temperature, dim=-1),
            reduction="batchmean",
            log_target=True,
        )
        # Gradients shrink with the square of the temperature; this keeps the balance between this
        # loss and others when the temperature is changed (section 2 of the paper).
        return self.temperature**2 * divergence
