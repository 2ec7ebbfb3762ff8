"""Several batches whose gradients make one step: the same as one batch with all their examples."""

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
    feed,
    graph,
    layer,
    layers,
    loader,
    loss,
    made,
    node,
    one_model,
    part,
    trained_by,
    without_seconds,
)
from exact_parts import Points, Sentences, Watched
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss, mse_loss
from torch.optim import SGD

from torchassistant import create_session
from torchassistant.losses import MaskedCrossEntropy
from torchassistant.training.losses.loss_denominators import as_sum, or_one, terms_of

Criterion = Callable[..., Tensor]


def whole_windows(examples: int, size: int) -> list[range]:
    """The examples of each step; the last has fewer."""
    return [range(at, min(at + size, examples)) for at in range(0, examples, size)]


def assert_close(twin: Twin) -> None:
    """Sums in another order are rounded otherwise, and that is all."""
    for name, model in twin.models.items():
        trained = twin.session.models[name].state_dict()
        torch.testing.assert_close(trained, model.state_dict(), rtol=1e-5, atol=1e-6)
        for key, tensor in trained.items():
            assert not torch.equal(tensor, twin.start[name][key])


@pytest.mark.parametrize(
    ("spec", "criterion"),
    [
        (made("MSELoss"), mse_loss),
        (made("MSELoss", reduction="sum"), lambda a, b: mse_loss(a, b, reduction="sum")),
        (made("exact_parts.mean_of_rows"), lambda a, b: (a - b).abs().sum(1).mean()),
    ],
    ids=["mean of elements", "sum", "a function of one's own"],
)
def test_one_loss(tmp_path: Path, spec: Config, criterion: Criterion) -> None:
    """Ten examples in batches of 4, 4 and 2; two batches a step."""
    groups = {"losses": {"error": {**spec, "inputs": ["y_hat", "y"]}}}
    config = one_model(groups, pipeline={"gradient_accumulation": 2})
    twin = Twin(config, tmp_path)
    net, points = twin.models["net"], Points(10)
    optimizer = SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for window in whole_windows(10, 8):
            optimizer.zero_grad()
            criterion(net(points.x[window]), points.y[window]).backward()
            optimizer.step()
    assert_close(twin)
    assert twin.session.progress.step == 2 * 2


def test_losses_that_count_unequally(tmp_path: Path) -> None:
    """Tokens that are not padding, weighted by class; elements; samples: each by its own count."""
    weight = [1.0, 0.2, 3.0]
    token = {
        **made("CrossEntropyLoss", weight=made("torch.tensor", weight), ignore_index=2),
        "inputs": ["scores", "tokens"],
        "transform": "exact_parts.classes_second",
    }
    masked = {**made("MaskedCrossEntropy", 0), "inputs": ["scores", "tokens"]}
    size = {**made("L1Loss"), "inputs": ["scores"], "transform": "exact_parts.against_zero"}
    of_rows = {
        **made("exact_parts.mean_of_rows"),
        "inputs": ["scores"],
        "transform": "exact_parts.against_zero",
    }
    groups = {
        "datasets": {"points": part("Sentences", 10)},
        "collators": {"padded": made("exact_parts.Padding")},
        "loader_factories": {"batches": {**loader("points", 3), "collator": "padded"}},
        "losses": {"token": token, "masked": masked, "size": size, "rows": of_rows},
        "models": {"net": layers(layer("Linear", 4, 3))},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "scores", "descent")]}},
    }
    losses = [loss("token", weight=0.5), loss("masked"), loss("size", weight=2.0), loss("rows")]
    config = one_model(
        groups, columns="x tokens", pipeline={"losses": losses, "gradient_accumulation": 3}
    )
    twin = Twin(config, tmp_path)
    net, sentences = twin.models["net"], Sentences(10)
    optimizer = SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for window in whole_windows(10, 9):
            # Each example alone, so that nothing is padded; elements that are padded count as the
            # batches of three had them.
            total = torch.zeros(())
            scores, tokens = [], []
            for at in range(window.start, window.stop, 3):
                batch = [sentences[i] for i in range(at, min(at + 3, window.stop))]
                x = nn.utils.rnn.pad_sequence([b[0] for b in batch], batch_first=True)
                y = nn.utils.rnn.pad_sequence([b[1] for b in batch], batch_first=True)
                scores.append(net(x))
                tokens.append(y)
            flat = torch.cat([s.flatten(0, 1) for s in scores])
            flat_tokens = torch.cat([t.flatten() for t in tokens])
            rows = torch.cat([s.abs().flatten(1).sum(1) for s in scores])
            total = 0.5 * cross_entropy(flat, flat_tokens, torch.tensor(weight), ignore_index=2)
            total = total + cross_entropy(flat, flat_tokens, ignore_index=0)
            total = total + 2 * l1_loss(flat, torch.zeros_like(flat)) + rows.mean()
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    assert_close(twin)


