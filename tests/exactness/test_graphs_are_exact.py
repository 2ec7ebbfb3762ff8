"""Many models: forks, joins, frozen nodes, processors in a row, and several ports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from exact_configs import (
    Config,
    Groups,
    Twin,
    batches_of,
    config,
    feed,
    fit,
    graph,
    layer,
    layers,
    loader,
    loss,
    made,
    node,
    one_model,
    part,
    stage,
    trained_by,
)
from exact_parts import Classes, Latent, Points, Real
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from torch.optim import SGD, Adam

from torchassistant import create_session
from torchassistant.errors import ConfigError

ERROR = {**made("MSELoss"), "inputs": ["y_hat", "y"]}
DESCENT = made("SGD", lr=0.05)


def one_pipeline(groups: Groups, **keys: object) -> Config:
    """A pipeline ``fit`` over ``points``; models, optimizers and processors are given."""
    defaults = {
        "datasets": {"points": part("Points", 10), "others": part("Points", 10, seed=1)},
        "loader_factories": {"batches": loader("points"), "other batches": loader("others")},
        "losses": {"error": ERROR},
    }
    whole = {
        key: {**defaults.get(key, {}), **groups.get(key, {})} for key in {**defaults, **groups}
    }
    pipeline = {"input_factories": [feed("batches", "x y")], "losses": [loss("error")], **keys}
    return config(whole, {"fit": pipeline}, stage("fit"))


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Afterwards the buffers of a model are what they were."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    yield
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(before[name])


FROZEN = {
    "linear": layer("Linear", 6, 6),
    "dropout": layers(layer("Linear", 6, 6), layer("Dropout", 0.4)),
    "batch norm": layer("BatchNorm1d", 6),
    "batch norm within": layers(layer("Linear", 6, 6), layer("BatchNorm1d", 6), layer("Tanh")),
    "cumulative batch norm": layer("BatchNorm1d", 6, momentum=None),
    "spectral norm": part("spectral", 6, 6),
    "replaced buffer": part("Averaging", 6),
}
frozen_models = pytest.mark.parametrize("frozen", FROZEN.values(), ids=FROZEN.keys())


@frozen_models
def test_a_fork_and_a_join_with_a_frozen_node(tmp_path: Path, frozen: Config) -> None:
    """The frozen node runs in train mode, and keeps its parameters and its buffers."""
    groups: Groups = {
        "models": {
            "stem": layer("Linear", 4, 6),
            "frozen": frozen,
            "side": layer("Linear", 6, 3),
            "join": part("Joined", 9),
        },
        "optimizers": {
            "stem descent": trained_by(DESCENT, "stem"),
            "side descent": trained_by(made("SGD", lr=0.02, momentum=0.9), "side"),
            "join descent": trained_by(made("Adam", lr=0.01), "join"),
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("stem", "x", "h", "stem descent"),
                    node("frozen", "h", "left"),
                    node("side", "h", "right", "side descent"),
                    node("join", "left right", "y_hat", "join descent"),
                ]
            }
        },
    }
    twin = Twin(one_pipeline(groups), tmp_path)
    stem, middle, side, join = (twin.models[name] for name in groups["models"])
    optimizers = [
        SGD(stem.parameters(), lr=0.05),
        SGD(side.parameters(), lr=0.02, momentum=0.9),
        Adam(join.parameters(), lr=0.01),
    ]
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            with buffers_kept(middle):
                h = stem(x)
                error = mse_loss(join(middle(h), side(h)), y)
                for optimizer in optimizers:
                    optimizer.zero_grad()
                error.backward()
                for optimizer in optimizers:
                    optimizer.step()
    twin.check(unchanged=["frozen"])


@frozen_models
def test_gradient_flows_through_a_frozen_node(tmp_path: Path, frozen: Config) -> None:
    """It stands at the end: there is no other way to the node that is trained."""
    size = {**made("MSELoss"), "inputs": ["out"], "transform": "exact_parts.against_zero"}
    groups: Groups = {
        "models": {"stem": layer("Linear", 4, 6), "frozen": frozen},
        "optimizers": {"descent": trained_by(DESCENT, "stem")},
        "losses": {"size": size},
        "batch_processors": {
            "run": {"neural_graph": [node("stem", "x", "h", "descent"), node("frozen", "h", "out")]}
        },
    }
    twin = Twin(one_pipeline(groups, losses=[loss("size")]), tmp_path)
    stem, end = twin.models["stem"], twin.models["frozen"]
    optimizer = SGD(stem.parameters(), lr=0.05)
    for _ in range(2):
        for x, _ in batches_of(Points(10)):
            with buffers_kept(end):
                out = end(stem(x))
                optimizer.zero_grad()
                mse_loss(out, torch.zeros_like(out)).backward()
                optimizer.step()
    twin.check(unchanged=["frozen"])


@frozen_models
def test_a_frozen_node_before_one_that_is_trained(tmp_path: Path, frozen: Config) -> None:
    groups: Groups = {
        "datasets": {"points": part("Points", 10, width=6)},
        "models": {"frozen": frozen, "head": layer("Linear", 6, 1)},
        "optimizers": {"descent": trained_by(DESCENT, "head")},
        "batch_processors": {
            "run": {
                "neural_graph": [node("frozen", "x", "h"), node("head", "h", "y_hat", "descent")]
            }
        },
    }
    twin = Twin(one_pipeline(groups), tmp_path)
    body, head = twin.models["frozen"], twin.models["head"]
    optimizer = SGD(head.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10, width=6)):
            with buffers_kept(body):
                optimizer.zero_grad()
                mse_loss(head(body(x)), y).backward()
                optimizer.step()
    twin.check(unchanged=["frozen"])


@pytest.mark.parametrize("norm", [layer("Identity"), layer("BatchNorm1d", 6)])
def test_two_nodes_share_a_model_under_two_names(tmp_path: Path, norm: Config) -> None:
    """It is called twice, in the order of the nodes; it learns from both, and steps once."""
    groups: Groups = {
        "models": {"shared": layers(layer("Linear", 4, 6), norm), "join": part("Joined", 12)},
        "optimizers": {
            "shared descent": trained_by(made("Adam", lr=0.01), "shared"),
            "join descent": trained_by(DESCENT, "join"),
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("shared", "x", "left", "shared descent"),
                    node("shared", "other", "right", "shared descent", name="again"),
                    node("join", "left right", "y_hat", "join descent"),
                ]
            }
        },
        "batch_graphs": {"siamese": graph("one two", run="one two")},
    }
    inputs = [feed("batches", "x y", "one"), feed("other batches", "other ignored", "two")]
    twin = Twin(one_pipeline(groups, input_factories=inputs), tmp_path)
    shared, join = twin.models["shared"], twin.models["join"]
    optimizers = [Adam(shared.parameters(), lr=0.01), SGD(join.parameters(), lr=0.05)]
    pairs = list(zip(batches_of(Points(10)), batches_of(Points(10, seed=1)), strict=True))
    for _ in range(2):
        for (x, y), (other, _) in pairs:
            for optimizer in optimizers:
                optimizer.zero_grad()
            mse_loss(join(shared(x), shared(other)), y).backward()
            for optimizer in optimizers:
                optimizer.step()
    twin.check()


def test_two_outputs_of_a_model_and_a_loss_on_each(tmp_path: Path) -> None:
    """Two ports without a common column are united."""
    groups: Groups = {
        "datasets": {"classes": part("Classes", 10)},
        "loader_factories": {"labels": loader("classes")},
        "models": {"net": part("TwoHeads")},
        "optimizers": {"descent": trained_by(DESCENT, "net")},
        "losses": {"class": {**made("CrossEntropyLoss"), "inputs": ["scores", "label"]}},
        "batch_processors": {
            "run": {"neural_graph": [node("net", "x", "y_hat scores", "descent")]}
        },
        "batch_graphs": {"both": graph("one two", run="one two")},
    }
    inputs = [feed("batches", "x y", "one"), feed("labels", "ignored label", "two")]
    losses = [loss("error"), loss("class")]
    twin = Twin(one_pipeline(groups, input_factories=inputs, losses=losses), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    pairs = list(zip(batches_of(Points(10)), batches_of(Classes(10)), strict=True))
    for _ in range(2):
        for (x, y), (_, label) in pairs:
            value, scores = net(x)
            optimizer.zero_grad()
            (mse_loss(value, y) + cross_entropy(scores, label)).backward()
            optimizer.step()
    twin.check()


CHAIN: Groups = {
    "models": {"first": layer("Linear", 4, 1), "second": layer("Linear", 1, 1)},
    "optimizers": {
        "first descent": trained_by(DESCENT, "first"),
        "second descent": trained_by(DESCENT, "second"),
    },
    "losses": {"late error": {**made("MSELoss"), "inputs": ["z_hat", "y"]}},
    "batch_processors": {
        "early": {"neural_graph": [node("first", "x", "y_hat", "first descent")]},
        "late": {"neural_graph": [node("second", "y_hat", "z_hat", "second descent")]},
    },
}


@pytest.mark.parametrize("between", [None, "detached", "shifted", "shifted_in_place"])
def test_processors_in_a_row_with_a_loss_on_each(tmp_path: Path, between: str | None) -> None:
    """What stands between them may be an object of one's own, and touches only what comes after."""
    own = {
        "detached": made("DetachBatch"),
        "shifted": part("Shifted"),
        "shifted_in_place": part("ShiftedInPlace"),
    }
    edges = {"early": "points", "late": "early"}
    if between:
        edges = {"early": "points", between: "early", "late": between}
    processors = {**CHAIN["batch_processors"], **{n: s for n, s in own.items() if n == between}}
    groups: Groups = {
        **CHAIN,
        "batch_processors": processors,
        "batch_graphs": {"row": graph("points", **edges)},
    }
    losses = [loss("error", "early"), loss("late error", "late")]
    inputs = [feed("batches", "x y", "points")]
    twin = Twin(one_pipeline(groups, losses=losses, input_factories=inputs), tmp_path)
    first, second = twin.models["first"], twin.models["second"]
    optimizers = [SGD(first.parameters(), lr=0.05), SGD(second.parameters(), lr=0.05)]
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            y_hat = first(x)
            given = y_hat.detach() if between == "detached" else y_hat
            if between in ("shifted", "shifted_in_place"):
                given = y_hat + 1
            for optimizer in optimizers:
                optimizer.zero_grad()
            (mse_loss(y_hat, y) + mse_loss(second(given), y)).backward()
            for optimizer in optimizers:
                optimizer.step()
    twin.check()


