"""Tensors, constants and functions as arguments: made, checked, and kept from doing harm."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_config import base, config_text
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models import ResNet18_Weights
from torchvision.transforms import InterpolationMode

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.object_maker import ObjectMaker
from torchassistant.assembly.user_code import code_of
from torchassistant.config import merge_configs
from torchassistant.config.tensor_literals import DTYPES, misfits_of_tensor
from torchassistant.errors import ConfigError, Place
from torchassistant.session import Draft

ALL = re.DOTALL | re.MULTILINE
VALUES = """
import enum, os, math, functools
from pathlib import Path
import numpy as np
import torch
from torchvision.transforms import InterpolationMode
from torch import nn

class Colour(enum.Enum):
    RED = 1

class Holder:
    rate = 0.5
    folder = Path("data")
    mean = np.float32(0.5)
    names = ["a", "b"]

WEIGHT = torch.tensor([1.0, 3.0])
ARRAY = np.array([1, 2])
NAMES = ["a", {"b": (1, 2.5)}]
MODES = {InterpolationMode.BILINEAR, Colour.RED}
CPU = torch.device("cpu")
environment = os.environ
parameter = nn.Parameter(torch.ones(1))
layer = nn.Linear(1, 1)
generator = torch.Generator()
handler = functools.partial(print, 1)
shared = {"a": [nn.Linear(1, 1)]}
circle = []
circle.append(circle)

