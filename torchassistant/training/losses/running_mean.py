"""A mean of values over an epoch, that costs no transfer from a GPU while they are added."""

from __future__ import annotations

import torch

from torchassistant.training.losses.loss_denominators import Count

_JOIN_AT = 512


class RunningMean:
    """A mean of values, each with the number of terms that it is a mean over.

    A value on the host is added at once: were it kept, it would hold on to the memory around it.
    One on a GPU stays there until somebody asks.

    Args:
        sums: Whether each value is a sum over its terms already.
        state: Where to go on from.
    """

    def __init__(self, sums: bool = False, state: tuple[float, float] = (0.0, 0)) -> None:
        self.sums = sums
        self.total, self.terms = state
        self.latest: float | torch.Tensor | None = None
        self.waiting: list[tuple[torch.Tensor, Count]] = []
        self.joined: list[tuple[torch.Tensor, torch.Tensor | list[int]]] = []

    @property
    def state(self) -> tuple[float, float]:
        """The sum over terms, and the number of terms."""
        self.fold()
        return self.total, self.terms

    def add(self, value: torch.Tensor, terms: Count) -> None:
        """Take the value of a batch, without its graph; costs no transfer from a GPU.

        Args:
            value: One number.
            terms: What it is a mean over; 0 adds nothing, whatever the value.
        """
        if value.is_cpu:
            self.latest = value.item()
            self._add(self.latest, terms.item() if isinstance(terms, torch.Tensor) else terms)
            return
        self.latest = value
        self.waiting.append((value, terms))
        if len(self.waiting) >= _JOIN_AT:
            self._join()

    def _add(self, value: float, terms: float) -> None:
        if terms:
            self.total += value if self.sums else value * terms
            self.terms += terms

    def _join(self) -> None:
        """Many small tensors become one, on their device: nobody waits for it."""
        if not self.waiting:
            return
        values = torch.stack([value.reshape(()) for value, _ in self.waiting])
        numbers = [terms for _, terms in self.waiting if isinstance(terms, int)]
        if len(numbers) == len(self.waiting):
            self.joined.append((values, numbers))
        else:
            counts = [torch.as_tensor(c, device=v.device).reshape(()) for v, c in self.waiting]
            self.joined.append((values, torch.stack(counts)))
        self.waiting.clear()

    def fold(self) -> None:
        """Fetch the values that wait on the device."""
        self._join()
        for values, counts in self.joined:
            numbers = counts.tolist() if isinstance(counts, torch.Tensor) else counts
            for value, terms in zip(values.tolist(), numbers, strict=True):
                self._add(value, terms)
        self.joined.clear()

    def value(self) -> float:
        """The mean so far; NaN where there was nothing."""
        self.fold()
        return self.total / self.terms if self.terms else float("nan")
