"""Channels that are left out of models, and the searches that try it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from searches import TRUSTED, request, search, trained
from torch import Tensor, nn

from torchassistant.cli.main import main
from torchassistant.compression import packages
from torchassistant.compression.calls import ModelCall, PartCall
from torchassistant.compression.pruning import Pruning, TooFar, Unprunable
from torchassistant.rebuilding import Misfit, difference_of_structure, rebuilt
from torchassistant.session import evaluate_config, load_session


class FixedSizes(nn.Module):
    """Has the number of its channels in a view."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 12, 3)
        self.hidden, self.last = nn.Linear(192, 20), nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x).relu()).relu()
        return self.last(self.hidden(x.view(-1, 192)).relu())


class TwoInputs(nn.Module):
    """Adds what two layers make, and gives a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(8, 16), nn.Linear(4, 16)
        self.norm, self.out = nn.BatchNorm1d(16), nn.Linear(16, 2)

    def forward(self, x: Tensor, y: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"z": self.out(self.norm(self.left(x) + self.right(y["y"])))}


class Recurrent(nn.Module):
    """An LSTM over words, whose last layer has the weights of the first."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(30, 24), nn.LSTM(24, 24, batch_first=True)
        self.hidden, self.last = nn.Linear(24, 24), nn.Linear(24, 30)
        if tied:
            self.last.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(self.lstm(self.words(x))[0]).relu())


def pruning(model: nn.Module, *args: Any, **kwargs: Any) -> Pruning:
    return Pruning(model, [PartCall("", ModelCall(args, kwargs))])


def first_tensor(value: Any) -> Tensor:
    return value["z"] if isinstance(value, dict) else value


@pytest.mark.parametrize(
    ("make", "inputs", "kept", "share"),
    [
        (FixedSizes, [torch.ones(3, 1, 8, 8)], {"second", "last"}, 0.5),
        (TwoInputs, [torch.ones(3, 8), {"y": torch.ones(3, 4)}], {"out"}, 0.5),
        (lambda: Recurrent(tied=False), [torch.ones(3, 5, dtype=torch.long)], {"last"}, 0.9),
    ],
)
def test_what_is_left_runs_and_is_rebuilt_from_its_sizes(
    make: Any, inputs: list[Any], kept: set[str], share: float
) -> None:
    torch.manual_seed(0)
    model = make()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    how = pruning(model, *inputs)
    assert set(how.kept) == kept and all(f'"{one}"' in how.note for one in kept)
    small = how.pruned(share)
    count = sum(one.numel() for one in model.parameters())
    assert 0.7 * share < sum(one.numel() for one in small.parameters()) / count <= share
    assert not any(one.requires_grad for one in small.parameters()) and small.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    step = {"kind": "pruned", "modules": difference_of_structure(model, small)}
    room = rebuilt(make(), [step])
    room.load_state_dict(small.state_dict())
    given = [first_tensor(one.eval()(*inputs)) for one in (small, room)]
    assert torch.equal(*given)
    assert given[0].shape == first_tensor(model.eval()(*inputs)).shape
    with pytest.raises(TooFar, match=r"leaves \d+% of its parameters at least"):
        how.pruned(0.01)


def test_what_cannot_be_pruned_says_why() -> None:
    words = torch.ones(3, 5, dtype=torch.long)
    with pytest.raises(Misfit, match="each of its layers gives an output"):
        pruning(Recurrent(tied=True), words)
    with pytest.raises(Misfit, match="does not call it"):
        Pruning(nn.Linear(2, 2), [])
    fixed = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)), nn.Linear(3, 3))
    with pytest.raises(Unprunable, match="fewer channels"):
        pruning(fixed, torch.ones(2, 4))


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    average = {"average_of": "net", "kind": "ema", "decay": 0.5}
    trained(slow=("models", average))
    return tmp_path / "run"


def test_a_search_prunes_and_trains_what_is_left(session: Path) -> None:
    found = search(request(methods=("prune",), delta=0.05))
    pruned = found.records[1:]
    assert {one.method["epochs"] for one in pruned} == {0, 1}
    assert all(not one.reason or one.too_far for one in pruned)
    count = found.records[0].parameters
    held = [one for one in pruned if one.holds]
    assert held and all(one.parameters <= one.method["share"] * count for one in held)
    assert evaluate_config(found.result, **TRUSTED)["val loss"] == found.best.metric
    # The average of the model is one of what is left of it.
    models = load_session(found.result, **TRUSTED).models
    shapes = [[list(one.shape) for one in models[n].parameters()] for n in ("net", "slow")]
    assert shapes[0] == shapes[1]


def test_a_package_that_is_missing_is_named(
    session: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    given = ["compress", "run", "--monitor", "val loss", "--delta", "0.1", "--trust", "toys"]
    assert main([*given, "--methods", "prune"]) == 2
    assert 'pip install "torchassistant[compress]" installs it' in capsys.readouterr().err
    assert main([*given, "--trials", "0", "--no-export"]) == 0
    assert "not tried: int8-dynamic, int8-static, prune" in capsys.readouterr().err