def f(x): return WEIGHT * x
def wants_any(session, **kwargs): return kwargs
"""


@pytest.fixture
def values(folder: Path) -> Path:
    (folder / "values.py").write_text(VALUES)
    return folder


def made(value: Any, *trusted: str) -> Any:
    maker = ObjectMaker(None, lambda path: Place(path=str(path)), Allowlist(trusted))
    return maker.value(value, ("kwargs",), "the model", "models")


def problems(value: Any) -> list[tuple[str, str]]:
    """What is told of a config that has a value among the arguments of its model."""
    definitions = base()
    definitions[2]["spec"]["kwargs"] = {"value": value}
    config = json.loads(config_text([])[0])
    config["initialize"]["definitions"] = definitions
    try:
        Draft(config)
    except ConfigError as error:
        start = "initialize.definitions[2].spec.kwargs.value"
        return [(p.place.path.removeprefix(start), p.message) for p in error.problems]
    return []


CONSTANTS: dict[str, Any] = {
    "torch.float32": torch.float32,
    "torch.channels_last": torch.channels_last,
    "torch.strided": torch.strided,
    "torch.inf": float("inf"),
    "torchvision.transforms.InterpolationMode.BILINEAR": InterpolationMode.BILINEAR,
    "torchvision.transforms.v2.InterpolationMode.BILINEAR": InterpolationMode.BILINEAR,
    "torchvision.models.ResNet18_Weights.DEFAULT": ResNet18_Weights.DEFAULT,
    "values.CPU": torch.device("cpu"),
    "values.Holder.rate": 0.5,
    "values.Holder.names": ["a", "b"],
    "values.Holder.folder": Path("data"),
    "values.Holder.mean": 0.5,
    "values.NAMES": ["a", {"b": (1, 2.5)}],
    "values.math.pi": None,
    "values.torch.float64": torch.float64,
}


@pytest.mark.parametrize("path", CONSTANTS)
def test_constants(values: Path, path: str) -> None:
    if CONSTANTS[path] is None:
        assert "may not be used" in problems({"constant": path})[0][1]
        return
    assert problems({"constant": path}) == []
    assert made([{"constant": path}]) == [CONSTANTS[path]]


def test_what_can_be_changed_is_copied(values: Path) -> None:
    import values as module  # type: ignore[import-not-found]

    made({"constant": "values.NAMES"})[1]["b"] = 0
    made({"constant": "values.WEIGHT"}).zero_()
    made({"constant": "values.ARRAY"})[:] = 0
    assert module.NAMES == ["a", {"b": (1, 2.5)}]
    assert module.WEIGHT.tolist() == [1.0, 3.0]
    assert module.ARRAY.tolist() == [1, 2]
    assert made({"constant": "values.MODES"}) == module.MODES


WRONG: dict[str, tuple[Any, str, str]] = {
    "misspelt": ({"constant": "torch.float33"}, ".constant", 'no "float33"; did you mean "float3'),
    "no module": ({"constant": "valeus.X"}, ".constant", 'no module "valeus"; did you mean "val'),
    "a class": ({"constant": "torch.nn.ReLU"}, ".constant", '{"function": "torch.nn.ReLU"}'),
    "a function": ({"constant": "values.f"}, ".constant", "is not a constant, but can be called"),
    "a module": ({"constant": "torch.nn"}, ".constant", "is a module, and no constant"),
    "the environment": ({"constant": "os.environ"}, ".constant", "may not be used"),
    "by a detour": ({"constant": "values.os.environ"}, ".constant", "may not be used"),
    "an alias": ({"constant": "values.environment"}, ".constant", "is a _Environ, and no con"),
    "by torch": ({"constant": "torch.os.environ"}, ".constant", "may not be used"),
    "private": ({"constant": "torch._C.x"}, ".constant", "is private"),
    "Python's": ({"constant": "values.__file__"}, ".constant", "may not be used"),
    "dunder": ({"constant": "values.f.__globals__"}, ".constant", "may not be used"),
    "a parameter": ({"constant": "values.parameter"}, ".constant", "is a Parameter"),
    "a generator": ({"constant": "values.generator"}, ".constant", "is a Generator"),
    "an object": ({"constant": "values.layer"}, ".constant", "not a constant, but can be called"),
    "objects inside": ({"constant": "values.shared"}, ".constant", "is a dict, and no constant"),
    "a circle": ({"constant": "values.circle"}, ".constant", "is a list, and no constant"),
    "no function": ({"function": "values.WEIGHT"}, ".function", "which cannot be called"),
    "misspelt function": ({"function": "values.ff"}, ".function", 'did you mean "f"?'),
    "no such function": ({"function": "values.g"}, ".function", '"values" has no "g"'),
    "a loader": ({"function": "torch.load"}, ".function", "may not be used"),
    "the system": ({"function": "values.os.system"}, ".function", "may not be used"),
    "wrapped": ({"function": "values.handler"}, ".function", "may not be used"),
    "dtype": (
        {"tensor": [1], "dtype": "float31"},
        ".dtype",
        'not a dtype of torch; did you mean "f',
    ),
    "no dtype": ({"tensor": [1], "dtype": 32}, ".dtype", "32 is not a dtype of torch"),
    "ragged": ({"tensor": [[1, 2], [3]]}, ".tensor[1]", "expected a list of 2, found one of 1"),
    "deep": ({"tensor": [1, [2]]}, ".tensor[1]", "expected a number, found a list"),
    "flat": ({"tensor": [[1], 2]}, ".tensor[1]", "expected a list of 1, found 2"),
    "text": ({"tensor": [1, "2"]}, ".tensor[1]", 'expected a number, found "2"'),
    "null": ({"tensor": [1, None]}, ".tensor[1]", "expected a number, found null"),
    "fraction": ({"tensor": [1.5], "dtype": "int64"}, ".tensor[0]", "1.5 is not a whole number"),
    "large": ({"tensor": [256], "dtype": "torch.uint8"}, ".tensor[0]", "256 does not fit uint8"),
    "negative": ({"tensor": [-1], "dtype": "uint8"}, ".tensor[0]", "-1 does not fit uint8"),
    "larger": ({"tensor": [2**63]}, ".tensor[0]", "does not fit int64"),
    "overflow": ({"tensor": [1e5], "dtype": "float16"}, ".tensor[0]", "does not fit float16"),
    "truth": ({"tensor": [2], "dtype": "bool"}, ".tensor[0]", "expected true or false, found 2"),
    "key": ({"tensor": [1], "dtyp": "int64"}, ".dtyp", 'did you mean "dtype"?'),
    "in an object": (
        {"class": "torch.nn.ReLU", "kwargs": {"inplace": {"constant": "torch.flaot"}}},
        ".kwargs.inplace.constant",
        '"torch" has no "flaot"; did you mean "float"?',
    ),
    "in a list": ([0, {"a": {"tensor": ["x"]}}], "[1].a.tensor[0]", 'found "x"'),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_its_place(values: Path, case: str) -> None:
    value, place, message = WRONG[case]
    ((where, told),) = problems(value)
    assert where == place
    assert message in told


def test_functions_are_given_as_they_are(values: Path) -> None:
    import values as module

    assert made({"function": "values.f"}) is module.f
    assert made({"f": {"function": "torch.nn.functional.relu"}})["f"] is torch.nn.functional.relu
    assert made({"function": "torch.nn.LayerNorm"}) is torch.nn.LayerNorm


DATA: list[Any] = [
    {"constant": 0},
    {"constant": "zeros"},
    {"constant": "0.5"},
    {"constant": "torch.float32", "also": 1},
    {"function": "relu"},
    {"tensor": "train"},
    {"tensor": None},
    {"tensor": [1], "name": "x"},
    {"dtype": "float32"},
    {"$literal": 1, "other": 2},
]


@pytest.mark.parametrize("value", DATA, ids=json.dumps)
def test_everything_else_is_data(values: Path, value: Any) -> None:
    assert problems(value) == []
    assert made(value) == value


def test_literals_are_data(values: Path) -> None:
    for value in ({"class": "a.B"}, {"constant": "a.b"}, {"tensor": ["a"]}, {"$literal": 1}, [1]):
        assert problems([{"$literal": {"x": value}}]) == []
        assert made([{"$literal": {"x": value}}]) == [{"x": value}]


ROWS = st.recursive(
    st.integers(-300, 300) | st.floats(-1e5, 1e5, width=32) | st.booleans() | st.text(max_size=1),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(ROWS.filter(lambda value: not isinstance(value, str)), st.sampled_from((None, *DTYPES)))
def test_a_tensor_is_refused_or_holds_the_numbers(value: Any, dtype: str | None) -> None:
    form = {"tensor": value} if dtype is None else {"tensor": value, "dtype": dtype}
    if list(misfits_of_tensor(form)):
        return
    tensor = made(form)
    assert dtype is None or tensor.dtype == getattr(torch, dtype)
    if not tensor.dtype.is_floating_point and not tensor.dtype.is_complex:
        assert tensor.tolist() == value
    assert tensor.isfinite().all()


@given(ROWS.filter(lambda value: not isinstance(value, str)), st.sampled_from(DTYPES))
def test_what_torch_takes_exactly_is_not_refused(value: Any, dtype: str) -> None:
    try:
        tensor = torch.tensor(value, dtype=getattr(torch, dtype))
    except (ValueError, TypeError, RuntimeError, OverflowError):
        assert list(misfits_of_tensor({"tensor": value, "dtype": dtype}))
        return
    if tensor.tolist() == value:
        assert list(misfits_of_tensor({"tensor": value, "dtype": dtype})) == []


def test_an_undotted_name_is_data_with_a_warning(values: Path) -> None:
    definitions = base()
    definitions[2]["spec"]["kwargs"] = {"value": {"constant": "float32"}}
    config = json.loads(config_text([])[0])
    config["initialize"]["definitions"] = definitions
    told = [warning.message for warning in Draft(config).warnings]
    assert [text for text in told if '"float32" is not a dotted path' in text]


def test_one_form_laid_over_another_replaces_it() -> None:
    tensor, constant = {"tensor": [1], "dtype": "int8"}, {"constant": "torch.float32"}
    built = {"class": "torch.nn.ReLU", "kwargs": {"inplace": True}}
    for base_, over in ((tensor, constant), (constant, tensor), (built, tensor), (tensor, built)):
        assert merge_configs({"a": base_}, {"a": over}) == {"a": over}
    assert merge_configs(tensor, {"dtype": "int16"}) == {"tensor": [1], "dtype": "int16"}
    assert merge_configs(tensor, {"tensor": [2, 3]}) == {"tensor": [2, 3], "dtype": "int8"}
    by_name = {"kwargs": {"function": "a.b", "x": 2}}
    assert merge_configs(by_name, {"kwargs": {"tensor": 3}}) == {
        "kwargs": {"function": "a.b", "x": 2, "tensor": 3}
    }


def test_names_of_arguments_are_no_forms(values: Path) -> None:
    for kwargs in ({"function": "a.b"}, {"tensor": [[1], 2]}, {"constant": "a.b"}, {"$literal": 1}):
        spec = {"factory_fn": "values.wants_any", "kwargs": kwargs}
        assert problems(spec) == []
        assert made(spec) == kwargs


def test_constants_and_functions_of_the_user_are_their_code(values: Path) -> None:
    definitions = base()
    definitions[2]["spec"]["kwargs"] = {
        "value": [
            {"constant": "values.Holder.rate"},
            {"constant": "values.WEIGHT"},
            {"constant": "values.Colour.RED"},
            {"constant": "torch.float32"},
            {"function": "values.f"},
        ]
    }
    config = json.loads(config_text([])[0])
    config["initialize"]["definitions"] = definitions

    def code() -> dict[str, str]:
        draft = Draft(config)
        found = code_of(draft.spec, draft.allowlist)["models"]
        return {name: text for name, text in found.items() if name.startswith("values")}

    before = code()
    assert before.keys() == {
        "values: Holder.rate",
        "values: WEIGHT",
        "values.Colour",
        "values.f",
    }
    assert before["values: Holder.rate"] == "0.5"
    import values as module

    module.WEIGHT[1] = 4.0
    after = code()
    assert {name for name in before if before[name] != after[name]} == {"values: WEIGHT"}


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        (
            {"class": "torch.nn.Linear", "args": [2, 1], "kwargs": {"dtype": "torch.float64"}},
            '{"constant": "torch.float64"} is what this text names',
        ),
        (
            {"class": "torch.nn.CrossEntropyLoss", "kwargs": {"weight": [1, 3]}},
            '{"tensor": [...]} makes one of it',
        ),
    ],
)
def test_data_in_place_of_values_is_told_what_to_write(model: Any, hint: str) -> None:
    maker = ObjectMaker(None, lambda path: Place(), Allowlist())
    with pytest.raises(ConfigError) as raised:
        maker.value(model, (), "the model", "models")
    assert hint in str(raised.value)


PAGE = Path(__file__).parents[2] / "docs" / "config.md"
EXAMPLES = PAGE.read_text("utf-8").partition('<a id="values">')[2].partition("- `check` reports")[0]


def test_the_examples_of_the_documentation(folder: Path) -> None:
    (code,) = re.findall(r"^```python\n# my_project/values.py\n(.*?)^```$", EXAMPLES, ALL)
    (folder / "my_project").mkdir()
    (folder / "my_project" / "values.py").write_text(code)
    blocks = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```$", EXAMPLES, ALL)]
    loss, images, layer, mlp, *schedules = blocks
    assert made(loss).weight.tolist() == [1.0, 3.0]
    seen = made(images, "my_project")(torch.full((3, 30, 30), 255, dtype=torch.uint8))
    assert seen.shape == (3, 28, 28) and seen.dtype == torch.float32
    assert seen[:, 0, 0].tolist() == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-4)
    assert made(layer).activation is torch.nn.functional.gelu
    assert isinstance(made(mlp)[1], torch.nn.LayerNorm)
    for schedule, second in zip(schedules, (0.5, 0.9), strict=True):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        arguments = made(schedule["kwargs"], "my_project")
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, **arguments)
        optimizer.step()
        scheduler.step()
        assert scheduler.get_last_lr() == [second]
