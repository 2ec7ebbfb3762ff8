"""A learning rate range test: what the loss does while the rate of one optimizer grows.

L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017. The rate grows
exponentially, iteration by iteration, over other batches each time. Nothing of the session is
changed but the file ``find-lr/OPTIMIZER.json``, which holds the curve.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer

from torchassistant.config import as_file_name
from torchassistant.errors import ConfigError, DataError, listing, near
from torchassistant.graph import is_among
from torchassistant.session.files.durable_files import (
    as_json,
    clear_aside,
    refuse_links,
    replace_file,
)
from torchassistant.session.session import Session
from torchassistant.session.trials.trial import rehearsal_of, rehearse
from torchassistant.training import Batch, Live, NotFinite, Pipeline, Reporter, Stage, StopRequest

FIND_LR = "find-lr"
"""The folder of the curves in a session."""

SMOOTHING = 0.9
"""So much of the mean of losses so far stays at each step."""

DIVERGED = 3.0
"""The loss has diverged once it lies above its least value by so many times that value."""

_FEWEST = 10
"""So many steps are made in any case."""

_FOREVER = 10**9


class Point(NamedTuple):
    """A step: its learning rate, its loss, and the mean of losses by then."""

    lr: float
    loss: float
    smoothed: float


@dataclass(frozen=True, slots=True)
class RangeTest:
    """What the loss did.

    Args:
        optimizer: The optimizer's name.
        stage: The index of the stage that was trained.
        step: The iteration of the session that it began from.
        least_lr: The rate that it began with.
        greatest_lr: The rate that it would have ended with.
        steps: So many were to be made.
        suggestion: Where the loss falls most steeply; None where it does not fall.
        best_lr: Where the loss is least.
        diverged: Whether it ended early, as the loss had diverged.
        curve: A point for each step.
    """

    optimizer: str
    stage: int
    step: int
    least_lr: float
    greatest_lr: float
    steps: int
    suggestion: float | None
    best_lr: float | None
    diverged: bool
    curve: Sequence[Point]

    def data(self) -> dict[str, Any]:
        """The same for JSON; what is not finite is None."""
        named = [point._asdict() for point in self.curve]
        curve = [{key: _finite(value) for key, value in point.items()} for point in named]
        return {**asdict(self), "curve": curve}


def find_learning_rate(
    session: Session,
    optimizer: str | None = None,
    least_lr: float = 1e-7,
    greatest_lr: float = 10.0,
    steps: int = 100,
    stop: StopRequest | None = None,
) -> RangeTest:
    """Let the learning rate of an optimizer grow; other ones keep theirs, and schedulers rest.

    Args:
        session: Its weights are where training would go on; in memory it is spent afterwards.
        optimizer: Its name; left out: the only one of the stage at hand.
        least_lr: The first rate. Of several groups of parameters it is that of the first; the
            others stay in proportion.
        greatest_lr: The last one.
        steps: So many iterations in which the optimizer steps.
        stop: Ends it after the iteration at hand.

    Raises:
        ConfigError: There is no such optimizer; or there are several, and none is named.
        DataError: No loss was computed.
        Exception: Whatever :meth:`Session.train` raises.
    """
    index, name = _chosen(session, optimizer)
    step = session.progress.step
    rise = _Rise(session.optimizers[name], least_lr, greatest_lr, steps)
    stage = rehearsal_of(session.stages[index], _FOREVER)
    with contextlib.suppress(_Over, NotFinite):
        rehearse(session, index, stage, rise, stop)
    if not rise.losses:
        raise DataError(f'no loss was computed in a step of the optimizer "{name}"')
    curve = [Point(*found) for found in zip(rise.rates, rise.losses, rise.smoothed, strict=False)]
    ended = len(curve) < steps
    best = best_of(curve)
    return RangeTest(
        name,
        index,
        step,
        least_lr,
        greatest_lr,
        steps,
        suggested(curve),
        None if best is None else best.lr,
        ended,
        curve,
    )


def keep_curve(session: Path, found: RangeTest) -> Path:
    """Write the curve into a session; one of the same optimizer is replaced.

    Raises:
        SessionError: A link stands there.
        OSError: It could not be written.
    """
    refuse_links(session, (FIND_LR,))
    clear_aside(session / FIND_LR)
    path = session / FIND_LR / f"{as_file_name(found.optimizer)}.json"
    replace_file(path, as_json(found.data()))
    return path


def _chosen(session: Session, named: str | None) -> tuple[int, str]:
    """The stage that is trained, and the optimizer."""
    first = min(session.progress.stage, len(session.stages) - 1)
    if named is None:
        found = _names(session, session.stages[first])
        if len(found) != 1:
            title = session.spec.stage_title(first)
            raise ConfigError(
                f"{title} has the optimizers {listing(found)}; --optimizer NAME says whose "
                "learning rate is meant"
            )
        return first, found[0]
    if named not in session.optimizers:
        raise ConfigError(f'no optimizer is named "{named}"{near(named, session.optimizers)}')
    order = [*range(first, len(session.stages)), *range(first)]
    for index in order:
        if named in _names(session, session.stages[index]):
            return index, named
    raise ConfigError(f'no stage trains with the optimizer "{named}"')


def _names(session: Session, stage: Stage) -> list[str]:
    used = [optimizer for pipeline in stage.training for optimizer in pipeline.optimizers]
    return [name for name, one in session.optimizers.items() if is_among(one, used)]


class _Over(Exception):
    """All steps are made, or the loss has diverged."""


class _Rise(Reporter):
    """Sets the learning rate before each step, and notes the losses of its batches."""

    def __init__(self, optimizer: Optimizer, least: float, greatest: float, steps: int) -> None:
        self.optimizer = optimizer
        self.planned = list(rising(least, greatest, steps))
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self.mean = 0.0
        self.is_stepping = False
        self.totals: list[torch.Tensor] = []
        own = [float(group["lr"]) for group in optimizer.param_groups]
        self.shares = [rate / own[0] if own[0] else 1.0 for rate in own]

    def step_started(self, pipeline: Pipeline) -> None:
        self.is_stepping = is_among(self.optimizer, pipeline.optimizers)
        if self.is_stepping and len(self.rates) == len(self.losses) < len(self.planned):
            rate = self.planned[len(self.losses)]
            self.rates.append(rate)
            for group, share in zip(self.optimizer.param_groups, self.shares, strict=False):
                _set_rate(group, rate * share)

    def losses_computed(self, batch: Batch, total: torch.Tensor) -> None:
        is_own = not batch.optimizers or is_among(self.optimizer, batch.optimizers)
        if self.is_stepping and is_own and not batch.is_repeated:
            self.totals.append(total.detach())

    def iteration_done(self, live: Live) -> None:
        if not self.totals:
            return
        loss = float(torch.stack([total.reshape(()).float() for total in self.totals]).mean())
        self.totals.clear()
        self.losses.append(loss)
        done = len(self.losses)
        self.mean = SMOOTHING * self.mean + (1 - SMOOTHING) * loss
        self.smoothed.append(self.mean / (1 - SMOOTHING**done))
        if done == len(self.planned) or (done >= _FEWEST and has_diverged(self.smoothed)):
            raise _Over


def _set_rate(group: dict[str, Any], rate: float) -> None:
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def rising(least: float, greatest: float, steps: int) -> Iterator[float]:
    """So many rates, each a fixed factor above the one before.

    >>> [round(rate, 6) for rate in rising(0.001, 1.0, 4)]
    [0.001, 0.01, 0.1, 1.0]
    """
    for number in range(steps):
        yield least * (greatest / least) ** (number / (steps - 1))


def has_diverged(smoothed: Sequence[float]) -> bool:
    """Whether the last of the losses is not finite, or lies far above the least.

    >>> has_diverged([2.0, 1.0, 3.9]), has_diverged([2.0, 1.0, 4.1]), has_diverged([1.0, math.nan])
    (False, True, True)
    """
    last, least = smoothed[-1], min(smoothed)
    return not math.isfinite(last) or last > least + DIVERGED * abs(least)


def best_of(curve: Sequence[Point]) -> Point | None:
    """The point of the least smoothed loss; None where none is finite."""
    finite = [point for point in curve if math.isfinite(point.smoothed)]
    return min(finite, key=lambda point: point.smoothed, default=None)


def suggested(curve: Sequence[Point]) -> float | None:
    """The learning rate where the smoothed loss falls most steeply, over the rate's logarithm.

    The slope is that of a tenth of the points. The first tenth, whose losses are means of few, and
    what follows after the least loss, do not count.

    Returns:
        None where the loss does not fall.
    """
    tenth = max(1, len(curve) // 10)
    best = best_of(curve)
    falling = [] if best is None else curve[tenth : curve.index(best) + 1]
    slopes = {
        math.sqrt(one.lr * other.lr): (other.smoothed - one.smoothed) / math.log(other.lr / one.lr)
        for one, other in zip(falling, falling[tenth:], strict=False)
    }
    steepest = min(slopes, key=slopes.__getitem__, default=None)
    return steepest if steepest is not None and slopes[steepest] < 0 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
