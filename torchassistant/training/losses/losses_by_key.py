"""Losses that give a dict: its values are summed, and each of them is shown by its key."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch

from torchassistant.errors import DataError, listing, near
from torchassistant.frames import Frame, Frames
from torchassistant.training.accumulation import Summand
from torchassistant.training.events import Part, Parts
from torchassistant.training.losses.loss_denominators import Count, times
from torchassistant.training.losses.losses_and_metrics import Loss
from torchassistant.training.losses.named_counts import as_count
from torchassistant.training.losses.weighted_losses import (
    LossesOverTerms,
    LossValues,
    WeightedLosses,
    weighted_summands,
)
from torchassistant.training.pipeline import Pipeline

Value = tuple[str, torch.Tensor, Count]
"""Of one key of a dict: the key, the value, the number of terms that it is a mean of."""


class LossByKey:
    """A loss that gives a dict, or of which nobody knows yet whether it does.

    Args:
        loss: The loss; gets to know its keys when it is called first.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def __call__(self, frame: Frame, samples: int) -> tuple[torch.Tensor, Count, list[Value]]:
        """The loss of one batch, how much that counts, and each of its values.

        Args:
            frame: The batch.
            samples: The number of examples in it.

        Raises:
            DataError: It gives neither one number nor a dict of numbers, or other keys than before.
        """
        loss = self.loss
        arguments = loss.arguments(frame)
        given = loss.given(arguments)
        terms = loss.count_in(frame, arguments, samples) if loss.has_own_terms else samples
        if not isinstance(given, Mapping):
            if not isinstance(given, torch.Tensor) or given.numel() != 1:
                loss.no_number(given)
            self._take_keys(())
            if isinstance(terms, Mapping):
                raise DataError(f"{loss.name} gives one number, and its count a dict")
            return given, terms, []
        if not given:
            raise DataError(f"{loss.name} gave a dict without a value")
        self._take_keys(tuple(given))
        keys = loss.keys or ()
        counts = self._counts(terms, keys)
        values = {key: self._number(given[key], key) for key in keys}
        first, *more = (values[key] for key in loss.summed)
        return sum(more, first), samples, [(key, values[key], counts[key]) for key in keys]

    def _take_keys(self, keys: tuple[Any, ...]) -> None:
        loss = self.loss
        if loss.keys is not None:
            if set(keys) != set(loss.keys):
                before, now = (listing(list(k)) or "one number" for k in (loss.keys, keys))
                raise DataError(f"{loss.name} gave {before} at first, and gives {now} now")
            return
        for key in keys:
            if not isinstance(key, str) or not key.isprintable() or key == "":
                raise DataError(f"the keys of {loss.name} must be texts; found {key!r}")
        for key in loss.report:
            if key not in keys:
                there = f'has no key "{key}", which "report" names{near(key, keys)}'
                what = there if keys else f'gives one number, and "report" names "{key}"'
                raise DataError(f"{loss.name} {what}")
        if keys and set(keys) == set(loss.report):
            message = f'"report" names every key of {loss.name}, so that nothing is minimised'
            raise DataError(message)
        loss.keys = keys

    def _counts(self, terms: Any, keys: Sequence[str]) -> dict[str, Count]:
        if not isinstance(terms, Mapping):
            return dict.fromkeys(keys, terms)
        if set(terms) != set(keys):
            found, wanted = listing(list(terms)), listing(list(keys))
            raise DataError(f"the count of {self.loss.name} has the keys {found}, and not {wanted}")
        return {key: as_count(terms[key], f"the count of {self.loss.name}") for key in keys}

    def _number(self, value: Any, key: str) -> torch.Tensor:
        loss = self.loss
        if key in loss.report:
            value = torch.as_tensor(value).detach()
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            is_tensor = isinstance(value, torch.Tensor)
            found = f"shape {tuple(value.shape)}" if is_tensor else type(value).__name__
            raise DataError(f'"{key}" of {loss.name} must be one number; it is {found}')
        return value


