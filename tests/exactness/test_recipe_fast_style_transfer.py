"""Fast style transfer: a network paints, and frozen features say how like content and style."""

from __future__ import annotations

from pathlib import Path

import torch
from exact_configs import Config, Twin, batches_of, feed, loader, loss, made, node, stage
from exact_configs import config as whole_config
from exact_runs import Runs
from style_parts import Photos, StyleLoss
from torch.nn.functional import mse_loss

FROZEN = {"mode": "eval"}
CONTENT, STYLE = 2.0, 30.0


def style_transfer() -> Config:
    """The features of what is painted, and of the photo, by one frozen model."""
    groups = {
        "datasets": {"photos": made("style_parts.Photos", 6)},
        "loader_factories": {"batches": loader("photos", 2)},
        "models": {
            "transformer": made("style_parts.TransformerNet"),
            "vgg": made("style_parts.Features"),
        },
        "optimizers": {"adam": {**made("Adam", lr=0.01), "model": "transformer"}},
        "losses": {
            "content": {**made("MSELoss"), "inputs": ["y2", "x2"]},
            "style": {**made("style_parts.StyleLoss", style=5), "inputs": ["y1", "y2"]},
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("transformer", "x", "y", "adam"),
                    node("vgg", "y", "y1 y2", name="of painted", **FROZEN),
                    node("vgg", "x", "x1 x2", name="of photo", **FROZEN),
                ]
            }
        },
    }
    fit = {
        "input_factories": [feed("batches", "x")],
        "losses": [loss("content", weight=CONTENT), loss("style", weight=STYLE)],
    }
    return whole_config(groups, {"fit": fit}, stage("fit"))


def test_it_paints_as_the_loop(tmp_path: Path) -> None:
    twin = Twin(style_transfer(), tmp_path)
    transformer, vgg = twin.models["transformer"], twin.models["vgg"].eval()
    for parameter in vgg.parameters():
        parameter.requires_grad = False
    adam = torch.optim.Adam(transformer.parameters(), lr=0.01)
    of_style = StyleLoss(5)
    for _ in range(2):
        for (x,) in batches_of(Photos(6), 2):
            adam.zero_grad()
            y1, y2 = vgg(transformer(x))
            _, x2 = vgg(x)
            (CONTENT * mse_loss(y2, x2) + STYLE * of_style(y1, y2)).backward()
            adam.step()
    for parameter in vgg.parameters():
        parameter.requires_grad = True
    twin.check(unchanged=["vgg"])


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(style_transfer(), tmp_path).check_cuts()
