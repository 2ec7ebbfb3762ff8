"""Whether arguments fit: always as Python itself would answer, and every mistake at once."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics
import torchvision
from hostile_config import base, config_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torchassistant.assembly.signatures import Misfit, misfits
from torchassistant.errors import ConfigError
from torchassistant.metrics import Accuracy
from torchassistant.session import Draft

NAMES = ("alpha", "beta", "gamma", "delta", "kappa")
KEYS = (*NAMES, "alpa", "other", "args")


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., Any]:
    """A function with any signature of up to five parameters."""
    kinds = draw(st.lists(st.sampled_from("pnk"), max_size=len(NAMES)).map(sorted_kinds))
    defaults = draw(st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds)))
    for index, kind in enumerate(kinds):
        if kind != "k" and any(defaults[:index]):
            defaults[index] = True
    parts: list[str] = []
    several = draw(st.booleans())
    for index, (name, kind, default) in enumerate(zip(NAMES, kinds, defaults, strict=False)):
        if kind != "p" and "p" in kinds[:index] and "/" not in parts:
            parts.append("/")
        if kind == "k" and "k" not in kinds[:index]:
            parts.append("*args" if several else "*")
        parts.append(f"{name}=0" if default else name)
    if kinds and kinds[-1] == "p":
        parts.append("/")
    if several and "k" not in kinds:
        parts.append("*args")
    if draw(st.booleans()):
        parts.append("**others")
    made: dict[str, Any] = {}
    exec(f"def function({', '.join(parts)}): pass", made)
    return made["function"]


def sorted_kinds(kinds: list[str]) -> list[str]:
    return sorted(kinds, key="pnk".index)


ARGUMENTS = (
    st.lists(st.just("given"), max_size=2),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from(KEYS), st.integers(), max_size=4),
)


def takes(
    function: Callable[..., Any], given: list[str], args: list[Any], kwargs: dict[str, Any]
) -> bool:
    """Whether Python calls it; ``bind`` of Python 3.11 is wrong about what is by position only."""
    try:
        function(*given, *args, **kwargs)
    except TypeError:
        return False
    return True


def binds(target: Any, given: list[str], args: list[Any], kwargs: dict[str, Any]) -> bool:
    try:
        inspect.signature(target).bind(*given, *args, **kwargs)
    except TypeError:
        return False
    return True


@given(functions(), *ARGUMENTS)
@settings(max_examples=600, deadline=None, derandomize=True)
def test_there_is_a_misfit_where_python_would_raise_and_nowhere_else(
    function: Callable[..., Any], given: list[str], args: list[Any], kwargs: dict[str, Any]
) -> None:
    found = list(misfits(function, given, args, kwargs))
    assert bool(found) is not takes(function, given, args, kwargs), (function, found)
    for misfit in found:
        assert_points_at_something(misfit, args, kwargs)


@pytest.mark.slow
@given(functions(), *ARGUMENTS)
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_there_is_a_misfit_where_python_would_raise_at_length(
    function: Callable[..., Any], given: list[str], args: list[Any], kwargs: dict[str, Any]
) -> None:
    found = list(misfits(function, given, args, kwargs))
    assert bool(found) is not takes(function, given, args, kwargs), (function, found)


@given(functions(), *ARGUMENTS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_what_is_mended_fits(
    function: Callable[..., Any], given: list[str], args: list[Any], kwargs: dict[str, Any]
) -> None:
    """Every mistake is told: without the arguments that are told of, only some are missing."""
    found = list(misfits(function, given, args, kwargs))
    if any("which it would be given" in misfit.message for misfit in found):
        return
    most = min((m.path[1] for m in found if m.path[:1] == ("args",)), default=len(args))
    wrong = {misfit.path[1] for misfit in found if misfit.path[:1] == ("kwargs",)}
    mended = {key: value for key, value in kwargs.items() if key not in wrong}
    rest = list(misfits(function, given, args[: int(most)], mended))
    assert all("needs the argument" in misfit.message for misfit in rest), (found, rest)


def assert_points_at_something(misfit: Misfit, args: list[Any], kwargs: dict[str, Any]) -> None:
    assert misfit.path == () or misfit.path[0] in ("args", "kwargs")
    if misfit.path[:1] == ("args",):
        assert int(misfit.path[1]) < len(args)
    if misfit.path[:1] == ("kwargs",):
        assert misfit.path[1] in kwargs
        assert misfit.at_key


# What a signature belongs to


class Made:
    """A class whose objects are made by ``__new__``."""

    def __new__(cls, size: int, *, name: str = "") -> Made:
        return super().__new__(cls)


class Meta(type):
    def __call__(cls, size: int) -> Any:
        return super().__call__()


class WithMeta(metaclass=Meta):
    """A class that is called as its metaclass says."""


class Inherits(Made):
    """A class that takes what its base takes."""


class Raises:
    """A class that cannot say what it takes."""

    @property
    def __signature__(self) -> Any:
        raise ArithmeticError


class Called:
    """An object that can be called."""

    def __call__(self, size: int) -> int:
        return size

    def method(self, size: int) -> int:
        return size

    @classmethod
    def made(cls, size: int) -> Called:
        return cls()

    @staticmethod
    def static(size: int) -> int:
        return size


def function(first: int, second: int, *, third: int) -> None:
    """A function of three."""


@functools.wraps(function)
def wrapped(*args: Any, **kwargs: Any) -> None:
    """What a decorator leaves."""


TARGETS = (
    Made,
    WithMeta,
    Inherits,
    Called(),
    Called().method,
    Called.made,
    Called.static,
    Called.method,
    function,
    wrapped,
    functools.partial(function, 1),
    functools.partial(function, third=3),
    functools.partial(Made, 1),
    functools.lru_cache(function),
    torch.nn.Linear,
    torch.optim.Adam,
    torch.optim.lr_scheduler.StepLR,
    torch.optim.lr_scheduler.ChainedScheduler,
    torch.utils.data.DataLoader,
    torch.nn.functional.mse_loss,
    torch.nn.Embedding.from_pretrained,
    torchvision.datasets.MNIST,
    torchvision.transforms.Compose,
    torchmetrics.functional.accuracy,
)


@pytest.mark.parametrize("target", TARGETS, ids=range(len(TARGETS)))
def test_whatever_can_be_called(target: Any) -> None:
    """As Python would answer, for all that is left out, added, or moved of what fits."""
    parameters = inspect.signature(target).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (2, 4)]
    by_position = [p.name for p in parameters if p.kind in (0, 1) and p.name in needed]
    for count in range(len(by_position) + 3):
        for left_out in (None, *needed):
            for extra in ({}, {"no_such_argument": 1}, dict.fromkeys(by_position[:1], 1)):
                kwargs = {n: 1 for n in needed if n not in by_position[:count] and n != left_out}
                arguments: tuple[list[str], list[Any], dict[str, Any]]
                arguments = [], [1] * count, {**kwargs, **extra}
                found = list(misfits(target, *arguments))
                assert bool(found) is not binds(target, *arguments), (arguments, found)


def test_what_says_nothing_is_left_alone() -> None:
    for target in (torch.zeros, torch.tensor, torch.Generator, dict, Raises()):
        assert list(misfits(target, (), [1, 2], {"x": 1})) == []


def sentences(target: Any, given: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
    return [(misfit.message, misfit.path) for misfit in misfits(target, given, args, kwargs)]


def test_sentences() -> None:
    """All mistakes are told together; near names are named; one that is misspelt is not missing."""
    assert sentences(function, (), [1], {"first": 1, "thrid": 2, "nonsense": 3}) == [
        ('function gets "first" twice: here, and in "args"', ("kwargs", "first")),
        ('function has no argument "thrid"; did you mean "third"?', ("kwargs", "thrid")),
        (
            'function has no argument "nonsense"; there are "second", "third"',
            ("kwargs", "nonsense"),
        ),
        ('function needs the argument "second"', ()),
    ]
    assert sentences(function, (), [1, 2, 3, 4], {}) == [
        ("function takes 2 arguments by position, found 4", ("args", 2)),
        ('function needs the argument "third"', ()),
    ]
    assert sentences(functools.partial(function, 1), (), [], {"third": 1}) == [
        ('function needs the argument "second"', ())
    ]
    assert sentences(Called(), (), [], {}) == [('Called needs the argument "size"', ())]
    assert sentences(torch.optim.SGD, ("the parameters",), [], {"params": [], "lr": 1}) == [
        (
            'SGD gets "params" twice: here, and as the parameters, by the program',
            ("kwargs", "params"),
        )
    ]
    assert sentences(len, ("the session", "the optimizer"), [], {}) == [
        ("len has no argument for the optimizer, which it would be given", ())
    ]


def test_an_argument_by_position_only() -> None:
    def takes(size: int, /, **others: int) -> None: ...

    assert sentences(takes, (), [], {"size": 1})[0][0].endswith('needs the argument "size"')
    assert sentences(takes, (), [1], {"size": 1}) == []


# What is behind **kwargs


@pytest.mark.parametrize(
    ("target", "kwargs", "wrong"),
    [
        (torchmetrics.classification.BinaryAccuracy, {"treshold": 0.3}, "treshold"),
        (torchmetrics.classification.BinaryAccuracy, {"no_such_argument": 0.3}, "no_such_argument"),
        (torchmetrics.classification.BinaryAccuracy, {"sync_on_compute": False}, None),
        (torchmetrics.Accuracy, {"task": "binary", "num_clases": 3}, "num_clases"),
        (torchmetrics.RunningMean, {"window": 3, "nan_strategy": "ignore"}, None),
        (torchmetrics.BootStrapper, {"base_metric": 1, "anything": 2}, None),
        (Accuracy, {"task": "binary", "num_clases": 3}, "num_clases"),
        (Accuracy, {"num_classes": 3}, ""),
        (Accuracy, {}, None),
        (torchvision.models.resnet18, {"num_clases": 3}, "num_clases"),
        (torchvision.models.resnet18, {"num_classes": 3, "zero_init_residual": True}, None),
        (torchvision.models.resnet18, {"pretrained": False}, None),
        (torchvision.models.mobilenet_v3_small, {"width_mult": 1.0, "dilated": True}, None),
        (torchvision.models.vit_b_16, {"imagesize": 64}, "imagesize"),
        (torchvision.models.swin_t, {"dropout": 0.1}, None),
        (torchvision.models.get_model, {"name": "resnet18", "num_classes": 3}, None),
    ],
)
def test_what_the_libraries_pass_on(target: Any, kwargs: dict[str, Any], wrong: str | None) -> None:
    found = list(misfits(target, (), (), kwargs))
    if wrong is None:
        assert found == []
    else:
        assert [misfit.path for misfit in found] == [("kwargs", wrong) if wrong else ()]


# Where in a config they are told


def problems(folder: Path, changes: dict[int, dict[str, Any]]) -> list[tuple[str, str]]:
    """Where in the definitions, and what; the definitions are those of the base, with changes."""
    definitions = base()
    for index, spec in changes.items():
        definitions[index]["spec"].update(spec)
    config = json.loads(config_text([])[0])
    config["initialize"]["definitions"] = definitions
    try:
        Draft(config)
    except ConfigError as error:
        return [
            (problem.place.path.removeprefix("initialize.definitions"), problem.message)
            for problem in error.problems
        ]
    return []


OPTIMIZER = 3


def test_of_an_optimizer_and_its_scheduler(folder: Path) -> None:
    linear = {"class": "LinearLR", "kwargs": {"total_iter": 3}}
    scheduler = {
        "class": "SequentialLR",
        "kwargs": {
            "schedulers": [linear, {"class": "StepLR", "args": [1, 0.1, 5, 6]}],
            "milestones": [3],
            "optimizer": 1,
        },
    }
    found = problems(
        folder,
        {OPTIMIZER: {"kwargs": {"params": [], "lr": 1, "momentun": 0}, "lr_scheduler": scheduler}},
    )
    at = "[3].spec.lr_scheduler.kwargs"
    assert set(found) == {
        (
            "[3].spec.kwargs.params",
            'SGD gets "params" twice: here, and as the parameters, by the program',
        ),
        (
            "[3].spec.kwargs.momentun",
            'SGD has no argument "momentun"; did you mean "momentum"?',
        ),
        (
            f"{at}.schedulers[0].kwargs.total_iter",
            'LinearLR has no argument "total_iter"; did you mean "total_iters"?',
        ),
        (f"{at}.schedulers[1].args[3]", "StepLR takes 3 arguments by position, found 4"),
        (
            f"{at}.optimizer",
            'SequentialLR gets "optimizer" twice: here, and as the optimizer, by the program',
        ),
    }


def test_of_schedulers_that_fit(folder: Path) -> None:
    step = {"class": "StepLR", "args": [1]}
    for scheduler in (
        step,
        {"class": "ChainedScheduler", "args": [[step, step]]},
        {"class": "SequentialLR", "args": [[step, step]], "kwargs": {"milestones": [1]}},
        {"class": "torch.optim.lr_scheduler.StepLR", "kwargs": {"step_size": 1}},
    ):
        assert problems(folder, {OPTIMIZER: {"lr_scheduler": scheduler}}) == []
    missing = {"class": "StepLR"}
    for scheduler in (missing, {"class": "ChainedScheduler", "args": [[missing]]}):
        found = problems(folder, {OPTIMIZER: {"lr_scheduler": scheduler}})
        assert [message for _, message in found] == ['StepLR needs the argument "step_size"']


def test_of_a_loader(folder: Path) -> None:
    sampler = {"class": "torch.utils.data.RandomSampler", "kwargs": {"replacment": True}}
    kwargs = {
        "dataset": 1,
        "collate_fn": 2,
        "generator": {"class": "torch.Generator"},
        "batchsize": 3,
        "num_workers": 0,
        "sampler": sampler,
    }
    at = "[1].spec.kwargs"
    given = "of the DataLoader is given by the loader factory"
    assert set(problems(folder, {1: {"kwargs": kwargs}})) == {
        (f"{at}.dataset", f'"dataset" {given}'),
        (f"{at}.collate_fn", f'"collate_fn" {given}'),
        (f"{at}.generator", f'"generator" {given}'),
        (
            f"{at}.batchsize",
            'DataLoader has no argument "batchsize"; did you mean "batch_size"?',
        ),
        (f"{at}.sampler", 'RandomSampler needs the argument "data_source"'),
        (
            f"{at}.sampler.kwargs.replacment",
            'RandomSampler has no argument "replacment"; did you mean "replacement"?',
        ),
    }


def test_of_objects_inside_arguments(folder: Path) -> None:
    (folder / "nets.py").write_text(
        """