class _WeightedByKey(WeightedLosses):
    """The weighted sum of losses of which some give dicts."""

    def __init__(self, pipeline: Pipeline, parts: Parts) -> None:
        super().__init__(pipeline, parts)
        if pipeline.compiling is not None:
            parts = Parts(())
        self.losses = [
            (*found[:3], parts.around(LossByKey(item.loss), Part.LOSS, item.shown_as))
            for found, item in zip(self.losses, pipeline.losses, strict=True)
        ]

    def unweighted(self, frames: Frames) -> tuple[LossValues, list[torch.Tensor]]:
        values, losses = [], []
        for shown_as, node, origin, loss in self.losses:
            value, terms, named = loss(frames[node], frames.counts[origin])
            values.append((shown_as, node, value.detach(), terms))
            values += [(f"{shown_as}/{k}", node, one.detach(), of) for k, one, of in named]
            losses.append(value)
        return values, losses


class _OverTermsByKey(LossesOverTerms):
    """Sums over terms of losses of which some give dicts: one for each count."""

    def __init__(self, pipeline: Pipeline, parts: Parts) -> None:
        super().__init__(pipeline, parts)
        if pipeline.compiling is not None:
            parts = Parts(())
        self.by_key = [
            parts.around(LossByKey(item.loss), Part.LOSS, item.shown_as) if item.loss.keys else None
            for item in pipeline.losses
        ]

    def unweighted(self, frames: Frames) -> tuple[LossValues, list[Any]]:
        """The losses, detached; of each loss its sums over terms, as a list."""
        values: list[Any] = []
        summands: list[list[Summand]] = []
        for index, (item, origin, over_terms, counted, of_mean) in enumerate(self.losses):
            samples, by_key = frames.counts[origin], self.by_key[index]
            if by_key is None:
                value, total, terms = over_terms(frames[item.node], samples)
                shown = terms if item.loss.has_own_terms and terms is not None else samples
                values.append((item.shown_as, item.node, value.detach(), shown))
                summands.append([Summand(counted, total, terms, of_mean)])
                continue
            value, shown, named = by_key(frames[item.node], samples)
            values.append((item.shown_as, item.node, value.detach(), shown))
            values += [(f"{item.shown_as}/{k}", item.node, v.detach(), c) for k, v, c in named]
            summands.append(_summands(item.loss, value, named, counted, index))
        return values, summands

    def weighted(self, summands: Sequence[Any], weights: Sequence[float]) -> list[Summand]:
        pairs = zip(summands, weights, strict=True)
        return [one for own, weight in pairs for one in weighted_summands(own, [weight] * len(own))]


def _summands(
    loss: Loss, value: torch.Tensor, named: Sequence[Value], counted: Hashable, index: int
) -> list[Summand]:
    """The sums over terms of a dict: one, or where it counts each key apart, one for each."""
    if loss.sums:
        return [Summand(counted, value, None)]
    own = loss.has_own_terms
    summed = [(key, one, count) for key, one, count in named if key not in loss.report]
    _, _, terms = summed[0]
    if all(count is terms for _, _, count in summed):
        return [Summand(counted, times(value, terms), terms, own)]
    return [Summand((index, key), times(one, count), count, own) for key, one, count in summed]


def gives_dicts(pipeline: Pipeline) -> bool:
    """Whether a loss of a pipeline gives a dict, as far as that is known."""
    return any(item.loss.keys for item in pipeline.losses)


def weighted_losses(pipeline: Pipeline, parts: Parts | None = None) -> WeightedLosses:
    """What computes the losses of a pipeline, and their weighted sum.

    Args:
        pipeline: Whose losses; what keys they give is known.
        parts: Puts events around each loss, unless all are compiled as one.
    """
    kind = _WeightedByKey if gives_dicts(pipeline) else WeightedLosses
    return kind(pipeline, Parts(()) if parts is None else parts)


def losses_over_terms(pipeline: Pipeline, parts: Parts) -> LossesOverTerms:
    """The same as sums over terms."""
    kind = _OverTermsByKey if gives_dicts(pipeline) else LossesOverTerms
    return kind(pipeline, parts)
