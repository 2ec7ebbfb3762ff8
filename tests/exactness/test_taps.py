"""Taps: values from inside a model are further outputs of its node, with gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    layer,
    loader,
    loss,
    made,
    node,
    part,
    stage,
    trained_by,
)
from exact_parts import Classes
from exact_runs import Runs
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from torchassistant import create_session
from torchassistant.errors import ConfigError, DataError
from torchassistant.session import Draft

TAPS = {"h": "body", "before": "net:head@input"}


def tapped(
    taps: dict[str, str] = TAPS,
    model: Config | None = None,
    fit: Config | None = None,
    run: Config | None = None,
    **more: Any,
) -> Config:
    """A classifier that is also to keep what its inner layers give small."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Classes", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {
            "net": model or made("tapped_parts.Once"),
            "probe": layer("Linear", 6, 6),
        },
        "optimizers": {
            "sgd": trained_by(made("SGD", lr=0.05), "net"),
            "probing": trained_by(made("SGD", lr=0.05), "probe"),
        },
        "losses": {
            "error": {**made("CrossEntropyLoss"), "inputs": ["scores", "y"]},
            "small": {**made("MSELoss"), "inputs": ["guess", "before"]},
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("net", "x", "scores", "sgd", taps=taps, **more),
                    node("probe", next(iter(taps)), "guess", "probing"),
                ],
                **(run or {}),
            }
        },
    }
    pipelines = {
        "fit": {
            "input_factories": [feed("batches", "x y")],
            "losses": [loss("error"), loss("small", weight=2.0)],
            **(fit or {}),
        },
        "check": {
            "input_factories": [feed("batches", "x y")],
            "losses": [loss("small", loss_display_name="val small")],
        },
    }
    return config(groups, pipelines, stage("fit", validation=["check"]))


def train(twin: Twin) -> None:
    """The same by hand, with hooks of its own."""
    net, probe = twin.models["net"], twin.models["probe"]
    seen: dict[str, Tensor] = {}
    net.body.register_forward_hook(lambda m, args, out: seen.update(h=out))
    net.head.register_forward_pre_hook(lambda m, args: seen.update(before=args[0]))
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.05) for model in (net, probe)]
    for _ in range(2):
        for x, y in batches_of(Classes(10)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            scores = net(x)
            (cross_entropy(scores, y) + 2 * mse_loss(probe(seen["h"]), seen["before"])).backward()
            for optimizer in optimizers:
                optimizer.step()


@pytest.mark.parametrize("more", [{}, {"activation_checkpointing": True}])
def test_taps_are_what_hooks_see(tmp_path: Path, more: Config) -> None:
    twin = Twin(tapped(**more), tmp_path)
    train(twin)
    twin.check()


def test_taps_leave_no_trace(tmp_path: Path) -> None:
    session = create_session(tapped(), session_dir=tmp_path / "session")
    session.train()
    net = session.models["net"]
    assert [key for key in net.state_dict() if "." not in key] == []
    for module in net.modules():
        assert not [v for k, v in vars(module).items() if k.endswith("_hooks") and len(v)]


def test_taps_can_be_kept_by_inference_and_are_evaluated(tmp_path: Path) -> None:
    session = create_session(tapped(), session_dir=tmp_path / "session")
    results = session.evaluate(["check"])
    net, probe = session.models["net"].eval(), session.models["probe"]
    seen: dict[str, Tensor] = {}
    net.body.register_forward_hook(lambda m, args, out: seen.update(h=out))
    net.head.register_forward_pre_hook(lambda m, args: seen.update(before=args[0]))
    with torch.no_grad():
        net(Classes(10).x)
        assert results["val small"] == pytest.approx(
            float(mse_loss(probe(seen["h"]), seen["before"]))
        )


def test_a_run_with_taps_can_be_cut(tmp_path: Path) -> None:
    Runs(tapped(), tmp_path).check_cuts([1, 4])


def test_of_a_tuple_it_is_the_first_tensor(tmp_path: Path) -> None:
    model = made("tapped_parts.Recurrent")
    taps = {"h": "cell", "before": "cell@input", "last": "head@input"}
    spec = tapped(taps, model)
    definitions = {d["name"]: d["spec"] for d in spec["initialize"]["definitions"]}
    definitions["probe"]["args"] = [5, 4]
    session = create_session(spec, session_dir=tmp_path / "session", preflight=False)
    pipeline = session.pipelines["check"]
    frames = next(pipeline.evaluation_data().frames(0))
    frame = pipeline.graph.for_evaluation().run(frames)["run"]
    net = session.models["net"]
    assert torch.equal(frame["h"], net.cell(frame["x"][:, None])[0])
    assert torch.equal(frame["before"], frame["x"][:, None])
    assert torch.equal(frame["last"], frame["h"][:, 0])


def test_what_runs_several_times_not_at_all_or_gives_no_tensor_is_told() -> None:
    wrong = {
        "ran 2 times in one call of its model": tapped({"h": "stem.0"}, made("tapped_parts.Deep")),
        "did not run in this call of its model": tapped({"h": "idle"}, made("tapped_parts.Idle")),
        "has dict there, and no tensor; tap a module": tapped(
            {"h": "inner"}, made("tapped_parts.Nested")
        ),
        "that the model changes in place afterwards": tapped(
            {"h": "body.0"}, made("tapped_parts.Once", inplace=True)
        ),
    }
    for sentence, spec in wrong.items():
        spec["initialize"]["pipelines"]["fit"]["losses"].pop()
        del spec["initialize"]["pipelines"]["check"]["losses"][0]
        for d in spec["initialize"]["definitions"]:
            if d["name"] == "run":
                d["spec"]["neural_graph"].pop()
        spec["initialize"]["definitions"] = [
            d
            for d in spec["initialize"]["definitions"]
            if d["name"] not in ("probe", "probing", "small")
        ]
        with pytest.raises((ConfigError, DataError), match=sentence):
            Draft(spec).preflight()


def problems_of(spec: Config) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        Draft(spec).preflight()
    return [(str(p.place.path), p.message) for p in caught.value.problems]


def test_wrong_taps_are_told_where_they_stand() -> None:
    here = ".spec.neural_graph[0].taps.h"
    ((path, told),) = problems_of(tapped({"h": "bdy", "before": "head@input"}))
    assert path.endswith(here)
    assert told == 'the model "net" has no module "bdy"; did you mean "body"?'
    ((path, told),) = problems_of(tapped({"h": "probe:body", "before": "head@input"}))
    assert path.endswith(here)
    assert told == 'a tap is of the model that the node runs, "net"; found "probe"'
    sentences = [sentence for _, sentence in problems_of(tapped({"h": "body", "scores": "head"}))]
    assert '"scores" is already an output of the node "net"' in sentences
    for wrong in (
        tapped(compile=True),
        tapped(fit={"compile": True}),
        tapped(run={"compile": True}),
    ):
        ((_, sentence),) = problems_of(wrong)
        assert '"compile" makes one piece of a model, and "taps" look into it' in sentence


def test_the_table_of_init_shows_taps() -> None:
    report = Draft(tapped()).preflight()
    assert report.nodes[0].outputs == [
        "scores (4, 3) float32",
        "h from body (4, 6) float32",
        "before from net:head@input (4, 6) float32",
    ]
