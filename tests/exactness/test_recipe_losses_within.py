"""Models that compute their own losses: a small GPT, and a detector that gives a dict of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    loader,
    loss,
    made,
    node,
    stage,
    trained_by,
)
from exact_runs import Runs
from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy, smooth_l1_loss
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import Dataset

HERE = __name__
VOCAB, BLOCK, WIDTH = 9, 6, 8
Target = dict[str, Tensor]


class CharDataset(Dataset[tuple[Tensor, Tensor]]):
    """Windows of a text, int64 (BLOCK,), and the same a character later."""

    def __init__(self, characters: int) -> None:
        generator = torch.Generator().manual_seed(1)
        self.data = torch.randint(VOCAB, (characters,), generator=generator)

    def __len__(self) -> int:
        return len(self.data) - BLOCK

    def __getitem__(self, idx: int) -> tuple[Tensor, Tensor]:
        chunk = self.data[idx : idx + BLOCK + 1]
        return chunk[:-1], chunk[1:]


class GPT(nn.Module):
    """Characters (B, T) and those to say to scores (B, T, VOCAB) and the loss, if there are any."""

    def __init__(self) -> None:
        super().__init__()
        self.tok_emb = nn.Embedding(VOCAB, WIDTH)
        self.pos_emb = nn.Parameter(0.02 * torch.randn(1, BLOCK, WIDTH))
        self.drop = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.1, "gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.ln_f = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        t = idx.shape[1]
        mask = torch.ones(t, t, dtype=torch.bool).triu(1)
        x = self.drop(self.tok_emb(idx) + self.pos_emb[:, :t])
        for block in self.blocks:
            x = block(x, src_mask=mask, is_causal=True)
        logits = self.head(self.ln_f(x))
        if targets is None:
            return logits, None
        return logits, cross_entropy(logits.view(-1, VOCAB), targets.view(-1))


def itself(value: Tensor) -> Tensor:
    return value


def gpt() -> Config:
    """AdamW, without decay for biases, norms and embeddings; gradients clipped at 1."""
    adamw = {
        **trained_by(made("AdamW", lr=3e-3, betas=[0.9, 0.95], weight_decay=0.1), "gpt"),
        "parameters": [
            {"match": ["*bias", "pos_emb"], "kwargs": {"weight_decay": 0.0}},
            {"types": ["LayerNorm", "Embedding"], "kwargs": {"weight_decay": 0.0}},
        ],
    }
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"train": made(f"{HERE}.CharDataset", 17)},
        "loader_factories": {"batches": loader("train")},
        "models": {"gpt": made(f"{HERE}.GPT")},
        "optimizers": {"adamw": adamw},
        "gradient_clippers": {"clip": {"model": "gpt", "clip_norm": 1.0}},
        "losses": {"own": {"class": f"{HERE}.itself", "inputs": ["loss"]}},
        "batch_processors": {
            "run": {"neural_graph": [node("gpt", "idx targets", "logits loss", "adamw")]}
        },
    }
    port = feed("batches", "idx targets")
    pipelines = {
        "fit": {"input_factories": [port], "losses": [loss("own", loss_display_name="loss")]},
        "check": {
            "input_factories": [port],
            "losses": [loss("own", loss_display_name="test loss")],
        },
    }
    return config(groups, pipelines, stage("fit", validation=["check"]))


def test_gpt(tmp_path: Path) -> None:
    twin = Twin(gpt(), tmp_path)
    model = twin.models["gpt"]
    plain, decayed = [], []
    for name, parameter in model.named_parameters():
        weighs = name.endswith("weight") and not any(n in name for n in ("norm", "ln_", "emb"))
        (decayed if weighs or name.endswith("in_proj_weight") else plain).append(parameter)
    optimizer = optim.AdamW(
        [{"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.1}],
        lr=3e-3,
        betas=(0.9, 0.95),
    )
    for _ in range(2):
        for idx, targets in batches_of(CharDataset(17)):
            _, error = model(idx, targets)
            optimizer.zero_grad(set_to_none=True)
            error.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    twin.check()
    Runs(gpt(), tmp_path).check_cuts([2, 4])


class Boxes(Dataset[tuple[Tensor, Target]]):
    """Pictures of unequal sizes, with boxes (n, 4) and labels (n,), n from 1 to 3."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, idx: int) -> tuple[Tensor, Target]:
        generator = torch.Generator().manual_seed(idx)
        count = idx % 3 + 1
        picture = torch.rand(3, 6 + idx, 8, generator=generator)
        boxes = torch.rand(count, 4, generator=generator)
        return picture, {"boxes": boxes, "labels": torch.arange(count)}


def collate_fn(batch: Sequence[tuple[Tensor, Target]]) -> tuple[tuple[Tensor, Target], ...]:
    return tuple(zip(*batch, strict=True))


class Detector(nn.Module):
    """Pictures and targets to losses in training; pictures to what it finds in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 6, 3)
        self.box, self.label = nn.Linear(6, 4), nn.Linear(6, 3)

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Target] | None = None
    ) -> dict[str, Tensor] | list[Target]:
        features = [torch.relu(self.backbone(image)).mean((1, 2)) for image in images]
        if not self.training or targets is None:
            return [{"boxes": self.box(f), "labels": self.label(f).argmax()} for f in features]
        pairs = list(zip(features, targets, strict=True))
        box = [smooth_l1_loss(self.box(f).expand_as(t["boxes"]), t["boxes"]) for f, t in pairs]
        kind = [
            cross_entropy(self.label(f).expand(len(t["labels"]), 3), t["labels"]) for f, t in pairs
        ]
        return {"loss_box_reg": sum(box) / len(box), "loss_classifier": sum(kind) / len(kind)}


def all_of(box: Tensor, classifier: Tensor) -> dict[str, Tensor]:
    return {"box": box, "classifier": classifier}


def detector() -> Config:
    sgd = trained_by(made("SGD", lr=0.05, momentum=0.9, weight_decay=5e-4), "model")
    sgd["lr_scheduler"] = made("StepLR", step_size=3, gamma=0.1)
    run = node("model", "images targets", "loss_box_reg loss_classifier", "sgd")
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"boxes": made(f"{HERE}.Boxes")},
        "collators": {"lists": made(f"{HERE}.collate_fn")},
        "loader_factories": {"batches": {**loader("boxes", 2), "collator": "lists"}},
        "models": {"model": made(f"{HERE}.Detector")},
        "optimizers": {"sgd": sgd},
        "losses": {
            "all": {"class": f"{HERE}.all_of", "inputs": ["loss_box_reg", "loss_classifier"]}
        },
        "batch_processors": {"run": {"neural_graph": [run]}},
    }
    fit = {"input_factories": [feed("batches", "images targets")], "losses": [loss("all")]}
    return config(groups, {"fit": fit}, stage("fit"))


def test_detector(tmp_path: Path) -> None:
    twin = Twin(detector(), tmp_path)
    model = twin.models["model"]
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        for images, targets in batches_of(Boxes(), 2, collate_fn=collate_fn):
            losses = sum(model(images, targets).values())
            optimizer.zero_grad()
            losses.backward()
            optimizer.step()
    twin.check()
    assert {"all", "all/box", "all/classifier"} <= {*twin.session.history.columns}
    Runs(detector(), tmp_path).check_cuts([3])