def test_a_processor_that_feeds_two_which_feed_one(tmp_path: Path) -> None:
    """A diamond of processors, written in another order than the edges demand."""
    groups: Groups = {
        "models": {
            "stem": layers(layer("Linear", 4, 6), layer("Dropout", 0.4)),
            "left": layers(layer("Linear", 6, 3), layer("Dropout", 0.4)),
            "right": layers(layer("Linear", 6, 3), layer("Dropout", 0.4)),
            "join": part("Joined", 6),
        },
        "optimizers": {
            f"{name} descent": trained_by(DESCENT, name)
            for name in ("stem", "left", "right", "join")
        },
        "batch_processors": {
            "end": {"neural_graph": [node("join", "a b", "y_hat", "join descent")]},
            "one": {
                "neural_graph": [node("left", "h", "a", "left descent")],
                "output_adapter": made("SelectVariables", ["a", "y"]),
            },
            "other": {
                "neural_graph": [node("right", "h", "b", "right descent")],
                "output_adapter": made("SelectVariables", ["b"]),
            },
            "start": {"neural_graph": [node("stem", "x", "h", "stem descent")]},
        },
        "batch_graphs": {
            "diamond": graph("points", end="one other", one="start", other="start", start="points")
        },
    }
    inputs = [feed("batches", "x y", "points")]
    losses = [loss("error", "end")]
    twin = Twin(one_pipeline(groups, losses=losses, input_factories=inputs), tmp_path)
    stem, left, right, join = (twin.models[name] for name in groups["models"])
    optimizers = [SGD(m.parameters(), lr=0.05) for m in (stem, left, right, join)]
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            h = stem(x)
            error = mse_loss(join(left(h), right(h)), y)
            for optimizer in optimizers:
                optimizer.zero_grad()
            error.backward()
            for optimizer in optimizers:
                optimizer.step()
    twin.check()


