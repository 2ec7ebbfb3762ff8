"""Word language models, recurrent and transformer, on windows (T, B) the last of which is shorter.

The rate falls to a quarter where validation does not get better; the state of the recurrent one is
carried from window to window.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from exact_configs import Config, Twin, config, feed, loss, made, node, stage, trained_by
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import log_softmax, nll_loss
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import Dataset

HERE = __name__
NTOKEN, WIDTH, BPTT, EPOCHS = 11, 8, 5, 4
BATCH, EVAL_BATCH = 4, 3
Hidden = tuple[Tensor, Tensor]


def batchify(data: Tensor, bsz: int) -> Tensor:
    """Words (N,) to columns (N / bsz, bsz), each of which goes on from row to row."""
    nbatch = data.size(0) // bsz
    return data.narrow(0, 0, nbatch * bsz).view(bsz, -1).t().contiguous()


def get_batch(source: Tensor, i: int) -> tuple[Tensor, Tensor]:
    """A window (T, B) from row i, and the words that follow, flat."""
    seq_len = min(BPTT, len(source) - 1 - i)
    return source[i : i + seq_len], source[i + 1 : i + 1 + seq_len].view(-1)


class Corpus(Dataset[tuple[Tensor, Tensor]]):
    """Whole batches: windows of columns of words, in order."""

    def __init__(self, words: int, bsz: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.source = batchify(torch.randint(NTOKEN, (words,), generator=generator), bsz)

    def __len__(self) -> int:
        return math.ceil((len(self.source) - 1) / BPTT)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return get_batch(self.source, index * BPTT)


class RNNModel(nn.Module):
    """Words (T, B) and a state to log-likelihoods (T · B, NTOKEN), and the next state."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(NTOKEN, WIDTH)
        self.rnn = nn.LSTM(WIDTH, WIDTH, 2, dropout=0.2)
        self.decoder = nn.Linear(WIDTH, NTOKEN)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

    def forward(self, words: Tensor, hidden: Hidden | None) -> tuple[Tensor, Hidden]:
        hidden = self.init_hidden(words.size(1)) if hidden is None else hidden
        output, hidden = self.rnn(self.drop(self.encoder(words)), hidden)
        decoded = self.decoder(self.drop(output)).view(-1, NTOKEN)
        return log_softmax(decoded, dim=1), hidden

    def init_hidden(self, bsz: int) -> Hidden:
        zeros = self.encoder.weight.new_zeros(2, bsz, WIDTH)
        return zeros, zeros


class TransformerModel(nn.Module):
    """Words (T, B) to log-likelihoods (T · B, NTOKEN); the mask is made where its size changes."""

    def __init__(self) -> None:
        super().__init__()
        self.src_mask: Tensor | None = None
        self.input_emb = nn.Embedding(NTOKEN, WIDTH)
        self.drop = nn.Dropout(0.2)
        position = torch.arange(BPTT).unsqueeze(1) * torch.exp(
            torch.arange(0, WIDTH, 2) * (-math.log(10000.0) / WIDTH)
        )
        places = torch.stack([position.sin(), position.cos()], 2).flatten(1).unsqueeze(1)
        self.register_buffer("pe", places)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.2)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.decoder = nn.Linear(WIDTH, NTOKEN)

    def forward(self, src: Tensor) -> Tensor:
        if self.src_mask is None or len(self.src_mask) != len(src):
            self.src_mask = torch.log(torch.tril(torch.ones(len(src), len(src))))
        embedded = self.input_emb(src) * math.sqrt(WIDTH)
        output = self.encoder(self.drop(embedded + self.pe[: len(src)]), mask=self.src_mask)
        return log_softmax(self.decoder(output), dim=-1).view(-1, NTOKEN)


class WithState(RNNModel):
    """The same, with a first state for as many columns as a collator says."""

    def initial_state(self, batch_size: int) -> Hidden:
        return self.init_hidden(batch_size)


