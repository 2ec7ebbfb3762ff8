"""What is read from source code is what importing it shows; what is not certain is not said."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from torchassistant.config.source_inspection import (
    find_source,
    has_method,
    is_derived,
    signature_of,
)

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = [
    "torch.nn",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torchvision.datasets",
    "torchvision.transforms",
    "torchvision.models",
    "torchmetrics",
    *(f"torchassistant.{name}" for name in ("collators", "losses", "metrics", "preprocessors")),
    "torchassistant.stop_conditions",
    "examples.gan.models",
    "examples.translation.models",
    "examples.translation.adapters",
]


def shape(signature: inspect.Signature) -> list[tuple[str, Any, bool]]:
    empty = inspect.Parameter.empty
    return [(p.name, p.kind, p.default is not empty) for p in signature.parameters.values()]


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_what_is_read_is_what_is_there(namespace: str) -> None:
    module = importlib.import_module(namespace)
    read = 0
    for name, value in vars(module).items():
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        found = find_source(f"{namespace}.{name}")
        if found is None:
            continue
        assert found.name == value.__name__
        signature = signature_of(found)
        if signature is not None:
            read += 1
            assert shape(signature) == shape(inspect.signature(value)), name
        if inspect.isclass(value):
            for method in ("__call__", "process", "update"):
                if has_method(found, method):
                    assert callable(getattr(value, method)), name
            for base in ("torch.nn.modules.module.Module", "torch.optim.optimizer.Optimizer"):
                if is_derived(found, (base,)):
                    assert base in [f"{c.__module__}.{c.__name__}" for c in value.__mro__], name
    assert read, "nothing could be read"


def test_usual_things_can_be_read() -> None:
    for path in (
        "torch.nn.CrossEntropyLoss",
        "torch.nn.Linear",
        "torch.optim.Adam",
        "torch.optim.lr_scheduler.StepLR",
        "torchvision.datasets.MNIST",
        "torchvision.transforms.ToTensor",
        "torchassistant.stop_conditions.EpochsCompleted",
        "examples.digits.model.DigitNet",
    ):
        found = find_source(path)
        assert found is not None, path
        assert signature_of(found) is not None, path


UNCERTAIN = '''
import functools
import random
from nowhere import Unknown

class Plain:
    def __init__(self, a, b=1): ...

class Made(Plain):
    def __new__(cls, *args): ...

@functools.total_ordering
class Decorated(Plain): ...

class Meta(Plain, metaclass=type): ...

class Orphan(Unknown): ...

class Child(Plain):
    """Takes what its parent takes."""

if random.random() < 2:
    class Sometimes: ...

class Rebound: ...
Rebound = Plain

@functools.cache
def cached(a): ...

def twice(a): ...
def twice(a, b): ...

class Ring(Ring): ...
'''


def test_what_is_not_certain_is_not_said(tmp_path: Path) -> None:
    (tmp_path / "unsure.py").write_text(UNCERTAIN)
    program = """
from torchassistant.config.source_inspection import find_source, signature_of
for name in ("Made", "Decorated", "Meta", "Orphan", "Sometimes", "Rebound", "cached", "Ring", "Un"):
    found = find_source(f"unsure.{name}")
    assert found is None or signature_of(found) is None, name
for name, names in {"Plain": "a b", "Child": "a b", "twice": "a b"}.items():
    assert " ".join(signature_of(find_source(f"unsure.{name}")).parameters) == names, name
import sys
assert "torch" not in sys.modules and "unsure" not in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
