"""What the configs of these tests name: small datasets, models, adapters and the like."""

from __future__ import annotations

import random
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data import Dataset, default_collate

Frame = dict[str, Any]


class Points(Dataset[tuple[Tensor, Tensor]]):
    """Regression: x float32 (width,), y float32 (1,)."""

    def __init__(self, count: int, width: int = 4, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(count, width, generator=generator)
        self.y = self.x.sin().sum(1, keepdim=True) + 0.1 * torch.randn(
            count, 1, generator=generator
        )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


class Named(Points):
    """The same points, each example a dict."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:  # type: ignore[override]
        x, y = super().__getitem__(index)
        return {"y": y, "x": x}


class Numbers(Points):
    """The same points with plain numbers beside x: y a float, the index an int."""

    def __getitem__(self, index: int) -> tuple[Tensor, float, int]:  # type: ignore[override]
        return self.x[index], float(self.y[index]), index


class Indexed(Points):
    """The same points; a third column is the index, int64 ()."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        return *super().__getitem__(index), torch.tensor(index)


class Noisy(Points):
    """The same points with noise from torch's own generator."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = super().__getitem__(index)
        return x + 0.1 * torch.randn_like(x), y


class Augmented(Points):
    """The same points with noise from the generators of torch, NumPy and Python."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = super().__getitem__(index)
        scale = random.uniform(0.9, 1.1) + np.random.uniform(-0.1, 0.1)
        return x * scale + 0.1 * torch.randn_like(x), y


class Classes(Dataset[tuple[Tensor, int]]):
    """Classification, classes of unequal size: x float32 (4,), label int."""

    def __init__(self, count: int, classes: int = 3, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(count, 4, generator=generator)
        self.labels = (torch.rand(count, generator=generator) ** 2 * classes).long().tolist()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.x[index], self.labels[index]


class Latent(Dataset[tuple[Tensor, Tensor]]):
    """Noise drawn anew whenever it is asked for: z float32 (3,), and a label, float32 (1,)."""

    def __init__(self, count: int, label: float = 0.0) -> None:
        self.count = count
        self.label = label

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.randn(3), torch.tensor([self.label])


class Real(Points):
    """What a GAN is to imitate: sample float32 (4,), and a label of ones, float32 (1,)."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index].tanh(), torch.ones(1)


class Wrapped(nn.Module):
    """A linear layer whose output comes in a list, in a tuple, or in nothing."""

    def __init__(self, container: str, inputs: int = 4, outputs: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)
        self.container = container

    def forward(self, x: Tensor) -> Any:
        output = self.layer(x)
        return {"list": [output], "tuple": (output,), "nothing": output}[self.container]


class TwoHeads(nn.Module):
    """x float32 (B, 4) → value float32 (B, 1), scores float32 (B, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 5)
        self.value = nn.Linear(5, 1)
        self.scores = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> list[Tensor]:
        hidden = self.body(x).tanh()
        return [self.value(hidden), self.scores(hidden)]


class WithPenalty(nn.Module):
    """x float32 (B, 4) → value float32 (B, 1), and the mean square of the values, float32 ()."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value = self.layer(x)
        return value, value.square().mean()


class Joined(nn.Module):
    """A linear layer over two inputs side by side."""

    def __init__(self, inputs: int, outputs: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.layer(torch.cat([left, right], dim=1))


class Averaging(nn.Module):
    """Adds to its input a buffer that follows the inputs it has met, replaced at every call."""

    average: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.register_buffer("average", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.average = 0.9 * self.average + 0.1 * x.detach().mean(0)
        return self.layer(x) + self.average


class Regressor(nn.Module):
    """x float32 (B, 4) → float32 (B, 1), perhaps with batch norm and dropout."""

    def __init__(self, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.dropout(self.norm(self.first(x)).tanh()))


def spectral(inputs: int, outputs: int) -> nn.Module:
    """A linear layer whose weight is divided by an estimate that every call refines."""
    return nn.utils.parametrizations.spectral_norm(nn.Linear(inputs, outputs))


class FeatureError(nn.Module):
    """A loss in a fixed network's eyes, which is in eval mode for good: it has dropout.

    Prediction and target are float32 (B, 1).
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(1, 3), nn.Dropout(), nn.Tanh())
        for index, parameter in enumerate(self.features.parameters()):
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(index))
        self.eval().requires_grad_(False)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (self.features(prediction) - self.features(target)).square().mean()


