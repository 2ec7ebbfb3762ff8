"""Sentences of unequal length: translation by a transformer, and classes by a bag of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
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
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import Dataset

HERE = __name__
WORDS, WIDTH, PAD, BOS, EOS = 12, 8, 1, 2, 3
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor")
Masks = tuple[Tensor, Tensor, Tensor, Tensor]


def sentences(count: int, generator: torch.Generator) -> list[Tensor]:
    """Words int64 (T,), T from 2 to 6, between a word that begins and one that ends."""
    lengths = torch.randint(2, 7, (count,), generator=generator).tolist()
    begin, end = torch.tensor([BOS]), torch.tensor([EOS])
    return [
        torch.cat([begin, torch.randint(4, WORDS, (length,), generator=generator), end])
        for length in lengths
    ]


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Sentences in two languages."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.source, self.target = sentences(count, generator), sentences(count, generator)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.source[index], self.target[index]


def collate_pairs(batch: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Words (S, N) and (T, N), time first, padded."""
    source, target = zip(*batch, strict=True)
    return pad_sequence(source, padding_value=PAD), pad_sequence(target, padding_value=PAD)


def create_mask(src: Tensor, tgt: Tensor) -> Masks:
    """What the source, the target, and their paddings may not look at."""
    ahead = torch.ones(len(tgt), len(tgt), dtype=torch.bool).triu(1)
    nothing = torch.zeros(len(src), len(src), dtype=torch.bool)
    return nothing, ahead, (src == PAD).t(), (tgt == PAD).t()


def inputs(frame: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """What the model gets: both sentences, the target without its last word, and masks."""
    src, tgt = frame["src"], frame["tgt"][:-1]
    names = ("src_mask", "tgt_mask", "src_padding", "tgt_padding")
    masks = dict(zip(names, create_mask(src, tgt), strict=True))
    return {"model": {"src": src, "tgt": tgt, **masks}}


class Seq2SeqTransformer(nn.Module):
    """Words (S, N) and (T, N) to scores (T, N, WORDS)."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.Transformer(WIDTH, 2, 1, 1, 16, 0.1)
        self.generator = nn.Linear(WIDTH, WORDS)
        self.src_emb = nn.Embedding(WORDS, WIDTH)
        self.tgt_emb = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Parameter(torch.randn(10, 1, WIDTH))
        self.dropout = nn.Dropout(0.1)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor,
        tgt_mask: Tensor,
        src_padding: Tensor,
        tgt_padding: Tensor,
    ) -> Tensor:
        src_emb = self.dropout(self.src_emb(src) * WIDTH**0.5 + self.places[: len(src)])
        tgt_emb = self.dropout(self.tgt_emb(tgt) * WIDTH**0.5 + self.places[: len(tgt)])
        masks = (src_mask, tgt_mask, None, src_padding, tgt_padding, src_padding)
        return self.generator(self.transformer(src_emb, tgt_emb, *masks))


def next_words(logits: Tensor, tgt: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (T, N, WORDS) and the words that follow, one after the other."""
    return logits.reshape(-1, WORDS), tgt[1:].reshape(-1)


def translation() -> Config:
    adam = made("Adam", lr=0.01, betas=[0.9, 0.98], eps=1e-9)
    names = "src tgt src_mask tgt_mask src_padding tgt_padding"
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"train": made(f"{HERE}.Pairs", 10, 1), "val": made(f"{HERE}.Pairs", 5, 2)},
        "collators": {"pad": made(f"{HERE}.collate_pairs")},
        "loader_factories": {
            name: {**loader(name), "collator": "pad"} for name in ("train", "val")
        },
        "models": {"model": made(f"{HERE}.Seq2SeqTransformer")},
        "optimizers": {"adam": trained_by(adam, "model")},
        "losses": {
            "entropy": {
                **made("CrossEntropyLoss", ignore_index=PAD),
                "inputs": ["logits", "tgt"],
                "transform": f"{HERE}.next_words",
            }
        },
        "batch_processors": {
            "run": {
                "input_adapter": made(f"{HERE}.inputs"),
                "neural_graph": [node("model", names, "logits", "adam")],
            }
        },
    }
    pipelines = {
        "fit": {"input_factories": [feed("train", "src tgt")], "losses": [loss("entropy")]},
        "check": {
            "input_factories": [feed("val", "src tgt")],
            "losses": [loss("entropy", loss_display_name="val loss")],
        },
    }
    return config(groups, pipelines, stage("fit", epochs=2, validation=["check"]))