class Columns:
    """Leaves whole batches as they are, and says how many columns they have."""

    def __call__(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return batch

    def count(self, batch: tuple[Tensor, Tensor]) -> int:
        return batch[0].shape[1]


def word_language_model(model: str) -> Config:
    sgd = trained_by(made("SGD", lr=20.0), "model")
    sgd["lr_scheduler"] = {
        **made("ReduceLROnPlateau", factor=0.25, patience=0, threshold=0),
        "monitor": "val loss",
    }
    run = (
        node("model", "data hidden", "output next", "sgd", carry={"hidden": "next"})
        if model != "TransformerModel"
        else node("model", "data", "output", "sgd")
    )
    whole = {"batch_size": None, "shuffle": False}
    collated = {"collator": "columns"} if model == "WithState" else {}
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "train": made(f"{HERE}.Corpus", 75, BATCH, 1),
            "valid": made(f"{HERE}.Corpus", 40, EVAL_BATCH, 2),
        },
        "collators": {"columns": made(f"{HERE}.Columns")},
        "loader_factories": {
            name: {"dataset": name, "kwargs": whole, **collated} for name in ("train", "valid")
        },
        "models": {"model": made(f"{HERE}.{model}")},
        "optimizers": {"sgd": sgd},
        "gradient_clippers": {"clip": {"model": "model", "clip_norm": 0.25}},
        "losses": {"nll": {**made("NLLLoss"), "inputs": ["output", "targets"]}},
        "batch_processors": {"run": {"neural_graph": [run]}},
    }
    pipelines = {
        "fit": {"input_factories": [feed("train", "data targets")], "losses": [loss("nll")]},
        "check": {
            "input_factories": [feed("valid", "data targets")],
            "losses": [loss("nll", loss_display_name="val loss")],
        },
    }
    return config(groups, pipelines, stage("fit", epochs=EPOCHS, validation=["check"]))


def repackage_hidden(hidden: Hidden) -> Hidden:
    """The state, without its history."""
    return hidden[0].detach(), hidden[1].detach()


def evaluate(model: nn.Module, source: Tensor) -> float:
    model.eval()
    total_loss, hidden = 0.0, None
    with torch.no_grad():
        for i in range(0, source.size(0) - 1, BPTT):
            data, targets = get_batch(source, i)
            if isinstance(model, TransformerModel):
                output = model(data)
            else:
                output, hidden = model(data, hidden)
            total_loss += len(data) * nll_loss(output, targets).item()
    return total_loss / (len(source) - 1)


def train(model: nn.Module, source: Tensor, lr: float) -> None:
    model.train()
    if isinstance(model, RNNModel):
        hidden = model.init_hidden(BATCH)
    for i in range(0, source.size(0) - 1, BPTT):
        data, targets = get_batch(source, i)
        model.zero_grad()
        if isinstance(model, RNNModel):
            hidden = repackage_hidden(hidden)
            output, hidden = model(data, hidden)
        else:
            output = model(data)
        nll_loss(output, targets).backward()
        clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            assert p.grad is not None
            p.data.add_(p.grad, alpha=-lr)


@pytest.mark.parametrize("name", ["RNNModel", "WithState", "TransformerModel"])
def test_it_equals_a_plain_loop(tmp_path: Path, name: str) -> None:
    twin = Twin(word_language_model(name), tmp_path)
    model = twin.models["model"]
    lr, best, rates, losses = 20.0, math.inf, [], []
    for _ in range(EPOCHS):
        rates.append(lr)
        train(model, Corpus(75, BATCH, 1).source, lr)
        losses.append(evaluate(model, Corpus(40, EVAL_BATCH, 2).source))
        if losses[-1] < best:
            best = losses[-1]
        else:
            lr /= 4.0
    twin.check()
    assert twin.session.history["val loss"].tolist() == pytest.approx(losses, rel=1e-6)
    assert len(set(rates)) > 1, "the rate has fallen"


@pytest.mark.parametrize("name", ["RNNModel", "TransformerModel"])
def test_it_can_be_cut(tmp_path: Path, name: str) -> None:
    Runs(word_language_model(name), tmp_path).check_cuts([2, 5])
