"""A word language model, trained by truncated back-propagation through time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from exact_configs import Config, Twin
from exact_runs import Runs
from recipe_language_model_parts import WORDS, Text
from torch import Tensor
from torch.nn.functional import nll_loss
from torch.nn.utils import clip_grad_norm_

from torchassistant.session import load_session
from torchassistant.training import infer

T, EPOCHS = 5, 4
BATCH, EVAL_BATCH = 4, 2


def recipe(hidden: str = "hidden", **fit: object) -> Config:
    """SGD at 20, gradients clipped at 0.25, the rate divided by 4 where validation gets worse."""
    parts = "recipe_language_model_parts"
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "text": {"class": f"{parts}.Text", "args": [123, T]},
            "other text": {"class": f"{parts}.Text", "args": [64, T, 1]},
        },
        "loader_factories": {
            "train": {"dataset": "text", "contiguous": True, "kwargs": {"batch_size": BATCH}},
            "val": {
                "dataset": "other text",
                "contiguous": True,
                "kwargs": {"batch_size": EVAL_BATCH},
            },
        },
        "models": {"net": {"class": f"{parts}.LanguageModel"}},
        "optimizers": {
            "sgd": {
                "class": "SGD",
                "model": "net",
                "kwargs": {"lr": 20},
                "lr_scheduler": {
                    "class": "ReduceLROnPlateau",
                    "kwargs": {"factor": 0.25, "patience": 0, "threshold": 0},
                    "monitor": "val loss",
                },
            }
        },
        "gradient_clippers": {"clip": {"model": "net", "clip_norm": 0.25}},
        "losses": {
            "nll": {
                "class": "NLLLoss",
                "inputs": ["scores", "next_words"],
                "transform": f"{parts}.flattened",
            }
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    {
                        "model_name": "net",
                        "inputs": ["words", hidden],
                        "outputs": ["scores", "next_hidden"],
                        "carry": {"hidden": "next_hidden"},
                        "optimizer_name": "sgd",
                    }
                ]
            }
        },
    }
    columns = ["words", "next_words"]
    return {
        "seed": 7,
        "device": "cpu",
        "initialize": {
            "definitions": [
                {"group": group, "name": name, "spec": spec}
                for group, named in groups.items()
                for name, spec in named.items()
            ],
            "pipelines": {
                "fit": {
                    "input_factories": [{"loader_factory": "train", "variable_names": columns}],
                    "losses": [{"loss_name": "nll", "loss_display_name": "loss"}],
                    **fit,
                },
                "check": {
                    "input_factories": [{"loader_factory": "val", "variable_names": columns}],
                    "losses": [{"loss_name": "nll", "loss_display_name": "val loss"}],
                },
            },
        },
        "train": {
            "stages": [
                {
                    "training_pipelines": ["fit"],
                    "validation_pipelines": ["check"],
                    "stop_condition": {
                        "class": "EpochsCompleted",
                        "kwargs": {"num_epochs": EPOCHS},
                    },
                }
            ]
        },
    }


def batchified(text: Text, rows: int) -> tuple[Tensor, Tensor]:
    """The text in as many rows, each of which goes on from window to window; and what follows."""
    count = len(text) // rows * rows * T
    return text.words[:count].view(rows, -1), text.words[1 : count + 1].view(rows, -1)


def train(twin: Twin) -> list[float]:
    """The same by hand; gives the rates of the epochs."""
    net = twin.models["net"]
    words, following = batchified(Text(123, T), BATCH)
    other, following_other = batchified(Text(64, T, 1), EVAL_BATCH)
    rate, best, rates = 20.0, None, []
    for _ in range(EPOCHS):
        rates.append(rate)
        net.train()
        hidden = net.initial_state(BATCH)
        for start in range(0, words.shape[1], T):
            net.zero_grad()
            hidden = tuple(state.detach() for state in hidden)
            scores, hidden = net(words[:, start : start + T], hidden)
            targets = following[:, start : start + T]
            nll_loss(scores.reshape(-1, WORDS), targets.reshape(-1)).backward()
            clip_grad_norm_(net.parameters(), 0.25)
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.add_(parameter.grad, alpha=-rate)
        net.eval()
        total = 0.0
        generator = torch.get_rng_state()
        hidden = net.initial_state(EVAL_BATCH)
        with torch.no_grad():
            for start in range(0, other.shape[1], T):
                scores, hidden = net(other[:, start : start + T], hidden)
                targets = following_other[:, start : start + T]
                total += float(nll_loss(scores.reshape(-1, WORDS), targets.reshape(-1)))
        torch.set_rng_state(generator)
        loss = total / (other.shape[1] // T)
        if best is None or loss < best:
            best = loss
        else:
            rate /= 4
    return rates


def test_it_equals_a_plain_loop(tmp_path: Path) -> None:
    twin = Twin(recipe(), tmp_path)
    rates = train(twin)
    twin.check()
    assert len(set(rates)) > 1, "the rate has never fallen"
    assert twin.session.optimizers["sgd"].param_groups[0]["lr"] < 20


@pytest.mark.parametrize("accumulated", [1, 4])
def test_it_can_be_cut(tmp_path: Path, accumulated: int) -> None:
    runs = Runs(recipe(gradient_accumulation=accumulated), tmp_path)
    runs.check_cuts([1, 2, 3, 4] if accumulated > 1 else [1, 2, 6, 7, 9])


def test_the_state_of_the_text_is_in_the_checkpoint(tmp_path: Path) -> None:
    session = Runs(recipe(), tmp_path).cut("cut", iteration=2)
    within = load_session(session.path).progress.within
    assert within is not None
    carried = within.passes["fit"].carry["run"]
    assert carried["examples"] == BATCH
    hidden, cell = carried["nodes"]["net"]["hidden"]
    assert hidden.shape == cell.shape == (2, BATCH, 8)


def test_a_prediction_begins_anew_and_shows_no_state(tmp_path: Path) -> None:
    session = Runs(recipe(), tmp_path).cut("cut", iteration=2)
    pipeline = session.pipelines["check"]
    frames = next(pipeline.evaluation_data().frames(0))
    result = infer(pipeline, frames, None)
    assert list(result) == ["scores"]
