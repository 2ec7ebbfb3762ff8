"""Which parameters and modules a pattern fits."""

from __future__ import annotations

import pytest
from torch import nn

from torchassistant.graph import ModulePattern, why_nothing_fits


def net() -> nn.Module:
    """``stem``, then ``layer1.0`` and ``layer1.1`` (a norm), then ``head``."""
    made = nn.Sequential()
    made.add_module("stem", nn.Linear(2, 2))
    made.add_module("layer1", nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    made.add_module("head", nn.Linear(2, 2))
    return made


def names(model: nn.Module, *texts: str, types: tuple[type[nn.Module], ...] = ()) -> list[str]:
    found = {id(p) for p in ModulePattern(texts, types).parameters({"net": model})}
    return [name for name, parameter in model.named_parameters() if id(parameter) in found]


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        ("head.bias", ["head.bias"]),
        ("head", ["head.weight", "head.bias"]),
        ("head.*", ["head.weight", "head.bias"]),
        ("layer1.1", ["layer1.1.weight", "layer1.1.bias"]),
        ("layer?", [f"layer1.{i}.{p}" for i in (0, 1) for p in ("weight", "bias")]),
        ("*.bias", ["stem.bias", "layer1.0.bias", "layer1.1.bias", "head.bias"]),
        ("net:head", ["head.weight", "head.bias"]),
        ("other:head", []),
        ("Head", []),
        ("ead", []),
    ],
)
def test_a_glob_fits_paths_and_what_stands_within_them(text: str, fitting: list[str]) -> None:
    assert names(net(), text) == fitting


def test_the_name_of_a_model_means_all_of_it() -> None:
    model = net()
    assert names(model, "net") == [name for name, _ in model.named_parameters()]
    assert ModulePattern(["net"]).modules({"net": model}) == list(model.modules())


def test_types_are_the_own_parameters_of_modules_and_of_subclasses() -> None:
    model = net()
    norms = (nn.modules.batchnorm._BatchNorm,)
    assert names(model, types=norms) == ["layer1.1.weight", "layer1.1.bias"]
    assert names(model, "*.bias", types=norms) == ["layer1.1.bias"]
    assert names(model, types=(nn.Sequential,)) == []
    assert ModulePattern((), norms).modules({"net": model}) == [model.layer1[1]]
    assert ModulePattern(["layer1"]).modules({"net": model}) == list(model.layer1.modules())


def test_tied_parameters_count_once_and_are_found_by_any_path() -> None:
    model = net()
    model.head.weight = model.stem.weight
    assert names(model, "head.weight") == ["stem.weight"]
    everything = ModulePattern(["*"]).parameters({"net": model, "same": model})
    assert [id(p) for p in everything] == [id(p) for p in model.parameters()]


def test_a_path_without_a_model_is_looked_for_in_each() -> None:
    models = {"one": net(), "two": net()}
    found = ModulePattern(["head.bias"]).parameters(models)
    assert [id(p) for p in found] == [id(model.head.bias) for model in models.values()]
    (found,) = ModulePattern(["two:head.bias"]).parameters(models)
    assert found is models["two"].head.bias


@pytest.mark.parametrize(
    ("texts", "types", "message"),
    [
        (["layr1.*"], (), '"layr1.*" matches nothing in "net"; did you mean "layer1.*"'),
        (["net:hed.bias"], (), '"net:hed.bias" matches nothing in "net"; did you mean "head.bias"'),
        (["net.head.*"], (), '"net.head.*" matches nothing in "net"; did you mean "net:head.*"?'),
        (["nett:head"], (), 'no model "nett" is meant here; did you mean "net"?'),
        (["zzz"], (), '"zzz" matches nothing in "net"; there are "stem", "layer1", "head"'),
        ([], (nn.LSTM,), 'no module of "net" is of type "LSTM"; there are "BatchNorm1d", "Linear"'),
        (["head"], (nn.BatchNorm1d,), 'nothing that "head" matches in "net" is of type'),
    ],
)
def test_what_fits_nothing_is_explained(
    texts: list[str], types: tuple[type[nn.Module], ...], message: str
) -> None:
    said = why_nothing_fits(ModulePattern(texts, types), {"net": net()})
    assert said is not None
    assert message in said


def test_what_fits_only_modules_without_parameters_fits() -> None:
    assert (
        why_nothing_fits(ModulePattern(["1"]), {"net": nn.Sequential(nn.ReLU(), nn.Tanh())}) is None
    )
