"""What a stage freezes: weights, momentum, buffers and modes, and what thaws in the next one."""

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
from exact_parts import Points
from exact_runs import Runs
from torch.nn.functional import mse_loss
from torch.optim import SGD, AdamW, Optimizer

from torchassistant import create_session, load_session
from torchassistant.cli.tables import preflight_lines
from torchassistant.errors import ConfigError
from torchassistant.session.preflight import preflight
from torchassistant.training import Progress, Reporter, Row

BACKBONE = layers(
    layer("Linear", 4, 6), layer("BatchNorm1d", 6), layer("Dropout", 0.4), layer("Linear", 6, 5)
)


def backbone_and_head(*stages: Config, optimizer: Config | None = None, **more: Any) -> Config:
    """Two models, each with an optimizer that has momentum and decays weights."""
    optimizer = optimizer or made("SGD", lr=0.05, momentum=0.9, weight_decay=0.1)
    groups = {
        "datasets": {"points": part("Points", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"backbone": BACKBONE, "head": layer("Linear", 5, 1)},
        "optimizers": {
            "of backbone": trained_by(optimizer, "backbone"),
            "of head": trained_by(optimizer, "head"),
        },
        "losses": {"error": {**made("MSELoss"), "inputs": ["said", "y"]}},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("backbone", "x", "h", "of backbone"),
                    node("head", "h", "said", "of head"),
                ]
            }
        },
    }
    fit = {"input_factories": [feed("batches", "x y")], "losses": [loss("error")], **more}
    return config(groups, {"fit": fit}, *stages)


class Loop:
    """The loop by hand; what is frozen has no gradient in it."""

    def __init__(self, twin: Twin, kind: Any = SGD, **options: Any) -> None:
        options = options or {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}
        self.backbone, self.head = twin.models["backbone"], twin.models["head"]
        self.optimizers: list[Optimizer] = [
            kind(model.parameters(), **options) for model in (self.backbone, self.head)
        ]

    def run(self, frozen: Any = (), still: Any = (), kept: Any = (), epochs: int = 2) -> None:
        """Some epochs.

        Args:
            frozen: Parameters that do not learn.
            still: Modules in eval mode.
            kept: Modules whose buffers are put back.
        """
        for parameter in frozen:
            parameter.requires_grad_(False)
            parameter.grad = None
        for module in (self.backbone, self.head):
            module.train()
        for module in still:
            module.eval()
        for _ in range(epochs):
            for x, y in batches_of(Points(10)):
                before = [b.clone() for module in kept for b in module.buffers()]
                for optimizer in self.optimizers:
                    optimizer.zero_grad()
                mse_loss(self.head(self.backbone(x)), y).backward()
                for optimizer in self.optimizers:
                    optimizer.step()
                with torch.no_grad():
                    own = [b for module in kept for b in module.buffers()]
                    for buffer, copy in zip(own, before, strict=True):
                        buffer.copy_(copy)
        for parameter in frozen:
            parameter.requires_grad_(True)


def test_a_model_is_frozen_between_two_stages(tmp_path: Path) -> None:
    """Neither momentum nor decay moves it, and both go on as they were when it thaws."""
    stages = [stage("fit"), stage("fit", frozen=["backbone"]), stage("fit")]
    twin = Twin(backbone_and_head(*stages), tmp_path)
    loop = Loop(twin)
    loop.run()
    loop.run(frozen=list(loop.backbone.parameters()), kept=[loop.backbone])
    loop.run()
    twin.check()


@pytest.mark.parametrize("entry", [{"match": "backbone:1.*"}, {"types": ["BatchNorm1d"]}])
def test_batch_norm_in_eval_mode(tmp_path: Path, entry: Config) -> None:
    stages = [stage("fit", frozen=[{**entry, "mode": "eval"}]), stage("fit")]
    twin = Twin(backbone_and_head(*stages), tmp_path)
    loop = Loop(twin)
    norm: Any = loop.backbone
    loop.run(frozen=list(norm[1].parameters()), still=[norm[1]])
    loop.run()
    twin.check()


COMPILED = {"compile": {"backend": "eager"}}


@pytest.mark.parametrize("compiled", ["nothing", "node", "processor", "pipeline"])
def test_a_part_in_train_mode_keeps_its_statistics(tmp_path: Path, compiled: str) -> None:
    """Of the same model, another layer learns."""
    more = COMPILED if compiled == "pipeline" else {}
    spec = backbone_and_head(stage("fit", frozen=["backbone:[01]"]), **more)
    (run,) = [d["spec"] for d in spec["initialize"]["definitions"] if d["name"] == "run"]
    if compiled == "processor":
        run.update(COMPILED)
    elif compiled == "node":
        run["neural_graph"][0].update(COMPILED)
    twin = Twin(spec, tmp_path)
    loop = Loop(twin)
    body: Any = loop.backbone
    loop.run(frozen=[*body[0].parameters(), *body[1].parameters()], kept=[body[1]])
    twin.check()
    assert twin.session.models["backbone"][1].num_batches_tracked == 0


