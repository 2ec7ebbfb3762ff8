"""Small things that the configs of these tests name. Importable from the tests and the commands."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn


class Points:
    """``count`` points of a plane: (x (2,) float32, target (1,) float32)."""

    def __init__(self, count: int = 40, slowness: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(count, 2, generator=generator)
        self.slowness = slowness

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        time.sleep(self.slowness)
        x = self.x[index]
        return x, x.sum().reshape(1)


class Jittered(Points):
    """Points with noise from torch's global generator, as an augmentation draws it."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, target = super().__getitem__(index)
        return x + 0.01 * torch.randn(2), target


class Wobble:
    """A transform of a column, with a generator of its own."""

    def __init__(self, scale: float = 0.1, until: float = float("inf")) -> None:
        self.scale, self.until = scale, until
        self.generator = torch.Generator().manual_seed(2)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.max() > self.until:
            try:
                raise ArithmeticError("too far out")
            except ArithmeticError as error:
                raise LookupError("no such point,\nand no other") from error
        noise = torch.randn(x.shape, generator=self.generator) + torch.randn(x.shape)
        return x + self.scale * noise


class Records(Points):
    """Points as dicts, with a column that nothing needs."""

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        x, target = super().__getitem__(index)
        return {"x": x, "y": target, "note": "kept as a list"}


class Words:
    """Pairs of a text and a number."""

    texts = ("one", "two", "three", "two", "one", "nine", "four", "ten", "five", "six")

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> tuple[str, int]:
        return self.texts[index], index


class Forbidden:
    """A dataset that must not be built: inference needs none."""

    def __init__(self) -> None:
        if Path("forbid").exists():
            raise RuntimeError("the dataset was built")

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((2,), float(index)), torch.zeros(1)


class Broken:
    """A dataset that raises in the middle."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if index == 5:
            raise LookupError("example 5 is unreadable")
        return torch.zeros(2), torch.zeros(1)


class Sleepy(Points):
    """A dataset that takes its time, and answers every exception itself."""

    def __init__(self) -> None:
        super().__init__()
        print("building", flush=True)
        try:
            time.sleep(60)
        except Exception:
            self.x = self.x[:1]


class Exiting(Points):
    """A dataset that ends the program."""

    def __init__(self) -> None:
        sys.exit(0)


class Net(nn.Module):
    """(B, 2) → (B, 1), with dropout."""

    def __init__(self, hidden: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, hidden), nn.Tanh(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class SlowNet(Net):
    """A net that takes its time in training: seconds for each pass forward, and each backward."""

    def __init__(self, forward: float = 0.0, backward: float = 0.0) -> None:
        super().__init__()
        self.seconds = forward, backward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = super().forward(x)
        if self.training:
            time.sleep(self.seconds[0])
            y.register_hook(lambda gradient: time.sleep(self.seconds[1]))
        return y


class SlowAdam(torch.optim.Adam):
    """Adam that takes its time in each step."""

    def __init__(self, parameters: Any, lr: float, slowness: float) -> None:
        super().__init__(parameters, lr)
        self.slowness = slowness

    def step(self, closure: Any = None) -> Any:
        time.sleep(self.slowness)
        return super().step(closure)


class Raising(Net):
    """A net that cannot run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ArithmeticError("no forward today")


