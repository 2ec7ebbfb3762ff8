"""Two optimizers over one model: one for an embedding with sparse gradients, one for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, Twin, batches_of, config, feed, loader, loss, made, node, stage
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam, SparseAdam
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import Dataset

from torchassistant import create_session
from torchassistant.cli.tables import preflight_lines
from torchassistant.errors import ConfigError
from torchassistant.session import Draft

THIS = "test_recipe_two_optimizers"
WORDS = 9


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """A word, and one near it, both int64 ()."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.words = torch.randint(0, WORDS, (count, 2), generator=generator)

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        word, near = self.words[index]
        return word, near


class SkipGram(nn.Module):
    """Words int64 (B,) → scores of the words near them, float32 (B, words)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 4, sparse=True)
        self.out = nn.Linear(4, WORDS)

    def forward(self, word: Tensor) -> Tensor:
        return self.out(self.embedding(word))


def skip_gram(*optimizers: str) -> Config:
    """The config."""
    groups: dict[str, Any] = {
        "datasets": {"pairs": made(f"{THIS}.Pairs", 18)},
        "loader_factories": {"pairs": loader("pairs")},
        "models": {"net": made(f"{THIS}.SkipGram")},
        "optimizers": {
            "sparse": {
                **made("SparseAdam", lr=0.05),
                "model": "net",
                "parameters": [{"match": "embedding"}],
                "rest": False,
                "lr_scheduler": made("StepLR", step_size=1, gamma=0.5),
            },
            "dense": {
                **made("Adam", lr=0.01),
                "model": "net",
                "parameters": [{"match": "out"}],
                "rest": False,
            },
        },
        "gradient_clippers": {"clip": {"optimizer": "dense", "clip_norm": 0.1}},
        "losses": {"entropy": {**made("CrossEntropyLoss"), "inputs": ["scores", "near"]}},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    {**node("net", "word", "scores"), "optimizer_name": list(optimizers)}
                ]
            }
        },
    }
    fit = {"input_factories": [feed("pairs", "word near")], "losses": [loss("entropy")]}
    return config(groups, {"fit": fit}, stage("fit"))


def test_it_is_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(skip_gram("sparse", "dense"), tmp_path)
    net: Any = twin.models["net"]
    sparse = SparseAdam([*net.embedding.parameters()], lr=0.05)
    dense = Adam(net.out.parameters(), lr=0.01)
    scheduler = StepLR(sparse, 1, 0.5)
    for _ in range(2):
        for word, near in batches_of(Pairs(18)):
            sparse.zero_grad()
            dense.zero_grad()
            cross_entropy(net(word), near).backward()
            clip_grad_norm_(net.out.parameters(), 0.1)
            sparse.step()
            dense.step()
        scheduler.step()
    twin.check()


def test_cuts(tmp_path: Path) -> None:
    Runs(skip_gram("sparse", "dense"), tmp_path).check_cuts((1, 6))


def test_the_table_shows_both() -> None:
    lines = list(preflight_lines(Draft(skip_gram("sparse", "dense")).preflight()))
    assert "sparse, dense" in lines[1]


def test_wrong_uses(tmp_path: Path) -> None:
    place = r"definitions\[7\].spec.neural_graph\[0\].optimizer_name"
    for optimizers, message in (
        (("sparse", "dens"), rf'{place}\[1\]: no optimizer is named "dens"; did you mean "dense"'),
        (("sparse", "dense", "sparse"), rf'{place}\[2\]: the optimizer "sparse" is named twice'),
        ((), f"{place}: expected at least one, found none"),
    ):
        with pytest.raises(ConfigError, match=message):
            create_session(skip_gram(*optimizers), session_dir=tmp_path / "run")


def test_both_have_a_parameter(tmp_path: Path) -> None:
    whole = skip_gram("sparse", "dense")
    for definition in whole["initialize"]["definitions"]:
        if definition["name"] == "dense":
            definition["spec"] |= {"rest": True, "class": "SGD"}
    with pytest.raises(ConfigError, match='"sparse" and "dense" of the pipeline "fit" both have'):
        create_session(whole, session_dir=tmp_path / "run")