@pytest.mark.parametrize("edges", ["one two three", "three one two"])
def test_frames_of_the_same_columns_are_concatenated_in_the_order_of_the_edges(
    tmp_path: Path, edges: str
) -> None:
    """Dropout tells the order; the shortest loader, whichever it is, ends the pass."""
    groups: Groups = {
        "datasets": {"few": part("Points", 7, seed=2)},
        "loader_factories": {"few batches": loader("few", batch_size=3)},
        "models": {"net": layers(layer("Linear", 4, 6), layer("Dropout"), layer("Linear", 6, 1))},
        "optimizers": {"descent": trained_by(DESCENT, "net")},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "y_hat", "descent")]}},
        "batch_graphs": {"merging": graph("one two three", run=edges)},
    }
    inputs = [
        feed("batches", "x y", "one"),
        feed("few batches", "x y", "two"),
        feed("other batches", "x y", "three"),
    ]
    twin = Twin(one_pipeline(groups, input_factories=inputs), tmp_path)
    order = [["one", "two", "three"].index(name) for name in edges.split()]
    sources = [Points(10), Points(7, seed=2), Points(10, seed=1)]
    loaders = [batches_of(sources[0]), batches_of(sources[1], 3), batches_of(sources[2])]
    data = [
        (torch.cat([batches[i][0] for i in order]), torch.cat([batches[i][1] for i in order]))
        for batches in zip(*loaders, strict=True)
    ]
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), data)
    twin.check()


