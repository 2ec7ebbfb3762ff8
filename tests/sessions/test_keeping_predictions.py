"""``evaluate --keep``: what was predicted in an evaluation, and how well, example by example."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy_config import Config, files_of, toy_config
from toys import Points

from torchassistant import create_session, load_session
from torchassistant.cli import main
from torchassistant.errors import SessionError
from torchassistant.session import Session

HERE = __name__


class Wide(nn.Module):
    """(B, 2) -> a score (B, 1), and a large tensor (B, 10, 20)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        score = self.layer(x)
        return score, score.view(-1, 1, 1).expand(-1, 10, 20)


class Noisy:
    """A loss that draws: to call it once more would give everything after it other numbers."""

    def __call__(self, y_hat: Tensor, y: Tensor) -> Tensor:
        return (y_hat - y + torch.rand(1)).square().mean()


class OfPairs:
    """A loss that compares examples."""

    def __call__(self, y_hat: Tensor, y: Tensor) -> Tensor:
        if len(y) < 2:
            raise ValueError("one is no pair")
        return (y_hat[0] - y_hat[1] - y[0] + y[1]).square().mean()


def trained(tmp_path: Path, config: Config) -> Session:
    session = create_session(config, session_dir=tmp_path / "run", trust=[HERE])
    session.train()
    return session


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_example_with_its_target_prediction_and_loss(tmp_path: Path) -> None:
    session = trained(tmp_path, toy_config())
    plain = session.evaluate()
    assert session.evaluate(keep=True) == plain
    folder = session.path / "evaluations" / "0000000012"
    found = rows(folder / "check.csv")
    points, net = Points(), session.models["net"].eval()
    indices = [int(row["index"]) for row in found]
    assert len(indices) == len(set(indices)) > 8
    for row, index in zip(found, indices, strict=True):
        x, y = points[index]
        with torch.no_grad():
            y_hat = net(x.unsqueeze(0))[0]
        assert float(row["y"]) == y.item()
        assert float(row["y_hat"]) == pytest.approx(y_hat.item(), rel=1e-5)
        difference = float(row["y_hat"]) - float(row["y"])
        assert float(row["val loss"]) == pytest.approx(difference**2, rel=1e-5)
    mean = sum(float(row["val loss"]) for row in found) / len(found)
    assert mean == pytest.approx(plain["val loss"], rel=1e-5)
    assert json.loads((folder / "results.json").read_text()) == plain


def test_what_is_kept_is_replaced_and_belongs_to_its_step(tmp_path: Path) -> None:
    session = trained(tmp_path, toy_config())
    session.evaluate(["fit", "check"], keep=True)
    before = files_of(session.path / "evaluations")
    assert [*before] == [f"0000000012/{name}" for name in ("check.csv", "fit.csv", "results.json")]
    load_session(session.path).evaluate(["fit", "check"], keep=True)
    assert files_of(session.path / "evaluations") == before
    session.evaluate(["check"], eval_steps=1, keep=True)
    assert len(rows(session.path / "evaluations/0000000012/check.csv")) == 8


def test_losses_that_draw_change_nothing(tmp_path: Path) -> None:
    config = toy_config(mse={"class": f"{HERE}.Noisy", "inputs": ["y_hat", "y"]})
    session = trained(tmp_path, config)
    assert session.evaluate(keep=True) == session.evaluate()


def test_a_loss_over_pairs_has_empty_cells(tmp_path: Path) -> None:
    config = toy_config(mse={"class": f"{HERE}.OfPairs", "inputs": ["y_hat", "y"]})
    session = trained(tmp_path, config)
    session.evaluate(keep=True)
    found = rows(session.path / "evaluations/0000000012/check.csv")
    assert {row["val loss"] for row in found} == {""}


def test_large_outputs_stand_beside_the_table(tmp_path: Path) -> None:
    node = {"model_name": "net", "inputs": ["x"], "outputs": ["y_hat", "map"]}
    graph = {"neural_graph": [{**node, "optimizer_name": "adam"}], "device": "cpu"}
    config = toy_config(net={"class": f"{HERE}.Wide"}, processor=graph)
    session = trained(tmp_path, config)
    session.evaluate(keep=True)
    folder = session.path / "evaluations" / "0000000012"
    found = rows(folder / "check.csv")
    with np.load(folder / "check.npz") as arrays:
        assert arrays["map"].shape == (len(found), 10, 20)
        assert arrays["map"][3, 0, 0] == pytest.approx(float(found[3]["y_hat"]))


def test_a_failure_leaves_what_was_kept_before(tmp_path: Path) -> None:
    session = trained(tmp_path, toy_config())
    session.evaluate(keep=True)
    before = files_of(session.path / "evaluations")

    def fail(module: nn.Module, given: Any) -> None:
        raise ArithmeticError

    session.models["net"].register_forward_pre_hook(fail)
    with pytest.raises(Exception, match="net"):
        session.evaluate(keep=True)
    assert files_of(session.path / "evaluations") == before


def test_links_are_not_followed(tmp_path: Path) -> None:
    session = trained(tmp_path, toy_config())
    (tmp_path / "elsewhere").mkdir()
    (session.path / "evaluations").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SessionError, match="link"):
        session.evaluate(keep=True)
    assert not any((tmp_path / "elsewhere").iterdir())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = trained(tmp_path, toy_config())
    evaluate = ["evaluate", str(session.path), "--json", "--trust", "toys"]
    assert main(evaluate) == 0
    plain = capsys.readouterr().out
    assert main([*evaluate, "--keep"]) == 0
    assert capsys.readouterr().out == plain
    assert (session.path / "evaluations/0000000012/check.csv").exists()
