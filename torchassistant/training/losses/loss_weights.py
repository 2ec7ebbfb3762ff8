"""The weights of the losses of a pipeline: numbers, or objects that give one at each step."""

from __future__ import annotations

import math
from numbers import Real

from torchassistant.errors import DataError, Problem, UserCodeError, UserError
from torchassistant.training.pipeline import Pipeline, PipelineLoss
from torchassistant.training.progress import Progress


class LossWeights:
    """The weights of all losses of a pipeline, at the moment of a run.

    Args:
        pipeline: Whose losses.
        progress: Where the run is.
    """

    def __init__(self, pipeline: Pipeline, progress: Progress) -> None:
        self.pipeline = pipeline
        self.progress = progress

    def now(self) -> list[float]:
        """The weights of the iteration at hand; each object is called once.

        Raises:
            DataError: One gives what is no finite number, or their sum is to be divided by and
                cannot.
            UserCodeError: One is the user's, and raised.
        """
        step, epoch = self.progress.stage_step, self.progress.stage_epoch + 1
        weights = [weight_of(item, step, epoch) for item in self.pipeline.losses]
        if not self.pipeline.normalizes_weights:
            return weights
        whole = sum(weights)
        if not 0 < abs(whole) < math.inf:
            raise DataError(
                f'the weights of the pipeline "{self.pipeline.name}" add up to {whole:g} at step '
                f"{step} (epoch {epoch}) of the stage, and cannot be normalized"
            )
        return [weight / whole for weight in weights]


def weight_of(item: PipelineLoss, step: int, epoch: int) -> float:
    """The weight of one loss.

    Args:
        item: Which loss.
        step: Iterations that the stage has made before.
        epoch: The epoch of the stage, from 1.

    Raises:
        DataError: An object gives what is no finite number.
        UserCodeError: It is the user's, and raised.
    """
    schedule = item.schedule
    if schedule is None:
        return item.weight
    what = f'the weight of the loss "{item.shown_as}"'
    try:
        value = schedule.function(step, epoch)
    except UserError:
        raise
    except Exception as error:
        raise UserCodeError(what) from error
    number = float(value) if isinstance(value, Real) else math.nan
    if not math.isfinite(number) or isinstance(value, bool):
        shown = f"{value}" if isinstance(value, float) else f"a {type(value).__name__}"
        message = (
            f"{what} is {shown} at step {step} (epoch {epoch}) of the stage; a finite number was "
            "expected"
        )
        raise DataError(Problem(message, schedule.place))
    return number