class Inferring(Net):
    """A net that answers otherwise when it is asked for a prediction."""

    def run_inference(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [torch.full((len(x), 1), 7.0)]


class Sizes:
    """A preprocessor that keeps what it has seen, and that has no state_dict."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def fit(self, dataset: Any) -> None:
        self.seen = [dataset[i][0] for i in range(len(dataset))]

    def process(self, value: str) -> torch.Tensor:
        return torch.tensor([float(len(value)), float(value in self.seen)])


class NumberToRow:
    """An input converter: ``"1,2"`` → tensor (2,)."""

    def __call__(self, text: str) -> torch.Tensor:
        return torch.tensor([float(part) for part in text.split(",")])


class Rounded:
    """A post-processor that was built with the session."""

    def __init__(self, session: Any, digits: int = 3) -> None:
        self.models = sorted(session.models)
        self.digits = digits

    def __call__(self, columns: dict[str, torch.Tensor]) -> str:
        numbers = [round(float(value), self.digits) for value in columns["y_hat"].flatten()]
        return f"{self.models} {numbers}"


class Recorder:
    """An output device that keeps what it gets."""

    got: ClassVar[list[Any]] = []

    def __call__(self, data: Any) -> None:
        Recorder.got.append(data)


CALLS: list[str] = []


def count_gradients(name: str) -> Any:
    """A backward hook for the parameter of a name."""

    def hook(gradient: torch.Tensor) -> None:
        CALLS.append(f"backward {name}")

    return hook


def count_outputs(name: str) -> Any:
    """A forward hook for the module of a name."""

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        CALLS.append(f"forward {name}")

    return hook


def build_net(session: Any, **kwargs: Any) -> Net:
    """A factory that looks at what is written above it."""
    return Net(hidden=len(session.datasets["points"]) // 10, **kwargs)


def signs(y_hat: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A transform: which of them are positive, as integers (B, 1)."""
    return (y_hat > 0).long(), (target > 0).long()


def share_of_positives(y_hat: torch.Tensor) -> torch.Tensor:
    """A plain function of a batch, as a metric."""
    return (y_hat > 0).float().mean()


def doubled(columns: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """A collator of examples that are batches already."""
    return 2 * columns[0], columns[1]


class Remembering(nn.Module):
    """Has every kind of state: parameters, buffers of both kinds, attributes, dropout, a count."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 1)
        self.calls = 0
        self.latest: Any = None
        self.register_buffer("steps", torch.zeros(()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.steps += 1
        self.latest = x
        return self.head(self.drop(self.norm(self.layer(x))))


class NoX:
    """An input adapter that has nothing for the node."""

    def __call__(self, frame: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {"net": {"z": frame["x"]}}


class Doubled(nn.Module):
    """Returns two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.layer(x), x]


class Detached(nn.Module):
    """A layer that gradient does not come to."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).detach()


class TwoLayers(nn.Module):
    """Two layers, so that an optimizer may treat them differently."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


def grouped_adam(
    session: Any, lr: float = 0.01, weight_decay: float = 0.1, share: float = 1.0, **kwargs: Any
) -> torch.optim.Optimizer:
    """The first layer learns with a share of the rate; biases do not decay."""
    net = session.models["net"]
    groups = [
        {"params": [net.first.weight], "lr": share * lr},
        {"params": [net.second.weight], "name": "head"},
        {"params": [net.first.bias, net.second.bias], "weight_decay": 0.0},
    ]
    return torch.optim.Adam(groups, lr=lr, weight_decay=weight_decay, **kwargs)


class Same(nn.Module):
    """Any tensor → the same; there is nothing to learn."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = [int(size) for size in shape]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Pooled(Same):
    """The same through layers that have nothing to learn."""

    def __init__(self) -> None:
        super().__init__(1)
        self.layers = nn.Sequential(nn.Flatten(), nn.ReLU6(), nn.Dropout(0.5))


class Expanded(Net):
    """Buffers whose elements share memory: one that is stored, one that follows another."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("wide", torch.ones(1, 1).expand(3, 2))
        self.register_buffer("base", torch.zeros(1))
        self.register_buffer("view", self.base.expand(4), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.base += 1
        y: torch.Tensor = super().forward(x)
        return y + 0.01 * self.view.sum() * self.wide.mean()


class InPlace(Net):
    """A net that changes its inputs where they are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.add_(1.0))


class Counting:
    """An evaluator that counts the batches that it is given."""

    columns = ("batches",)

    def __call__(self, models: Any, loader: Any) -> dict[str, float]:
        return {"batches": float(sum(1 for _ in loader))}


class Kinds:
    """Points with a kind, 0 or 1, and one of ten groups, as dicts."""

    def __init__(self, count: int = 40) -> None:
        self.points = Points(count)
        self.kind = [index % 2 for index in range(count)]
        self.group = [f"group {index // 4}" for index in range(count)]

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> dict[str, Any]:
        x, target = self.points[index]
        return {"x": x, "y": target, "kind": self.kind[index], "group": self.group[index]}
