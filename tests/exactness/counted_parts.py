"""Batches whose first axis is not the examples: time first, flattened, lists, own losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, IterableDataset, get_worker_info

_GENERATOR = torch.Generator().manual_seed(3)
LENGTHS = [7, 5, 9, 6, 8, 5, 6]
SERIES = [torch.randn(n, 4, generator=_GENERATOR) for n in LENGTHS]
LABELS = [torch.randint(1, 5, (n // 2,), generator=_GENERATOR) for n in LENGTHS]
IGNORED = -100
MASKS = [[True] * 3, [True, False, False], [False] * 3, [False] * 3, [True, True, False]]


class Series(Dataset[tuple[Tensor, Tensor]]):
    """Sequences of unequal lengths, float32 (T, 4), with int64 labels (L,)."""

    def __len__(self) -> int:
        return len(SERIES)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return SERIES[index], LABELS[index]


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """The same, one after the other."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        info: Any = get_worker_info()
        step = 1 if info is None else info.num_workers
        first = 0 if info is None else info.id
        for index in range(first, len(SERIES), step):
            yield SERIES[index], LABELS[index]


class TimeFirst:
    """x float32 (T, B, 4), its lengths int64 (B,), labels int64 (B, L), their lengths (B,)."""

    def __call__(self, examples: Sequence[Any]) -> tuple[Tensor, ...]:
        x, y = zip(*examples, strict=True)
        return (
            pad_sequence(list(x)),
            torch.tensor([len(one) for one in x]),
            pad_sequence(list(y), batch_first=True),
            torch.tensor([len(one) for one in y]),
        )


class Flattened:
    """x float32 (sum of T, 4), and the number of rows of each example as a tuple of ints."""

    def __call__(self, examples: Sequence[Any]) -> tuple[Any, ...]:
        x, _ = zip(*examples, strict=True)
        return torch.cat(list(x)), [len(one) for one in x]


class WithoutShort:
    """Leaves examples of fewer than 6 steps out; pads to 9 steps, time last."""

    def __call__(self, examples: Sequence[Any]) -> Tensor:
        left = [one for one, _ in examples if len(one) >= 6]
        return torch.stack([pad(one, (0, 0, 0, 9 - len(one))).T for one in left])


class Numbered:
    """Counts its batches; pads to 9 steps or cuts there, time last."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, examples: Sequence[Any]) -> Tensor:
        self.count += 1
        return torch.stack([pad(one, (0, 0, 0, max(0, 9 - len(one))))[:9].T for one, _ in examples])


class Doubled:
    """Makes two examples of one, and says so."""

    def __call__(self, examples: Sequence[Any]) -> Tensor:
        twice = [one.T[:, :5] * factor for one, _ in examples for factor in (1, 2)]
        return torch.stack(twice)

    def count(self, batch: Tensor) -> int:
        return len(batch)


class Recogniser(nn.Module):
    """Log-probabilities of five classes for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).log_softmax(-1)


class OwnLoss(nn.Module):
    """A model that computes its loss itself: the mean over the examples of a mean over steps."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        squares = self.layer(x).squeeze(-1) ** 2  # (T, B)
        inside = torch.arange(len(x))[:, None] < lengths
        return ((squares * inside).sum(0) / lengths).mean()


class Itself(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return value


class PerBatch(nn.Module):
    """The mean square over all elements."""

    def forward(self, y_hat: Tensor) -> Tensor:
        return (y_hat**2).mean()


class PerExample(nn.Module):
    """The mean over examples of the mean square of the rows of each, from flattened rows."""

    def forward(self, rows: Tensor, lengths: Sequence[int]) -> Tensor:
        return torch.stack([(one**2).mean() for one in rows.split(list(lengths))]).mean()


def mean_step(rows: Tensor, lengths: Sequence[int]) -> Tensor:
    """A plain function as a metric: the mean over examples of the mean of each."""
    return torch.stack([one.mean() for one in rows.split(list(lengths))]).mean()


class Repeated:
    """A processor that makes two rows of each, and a column of its own in front."""

    def __call__(self, frame: dict[str, Any]) -> dict[str, Any]:
        return {"first": torch.zeros(31, 2)} | {k: torch.cat([v, v]) for k, v in frame.items()}


class Labelled(Dataset[tuple[Tensor, Tensor]]):
    """x float32 (3, 4), y int64 (3,), of which those outside of the mask are ignored."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.x = torch.randn(len(MASKS), 3, 4, generator=generator)
        self.y = torch.randint(0, 5, (len(MASKS), 3), generator=generator)
        self.y[~torch.tensor(MASKS)] = IGNORED

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


class MaskedMean(nn.Module):
    """A loss of one's own that says over how many labels it is a mean; of none it is NaN."""

    def forward(self, scores: Tensor, y: Tensor) -> Tensor:
        counts = y != IGNORED
        return (scores.logsumexp(-1) * counts).sum() / counts.sum()

    def count(self, scores: Tensor, y: Tensor) -> Tensor:
        return (y != IGNORED).sum()


def flat(scores: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, T, C) and labels (B, T) as (B T, C) and (B T,)."""
    return scores.flatten(0, 1), y.flatten()


class Weighted(nn.CrossEntropyLoss):
    """Cross entropy in which later classes weigh more."""

    def __init__(self) -> None:
        super().__init__(weight=torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))


class Uneven:
    """A batch sampler: batches of 1, 2 and 3."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[list[int]]:
        yield from ([0], [1, 2], [3, 4, 5])