def test_translation(tmp_path: Path) -> None:
    twin = Twin(translation(), tmp_path)
    model = twin.models["model"]
    optimizer = optim.Adam(model.parameters(), lr=0.01, betas=(0.9, 0.98), eps=1e-9)
    for _ in range(2):
        for src, tgt in batches_of(Pairs(10, 1), collate_fn=collate_pairs):
            tgt_input = tgt[:-1, :]
            logits = model(src, tgt_input, *create_mask(src, tgt_input))
            optimizer.zero_grad()
            tgt_out = tgt[1:, :]
            error = cross_entropy(
                logits.reshape(-1, logits.shape[-1]), tgt_out.reshape(-1), ignore_index=PAD
            )
            error.backward()
            optimizer.step()
    twin.check()
    Runs(translation(), tmp_path).check_cuts([2])


class News(Dataset[tuple[int, Tensor]]):
    """The class of a text, and its words."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.texts = sentences(count, generator)
        self.labels = torch.randint(4, (count,), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        return self.labels[index], self.texts[index]


def collate_batch(batch: Sequence[tuple[int, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (N,), all words one after the other, and where each text begins (N,)."""
    labels, texts = zip(*batch, strict=True)
    lengths = torch.tensor([0, *map(len, texts[:-1])])
    return torch.tensor(labels), torch.cat(texts), lengths.cumsum(0)


class TextClassificationModel(nn.Module):
    """Words (T,) and offsets (N,) to scores (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(WORDS, WIDTH, sparse=False)
        self.fc = nn.Linear(WIDTH, 4)

    def forward(self, text: Tensor, offsets: Tensor) -> Tensor:
        return self.fc(self.embedding(text, offsets))


def right(scores: Tensor, label: Tensor) -> Tensor:
    return scores.argmax(1).eq(label).float().mean()


def classification() -> Config:
    """The rate falls to a tenth after an epoch that is worse than the best one before."""
    sgd = trained_by(made("SGD", lr=5.0), "model")
    falls = made(
        "ReduceLROnPlateau",
        mode="max",
        factor=0.1,
        patience=0,
        threshold=-1e-9,
        threshold_mode="abs",
    )
    sgd["lr_scheduler"] = {**falls, "monitor": "accuracy"}
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"train": made(f"{HERE}.News", 22, 1), "val": made(f"{HERE}.News", 9, 2)},
        "collators": {"offsets": made(f"{HERE}.collate_batch")},
        "loader_factories": {
            name: {**loader(name), "collator": "offsets"} for name in ("train", "val")
        },
        "models": {"model": made(f"{HERE}.TextClassificationModel")},
        "optimizers": {"sgd": sgd},
        "gradient_clippers": {"clip": {"model": "model", "clip_norm": 0.1}},
        "losses": {"entropy": {**made("CrossEntropyLoss"), "inputs": ["scores", "label"]}},
        "metrics": {"accuracy": {**made(f"{HERE}.right"), "inputs": ["scores", "label"]}},
        "batch_processors": {
            "run": {"neural_graph": [node("model", "text offsets", "scores", "sgd")]}
        },
    }
    columns = "label text offsets"
    pipelines = {
        "fit": {"input_factories": [feed("train", columns)], "losses": [loss("entropy")]},
        "check": {
            "input_factories": [feed("val", columns)],
            "metrics": [{"metric_name": "accuracy"}],
        },
    }
    return config(groups, pipelines, stage("fit", epochs=4, validation=["check"]))


def test_classification(tmp_path: Path) -> None:
    twin = Twin(classification(), tmp_path)
    model = twin.models["model"]
    optimizer = optim.SGD(model.parameters(), lr=5.0)
    scheduler = StepLR(optimizer, 1, gamma=0.1)
    best, shares, rates = None, [], []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        model.train()
        for label, text, offsets in batches_of(News(22, 1), collate_fn=collate_batch):
            optimizer.zero_grad()
            cross_entropy(model(text, offsets), label).backward()
            clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
        model.eval()
        with torch.no_grad():
            hits = sum(
                int(model(text, offsets).argmax(1).eq(label).sum())
                for label, text, offsets in batches_of(News(9, 2), collate_fn=collate_batch)
            )
        shares.append(hits / 9)
        if best is not None and best > shares[-1]:
            scheduler.step()
        else:
            best = shares[-1]
    twin.check()
    assert twin.session.history["accuracy"].tolist() == pytest.approx(shares)
    assert len(set(rates)) > 1, "the rate has fallen"
    Runs(classification(), tmp_path).check_cuts([7])
