"""No object of the user is asked whether it is true, or equal to another, or how long it is.

Over objects of every kind that a config can name, runs give bit for bit what they give over objects
that have nothing of their own to say about that.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import hostile
import pytest
import torch
from toy_config import Config, write

import torchassistant
from torchassistant.session import Draft
from torchassistant.session.requests.evaluation_run import evaluate_config
from torchassistant.session.requests.inference_run import infer_config


def config_of(how: str) -> Config:
    """Three training pipelines over two processors, with every kind of object."""

    def one(name: str, **more: Any) -> Config:
        return {"class": f"hostile.{name}", "kwargs": {"how": how}, **more}

    def inline(name: str) -> Config:
        return {"class": f"hostile.{name}", "kwargs": {"how": how}}

    def loader(dataset: str, **kwargs: Any) -> Config:
        augment = one("Same", columns=[0]), one("Same", on="batches")
        return {
            "dataset": dataset,
            "collator": "collator",
            "kwargs": kwargs,
            "augment": list(augment),
        }

    def score(name: str) -> Config:
        return one(name, inputs=["scores", "y"], transform=inline("Arguments"))

    def node(name: str, inputs: str, outputs: str, optimizer: str | None) -> Config:
        given = {"model_name": name, "inputs": [inputs], "outputs": [outputs]}
        return given | ({"optimizer_name": optimizer} if optimizer else {})

    def pipeline(name: str, *loaders: str) -> Config:
        names = ["x", "y", "thing"]
        return {
            "input_factories": [{"variable_names": names, "loader_factory": n} for n in loaders],
            "losses": [
                {
                    "loss_name": "loss",
                    "node_name": "proc",
                    "loss_display_name": f"{name} loss",
                }
            ],
            "metrics": [
                {"metric_name": "hits", "node_name": "proc", "display_name": f"{name} hits"}
            ],
        }

    hooks = {"model": "body", "factory_fn": f"hostile.hooks_{list(hostile.ANSWERS).index(how)}"}
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "raw": one("Rows"),
            "rows": {"link": "raw", "preprocessors": ["shift"]},
            "stream": one("Stream"),
            "all": {"merge": ["rows", "rows"]},
        },
        "preprocessors": {"shift": one("Shift", fit="stream")},
        "collators": {"collator": one("Collator")},
        "loader_factories": {
            "by batch": loader("rows", batch_sampler=inline("Fours")),
            "by one": loader("rows", batch_size=4, sampler=inline("Backwards")),
            "in turn": loader("stream", batch_size=4),
            "plainly": loader("all", batch_size=4),
        },
        "models": {
            "body": one("Layer"),
            "head": {"class": "hostile.Layer", "kwargs": {"how": how, "size": 2}},
            "judge": {"class": "hostile.Layer", "kwargs": {"how": how, "size": 2}},
        },
        "optimizers": {
            "of body": one("SGD", model="body", lr_scheduler=one("Halving")),
            "of head": one("SGD", model="head", lr_scheduler=one("Halving", interval="step")),
        },
        "losses": {"loss": score("Loss")},
        "metrics": {"hits": score("Hits")},
        "batch_processors": {
            "first": one("Doubled"),
            "proc": {
                "input_adapter": one("ToProc"),
                "neural_graph": [
                    node("body", "x", "h", "of body"),
                    node("head", "h", "scores", "of head") | {"activation_checkpointing": True},
                    node("judge", "h", "judged", None),
                ],
                "output_adapter": one("Same"),
            },
        },
        "batch_graphs": {
            "graph": {
                "nodes": ["first", "proc"],
                "input_aliases": ["in"],
                "ingoing_edges": {"first": ["in"], "proc": ["first"]},
            }
        },
        "gradient_clippers": {"clip": {"model": "head", "clip_norm": 1.0}},
        "backward_hooks": {"back": hooks},
        "forward_hooks": {"forth": hooks},
    }
    return {
        "session_dir": "run",
        "seed": 5,
        "on_nonfinite": "skip",
        "checkpoints": {"every_iterations": 1, "keep_last": 100},
        "initialize": {
            "definitions": [
                {"group": group, "name": name, "spec": spec}
                for group, found in groups.items()
                for name, spec in found.items()
            ],
            "pipelines": {
                "first": pipeline("first", "by batch"),
                "second": pipeline("second", "by one"),
                "third": pipeline("third", "in turn") | {"gradient_accumulation": 2},
                "check": pipeline("check", "plainly"),
                "recheck": pipeline("recheck", "in turn"),
            },
        },
        "train": {
            "stages": [
                {
                    "training_pipelines": ["first", "second", "third"],
                    "validation_pipelines": ["check", "recheck"],
                    "stop_condition": inline("Stop"),
                    "debug_pipelines": [
                        {
                            "input_factories": [
                                {"variable_names": ["x", "y", "thing"], "loader_factory": "by one"}
                            ],
                            "interval": 2,
                            "output_keys": ["scores", "thing"],
                            "postprocessor": inline("Same"),
                            "output_device": inline("Same"),
                        }
                    ],
                }
            ]
        },
    }


def run_over(how: str, folder: Path) -> dict[str, Any]:
    """Everything that can be done with a session; what came out of it, as tensors and numbers."""
    config = config_of(how)
    Draft(config, trust=["hostile"]).preflight()
    session = torchassistant.create_session(config, folder, trust=["hostile"])
    session.train()
    whole = weights_of(session)
    for path in (folder / "checkpoints").iterdir():
        if int(path.name.split("-")[0]) > 4:  # in the middle of the second epoch
            shutil.rmtree(path)
    resumed = torchassistant.load_session(folder, trust=["hostile"])
    assert resumed.progress.step == 4
    resumed.train()
    columns = resumed.history.drop(columns="seconds").to_dict()
    assert session.history.drop(columns="seconds").to_dict() == columns
    for name, weight in weights_of(resumed).items():
        assert torch.equal(weight, whole[name]), name
    asked = {
        "inputs_meta": [{"input_converter": {"class": "hostile.Number", "kwargs": {"how": how}}}],
        "post_processor": {"class": "hostile.Best", "kwargs": {"how": how}},
    }
    device = {"class": "hostile.Same", "kwargs": {"how": how}}
    wish = folder.parent / "inference.json"
    write(wish, {"session_dir": str(folder), **asked, "output_device": device})
    infer_config(wish, ["1"], trust=["hostile"])
    return {
        "weights": whole,
        "history": columns,
        "evaluated": evaluate_config(folder, trust=["hostile"]),
        "inferred": resumed.infer("1", "-2", **asked),
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_over("nothing of its own", tmp_path_factory.mktemp("plain") / "run")


def weights_of(session: Any) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": tensor.clone()
        for name, model in session.models.items()
        for key, tensor in model.state_dict().items()
    }


# torch says so of a stream, and goes on.
@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
@pytest.mark.parametrize("how", [how for how in hostile.ANSWERS if hostile.ANSWERS[how]])
def test_nothing_is_asked_of_the_objects_of_the_user(
    how: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    found = run_over(how, tmp_path / "run")
    for name, weight in found.pop("weights").items():
        assert torch.equal(weight, expected["weights"][name]), name
    assert found == {key: value for key, value in expected.items() if key != "weights"}
