"""A tiny session, and a search over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from toy_config import toy_config

from torchassistant.compression import Found, Record, Request, compress
from torchassistant.session import create_session

TRUSTED = {"trust": ["toys"]}
NET = {
    "class": "torch.nn.Sequential",
    "args": [
        {"class": "torch.nn.Linear", "args": [2, 24]},
        {"class": "torch.nn.ReLU"},
        {"class": "torch.nn.Linear", "args": [24, 24]},
        {"class": "torch.nn.ReLU"},
        {"class": "torch.nn.Linear", "args": [24, 1]},
    ],
}


def trained(**changes: Any) -> None:
    """Train a session in the folder ``run`` of the working directory."""
    config = toy_config(**{"net": NET, **changes})
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 10
    create_session(config, preflight=False, **TRUSTED).train()


def request(**changes: Any) -> Request:
    whole = Request("val loss", 0.05, methods=("int8", "low-rank"), finetune=1)
    return replace(whole, **changes)


def search(
    request: Request, tell: Callable[[Record], None] = lambda record: None, **options: Any
) -> Found:
    return compress("run", request, tell=tell, **{"exports": False, **options}, **TRUSTED)


def decided(records: Any) -> list[Record]:
    """Records without what no two runs have in common."""
    return [replace(record, seconds=0.0, latency={}) for record in records]