@pytest.mark.parametrize(
    "function",
    [
        made("CrossEntropyLoss", ignore_index=0),
        made("exact_parts.MeanOfLabelled", 0),
        made("exact_parts.MeanOfLabelled", 0, counts="tensor"),
        made("exact_parts.OwnMean", ignore_index=0),
    ],
    ids=["torch's", "a number", "a tensor", "a subclass"],
)
def test_a_batch_in_which_nothing_counts(tmp_path: Path, function: Config) -> None:
    """It adds nothing; a mean over it, and the gradient of that, would be NaN."""
    token = {
        **function,
        "inputs": ["scores", "tokens"],
        "transform": "exact_parts.classes_second",
    }
    groups = {
        "datasets": {"points": part("Sentences", 4, 2)},
        "collators": {"padded": made("exact_parts.Padding")},
        "loader_factories": {"batches": {**loader("points", 2), "collator": "padded"}},
        "losses": {"error": token},
        "models": {"net": layers(layer("Linear", 4, 3))},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "scores", "descent")]}},
    }
    config = one_model(groups, columns="x tokens", pipeline={"gradient_accumulation": 2})
    twin = Twin(config, tmp_path, preflight=False)
    net, sentences = twin.models["net"], Sentences(4, 2)
    optimizer = SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        flat = torch.cat([net(sentences[i][0]) for i in range(4)])
        tokens = torch.cat([sentences[i][1] for i in range(4)])
        optimizer.zero_grad()
        cross_entropy(flat, tokens, ignore_index=0).backward()
        optimizer.step()
    assert_close(twin)


TERMS = [
    (nn.CrossEntropyLoss(), (4, 3), "classes"),
    (nn.CrossEntropyLoss(ignore_index=1), (4, 3), "classes"),
    (nn.CrossEntropyLoss(weight=torch.tensor([0.1, 0.2, 0.3])), (4, 3), "classes"),
    (nn.CrossEntropyLoss(label_smoothing=0.2), (4, 3, 5), "classes"),
    (nn.CrossEntropyLoss(), (4, 3, 5), "probabilities"),
    (nn.CrossEntropyLoss(), (4, 3), "probabilities"),
    (nn.NLLLoss(weight=torch.tensor([0.1, 0.2, 0.3]), ignore_index=0), (4, 3, 2, 2), "classes"),
    (nn.MSELoss(), (4, 3), "values"),
    (nn.HuberLoss(), (4, 3, 2), "values"),
    (nn.BCEWithLogitsLoss(), (4, 3), "values"),
    (MaskedCrossEntropy(1), (4, 5, 3), "tokens"),
]


@pytest.mark.parametrize(("function", "shape", "kind"), TERMS, ids=str)
def test_a_mean_is_the_sum_over_the_terms(
    function: nn.Module, shape: tuple[int, ...], kind: str
) -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(shape, generator=generator)
    at = 2 if kind == "tokens" else 1
    without_classes = (*shape[:at], *shape[at + 1 :])
    targets = {
        "classes": lambda: torch.randint(0, 3, without_classes, generator=generator),
        "tokens": lambda: torch.randint(0, 3, without_classes, generator=generator),
        "probabilities": lambda: torch.rand(shape, generator=generator).softmax(1),
        "values": lambda: torch.rand(shape, generator=generator),
    }[kind]()
    terms = terms_of(function, (scores, targets), shape[0])
    mean = function(scores, targets)
    summing: Any = as_sum(function)
    total = mean * terms if summing is None else summing(scores, targets)
    torch.testing.assert_close(total / or_one(terms), mean)
    if kind == "values":
        function.reduction = "sum"  # type: ignore[assignment]
        torch.testing.assert_close(function(scores, targets), total)


