"""One model: whatever its data, its optimizer and its adapters, the weights of a plain loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    DROPOUT_NET,
    Config,
    Twin,
    batches_of,
    fit,
    layer,
    layers,
    loader,
    made,
    node,
    one_model,
    part,
    stage,
)
from exact_parts import Classes, FeatureError, Noisy, Numbers, Points, Recording, Wrapped
from torch.nn.functional import cross_entropy, l1_loss
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop
from torch.utils.data import DataLoader


@pytest.mark.parametrize(
    ("optimizer_class", "name", "kwargs"),
    [
        (SGD, "SGD", {"lr": 0.05}),
        (SGD, "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        (Adam, "Adam", {}),
        (Adam, "Adam", {"lr": 0.01, "betas": [0.5, 0.9], "amsgrad": True}),
        (AdamW, "AdamW", {"lr": 0.01, "weight_decay": 0.1}),
        (RMSprop, "RMSprop", {"lr": 0.01, "centered": True}),
        (NAdam, "torch.optim.NAdam", {"lr": 0.01}),
        (Adagrad, "torch.optim.Adagrad", {"lr": 0.1}),
    ],
)
def test_optimizers(
    tmp_path: Path, optimizer_class: Callable[..., Optimizer], name: str, kwargs: dict[str, Any]
) -> None:
    descent = {**made(name, **kwargs), "model": "net"}
    twin = Twin(one_model({"optimizers": {"descent": descent}}), tmp_path)
    net = twin.models["net"]
    fit(net, optimizer_class(net.parameters(), **kwargs), batches_of(Points(10)))
    twin.check()


@pytest.mark.parametrize("workers", [0, 2])
def test_workers(tmp_path: Path, workers: int) -> None:
    batches = loader("points", num_workers=workers)
    twin = Twin(one_model({"loader_factories": {"batches": batches}}), tmp_path)
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches_of(Points(10)))
    twin.check()


@pytest.mark.parametrize("container", ["list", "tuple", "nothing"])
def test_a_model_returns_a_tensor_bare_or_in_a_list_or_tuple(
    tmp_path: Path, container: str
) -> None:
    twin = Twin(one_model({"models": {"net": part("Wrapped", container)}}), tmp_path)
    net = twin.models["net"]
    assert isinstance(net, Wrapped)
    fit(net.layer, SGD(net.parameters(), lr=0.05), batches_of(Points(10)))
    twin.check()


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"batch_size": 4, "drop_last": True},
        {"batch_size": 3},
        {"batch_size": 99},
        {"batch_size": None},
    ],
)
def test_arguments_of_the_loader(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    batches = {"dataset": "points", "kwargs": {"shuffle": False, **kwargs}}
    twin = Twin(one_model({"loader_factories": {"batches": batches}}), tmp_path)
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), DataLoader(Points(10), **kwargs))
    twin.check()


def test_dropout_and_noise_draw_the_random_numbers_of_a_plain_loop(tmp_path: Path) -> None:
    groups = {"models": {"net": DROPOUT_NET}, "datasets": {"points": part("Noisy", 10)}}
    twin = Twin(one_model(groups), tmp_path)
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches_of(Noisy(10)))
    twin.check()


def test_the_buffers_of_batch_norm(tmp_path: Path) -> None:
    normed = layers(layer("Linear", 4, 6), layer("BatchNorm1d", 6), layer("Linear", 6, 1))
    twin = Twin(one_model({"models": {"net": normed}}), tmp_path)
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches_of(Points(10)))
    twin.check()
    assert twin.session.models["net"][1].num_batches_tracked == 6


def test_a_loss_keeps_the_mode_that_it_was_built_in(tmp_path: Path) -> None:
    """A plain loop would not put its criterion into train mode."""
    error = {**part("FeatureError"), "inputs": ["y_hat", "y"]}
    config = one_model({"losses": {"error": error}}, stage("fit", validation=["fit"]))
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches_of(Points(10)), criterion=FeatureError())
    twin.check()


def recorded(adapter_key: str) -> dict[str, Config]:
    """A processor whose frames are kept in ``Recording.frames``."""
    Recording.frames.pop(adapter_key, None)
    return {
        "run": {
            "input_adapter": part("Recording", adapter_key, "net", ["x"]),
            "neural_graph": [node("net", "x", "y_hat", "descent")],
        }
    }


@pytest.mark.parametrize(
    ("shuffle", "workers"), [({}, 0), ({"shuffle": True}, 0), ({"shuffle": True}, 2)]
)
def test_shuffled_data(tmp_path: Path, shuffle: dict[str, bool], workers: int) -> None:
    """Every epoch has each example once, in another order; which is the order of training."""
    kwargs = {"batch_size": 4, "num_workers": workers, **shuffle}
    groups = {
        "datasets": {"points": part("Indexed", 10)},
        "loader_factories": {"batches": {"dataset": "points", "kwargs": kwargs}},
        "batch_processors": recorded("order"),
    }
    twin = Twin(one_model(groups, stage("fit", epochs=3), columns="x y index"), tmp_path, False)

    batches = [frame["index"].tolist() for frame in Recording.frames["order"]]
    epochs = [batches[start : start + 3] for start in (0, 3, 6)]
    assert len(batches) == 9
    for order in epochs:
        assert sorted(index for batch in order for index in batch) == list(range(10))
    assert len({str(order) for order in epochs}) == 3
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    for order in epochs:
        fit(net, optimizer, DataLoader(Points(10), batch_sampler=order), epochs=1)
    twin.check()


def test_noise_that_workers_draw(tmp_path: Path) -> None:
    """The batches that arrived are what is trained on, and each epoch has noise of its own."""
    groups = {
        "datasets": {"points": part("Augmented", 10)},
        "loader_factories": {"batches": loader("points", num_workers=2)},
        "batch_processors": recorded("noise"),
    }
    twin = Twin(one_model(groups), tmp_path, preflight=False)

    batches = [(frame["x"], frame["y"]) for frame in Recording.frames["noise"]]
    assert len(batches) == 6
    assert not torch.equal(batches[0][0], batches[3][0])
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches, epochs=1)
    twin.check()


@pytest.mark.parametrize(
    ("adapter", "divisor"),
    [(part("TenthOf", "net", "x"), 10), (made("SelectInputs", {"net": {"x": "x"}}), 1)],
)
def test_input_adapters(tmp_path: Path, adapter: Config, divisor: float) -> None:
    graph = [node("net", "x", "y_hat", "descent")]
    processor = {"input_adapter": adapter, "neural_graph": graph}
    twin = Twin(one_model({"batch_processors": {"run": processor}}), tmp_path)
    net = twin.models["net"]
    data = [(x / divisor, y) for x, y in batches_of(Points(10))]
    fit(net, SGD(net.parameters(), lr=0.05), data)
    twin.check()


@pytest.mark.parametrize(
    ("adapter", "column", "factor"),
    [
        (part("Doubled"), "twice", 2),
        (made("SelectVariables", ["y", "y_hat"]), "y_hat", 1),
        (None, "y_hat", 1),
    ],
)
def test_output_adapters(
    tmp_path: Path, adapter: Config | None, column: str, factor: float
) -> None:
    processor = {"neural_graph": [node("net", "x", "y_hat", "descent")], "output_adapter": adapter}
    error = {**made("MSELoss"), "inputs": [column, "y"]}
    groups = {"batch_processors": {"run": processor}, "losses": {"error": error}}
    twin = Twin(one_model(groups), tmp_path)
    net = twin.models["net"]
    fit(lambda x: factor * net(x), SGD(net.parameters(), lr=0.05), batches_of(Points(10)))
    twin.check()


def test_an_output_wins_over_a_column_of_its_name(tmp_path: Path) -> None:
    processor = {"neural_graph": [node("net", "x", "x", "descent")]}
    error = {**made("MSELoss"), "inputs": ["x", "y"]}
    groups = {"batch_processors": {"run": processor}, "losses": {"error": error}}
    twin = Twin(one_model(groups), tmp_path)
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches_of(Points(10)))
    twin.check()


def test_the_default_collator_stacks_tensors_and_class_numbers_as_torch_does(
    tmp_path: Path,
) -> None:
    groups = {
        "datasets": {"points": part("Classes", 10)},
        "models": {"net": layer("Linear", 4, 3)},
        "losses": {"error": {**made("CrossEntropyLoss"), "inputs": ["y_hat", "label"]}},
    }
    twin = Twin(one_model(groups, columns="x label"), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    fit(net, optimizer, DataLoader(Classes(10), batch_size=4), criterion=cross_entropy)
    twin.check()


def test_the_default_collator_gives_floats_the_default_dtype(tmp_path: Path) -> None:
    """Torch's own gives float64, and so would be the loss."""
    error = {**made("L1Loss"), "inputs": ["y_hat", "y"], "transform": "exact_parts.flattened"}
    groups = {"datasets": {"points": part("Numbers", 10)}, "losses": {"error": error}}
    twin = Twin(one_model(groups, columns="x y index"), tmp_path, False)
    net = twin.models["net"]
    fit(
        lambda x: net(x).flatten(),
        SGD(net.parameters(), lr=0.05),
        batches_of(Numbers(10)),
        criterion=lambda y_hat, y: l1_loss(y_hat, y.float()),
    )
    twin.check()


