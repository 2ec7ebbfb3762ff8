"""Small rows, of which a model makes 4 MB each; and the same run by hand, which tells its peak."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

SIDE = 1000


class Rows(Dataset[tuple[Tensor, Tensor]]):
    """x float32 (4,), y float32 (SIDE, SIDE)."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.ones(4), torch.ones(SIDE, SIDE)


class Enlarging(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).view(-1, 1, 1).expand(-1, SIDE, SIDE).clone()


def batches(count: int) -> DataLoader[Any]:
    return DataLoader(Rows(count), 4)


def by_hand(training: int, validation: int) -> None:
    net, error = Enlarging(), nn.MSELoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        total = 0.0
        for x, y in batches(training):
            optimizer.zero_grad()
            value = error(net(x), y)
            value.backward()
            optimizer.step()
            total += value.item() * len(x)
        with torch.no_grad():
            for x, y in batches(validation):
                total += error(net(x), y).item() * len(x)


def by_config(training: int, validation: int, folder: Path) -> None:
    from torchassistant import create_session

    def definition(group: str, name: str, **spec: Any) -> dict[str, Any]:
        return {"group": group, "name": name, "spec": spec}

    def rows(name: str, count: int) -> list[dict[str, Any]]:
        kwargs = {"batch_size": 4, "shuffle": False}
        return [
            definition("datasets", name, **{"class": "large_outputs.Rows"}, args=[count]),
            definition("loader_factories", name, dataset=name, kwargs=kwargs),
        ]

    def pipeline(name: str, shown: str) -> dict[str, Any]:
        return {
            "input_factories": [{"loader_factory": name, "variable_names": ["x", "y"]}],
            "losses": [{"loss_name": "error", "loss_display_name": shown}],
        }

    net = {"class": "large_outputs.Enlarging"}
    descent = {"class": "SGD", "kwargs": {"lr": 0.1}, "model": "net"}
    error = {"class": "MSELoss", "inputs": ["y_hat", "y"]}
    stage = {
        "training_pipelines": ["fit"],
        "validation_pipelines": ["check"],
        "stop_condition": {"class": "EpochsCompleted", "args": [2]},
    }
    config = {
        "seed": 1,
        "device": "cpu",
        "initialize": {
            "definitions": [
                *rows("training", training),
                *rows("validation", validation),
                definition("models", "net", **net),
                definition("optimizers", "descent", **descent),
                definition("losses", "error", **error),
            ],
            "pipelines": {
                "fit": pipeline("training", "error"),
                "check": pipeline("validation", "val error"),
            },
        },
        "train": {"stages": [stage]},
    }
    create_session(config, session_dir=folder).train()


def main() -> None:
    """Train in one way, and print the most memory that this process has held, in KiB."""
    import pandas
    import torchvision

    import torchassistant.session

    assert torchvision and pandas and torchassistant.session  # for both alike
    torch.set_num_threads(1)
    way, training, validation, folder = sys.argv[1:]
    sys.modules["large_outputs"] = sys.modules["__main__"]
    # torch imports its compiler with the first optimizer, unless it is kept from that: for both.
    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    if way == "hand":
        by_hand(int(training), int(validation))
    else:
        by_config(int(training), int(validation), Path(folder))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
