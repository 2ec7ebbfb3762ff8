"""Configs with objects that may not be used, in every place where an object may stand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]

MINE = """
import torch
from torch import nn


class Points(torch.utils.data.Dataset):
    def __init__(self, *args, **kwargs):
        pass

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.zeros(2), torch.zeros(1)


class Net(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(x)


"""
"""A module below the working directory that any config may use."""


class Hostile(NamedTuple):
    """What a config may not have.

    Args:
        path: As the config names it.
        args: With these it would leave a trace, if it were called.
    """

    path: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}

    def spec(self, key: str = "class") -> dict[str, Any]:
        """The object as a config has it."""
        return {key: self.path, "args": list(self.args), "kwargs": dict(self.kwargs)}


SCORE = {"inputs": ["y_hat", "y"]}
DEBUG = {"input_factories": [{"loader_factory": "loader"}]}


def definition(group: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"group": group, "name": name, "spec": spec}


def places(hostile: Hostile, name: str) -> dict[str, dict[str, Any]]:
    """A definition, a debug pipeline or a stage for each place where an object may stand."""
    spec, made = hostile.spec(), hostile.spec("factory_fn")
    nodes = [{"model_name": "net", "inputs": ["x"], "outputs": ["y_hat"]}]

    def graph(**adapters: Any) -> dict[str, Any]:
        spec = {"neural_graph": nodes, "device": "cpu", **adapters}
        return definition("batch_processors", name, spec)

    def scheduler(spec: dict[str, Any]) -> dict[str, Any]:
        optimizer = {"class": "SGD", "model": "net", "kwargs": {"lr": 0.1}}
        return definition("optimizers", name, {**optimizer, "lr_scheduler": spec})

    def stage(**more: Any) -> dict[str, Any]:
        return {"training_pipelines": ["fit"], "validation_pipelines": ["fit"], **more}

    in_kwargs = {"class": "mine.Net", "kwargs": {"deep": [{"deeper": {"part": spec}}]}}
    in_args = {"class": "mine.Points", "args": [1, [spec]]}
    return {
        "dataset": definition("datasets", name, spec),
        "dataset from the session": definition("datasets", name, made),
        "preprocessor": definition("preprocessors", name, spec),
        "collator": definition("collators", name, spec),
        "model": definition("models", name, spec),
        "model from the session": definition("models", name, made),
        "optimizer": definition("optimizers", name, {**spec, "model": "net"}),
        "scheduler": scheduler(spec),
        "scheduler from the session": scheduler(made),
        "scheduler in a scheduler": scheduler(
            {"class": "SequentialLR", "kwargs": {"schedulers": [spec], "milestones": []}}
        ),
        "loss": definition("losses", name, {**spec, **SCORE}),
        "loss by name": definition("losses", name, {"class": hostile.path, **SCORE}),
        "metric": definition("metrics", name, {**spec, **SCORE}),
        "transform by name": definition(
            "losses", name, {"class": "MSELoss", **SCORE, "transform": hostile.path}
        ),
        "transform": definition(
            "metrics", name, {"class": "MeanValue", **SCORE, "transform": spec}
        ),
        "batch processor": definition("batch_processors", name, spec),
        "input adapter": graph(input_adapter=spec),
        "output adapter": graph(output_adapter=spec),
        "backward hooks": definition(
            "backward_hooks", name, {"model": "net", "factory_fn": hostile.path}
        ),
        "forward hooks": definition(
            "forward_hooks", name, {"model": "net", "factory_fn": hostile.path}
        ),
        "in kwargs": definition("models", name, in_kwargs),
        "in args": definition("datasets", name, in_args),
        "in kwargs of a loader": definition(
            "loader_factories", name, {"dataset": "data", "kwargs": {"sampler": spec}}
        ),
        "in kwargs from the session": definition(
            "models", name, {"class": "mine.Net", "kwargs": {"part": made}}
        ),
        "postprocessor": {**DEBUG, "postprocessor": spec},
        "output device": {**DEBUG, "output_device": spec},
        "stop condition": stage(stop_condition=spec),
        "in a stop condition": stage(stop_condition={"class": "AnyOf", "args": [[spec]]}),
        "postprocessor in a stage": stage(debug_pipelines=[{**DEBUG, "postprocessor": spec}]),
    }


PLACES = tuple(places(Hostile("a.b"), "x"))


def base(optimizers: Sequence[str] = ("sgd",)) -> list[dict[str, Any]]:
    """Definitions in which nothing is wrong, with a node for each of some optimizers."""
    nodes = [
        {
            "name": f"node of {name}",
            "model_name": "net",
            "inputs": ["x"],
            "outputs": ["y_hat" if name == "sgd" else f"output of {name}"],
            "optimizer_name": name,
        }
        for name in optimizers
    ]
    return [
        definition("datasets", "data", {"class": "mine.Points"}),
        definition("loader_factories", "loader", {"dataset": "data"}),
        definition("models", "net", {"class": "mine.Net"}),
        definition("optimizers", "sgd", {"class": "SGD", "model": "net", "kwargs": {"lr": 0.1}}),
        definition("losses", "mse", {"class": "MSELoss", **SCORE}),
        definition("batch_processors", "graph", {"neural_graph": nodes, "device": "cpu"}),
        definition("batch_graphs", "whole", {"nodes": ["graph"]}),
    ]


FIT = {
    "graph": "whole",
    "input_factories": [{"loader_factory": "loader", "variable_names": ["x", "y"]}],
    "losses": [{"loss_name": "mse"}],
}


def config_text(hostile: Iterable[Hostile], everywhere: bool = False) -> tuple[str, list[int]]:
    """A config with one line for each object, and the lines of those that may not be used.

    Args:
        hostile: What may not be used.
        everywhere: Whether each stands in every place; else the places take turns.
    """
    definitions: list[tuple[dict[str, Any], bool]] = []
    debug: list[tuple[dict[str, Any], bool]] = []
    stages = [({"training_pipelines": ["fit"], "validation_pipelines": ["fit"]}, False)]
    turns = cycle(PLACES)
    for number, one in enumerate(hostile):
        for turn, place in enumerate(PLACES if everywhere else [next(turns)]):
            line = places(one, f"h{number}x{turn}")[place]
            kind = definitions if "group" in line else stages
            kind = debug if "input_factories" in line else kind
            kind.append((line, True))
    lines = ['{"session_dir": "run", "seed": 1, "initialize": {"definitions": [']
    marked: list[int] = []

    def add(blocks: list[tuple[dict[str, Any], bool]], named: bool = False) -> None:
        for index, (block, is_hostile) in enumerate(blocks):
            comma = "," if index < len(blocks) - 1 else ""
            lines.append(f'"d{index}": ' * named + json.dumps(block) + comma)
            if is_hostile:
                marked.append(len(lines))

    optimizers = [one["name"] for one, _ in definitions if one["group"] == "optimizers"]
    add([*((line, False) for line in base(["sgd", *optimizers])), *definitions])
    lines.append(f'], "pipelines": {{"fit": {json.dumps(FIT)}}}, "debug_pipelines": {{')
    add(debug, named=True)
    lines.append('}}, "train": {"stages": [')
    add(stages)
    lines.append("]}}")
    return "\n".join(lines), sorted(marked)


WATCHER = """
import atexit, json, os, sys

seen = []
WATCHED = ("os.system", "shutil.rmtree", "socket.connect", "urllib.Request", "pickle.find_class",
           "subprocess.Popen", "os.exec", "os.spawn", "os.posix_spawn", "webbrowser.open")

def watch(event, arguments):
    if event in WATCHED:
        seen.append([event, repr(arguments)[:200]])

def tell():
    with open(os.environ["WATCHED_INTO"], "w") as file:
        json.dump({"events": seen, "modules": sorted(sys.modules)}, file)

sys.addaudithook(watch)
atexit.register(tell)
"""
"""The sitecustomize of a command: what it did that a check has no need to, and its modules."""


class Checked(NamedTuple):
    """What a command did.

    Args:
        status: The exit status.
        lines: The lines of the config that it found problems at, in order, with repeats.
        stderr: What it wrote there.
        events: What it did that a check has no need to.
        modules: Which modules it had at its end.
    """

    status: int
    lines: list[int]
    stderr: str
    events: list[Any]
    modules: set[str]


def run(
    folder: Path,
    *arguments: str,
    script: str | None = None,
    trust: str = "",
    path: Sequence[Path] = (),
) -> Checked:
    """Run a command in a folder.

    Args:
        folder: Where it runs; it gets a neighbour for what only this function needs.
        arguments: Of the command.
        script: One of the scripts; None is ``python -m torchassistant``.
        trust: TORCHASSISTANT_TRUST.
        path: More folders of PYTHONPATH.
    """
    aside = folder.parent / f"{folder.name}-aside"
    aside.mkdir(exist_ok=True)
    (aside / "sitecustomize.py").write_text(WATCHER)
    into = aside / "watched.json"
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    done = subprocess.run(
        [
            sys.executable,
            *([str(ROOT / script)] if script else ["-m", "torchassistant"]),
            *arguments,
        ],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(aside), *map(str, path), str(ROOT), *filter(None, own)]
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TORCHASSISTANT_TRUST": trust,
            "WATCHED_INTO": str(into),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    watched = json.loads(into.read_text())
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    parts = [error.split(":") for error in errors]
    return Checked(
        done.returncode,
        [int(part[2]) for part in parts if len(part) > 3 and part[2].isdigit()],
        done.stderr,
        watched["events"],
        set(watched["modules"]),
    )