from torch import nn
class Whole(nn.Module):
    def __init__(self, part, *, parts=(), table=None):
        super().__init__()
def made(session, size): return nn.Linear(size, size)
"""
    )
    linear = {"class": "torch.nn.Linear"}
    spec = {
        "class": "nets.Whole",
        "args": [{**linear, "args": [2]}],
        "kwargs": {
            "parts": [1, {**linear, "kwargs": {"in_features": 2, "out_featurs": 3}}],
            "table": {"deep": {"factory_fn": "nets.made", "kwargs": {"session": 1}}},
            "part": 3,
        },
    }
    at = "[2].spec"
    assert sorted(problems(folder, {2: spec})) == [
        (f"{at}.args[0]", 'Linear needs the argument "out_features"'),
        (f"{at}.kwargs.part", 'Whole gets "part" twice: here, and in "args"'),
        (
            f"{at}.kwargs.parts[1].kwargs.out_featurs",
            'Linear has no argument "out_featurs"; did you mean "out_features"?',
        ),
        (f"{at}.kwargs.table.deep", 'made needs the argument "size"'),
        (
            f"{at}.kwargs.table.deep.kwargs.session",
            'made gets "session" twice: here, and as the session, by the program',
        ),
    ]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mine.Nett", '"mine" has no "Nett"; did you mean "Net"?'),
        ("mien.Net", 'there is no module "mien"; did you mean "mine"?'),
        ("mine.Net.smal", '"mine.Net" has no "smal"'),
        ("torch.nn.Linaer", '"torch.nn" has no "Linaer"; did you mean "Linear"?'),
        ("torch.n.Linear", '"torch" has no "n"'),
        ("torchvison.models.resnet18", 'no module "torchvison"; did you mean "torchvision"?'),
        ("torchvision.model.resnet18", '"torchvision" has no "model"; did you mean "models"?'),
        ("torchvision.models.resnt", '"torchvision.models" has no "resnt"; did you mean "resnet"?'),
        ("Net", '"Net" is not a dotted path'),
        ("mine..Net", '"mine..Net" is not a dotted path'),
        ("mine.Net()", '"mine.Net()" is not a dotted path'),
        (" mine.Net", '" mine.Net" is not a dotted path'),
        ("mine.", '"mine." is not a dotted path'),
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere(folder: Path, path: str, message: str) -> None:
    arguments = {"args": [1, 1]} if path == "torch.nn.Linaer" else {}
    ((place, found),) = problems(folder, {2: {"class": path, **arguments}})
    assert place == "[2].spec.class"
    assert message in found


def test_a_function_that_is_given_settings_in_place_of_data(folder: Path) -> None:
    (folder / "given.py").write_text("def loss(y_hat, y, t=1.0): return t * (y_hat - y).mean()\n")
    spec = {"class": "given.loss", "kwargs": {"t": 0.5}}
    assert problems(folder, {4: spec}) == [
        (
            "[4].spec",
            'loss needs the arguments "y_hat", "y"; with arguments, a function is called once to '
            "make what is then called. To give it settings, write a class that keeps them",
        )
    ]