def test_two_processors_with_batches_of_unequal_sizes(tmp_path: Path) -> None:
    """Their losses are means over different samples, and are kept apart."""
    groups = {
        "datasets": {"points": part("Points", 10), "others": part("Points", 7, seed=5)},
        "loader_factories": {"batches": loader("points", 4), "small": loader("others", 3)},
        "models": {"net": layers(layer("Linear", 4, 1)), "net2": layers(layer("Linear", 4, 1))},
        "optimizers": {
            "descent": trained_by(made("SGD", lr=0.05), "net"),
            "descent2": trained_by(made("SGD", lr=0.05), "net2"),
        },
        "batch_processors": {
            "one": {"neural_graph": [node("net", "x", "y_hat", "descent")]},
            "two": {"neural_graph": [node("net2", "x", "y_hat", "descent2")]},
        },
        "batch_graphs": {"both": graph("a b", one="a", two="b")},
    }
    pipeline = {
        "graph": "both",
        "input_factories": [feed("batches", "x y", "a"), feed("small", "x y", "b")],
        "losses": [
            loss("error", "one"),
            loss("error", "two", loss_display_name="other", weight=0.3),
        ],
        "gradient_accumulation": 3,
    }
    twin = Twin(one_model(groups, pipeline=pipeline), tmp_path)
    net, net2, points, others = *twin.models.values(), Points(10), Points(7, seed=5)
    one, two = SGD(net.parameters(), lr=0.05), SGD(net2.parameters(), lr=0.05)
    for _ in range(2):
        one.zero_grad()
        two.zero_grad()
        error = mse_loss(net(points.x), points.y)
        (error + 0.3 * mse_loss(net2(others.x), others.y)).backward()
        one.step()
        two.step()
    assert_close(twin)


def test_only_one_batch_is_in_memory(tmp_path: Path) -> None:
    """What it is for: the outputs of a batch are gone when the next one is computed."""
    groups = {
        "models": {"net": part("Watched")},
        "loader_factories": {"batches": loader("points", 2)},
    }
    config = one_model(groups, pipeline={"gradient_accumulation": 3})
    session = create_session(config, session_dir=tmp_path / "session", preflight=False)
    Watched.outputs.clear()
    Watched.kept.clear()
    session.train()
    assert Watched.kept == [0] * 10


def test_the_history_has_the_mean_over_samples(tmp_path: Path) -> None:
    """With a learning rate of 0 the losses are those of a run that does not accumulate."""
    still = {"optimizers": {"descent": trained_by(made("SGD", lr=0.0), "net")}}
    rows = []
    for accumulated in (1, 2):
        config = one_model(still, pipeline={"gradient_accumulation": accumulated})
        session = create_session(config, session_dir=tmp_path / str(accumulated))
        session.train()
        rows.append([float(row[2]) for row in without_seconds(session.path)["0.csv"][1:]])
    assert rows[0] == pytest.approx(rows[1], rel=1e-6)


def test_clipping_and_fp16_see_the_gradients_of_the_step(tmp_path: Path) -> None:
    """The loss is so small that no scaled gradient overflows, which would leave out a step."""
    weight, norm, lr = 2.0**-10, 1e-4, 50.0
    config = one_model(
        {
            "gradient_clippers": {"clip": {"model": "net", "clip_norm": norm}},
            "optimizers": {"descent": trained_by(made("SGD", lr=lr), "net")},
        },
        pipeline={"losses": [loss("error", weight=weight)], "gradient_accumulation": 2},
    )
    twin = Twin({**config, "precision": "fp16"}, tmp_path)
    net, points = twin.models["net"], Points(10)
    optimizer = SGD(net.parameters(), lr=lr)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(2):
        for window in whole_windows(10, 8):
            optimizer.zero_grad()
            for batch in (window[:4], window[4:]):
                with torch.autocast("cpu", torch.float16):
                    error = mse_loss(net(points.x[batch]), points.y[batch]) if batch else None
                if error is not None:
                    scaler.scale(weight * error * len(batch) / len(window)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(net.parameters(), norm)
            scaler.step(optimizer)
            scaler.update()
    for key, tensor in twin.session.models["net"].state_dict().items():
        torch.testing.assert_close(tensor, net.state_dict()[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_cut_run_goes_on_exactly(tmp_path: Path, workers: int) -> None:
    groups = {
        "models": {"net": DROPOUT_NET},
        "datasets": {"points": part("Noisy", 10)},
        "loader_factories": {"batches": loader("points", 2, shuffle=True, num_workers=workers)},
    }
    config = one_model(groups, pipeline={"gradient_accumulation": 2})
    Runs(config, tmp_path).check_cuts([1, 2, 3, 5])
