"""Inference between sentences (snli): one recurrent encoder reads premise and hypothesis.

Accuracy on held-out pairs is measured every few iterations, within epochs too, and the best
weights are kept. The embedding of words is given, and stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    assert_equal,
    batches_of,
    config,
    feed,
    loader,
    loss,
    made,
    node,
    stage,
    weights,
)
from exact_runs import Runs
from torch import Tensor, nn, optim
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from torchassistant import load_session

HERE = __name__
WORDS, WIDTH, HIDDEN, CLASSES = 9, 4, 3, 3
EPOCHS, DEV_EVERY = 3, 2
Pair = tuple[Tensor, Tensor, int]


class Sentences(Dataset[Pair]):
    """Words int64 (T,) of two sentences, and whether one follows from the other, 0 to 2."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.randint(2, 6, (2, count), generator=generator).tolist()
        self.sides = [
            [torch.randint(1, WORDS, (length,), generator=generator) for length in side]
            for side in lengths
        ]
        self.labels = torch.randint(CLASSES, (count,), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Pair:
        return self.sides[0][index], self.sides[1][index], self.labels[index]


def padded(batch: Sequence[Pair]) -> tuple[Tensor, Tensor, Tensor]:
    """Words (T, N), time first, of both sentences, and labels (N,)."""
    premises, hypotheses, labels = zip(*batch, strict=True)
    return pad_sequence(premises), pad_sequence(hypotheses), torch.tensor(labels)


def vectors() -> Tensor:
    """What each word means, float32 (WORDS, WIDTH)."""
    return torch.randn(WORDS, WIDTH, generator=torch.Generator().manual_seed(7))


class Embedding(nn.Embedding):
    """Words to vectors that are known already."""

    def __init__(self) -> None:
        super().__init__(WORDS, WIDTH)
        self.weight.data.copy_(vectors())


class Encoder(nn.Module):
    """Vectors (T, N, WIDTH) to the last states of both directions, (N, 2 · HIDDEN)."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(WIDTH, WIDTH)
        self.rnn = nn.LSTM(WIDTH, HIDDEN, bidirectional=True)

    def forward(self, embedded: Tensor) -> Tensor:
        _, (last, _) = self.rnn(self.projection(embedded).relu())
        return last[-2:].transpose(0, 1).contiguous().view(embedded.shape[1], -1)


class Out(nn.Module):
    """Both sentences (N, 2 · HIDDEN) to scores (N, CLASSES)."""

    def __init__(self) -> None:
        super().__init__()
        width = 4 * HIDDEN
        self.layers = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, CLASSES)
        )

    def forward(self, premise: Tensor, hypothesis: Tensor) -> Tensor:
        return self.layers(torch.cat([premise, hypothesis], 1))


def right(answer: Tensor, label: Tensor) -> Tensor:
    """The share of right answers in a batch."""
    return answer.argmax(1).eq(label).float().mean()


def snli() -> Config:
    adam = {**made("Adam", lr=0.02), "model": ["encoder", "out"]}
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "train": made(f"{HERE}.Sentences", 18, 1),
            "dev": made(f"{HERE}.Sentences", 9, 2),
        },
        "collators": {"pad": made(f"{HERE}.padded")},
        "loader_factories": {
            name: {**loader(name), "collator": "pad"} for name in ("train", "dev")
        },
        "models": {
            "embed": made(f"{HERE}.Embedding"),
            "encoder": made(f"{HERE}.Encoder"),
            "out": made(f"{HERE}.Out"),
        },
        "optimizers": {"adam": adam},
        "losses": {"entropy": {**made("CrossEntropyLoss"), "inputs": ["answer", "label"]}},
        "metrics": {"accuracy": {**made(f"{HERE}.right"), "inputs": ["answer", "label"]}},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("embed", "premise", "p", name="premise words"),
                    node("embed", "hypothesis", "h", name="hypothesis words"),
                    node("encoder", "p", "premise_state", "adam", name="read premise"),
                    node("encoder", "h", "hypothesis_state", "adam", name="read hypothesis"),
                    node("out", "premise_state hypothesis_state", "answer", "adam"),
                ]
            }
        },
    }
    columns = "premise hypothesis label"
    pipelines = {
        "fit": {"input_factories": [feed("train", columns)], "losses": [loss("entropy")]},
        "dev": {
            "input_factories": [feed("dev", columns)],
            "losses": [loss("entropy", loss_display_name="dev loss")],
            "metrics": [{"metric_name": "accuracy"}],
        },
    }
    validate = {"every_epochs": None, "every_iterations": DEV_EVERY}
    whole = config(
        groups, pipelines, stage("fit", epochs=EPOCHS, validation=["dev"], validate=validate)
    )
    return {**whole, "checkpoints": {"best": {"monitor": "accuracy", "mode": "max"}}}


def test_it_equals_a_plain_loop(tmp_path: Path) -> None:
    twin = Twin(snli(), tmp_path)
    embed, encoder, out = (twin.models[name] for name in ("embed", "encoder", "out"))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam([*encoder.parameters(), *out.parameters()], lr=0.02)

    def answer_to(premise: Tensor, hypothesis: Tensor) -> Tensor:
        states = [encoder(embed(words).detach()) for words in (premise, hypothesis)]
        return out(*states)

    iterations, best, shares = 0, -1.0, []
    for _ in range(EPOCHS):
        for premise, hypothesis, label in batches_of(Sentences(18, 1), collate_fn=padded):
            out.train()
            optimizer.zero_grad()
            iterations += 1
            criterion(answer_to(premise, hypothesis), label).backward()
            optimizer.step()
            if iterations % DEV_EVERY == 0:
                out.eval()
                with torch.no_grad():
                    correct = sum(
                        int(answer_to(premise, hypothesis).argmax(1).eq(label).sum())
                        for premise, hypothesis, label in batches_of(
                            Sentences(9, 2), collate_fn=padded
                        )
                    )
                shares.append(correct / 9)
                if shares[-1] > best:
                    best, kept = shares[-1], copy.deepcopy(weights(twin.models))
    twin.check(unchanged=["embed"])
    measured = twin.session.history["accuracy"].dropna().tolist()
    assert measured == pytest.approx(shares)
    assert len(set(shares)) > 1
    found = load_session(twin.session.path, checkpoint="best")
    assert_equal(weights(found.models), kept)


def test_it_can_be_cut(tmp_path: Path) -> None:
    Runs(snli(), tmp_path).check_cuts([3, 5])
