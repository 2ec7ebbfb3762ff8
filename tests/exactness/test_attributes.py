"""Arguments that are attributes of what another definition has become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
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
from exact_parts import Points
from exact_runs import Runs
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import SGD

from torchassistant import create_session
from torchassistant.errors import ConfigError, UserCodeError

WIDTH = {"attribute": "out_channels", "of": "models.backbone"}


def widths(attribute: Any = WIDTH, backbone: Any = 6, **more: Any) -> Config:
    """A neck that stands above the backbone whose width it has."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Points", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {
            "neck": layer("Linear", attribute, 1),
            "backbone": made("attribute_parts.Backbone", width=backbone),
        },
        "optimizers": {
            "of_neck": trained_by(made("SGD", lr=0.05), "neck"),
            "of_backbone": trained_by(made("SGD", lr=0.05), "backbone"),
        },
        "losses": {"error": {**made("MSELoss"), "inputs": ["said", "y"]}},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("backbone", "x", "h", "of_backbone"),
                    node("neck", "h", "said", "of_neck"),
                ]
            }
        },
        **more,
    }
    fit = {"input_factories": [feed("batches", "x y")], "losses": [loss("error")]}
    return config(groups, {"fit": fit}, stage("fit"))


def test_a_neck_knows_the_width_of_its_backbone(tmp_path: Path) -> None:
    twin = Twin(widths(), tmp_path)
    neck, backbone = twin.models["neck"], twin.models["backbone"]
    assert isinstance(neck, nn.Linear) and neck.in_features == 6
    optimizers = [SGD(model.parameters(), lr=0.05) for model in (neck, backbone)]
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            mse_loss(neck(backbone(x)), y).backward()
            for optimizer in optimizers:
                optimizer.step()
    twin.check()


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(widths(), tmp_path).check_cuts([1, 4])


def test_what_can_be_changed_is_a_copy_and_a_path_leads_inside(tmp_path: Path) -> None:
    path = {"attribute": "body.out_features", "of": "models.backbone"}
    session = create_session(widths(path, backbone=5), session_dir=tmp_path / "s")
    assert session.models["neck"].in_features == 5
    sizes = {"attribute": "sizes", "of": "models.backbone"}
    session = create_session(
        widths(losses={"error": {**made("attribute_parts.Sized", sizes), "inputs": ["said", "y"]}}),
        session_dir=tmp_path / "t",
    )
    sized = session.losses["error"]
    assert sized.sizes == session.models["backbone"].sizes
    assert sized.sizes is not session.models["backbone"].sizes


WRONG: dict[str, tuple[Config, str, str]] = {
    "a near attribute": (
        {"attribute": {**WIDTH, "attribute": "out_chanels"}},
        '"models.backbone" has no attribute "out_chanels"; did you mean "out_channels"?',
        ".args[0].attribute",
    ),
    "a private one": (
        {"attribute": {**WIDTH, "attribute": "_hidden"}},
        'the attribute "_hidden" is private',
        ".args[0].attribute",
    ),
    "one of Python's own": (
        {"attribute": {**WIDTH, "attribute": "__class__.__name__"}},
        'the attribute "__class__" is private',
        ".args[0].attribute",
    ),
    "no plain data": (
        {"attribute": {**WIDTH, "attribute": "body"}},
        '"body" of "models.backbone" is a Linear, and no plain data',
        ".args[0].attribute",
    ),
    "a near model": (
        {"attribute": {**WIDTH, "of": "models.backbon"}},
        'no model is named "backbon"; did you mean "backbone"?',
        ".args[0].of",
    ),
    "a near group": (
        {"attribute": {**WIDTH, "of": "model.backbone"}},
        '"model.backbone" is no definition with attributes: a group and a name are needed, as '
        '"models.NAME"; did you mean "models"?',
        ".args[0].of",
    ),
    "a near key": (
        {"attribute": {"attribute": "out_channels", "off": "models.backbone"}},
        'unknown key "off"; did you mean "of"?',
        ".args[0].off",
    ),
    "itself": (
        {"attribute": {**WIDTH, "of": "models.neck"}},
        'these definitions form a cycle: models "neck" → models "neck"',
        ".args[0].of",
    ),
    "one another": (
        {"backbone": {"attribute": "in_features", "of": "models.neck"}},
        'these definitions form a cycle: models "neck" → models "backbone" → models "neck"',
        ".args[0].of",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told(tmp_path: Path, wrong: str) -> None:
    more, message, place = WRONG[wrong]
    with pytest.raises(ConfigError) as raised:
        create_session(widths(**more), session_dir=tmp_path / "s")
    assert [problem.message for problem in raised.value.problems][:1] == [message]
    assert str(raised.value.problems[0].place).endswith(place)


def test_a_property_that_raises_is_the_users(tmp_path: Path) -> None:
    with pytest.raises(UserCodeError, match=r'the attribute "broken" of "models.backbone"'):
        create_session(widths({**WIDTH, "attribute": "broken"}), session_dir=tmp_path / "s")
