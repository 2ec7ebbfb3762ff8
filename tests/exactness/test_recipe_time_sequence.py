"""LBFGS on two LSTM cells over sine waves, in float64, all waves in one batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from exact_configs import Config, Twin, feed, loader, loss, made, one_model, stage
from exact_runs import Runs
from recipe_time_sequence import SineWaves
from torch.nn.functional import mse_loss

TRAINED, HELD_OUT = (3, 9), (0, 3)


def time_sequence(epochs: int = 3, **optimizer: object) -> Config:
    """Six waves to learn from, and three to validate on."""
    return one_model(
        {
            "datasets": {
                "points": made("recipe_time_sequence.SineWaves", *TRAINED),
                "held_out": made("recipe_time_sequence.SineWaves", *HELD_OUT),
            },
            "loader_factories": {"batches": loader("points", 6), "others": loader("held_out", 3)},
            "models": {"net": {"factory_fn": "recipe_time_sequence.sequence"}},
            "optimizers": {"descent": {**made("LBFGS", **optimizer), "model": "net"}},
        },
        stage("fit", epochs=epochs, validation=["check"]),
        check={
            "input_factories": [feed("others", "x y")],
            "losses": [loss("error", loss_display_name="val")],
        },
    )


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_it_trains_as_the_loop(tmp_path: Path, line_search: str | None) -> None:
    arguments = {"lr": 0.8, "max_iter": 6, "line_search_fn": line_search}
    twin = Twin(time_sequence(**arguments), tmp_path)
    net = twin.models["net"]
    x, y = SineWaves(*TRAINED).waves[:, :-1], SineWaves(*TRAINED).waves[:, 1:]
    held_out = SineWaves(*HELD_OUT).waves
    optimizer = torch.optim.LBFGS(net.parameters(), **arguments)
    history = []
    for _ in range(3):

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = mse_loss(net(x), y)
            loss.backward()
            return loss

        first = optimizer.step(closure)
        with torch.no_grad():
            val = mse_loss(net(held_out[:, :-1]), held_out[:, 1:])
        history.append([first.item(), val.item()])
    twin.check()
    shown = twin.session.history[["error", "val"]].to_numpy()
    assert shown == pytest.approx(
        torch.tensor(history, dtype=torch.float64).numpy(), rel=1e-15
    )  # a mean over six
    mine, theirs = (o.state_dict()["state"][0] for o in (_optimizer(twin), optimizer))
    assert mine["func_evals"] == theirs["func_evals"] > 15


def _optimizer(twin: Twin) -> torch.optim.Optimizer:
    return twin.session.optimizers["descent"]


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(time_sequence(lr=0.8, max_iter=4, history_size=5), tmp_path).check_cuts()