@pytest.mark.parametrize(
    ("dataset", "collator"),
    [
        ("Points", "torch's"),
        ("Named", "torch's"),
        ("Named", None),
    ],
)
def test_the_collator_of_torch_and_examples_with_named_columns(
    tmp_path: Path, dataset: str, collator: str | None
) -> None:
    """A batch that is a dict keeps its names, and variable_names chooses among them."""
    groups = {
        "datasets": {"points": part(dataset, 10)},
        "collators": {"torch's": {"factory_fn": "exact_parts.collator_of_torch"}},
        "loader_factories": {"batches": {**loader("points"), "collator": collator}},
    }
    twin = Twin(one_model(groups), tmp_path)
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches_of(Points(10)))
    twin.check()


def test_columns_that_stay_lists_up_to_the_adapter_and_the_transform(tmp_path: Path) -> None:
    error = {
        **made("CrossEntropyLoss"),
        "inputs": ["y_hat", "label"],
        "transform": "exact_parts.with_class_numbers",
    }
    processor = {
        "input_adapter": part("Stacking", "net", "x"),
        "neural_graph": [node("net", "x", "y_hat", "descent")],
    }
    groups = {
        "datasets": {"points": part("Classes", 10)},
        "collators": {"divide": made("BatchDivide")},
        "loader_factories": {"batches": {**loader("points"), "collator": "divide"}},
        "models": {"net": layer("Linear", 4, 3)},
        "losses": {"error": error},
        "batch_processors": {"run": processor},
    }
    twin = Twin(one_model(groups, columns="x label"), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    fit(net, optimizer, batches_of(Classes(10)), criterion=cross_entropy)
    twin.check()