class CentredError(nn.Module):
    """A loss with a state: squared differences from a running mean difference."""

    centre: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(()))

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        difference = prediction - target
        if self.training:
            self.centre = 0.9 * self.centre + 0.1 * difference.detach().mean()
        return (difference - self.centre).square().mean()


class Scaled(nn.Module):
    """A linear layer, times a number that is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.scale


class Normed(nn.Module):
    """A batch processor with a state: the column x, float32 (B, width), through batch norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False)

    def forward(self, frame: Frame) -> Frame:
        return {**frame, "x": self.norm(frame["x"])}


class TenthOf:
    """An input adapter: one column, divided by ten, for one node."""

    def __init__(self, node: str, column: str) -> None:
        self.node = node
        self.column = column

    def __call__(self, frame: Frame) -> dict[str, Frame]:
        return {self.node: {self.column: frame[self.column] / 10}}


class Recording:
    """An input adapter that keeps copies of the frames that it meets in ``frames[key]``."""

    frames: ClassVar[dict[str, list[Frame]]] = {}

    def __init__(self, key: str, node: str, columns: Sequence[str]) -> None:
        self.key = key
        self.node = node
        self.columns = list(columns)

    def __call__(self, frame: Frame) -> dict[str, Frame]:
        self.frames.setdefault(self.key, []).append({k: v.clone() for k, v in frame.items()})
        return {self.node: {column: frame[column] for column in self.columns}}


class Slowly:
    """An input adapter that takes its time, so that a signal arrives in the middle."""

    def __init__(self, node: str, seconds: float) -> None:
        self.node = node
        self.seconds = seconds

    def __call__(self, frame: Frame) -> dict[str, Frame]:
        time.sleep(self.seconds)
        return {self.node: {"x": frame["x"]}}


class Stacking:
    """An input adapter: a column that is a list of tensors (4,) becomes a tensor (B, 4)."""

    def __init__(self, node: str, column: str) -> None:
        self.node = node
        self.column = column

    def __call__(self, frame: Frame) -> dict[str, Frame]:
        return {self.node: {self.column: torch.stack(frame[self.column])}}


class Doubled:
    """An output adapter: twice ``y_hat`` under another name, and ``y``."""

    def __call__(self, frame: Frame) -> Frame:
        return {"twice": 2 * frame["y_hat"], "y": frame["y"]}


class Shifted:
    """A batch processor of one's own: a new frame with ``y_hat`` moved by one."""

    def __call__(self, frame: Frame) -> Frame:
        return {**frame, "y_hat": frame["y_hat"] + 1}


class ShiftedInPlace:
    """The same, into the frame that it was given."""

    def __call__(self, frame: Frame) -> Frame:
        frame["y_hat"] = frame["y_hat"] + 1
        return frame


def against_zero(value: Tensor) -> tuple[Tensor, Tensor]:
    """A transform: a penalty on a value's distance from zero."""
    return value, torch.zeros_like(value)


def as_real(verdict: Tensor) -> tuple[Tensor, Tensor]:
    """A transform: every verdict is wished to be "real"."""
    return verdict, torch.ones_like(verdict)


