"""Each place of a config takes its kind of object, and tells of any other in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hostile_config import PLACES, Hostile, base, config_text, places

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.importing import find
from torchassistant.assembly.role_checks import is_itself, role_misfit
from torchassistant.config.blocks import ObjectSpec
from torchassistant.config.roles import ROLES
from torchassistant.errors import ConfigError
from torchassistant.session import Draft

KINDS = '''
from __future__ import annotations
import functools, typing
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Callable, Iterable, Optional, Protocol, TypeVar
import torch
from torch import nn

if TYPE_CHECKING:
    from nowhere import Unknown

number = 3
words = ["a", "b"]
nothing = None


class Plain:
    """Of no kind."""


def says_int() -> int: ...
def says_none() -> None: ...
def says_list() -> list[int]: ...
def says_one_of_two() -> Optional[int]: ...
def says_plain_among_unknown(a: Unknown = None) -> Plain: ...
part_of_int = functools.partial(says_int)
@functools.lru_cache
def kept_int() -> int: ...


class Net(nn.Module):
    def __call__(self, *columns): ...
    @classmethod
    def small(cls) -> Net: return cls()


net = Net()
T = TypeVar("T")


class Runs(Protocol):
    def forward(self): ...


class Base(ABC):
    @abstractmethod
    def forward(self): ...


def unsaid(): return Net()
def says_any() -> Any: return Net()
def says_object() -> object: return Net()
def says_unknown() -> Unknown: return Net()
def says_protocol() -> Runs: return Net()
def says_abstract() -> Base: return Net()
def says_variable() -> T: return Net()
def says_net() -> Net: return Net()
def says_string(a: Unknown = None) -> "Net": return Net()
def says_maybe() -> Net | None: return Net()
def says_annotated() -> Annotated[Net, "small"]: return Net()
def says_either() -> int | Net: return Net()
def says_either_or_unknown() -> int | Any: return Net()
part_of_class = functools.partial(Net)
part_of_function = functools.partial(says_net)
@functools.lru_cache
def kept() -> Net: return Net()
def from_session(session) -> Net: return Net()
def from_session_unsaid(session): return Net()


class Factory:
    def __call__(self) -> Net: return Net()


factory = Factory()
method = Factory().__call__


class WrongFactory:
    def __call__(self) -> int: ...


wrong_factory = WrongFactory()
loss = nn.MSELoss()
def loss_function(y_hat, y): ...
def collate(batch) -> list: return batch
def transform(*columns) -> tuple: return columns
'''


@pytest.fixture
def kinds(folder: Path) -> Path:
    (folder / "kinds.py").write_text(KINDS)
    return folder


def told(text: str, tmp: Path) -> list[tuple[int, str]]:
    """The problems of a config, each with its line."""
    (tmp / "c.json").write_text(text)
    try:
        Draft(tmp / "c.json")
    except ConfigError as error:
        return [(problem.place.line, problem.message) for problem in error.problems]
    return []


WRONG = (
    "kinds.number",
    "kinds.words",
    "kinds.nothing",
    "kinds.torch.nn",
    "kinds.Plain",
    "kinds.says_int",
    "kinds.says_none",
    "kinds.says_list",
    "kinds.says_one_of_two",
    "kinds.says_plain_among_unknown",
    "kinds.part_of_int",
    "kinds.kept_int",
    "kinds.wrong_factory",
    "torch.zeros",
    "torch.nn.functional",
)
NESTED = tuple(place for place in PLACES if place.startswith("in ") or " in a scheduler" in place)
TAKEN_AS_THEY_ARE = (
    *("loss", "loss by name", "metric", "collator", "transform", "transform by name"),
    *("batch processor", "input adapter", "output adapter", "stop condition"),
    *("postprocessor", "postprocessor in a stage", "output device"),
)
"""Here a function, or an object that can be called, may be the object itself."""


@pytest.mark.parametrize("path", WRONG)
def test_a_wrong_kind_is_one_problem(kinds: Path, path: str) -> None:
    text, lines = config_text([Hostile(path)], everywhere=True)
    allowed = set(NESTED)
    if path == "torch.zeros" or path == "kinds.wrong_factory":
        allowed |= set(TAKEN_AS_THEY_ARE)
    elif "says" in path or path.endswith("_int"):
        allowed |= {"transform", "transform by name"}
        if path == "kinds.says_list":  # datasets are lists as well
            allowed.add("dataset")
    if path in ("kinds.number", "kinds.words", "kinds.nothing") or path.endswith("nn"):
        allowed = set()
    if path == "torch.nn.functional":
        allowed = set()
    wrong = [
        line for line, place in zip(lines, sorted_places(), strict=True) if place not in allowed
    ]
    found = told(text, kinds)
    assert [line for line, _ in found if line in wrong] == wrong, found
    # A plain list from the session is a dataset; what needs arguments is another test's.
    assert {line for line, _ in found} <= set(lines)


def sorted_places() -> list[str]:
    """The places in the order in which their lines stand in a config."""
    blocks = places(Hostile("a.b"), "x")

    def block_of(place: str) -> int:
        return 0 if "group" in blocks[place] else 1 if "input_factories" in blocks[place] else 2

    return sorted(PLACES, key=block_of)


RIGHT = """
Net Net.small unsaid says_any says_object says_unknown says_protocol says_abstract says_variable
says_net says_string says_maybe says_annotated says_either says_either_or_unknown part_of_class
part_of_function kept factory method
"""


@pytest.mark.parametrize("name", RIGHT.split())
def test_what_makes_a_model(kinds: Path, name: str) -> None:
    definitions = base()
    definitions[2]["spec"] = {"class": f"kinds.{name}"}
    assert told(with_definitions(definitions), kinds) == []


@pytest.mark.parametrize("name", ["from_session", "from_session_unsaid", "part_of_class"])
def test_what_makes_a_model_from_the_session(kinds: Path, name: str) -> None:
    definitions = base()
    definitions[2]["spec"] = {"factory_fn": f"kinds.{name}"}
    assert [
        m for _, m in told(with_definitions(definitions), kinds) if "torch.nn.Module" in m
    ] == []


def with_definitions(definitions: list[dict[str, Any]]) -> str:
    config = json.loads(config_text([])[0])
    config["initialize"]["definitions"] = definitions
    return json.dumps(config)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("kinds.number", '"kinds.number" is an int, which cannot be called'),
        ("kinds.torch.nn", '"kinds.torch.nn" is a module, which cannot be called'),
        ("kinds.Plain", '"kinds.Plain" is not a torch.nn.Module'),
        ("kinds.says_int", '"kinds.says_int" returns int, which is not a torch.nn.Module'),
        ("kinds.says_none", '"kinds.says_none" returns None, which is not a torch.nn.Module'),
        (
            "kinds.says_one_of_two",
            '"kinds.says_one_of_two" returns int or None, which is not a torch.nn.Module',
        ),
        ("kinds.says_list", '"kinds.says_list" returns list, which is not a torch.nn.Module'),
        (
            "torch.zeros",
            '"torch.zeros" is not a torch.nn.Module, nor a function that returns one',
        ),
        (
            "kinds.net",
            '"kinds.net" is such an object already, not a class or function that makes one',
        ),
        ("torch.optim.Adam", '"torch.optim.Adam" is not a torch.nn.Module'),
        (
            "torchvision.datasets.FakeData",
            '"torchvision.datasets.FakeData" is not a torch.nn.Module',
        ),
    ],
)
@pytest.mark.parametrize("key", ["class", "factory_fn"])
def test_sentences(kinds: Path, path: str, message: str, key: str) -> None:
    definitions = base()
    definitions[2]["spec"] = {key: path}
    assert told(with_definitions(definitions), kinds) == [(1, message)]


@pytest.mark.parametrize(
    ("role", "path", "spec", "itself"),
    [
        ("losses", "kinds.loss_function", {}, True),
        ("losses", "kinds.loss", {}, True),
        ("losses", "torch.nn.functional.mse_loss", {}, True),
        ("losses", "torch.nn.MSELoss", {}, False),
        ("losses", "kinds.unsaid", {}, False),
        ("losses", "kinds.part_of_class", {}, False),
        ("losses", "kinds.loss_function", {"args": [1]}, False),
        ("collators", "kinds.collate", {}, True),
        ("collators", "torch.utils.data.default_collate", {}, True),
        ("transform", "kinds.transform", {}, True),
        ("transform", "kinds.Net", {}, False),
        ("metrics", "torchmetrics.functional.mean_squared_error", {}, True),
        ("metrics", "torch.dist", {}, True),
        ("stop_condition", "kinds.loss_function", {}, True),
        ("input_adapter", "kinds.collate", {}, True),
        ("input_adapter", "kinds.unsaid", {}, False),
        ("models", "kinds.loss_function", {}, False),
    ],
)
def test_what_is_the_object_itself(
    kinds: Path, role: str, path: str, spec: dict[str, Any], itself: bool
) -> None:
    target = find(path, (), Allowlist())
    assert is_itself(target, ObjectSpec(class_=path, **spec), ROLES[role]) is itself
    if itself:
        assert role_misfit(ROLES[role], target) is None