@pytest.mark.parametrize(("one", "two"), [(10, 6), (5, 12)])
def test_the_shortest_loader_ends_the_pass(tmp_path: Path, one: int, two: int) -> None:
    groups: Groups = {
        "datasets": {"points": part("Points", one), "others": part("Points", two, seed=1)},
        "models": {"net": part("Joined", 8)},
        "optimizers": {"descent": trained_by(DESCENT, "net")},
        "batch_processors": {"run": {"neural_graph": [node("net", "x other", "y_hat", "descent")]}},
        "batch_graphs": {"uniting": graph("one two", run="two one")},
        "loader_factories": {
            "batches": loader("points", drop_last=True),
            "other batches": loader("others", drop_last=True),
        },
    }
    inputs = [feed("batches", "x y", "one"), feed("other batches", "other ignored", "two")]
    twin = Twin(one_pipeline(groups, input_factories=inputs), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    loaders = [
        batches_of(Points(one), drop_last=True),
        batches_of(Points(two, seed=1), drop_last=True),
    ]
    for _ in range(2):
        for (x, y), (other, _) in zip(*loaders, strict=False):
            optimizer.zero_grad()
            mse_loss(net(x, other), y).backward()
            optimizer.step()
    twin.check()
    assert twin.session.progress.step == 2 * min(one // 4, two // 4)


def gan(*order: str, epochs: int = 2) -> Config:
    """Two graphs over two models: in each the processor of one of them is frozen."""
    sample = made("SelectVariables", ["sample", "label"])
    verdict = {"inputs": ["verdict", "label"]}
    groups: Groups = {
        "datasets": {
            "real": part("Real", 11),
            "noise": part("Latent", 14),
        },
        "loader_factories": {
            "real batches": loader("real"),
            "noise batches": loader("noise", batch_size=5),
        },
        "models": {
            "G": layers(layer("Linear", 3, 6), layer("BatchNorm1d", 6), layer("Linear", 6, 4)),
            "D": layers(
                layer("Linear", 4, 6),
                layer("BatchNorm1d", 6),
                layer("LeakyReLU", 0.2),
                layer("Dropout", 0.3),
                layer("Linear", 6, 1),
            ),
        },
        "optimizers": {
            "G descent": trained_by(made("Adam", lr=0.01, betas=[0.5, 0.999]), "G"),
            "D descent": trained_by(made("Adam", lr=0.02, betas=[0.5, 0.999]), "D"),
        },
        "losses": {
            "right": {**made("BCEWithLogitsLoss"), **verdict},
            "fooled": {
                **made("BCEWithLogitsLoss"),
                "inputs": ["verdict"],
                "transform": "exact_parts.as_real",
            },
        },
        "batch_processors": {
            "draw": {"neural_graph": [node("G", "z", "sample")], "output_adapter": sample},
            "judge": {"neural_graph": [node("D", "sample", "verdict", "D descent")]},
            "invent": {"neural_graph": [node("G", "z", "sample", "G descent")]},
            "face": {"neural_graph": [node("D", "sample", "verdict")]},
        },
        "batch_graphs": {
            "judging": graph("photos noise", draw="noise", judge="photos draw"),
            "inventing": graph("noise", invent="noise", face="invent"),
        },
    }
    pipelines = {
        "D": {
            "graph": "judging",
            "input_factories": [
                feed("real batches", "sample label", "photos"),
                feed("noise batches", "z label", "noise"),
            ],
            "losses": [loss("right", "judge")],
        },
        "G": {
            "graph": "inventing",
            "input_factories": [feed("noise batches", "z label", "noise")],
            "losses": [loss("fooled", "face")],
        },
    }
    return config(groups, pipelines, stage(*order, epochs=epochs))


@pytest.mark.parametrize("order", [("D", "G"), ("G", "D")])
def test_a_gan(tmp_path: Path, order: tuple[str, str]) -> None:
    """Real and generated frames are concatenated; each model is frozen where the other learns."""
    twin = Twin(gan(*order), tmp_path)
    g, d = twin.models["G"], twin.models["D"]
    g_descent = Adam(g.parameters(), lr=0.01, betas=(0.5, 0.999))
    d_descent = Adam(d.parameters(), lr=0.02, betas=(0.5, 0.999))

    def learn_to_judge(real: Tensor, ones: Tensor, z: Tensor, zeros: Tensor) -> None:
        with buffers_kept(g):
            fake = g(z).detach()
        verdict = d(torch.cat([real, fake]))
        d_descent.zero_grad()
        binary_cross_entropy_with_logits(verdict, torch.cat([ones, zeros])).backward()
        d_descent.step()

    def learn_to_invent(z: Tensor) -> None:
        with buffers_kept(d):
            verdict = d(g(z))
            g_descent.zero_grad()
            binary_cross_entropy_with_logits(verdict, torch.ones_like(verdict)).backward()
            g_descent.step()

    for _ in range(2):
        judging = zip(batches_of(Real(11)), batches_of(Latent(14), 5), strict=True)
        inventing = iter(batches_of(Latent(14), 5))
        for _ in range(3):
            for name in order:
                if name == "D":
                    (real, ones), (z, zeros) = next(judging)
                    learn_to_judge(real, ones, z, zeros)
                else:
                    learn_to_invent(next(inventing)[0])
    twin.check()


def test_a_packed_sequence_is_no_tuple_of_tensors(tmp_path: Path) -> None:
    groups = {"models": {"net": part("Packing")}}
    with pytest.raises(ConfigError, match=r"it returned torch\.nn\.utils\.rnn\.PackedSequence"):
        create_session(one_model(groups), session_dir=tmp_path / "session")