def flattened(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """A transform: prediction (B, 1) and target (B,) → both (B,)."""
    return prediction.flatten(), target


def with_class_numbers(scores: Tensor, labels: list[int]) -> tuple[Tensor, Tensor]:
    """A transform: a list of B ints → int64 (B,)."""
    return scores, torch.tensor(labels)


def unchanged(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """A transform that does nothing."""
    return prediction, target


def blurred(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """A transform that draws random numbers."""
    return prediction + 0.5 * torch.randn_like(prediction), target


def predicted_class(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """A transform: scores float32 (B, C) and labels int64 (B,) → classes and labels."""
    return scores.argmax(1), labels


def largest_error(prediction: Tensor, target: Tensor) -> Tensor:
    """A plain function as a metric."""
    return (prediction - target).abs().max()


def collator_of_torch(session: Any) -> Callable[[list[Any]], Any]:
    """A factory_fn: torch's own collator."""
    return default_collate


class Told:
    """A stop condition that keeps what it is told, and ends after a number of epochs."""

    calls: ClassVar[list[tuple[int, list[Mapping[str, Any]]]]] = []

    def __init__(self, num_epochs: int) -> None:
        self.epochs = num_epochs

    def __call__(self, epoch_in_stage: int, history: Sequence[Mapping[str, Any]]) -> bool:
        self.calls.append((epoch_in_stage, [dict(row) for row in history]))
        return epoch_in_stage >= self.epochs


def shrinking(step: int) -> float:
    """The factor of a LambdaLR."""
    return 1 / (1 + step)


class Halving:
    """The factor of a LambdaLR."""

    def __call__(self, epoch: int) -> float:
        return 0.5**epoch


def slow_biases(name: str) -> Callable[[Tensor], Tensor]:
    """Backward hooks: the gradients of biases become a tenth, others are kept."""
    return (lambda grad: grad / 10) if name.endswith("bias") else (lambda grad: grad)


def keep_positive(name: str) -> Callable[..., Any]:
    """Forward hooks: only what the whole model gives is changed, not what its parts give."""
    return (lambda module, args, output: output.clamp(min=0)) if name == "" else _nothing


def _nothing(module: nn.Module, args: Any, output: Any) -> None:
    return None


class Discarded:
    """An output device that draws random numbers, in passing."""

    count = 0

    def __call__(self, result: Any) -> None:
        type(self).count += 1
        torch.randn(3), random.random(), np.random.rand()


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Regression: x float32 (3, 8, 8), y float32 (1,)."""

    def __init__(self, count: int) -> None:
        self.x = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.x[index].mean().reshape(1)


class SpectralLinear(nn.Module):
    """A linear layer whose weight is divided by what a power iteration in buffers finds."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.utils.parametrizations.spectral_norm(nn.Linear(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class _Counted(torch.autograd.Function):
    """x times weight; tells which gradients were asked for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, name: str) -> Tensor:
        Backwards.forwards += 1
        ctx.save_for_backward(x, weight)
        ctx.name = name
        return x @ weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        Backwards.calls[ctx.name, "input"] += ctx.needs_input_grad[0]
        Backwards.calls[ctx.name, "weight"] += ctx.needs_input_grad[1]
        return gradient @ weight.T, x.T @ gradient, None


class Backwards(nn.Module):
    """A linear layer that counts its forward passes, and the gradients that it is asked for."""

    forwards: ClassVar[int] = 0
    calls: ClassVar[Counter[tuple[str, str]]] = Counter()

    def __init__(self, name: str = "", inputs: int = 4) -> None:
        super().__init__()
        self.name = name
        self.weight = nn.Parameter(torch.randn(inputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return _Counted.apply(x, self.weight, self.name)


class Sentences(Dataset[tuple[Tensor, Tensor]]):
    """Sequences of unequal lengths: x float32 (T, 4), tokens int64 (T,) from 0 to 2.

    Args:
        count: How many.
        unused: In so many of the first every token is 0.
    """

    def __init__(self, count: int, unused: int = 0) -> None:
        generator = torch.Generator().manual_seed(0)
        lengths = torch.randint(1, 6, (count,), generator=generator).tolist()
        self.x = [torch.randn(length, 4, generator=generator) for length in lengths]
        self.tokens = [torch.randint(0, 3, (length,), generator=generator) for length in lengths]
        for tokens in self.tokens[:unused]:
            tokens.zero_()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.tokens[index]


class Padding:
    """Collates sequences: each column is padded with 0 to its longest, (B, T, …)."""

    def __call__(self, batch: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
        columns = zip(*batch, strict=True)
        return [nn.utils.rnn.pad_sequence(list(c), batch_first=True) for c in columns]


def classes_second(scores: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, T, C) as torch's cross entropy wants them, (B, C, T)."""
    return scores.transpose(1, 2), tokens


class MeanOfLabelled(nn.Module):
    """Cross entropy over the targets that are not ``ignored``; of none it is NaN.

    Its ``reduction`` is there, and looked at by nobody.
    """

    def __init__(self, ignored: int, counts: str = "int") -> None:
        super().__init__()
        self.ignored = ignored
        self.counts = counts
        self.reduction = "mean"

    def forward(self, scores: Tensor, tokens: Tensor) -> Tensor:
        each = nn.functional.cross_entropy(scores, tokens, reduction="none")
        labelled = tokens != self.ignored
        return (each * labelled).sum() / labelled.sum()

    def count(self, scores: Tensor, tokens: Tensor) -> int | Tensor:
        labelled = (tokens != self.ignored).sum()
        return int(labelled) if self.counts == "int" else labelled


class OwnMean(nn.CrossEntropyLoss):
    """Torch's cross entropy that divides by itself, whatever its ``reduction`` says."""

    def forward(self, scores: Tensor, tokens: Tensor) -> Tensor:
        return MeanOfLabelled(self.ignore_index)(scores, tokens)


def mean_of_rows(a: Tensor, b: Tensor) -> Tensor:
    """The mean over samples of their absolute errors."""
    return (a - b).abs().flatten(1).sum(1).mean()


class Watched(nn.Module):
    """A linear layer that knows how many of its outputs are kept when it is called again."""

    outputs: ClassVar[list[weakref.ref[Tensor]]] = []
    kept: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        Watched.kept.append(sum(output() is not None for output in Watched.outputs))
        y = self.layer(x)
        Watched.outputs.append(weakref.ref(y))
        return y


class Packing(nn.Module):
    """Gives a PackedSequence, which is a tuple of four for Python, and one value for torch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> PackedSequence:
        return pack_sequence(list(self.layer(x)[:, None]))


class Tied(nn.Module):
    """Two layers with one weight. (B, 4) → (B, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.last = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.second(self.first(x).tanh()))
        return result


class Late(nn.Module):
    """Registers a buffer when it runs first, and gives another one a new shape. (B, 4) → (B, 1)."""

    last: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.register_buffer("last", torch.zeros(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "seen"):
            self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.seen += 1
        self.last = x.detach().clone()
        result: Tensor = self.layer(x)
        return result


class Holed(Points):
    """The same points; the fifth is not a number."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = super().__getitem__(index)
        return (x * torch.nan if index == 4 else x), y


class Size(nn.Module):
    """Mean of absolute values. (B, …) → ()."""

    def forward(self, values: Tensor) -> Tensor:
        return values.abs().mean()


class Uncopied(nn.Linear):
    """Cannot be copied. (B, 4) → (B, 1)."""

    def __init__(self) -> None:
        super().__init__(4, 1)

    def __deepcopy__(self, memo: object) -> Uncopied:
        raise TypeError("there is only one")


class Recurrent(nn.Module):
    """The points as sequences of numbers, (n, width) to (n, 1), with dropout between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(1, 5, num_layers=2, dropout=0.4, batch_first=True)
        self.last = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.rnn(x.unsqueeze(-1))[0]
        return self.last(hidden[:, -1])