def test_biases_of_every_model(tmp_path: Path) -> None:
    adam = made("AdamW", lr=0.02, weight_decay=0.1)
    stages = [stage("fit"), stage("fit", frozen=["*.bias", "bias"]), stage("fit")]
    twin = Twin(backbone_and_head(*stages, optimizer=adam), tmp_path)
    loop = Loop(twin, AdamW, lr=0.02, weight_decay=0.1)
    named = [*loop.backbone.named_parameters(), *loop.head.named_parameters()]
    norm: Any = loop.backbone
    assert norm[1].bias is not None
    loop.run()
    loop.run(frozen=[parameter for name, parameter in named if name.endswith("bias")])
    loop.run()
    twin.check()


def test_with_accumulated_gradients(tmp_path: Path) -> None:
    """What is frozen stays, and the rest learns."""
    spec = backbone_and_head(stage("fit", frozen=["backbone:3"]), gradient_accumulation=2)
    session = create_session(spec, session_dir=tmp_path / "run")
    before = {n: p.clone() for n, p in session.models["backbone"].named_parameters()}
    session.train()
    moved = {
        name
        for name, parameter in session.models["backbone"].named_parameters()
        if not torch.equal(parameter, before[name])
    }
    assert moved == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_in_half_precision_an_optimizer_may_have_nothing_to_do(tmp_path: Path) -> None:
    spec = {**backbone_and_head(stage("fit", frozen=["backbone"])), "precision": "fp16"}
    session = create_session(spec, session_dir=tmp_path / "run")
    before = [p.clone() for p in session.models["backbone"].parameters()]
    session.train()
    for parameter, copy in zip(session.models["backbone"].parameters(), before, strict=True):
        assert torch.equal(parameter, copy)


def test_an_optimizer_that_looks_at_no_gradient(tmp_path: Path) -> None:
    """It may do what it likes, but not with what is frozen."""
    decaying = made("stage_parts.Decay")
    twin = Twin(backbone_and_head(stage("fit", frozen=["backbone"]), optimizer=decaying), tmp_path)
    for _ in range(6):
        with torch.no_grad():
            for parameter in twin.models["head"].parameters():
                parameter.mul_(0.9)
    twin.check(unchanged=["backbone"])


def test_what_a_class_froze_stays_so(tmp_path: Path) -> None:
    """Thawing is going back to what was constructed."""
    spec = backbone_and_head(stage("fit", frozen=["backbone"]), stage("fit"))
    (model,) = [d for d in spec["initialize"]["definitions"] if d["name"] == "backbone"]
    model["spec"] = made("stage_parts.HalfFrozen")
    twin = Twin(spec, tmp_path)
    loop = Loop(twin)
    constructed = [p for p in loop.backbone.parameters() if p.requires_grad]
    assert len(constructed) == 2
    loop.run(frozen=constructed)
    loop.run()
    twin.check()


STAGES = [
    stage("fit", epochs=1, frozen=["backbone:0", {"types": ["BatchNorm1d"], "mode": "eval"}]),
    stage("fit", epochs=1),
    stage("fit", epochs=1, frozen=["backbone"]),
]


def test_it_is_resumed_at_every_step(tmp_path: Path) -> None:
    runs = Runs(backbone_and_head(*STAGES), tmp_path)
    runs.check_cuts()
    runs.check_all_cuts_in_one()


def test_what_init_shows(tmp_path: Path) -> None:
    spec = backbone_and_head(
        stage(
            "fit",
            name="head first",
            frozen=["backbone", {"types": ["BatchNorm1d"], "mode": "eval"}],
        )
    )
    report = preflight(create_session(spec, session_dir=tmp_path / "run"))
    (shown,) = report.stages
    assert (shown.trained, shown.untrained) == (["head"], [])
    assert [(f.shown, f.parameters, f.in_eval_mode) for f in shown.frozen] == [
        ("backbone", 77, None),
        ("BatchNorm1d", 12, 1),
    ]
    lines = list(preflight_lines(report))
    assert (
        'stage 1 ("head first"): freezes BatchNorm1d (12 parameters, 1 module in eval mode)'
        in lines
    )
    assert "frozen" in lines[1].split()
    (warning,) = report.warnings
    assert warning.message.startswith('the optimizer "of backbone" changes nothing in this stage')
    assert warning.place.path == "train.stages[0].frozen"


