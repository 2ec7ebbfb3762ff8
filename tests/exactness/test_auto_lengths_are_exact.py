"""Schedulers that are as long as the stage in which they begin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exact_configs import Config, Twin, batches_of, made, one_model, stage
from exact_parts import Points
from exact_runs import Runs
from torch.nn.functional import mse_loss
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError
from torchassistant.session import Session

EPOCHS = 3
"""Of three batches each."""


def scheduled(
    scheduler: Config, *stages: Config, accumulated: int = 1, **groups: dict[str, Config]
) -> Config:
    optimizer = {**made("SGD", lr=0.05), "model": "net", "lr_scheduler": scheduler}
    return one_model(
        {"optimizers": {"descent": optimizer}, **groups},
        *(stages or [stage("fit", epochs=EPOCHS)]),
        pipeline={"gradient_accumulation": accumulated},
    )


def by_step(scheduler: Config, **more: Any) -> Config:
    return {**scheduler, "interval": "step", **more}


ByHand = Callable[[Optimizer], LRScheduler]

COSINE = made("CosineAnnealingLR", T_max="auto")
CASES: dict[str, tuple[Config, int, ByHand]] = {
    "one cycle": (
        by_step(made("OneCycleLR", max_lr=0.2, total_steps="auto")),
        1,
        lambda o: OneCycleLR(o, max_lr=0.2, total_steps=9),
    ),
    "cosine": (by_step(COSINE), 1, lambda o: CosineAnnealingLR(o, T_max=9)),
    "accumulated": (by_step(COSINE), 2, lambda o: CosineAnnealingLR(o, T_max=6)),
    "after a warmup": (
        by_step(COSINE, warmup={"steps": 2, "start_factor": 0.1}),
        1,
        lambda o: SequentialLR(o, [LinearLR(o, 0.1, total_iters=2), CosineAnnealingLR(o, 7)], [2]),
    ),
    "nested": (
        by_step(
            made(
                "SequentialLR",
                schedulers=[made("LinearLR", total_iters=2), made("LinearLR", total_iters="auto")],
                milestones=[2],
            )
        ),
        1,
        lambda o: SequentialLR(o, [LinearLR(o, total_iters=2), LinearLR(o, total_iters=9)], [2]),
    ),
    "epochs": (COSINE, 1, lambda o: CosineAnnealingLR(o, T_max=EPOCHS)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_scheduler_is_as_long_as_its_stage(tmp_path: Path, case: str) -> None:
    described, accumulated, by_hand = CASES[case]
    twin = Twin(scheduled(described, accumulated=accumulated), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    scheduler = by_hand(optimizer)
    steps = described.get("interval") == "step"
    for _ in range(EPOCHS):
        batches = list(batches_of(Points(10)))
        for start in range(0, len(batches), accumulated):
            window = batches[start : start + accumulated]
            optimizer.zero_grad()
            count = sum(len(x) for x, _ in window)
            for x, y in window:
                loss = mse_loss(net(x), y)
                (loss if accumulated == 1 else loss * (len(x) / count)).backward()
            optimizer.step()
            if steps:
                scheduler.step()
        if not steps:
            scheduler.step()
    twin.check()


def test_it_is_resumed(tmp_path: Path) -> None:
    described, _, _ = CASES["after a warmup"]
    Runs(scheduled(described), tmp_path).check_cuts()


def length(session: Session) -> int:
    return session.schedulers["descent"].scheduler.T_max


def test_the_stage_is_the_first_that_uses_the_optimizer(tmp_path: Path) -> None:
    stages = [stage("fit", epochs=4), stage("fit", epochs=2)]
    session = create_session(scheduled(COSINE, *stages), session_dir=tmp_path / "run")
    assert length(session) == 4


def test_an_upper_bound_is_enough(tmp_path: Path) -> None:
    condition = made("AnyOf", [made("EpochsCompleted", 5), made("TimeElapsed", hours=1)])
    ends = {**stage("fit"), "stop_condition": condition}
    session = create_session(scheduled(COSINE, ends), session_dir=tmp_path / "run")
    assert length(session) == 5


def test_the_length_stays_when_the_stage_gets_longer(tmp_path: Path) -> None:
    create_session(scheduled(COSINE), session_dir=tmp_path / "run")
    setting = "train.stages[0].stop_condition.args=[7]"
    assert length(load_session(tmp_path / "run", settings=[setting])) == EPOCHS


def test_turns_are_counted(tmp_path: Path) -> None:
    turns = {"pipeline": "fit", "repeat": 2, "when_exhausted": "restart"}
    ends = {**stage("fit"), "training_pipelines": [turns], "epoch_length": 5}
    session = create_session(scheduled(by_step(COSINE), ends), session_dir=tmp_path / "run")
    assert length(session) == 2 * 5 * 2


PATH = r"lr_scheduler.kwargs.T_max: "
WRONG: dict[str, tuple[Config, list[Config], str]] = {
    "no end": (
        COSINE,
        [{**stage("fit"), "stop_condition": made("TimeElapsed", hours=1)}],
        PATH + r'"auto" is the length of stage 1, whose stop condition does not say after how',
    ),
    "all warmup": (
        {**COSINE, "warmup": {"steps": 3}},
        [],
        PATH + 'nothing is left for "auto": stage 1 has 3 epochs, and the warmup takes 3',
    ),
    "a typo": (
        made("CosineAnnealingLR", T_max="aut"),
        [],
        PATH + '"aut" is no number; did you mean "auto"',
    ),
}


WRONG["another argument"] = (
    made("StepLR", step_size="auto"),
    [],
    r'kwargs.step_size: "auto" is a length; there are "total_steps", "T_max", "total_iters"',
)


WRONG["by position"] = (
    {"class": "CosineAnnealingLR", "args": ["atuo"]},
    [],
    r'args\[0\]: "atuo" seems to be "auto", which is a length, given by name; there are "total_',
)


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told(tmp_path: Path, case: str) -> None:
    described, stages, message = WRONG[case]
    with pytest.raises(ConfigError, match=message):
        create_session(scheduled(described, *stages), session_dir=tmp_path / "run")


def test_a_stream_has_no_length(tmp_path: Path) -> None:
    config = scheduled(by_step(COSINE), datasets={"points": made("midway_parts.Stream", 12)})
    for definition in config["initialize"]["definitions"]:
        if definition["group"] == "loader_factories":
            definition["spec"]["kwargs"].pop("shuffle")
    message = PATH + '"auto" is the number of steps in stage 1, which is not known, as a dataset'
    with pytest.raises(ConfigError, match=message):
        create_session(config, session_dir=tmp_path / "run")
