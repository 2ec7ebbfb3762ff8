"""Fine-tuning a transformer: inputs by keyword, outputs by key, AdamW, warm-up, clipping at 1."""

from __future__ import annotations

from pathlib import Path

import torch
from exact_configs import Config, Twin, batches_of
from exact_runs import Runs
from recipe_transformer_parts import Sentences
from torch.nn.functional import cross_entropy, mse_loss
from torch.nn.utils import clip_grad_norm_

PARTS = "recipe_transformer_parts"


def recipe() -> Config:
    """A classifier of sentences, whose inner states are kept small on the way."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"sentences": {"class": f"{PARTS}.Sentences", "args": [11]}},
        "loader_factories": {
            "batches": {"dataset": "sentences", "kwargs": {"batch_size": 4, "shuffle": False}}
        },
        "models": {"classifier": {"class": f"{PARTS}.Classifier"}},
        "optimizers": {
            "adam": {
                "class": "AdamW",
                "model": "classifier",
                "kwargs": {"lr": 0.005, "weight_decay": 0.01},
                "lr_scheduler": {
                    "class": "LinearLR",
                    "kwargs": {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 6},
                    "interval": "step",
                    "warmup": {"steps": 2, "start_factor": 0.1},
                },
            }
        },
        "gradient_clippers": {"clip": {"model": "classifier", "clip_norm": 1.0}},
        "losses": {
            "cross_entropy": {
                "class": "CrossEntropyLoss",
                "kwargs": {"label_smoothing": 0.1},
                "inputs": {"target": "labels", "input": "scores"},
            },
            "agreement": {"class": "MSELoss", "inputs": ["first", "last"]},
        },
        "metrics": {
            "accuracy": {
                "class": "MulticlassAccuracy",
                "kwargs": {"num_classes": 3, "average": "micro"},
                "inputs": {"preds": "scores", "target": "labels"},
            }
        },
        "batch_processors": {
            "classify": {
                "neural_graph": [
                    {
                        "model_name": "classifier",
                        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask"},
                        "outputs": {"logits": "scores", "last_hidden_state": "last"},
                        "taps": {"first": "layers.0"},
                        "optimizer_name": "adam",
                    }
                ]
            }
        },
    }
    columns = ["input_ids", "attention_mask", "labels"]
    inputs = [{"loader_factory": "batches", "variable_names": columns}]
    return {
        "seed": 9,
        "device": "cpu",
        "initialize": {
            "definitions": [
                {"group": group, "name": name, "spec": spec}
                for group, named in groups.items()
                for name, spec in named.items()
            ],
            "pipelines": {
                "training": {
                    "input_factories": inputs,
                    "losses": [
                        {"loss_name": "cross_entropy"},
                        {"loss_name": "agreement", "weight": 0.1},
                    ],
                },
                "validation": {
                    "input_factories": inputs,
                    "losses": [
                        {"loss_name": "cross_entropy", "loss_display_name": "val cross_entropy"}
                    ],
                    "metrics": [{"metric_name": "accuracy"}],
                },
            },
        },
        "train": {
            "stages": [
                {
                    "training_pipelines": ["training"],
                    "validation_pipelines": ["validation"],
                    "stop_condition": {"class": "EpochsCompleted", "kwargs": {"num_epochs": 3}},
                }
            ]
        },
    }


def rate(step: int) -> float:
    """The factor of the rate, of a step from 0: up to 1, and down again."""
    if step < 2:
        return 0.1 + 0.9 * step / 2
    return 1.0 - 0.9 * min(step - 2, 6) / 6


def train(twin: Twin) -> None:
    """The same by hand."""
    net = twin.models["classifier"]
    seen: list[torch.Tensor] = []
    net.layers[0].register_forward_hook(lambda module, args, out: seen.append(out))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.005, weight_decay=0.01)
    schedulers = torch.optim.lr_scheduler
    warmup = schedulers.LinearLR(optimizer, start_factor=0.1, total_iters=2)
    falling = schedulers.LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=6)
    scheduler = schedulers.SequentialLR(optimizer, [warmup, falling], milestones=[2])
    step = 0
    for _ in range(3):
        for batch in batches_of(Sentences(11)):
            assert abs(optimizer.param_groups[0]["lr"] - 0.005 * rate(step)) < 1e-9
            optimizer.zero_grad()
            result = net(batch["input_ids"], attention_mask=batch["attention_mask"])
            error = cross_entropy(result["logits"], batch["labels"], label_smoothing=0.1)
            total = error + mse_loss(seen.pop(), result["last_hidden_state"]) * 0.1
            total.backward()
            clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            step += 1


def test_it_equals_a_plain_loop(tmp_path: Path) -> None:
    twin = Twin(recipe(), tmp_path)
    train(twin)
    twin.check()


def test_it_can_be_cut(tmp_path: Path) -> None:
    Runs(recipe(), tmp_path).check_cuts([1, 3, 5, 8])