@pytest.mark.parametrize(
    ("entry", "message", "place"),
    [
        ("bckbone", 'matches nothing in "backbone", "head"; did you mean "backbone"?', ""),
        ("backbne:0", 'no model "backbne" is meant here; did you mean "backbone"?', ""),
        ("backbone:7.*", '"backbone:7.*" matches nothing in "backbone"', ""),
        ({"types": ["BatchNorm2d"]}, "is of type", ".types[0]"),
        ({"types": ["BatchNrm1d"]}, "BatchNrm1d", ".types[0]"),
        ({"match": "*.bias", "mode": "eval"}, '"mode": "eval" has no effect', ".mode"),
        ({"mode": "eval"}, 'one of "match" and "types" is needed', ""),
        ({"match": "head", "mode": "train"}, "eval", ".mode"),
    ],
)
def test_what_fits_nothing_is_told(tmp_path: Path, entry: Any, message: str, place: str) -> None:
    spec = backbone_and_head(stage("fit", frozen=[entry]))
    with pytest.raises(ConfigError) as told:
        create_session(spec, session_dir=tmp_path / "run")
    (problem,) = told.value.problems
    assert message in problem.message
    assert problem.place.path == f"train.stages[0].frozen[0]{place}"


def test_a_loss_with_parameters(tmp_path: Path) -> None:
    """It is named as its optimizer names it."""
    weighing = {"class": "stage_parts.Weighing", "inputs": ["y_hat", "y"]}
    groups = {
        "losses": {"error": weighing},
        "optimizers": {"weighing": trained_by(made("SGD", lr=0.05), "losses.error")},
    }
    stages = [stage("fit", frozen=["losses.error"], epochs=1), stage("fit", epochs=1)]
    session = create_session(one_model(groups, *stages), session_dir=tmp_path / "run")
    weight = session.losses["error"].weight
    seen: list[float] = []

    class Looking(Reporter):
        def epoch_finished(self, progress: Progress, row: Row) -> None:
            seen.append(weight.item())

    session.train(Looking())
    assert seen[0] == 1.0 != seen[1]


def test_it_may_change_while_a_stage_lasts(tmp_path: Path) -> None:
    create_session(backbone_and_head(stage("fit")), session_dir=tmp_path / "run").train()
    more = ["train.stages[0].stop_condition.args=[3]", 'train.stages[0].frozen=["backbone"]']
    session = load_session(tmp_path / "run", settings=more)
    before = [p.clone() for p in session.models["backbone"].parameters()]
    session.train()
    assert len(session.history) == 3
    for parameter, copy in zip(session.models["backbone"].parameters(), before, strict=True):
        assert torch.equal(parameter, copy)


def test_modes_are_given_back(tmp_path: Path) -> None:
    frozen = [{"match": "backbone", "mode": "eval"}]
    session = create_session(
        backbone_and_head(stage("fit", frozen=frozen)), session_dir=tmp_path / "run"
    )
    session.train()
    assert all(part.training for part in session.models["backbone"].modules())
    assert all(p.requires_grad for p in session.models["backbone"].parameters())


def test_a_model_of_an_optimizer_that_no_stage_trains(tmp_path: Path) -> None:
    def warnings_of(name: str, *stages: Config) -> list[tuple[str, str]]:
        spec = backbone_and_head(*stages)
        both = trained_by(made("SGD", lr=0.05), "head") | {"model": ["backbone", "head"]}
        definitions = spec["initialize"]["definitions"]
        definitions[:] = [d for d in definitions if d["name"] not in ("of backbone", "of head")]
        definitions.append({"group": "optimizers", "name": "both", "spec": both})
        (run,) = (d for d in definitions if d["group"] == "batch_processors")
        for one in run["spec"]["neural_graph"]:
            one["optimizer_name"] = "both"
        report = preflight(create_session(spec, session_dir=tmp_path / name))
        return [(w.place.path, w.message) for w in report.warnings]

    first = stage("fit", frozen=[{"match": "backbone", "mode": "eval"}])
    assert warnings_of("frozen", first) == [
        (
            "train.stages[0].frozen",
            'the optimizer "both" is to train "backbone", which is frozen in each stage in which '
            "it steps",
        )
    ]
    assert warnings_of("thawed", first, stage("fit")) == []
    assert warnings_of("in part", stage("fit", frozen=["backbone:0.*"])) == []


@pytest.mark.parametrize(
    ("frozen", "place"),
    [
        (["backbone"], 0),
        (["backbone:0.*", {"types": ["BatchNorm1d"]}], 1),
        ([{"match": "backbone", "mode": "eval"}], None),
        (["backbone", {"types": ["BatchNorm1d"], "mode": "eval"}], None),
        (["backbone:3.*"], None),
    ],
)
def test_frozen_statistics_in_train_mode_are_told(
    tmp_path: Path, frozen: list[Any], place: int | None
) -> None:
    spec = backbone_and_head(stage("fit", frozen=frozen))
    report = preflight(create_session(spec, session_dir=tmp_path / "run"))
    told = [w.place.path for w in report.warnings if " freezes BatchNorm1d in train " in w.message]
    assert told == ([] if place is None else [f"train.stages[0].frozen[{place}]"])
