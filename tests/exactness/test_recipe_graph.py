"""Graph networks, convolutional (gcn) and attentive (gat), on the whole graph in every step.

The dataset is one example: the graph with its features, labels, and the nodes of each split.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from exact_configs import Config, Twin, config, feed, loss, made, node, stage, trained_by
from exact_runs import Runs
from torch import Tensor, nn, optim
from torch.nn import functional
from torch.utils.data import Dataset

HERE = __name__
NODES, FEATURES, CLASSES, EPOCHS = 14, 5, 3, 4
Graph = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class Cora(Dataset[Graph]):
    """Features (N, F), a normalised adjacency (N, N), labels, and indices to train, val and test.

    Args:
        sparse: Whether the adjacency is a sparse tensor.
    """

    def __init__(self, sparse: bool) -> None:
        generator = torch.Generator().manual_seed(1)
        edges = torch.rand(NODES, NODES, generator=generator) < 0.2
        adjacency = (edges | edges.T | torch.eye(NODES, dtype=torch.bool)).float()
        degree = adjacency.sum(1).pow(-0.5)
        self.adjacency = degree[:, None] * adjacency * degree
        if sparse:
            self.adjacency = self.adjacency.to_sparse()
        self.features = torch.rand(NODES, FEATURES, generator=generator)
        self.labels = torch.randint(CLASSES, (NODES,), generator=generator)
        self.nodes = torch.randperm(NODES, generator=generator).split([6, 4, 4])

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Graph:
        return self.features, self.adjacency, self.labels, *self.nodes


class GCN(nn.Module):
    """Features (N, F) and a sparse adjacency to log-likelihoods (N, CLASSES)."""

    def __init__(self, hidden: int = 6, dropout: float = 0.5) -> None:
        super().__init__()
        self.kernel1 = nn.Parameter(nn.init.xavier_normal_(torch.empty(FEATURES, hidden)))
        self.kernel2 = nn.Parameter(nn.init.xavier_normal_(torch.empty(hidden, CLASSES)))
        self.bias = nn.Parameter(torch.zeros(CLASSES))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        x = functional.relu(torch.sparse.mm(adjacency, torch.mm(x, self.kernel1)))
        x = torch.sparse.mm(adjacency, torch.mm(self.dropout(x), self.kernel2)) + self.bias
        return functional.log_softmax(x, dim=1)


class GAT(nn.Module):
    """Features (N, F) and an adjacency to log-likelihoods (N, CLASSES), with two heads."""

    def __init__(self, hidden: int = 4, heads: int = 2, dropout: float = 0.4) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.first = nn.Linear(FEATURES, heads * hidden, bias=False)
        self.last = nn.Linear(heads * hidden, CLASSES, bias=False)
        self.source = nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, hidden)))
        self.target = nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, hidden)))
        self.pair = nn.Parameter(nn.init.xavier_uniform_(torch.empty(2, CLASSES)))

    def attention(self, source: Tensor, target: Tensor, adjacency: Tensor) -> Tensor:
        scores = functional.leaky_relu(source.unsqueeze(-1) + target.unsqueeze(-2), 0.2)
        scores = scores.masked_fill(adjacency == 0, -9e16)
        return functional.dropout(scores.softmax(-1), self.dropout, self.training)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        x = functional.dropout(x, self.dropout, self.training)
        h = self.first(x).view(NODES, self.heads, -1).transpose(0, 1)
        source, target = h @ self.source.unsqueeze(-1), h @ self.target.unsqueeze(-1)
        h = self.attention(source.squeeze(-1), target.squeeze(-1), adjacency) @ h
        h = self.last(functional.elu(h.transpose(0, 1).flatten(1)))
        h = self.attention(h @ self.pair[0], h @ self.pair[1], adjacency) @ h
        return functional.log_softmax(h, dim=1)


NETS = {"GCN": GCN, "GAT": GAT}


def of_nodes(output: Tensor, labels: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """What is said of some nodes, and what is true of them."""
    return output[nodes], labels[nodes]


def right(output: Tensor, labels: Tensor) -> Tensor:
    """The share of nodes whose class is right."""
    return output.argmax(1).eq(labels).float().mean()


def graph(net: str) -> Config:
    def of(split: str, what: Config) -> Config:
        inputs = ["output", "labels", split]
        return {**what, "inputs": inputs, "transform": f"{HERE}.of_nodes"}

    adam = trained_by(made("Adam", lr=0.05, weight_decay=5e-4), "net")
    splits = ("train", "val", "test")
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"cora": made(f"{HERE}.Cora", sparse=net == "GCN")},
        "loader_factories": {"whole": {"dataset": "cora", "kwargs": {"batch_size": None}}},
        "models": {"net": made(f"{HERE}.{net}")},
        "optimizers": {"adam": adam},
        "losses": {f"{split} nll": of(split, made("NLLLoss")) for split in splits},
        "metrics": {f"{split} acc": of(split, made(f"{HERE}.right")) for split in splits},
        "batch_processors": {"run": {"neural_graph": [node("net", "x adj", "output", "adam")]}},
    }
    port = feed("whole", "x adj labels train val test")
    pipelines = {
        "fit": {"input_factories": [port], "losses": [loss("train nll")]},
        "check": {
            "input_factories": [port],
            "losses": [loss("val nll"), loss("test nll")],
            "metrics": [{"metric_name": "val acc"}, {"metric_name": "test acc"}],
        },
    }
    return config(groups, pipelines, stage("fit", epochs=EPOCHS, validation=["check"]))


@pytest.mark.parametrize("net", NETS)
def test_it_equals_a_plain_loop(tmp_path: Path, net: str) -> None:
    twin = Twin(graph(net), tmp_path)
    model = twin.models["net"]
    optimizer = optim.Adam(model.parameters(), lr=0.05, weight_decay=5e-4)
    (x, adjacency, labels, idx_train, idx_val, idx_test) = Cora(net == "GCN")[0]
    losses, shares = [], []
    for _ in range(EPOCHS):
        model.train()
        optimizer.zero_grad()
        output = model(x, adjacency)
        error = functional.nll_loss(output[idx_train], labels[idx_train])
        error.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            output = model(x, adjacency)
            val = functional.nll_loss(output[idx_val], labels[idx_val])
            hits = output[idx_test].argmax(1).eq(labels[idx_test]).sum()
        losses.append([error.item(), val.item()])
        shares.append(hits.item() / len(idx_test))
    twin.check()
    history = twin.session.history
    assert history[["train nll", "val nll"]].to_numpy().tolist() == losses
    assert history["test acc"].tolist() == shares


@pytest.mark.parametrize("net", NETS)
def test_it_can_be_cut(tmp_path: Path, net: str) -> None:
    Runs(graph(net), tmp_path).check_cuts([1, 2])
