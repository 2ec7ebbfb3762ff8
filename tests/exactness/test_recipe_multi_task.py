"""Two tasks over one trunk, whose labels are partly missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import recipe_parts
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
    stage,
    trained_by,
)
from exact_runs import Runs
from recipe_parts import HalfLabelled, known_classes, known_squares

from torchassistant import create_session
from torchassistant.errors import ConfigError

MODELS = {
    "trunk": layer("Linear", 4, 6),
    "value": layer("Linear", 6, 1),
    "classes": layer("Linear", 6, 2),
}


def two_tasks(fit: Config | None = None, **of_classes: Any) -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": made("recipe_parts.HalfLabelled", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": MODELS,
        "optimizers": {f"of_{name}": trained_by(made("SGD", lr=0.05), name) for name in MODELS},
        "losses": {
            "squares": {
                "class": "recipe_parts.known_squares",
                "inputs": ["said", "y", "y_known"],
                "count": "y_known",
            },
            "classes": {
                "class": "recipe_parts.known_classes",
                "inputs": ["scores", "c", "c_known"],
                "count": {"class": "recipe_parts.known"},
                **of_classes,
            },
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("trunk", "x", "h", "of_trunk"),
                    node("value", "h", "said", "of_value"),
                    node("classes", "h", "scores", "of_classes"),
                ]
            }
        },
    }
    pipeline = {
        "input_factories": [feed("batches", "x y y_known c c_known")],
        "losses": [loss("squares"), loss("classes", weight=0.5)],
    }
    validated = [loss(name, loss_display_name=f"val {name}") for name in ("squares", "classes")]
    check = {**pipeline, "losses": validated}
    pipelines = {"fit": {**pipeline, **(fit or {})}, "check": check}
    return config(groups, pipelines, stage("fit", validation=["check"], epochs=2))


def train(twin: Twin, batch_size: int = 4) -> list[float]:
    """The same by hand; gives the loss of the classes over each epoch."""
    trunk, value, classes = (twin.models[name] for name in MODELS)
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.05) for model in (trunk, value, classes)]
    shown = []
    for _ in range(2):
        total, count = 0.0, 0
        for x, y, y_known, c, c_known in batches_of(HalfLabelled(10), batch_size):
            for optimizer in optimizers:
                optimizer.zero_grad()
            h = trunk(x)
            of_classes = known_classes(classes(h), c, c_known)
            (known_squares(value(h), y, y_known) + of_classes * 0.5).backward()
            for optimizer in optimizers:
                optimizer.step()
            total += of_classes.item() * int(c_known.sum())
            count += int(c_known.sum())
        shown.append(total / count)
    return shown


def test_it_equals_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(two_tasks(), tmp_path)
    shown = train(twin)
    twin.check()
    assert list(twin.session.history["classes"]) == pytest.approx(shown, rel=1e-6)
    with torch.no_grad():
        models = twin.session.models
        x, y, known, *_ = next(iter(batches_of(HalfLabelled(10), 10)))
        whole = known_squares(models["value"](models["trunk"](x)), y, known).item()
    assert twin.session.evaluate()["val squares"] == pytest.approx(whole, rel=1e-5)


def test_accumulated_batches_are_as_one(tmp_path: Path) -> None:
    """Whatever the number of labels in each of them."""
    twin = Twin(two_tasks({"gradient_accumulation": 3}), tmp_path)
    train(twin, batch_size=10)
    for name in MODELS:
        pairs = zip(
            twin.models[name].parameters(), twin.session.models[name].parameters(), strict=True
        )
        assert all(torch.allclose(mine, theirs, atol=1e-6) for mine, theirs in pairs)


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(two_tasks(), tmp_path).check_cuts()


def test_inputs_by_keyword_are_counted_by_keyword(tmp_path: Path) -> None:
    keyed = {"known": "c_known", "scores": "scores", "c": "c"}
    twin = Twin(two_tasks(inputs=keyed, count={"class": "recipe_parts.known_by_name"}), tmp_path)
    shown = train(twin)
    twin.check()
    assert list(twin.session.history["classes"]) == pytest.approx(shown, rel=1e-6)
    assert recipe_parts.known_by_name(*[torch.ones(2)] * 3).item() == 2


WRONG: dict[str, tuple[Config, str, str]] = {
    "a column that is near": (
        {"count": "c_now"},
        'the loss "classes" needs the column "c_now", which its frame lacks in the pipelines '
        '"fit", "check"; did you mean "c_known"?',
        ".count",
    ),
    "a function that is near": (
        {"count": {"class": "recipe_parts.knwn"}},
        '"recipe_parts" has no "knwn"; did you mean "known"?',
        ".count.class",
    ),
    "a sum": (
        {**made("MSELoss", reduction="sum"), "inputs": ["said", "y"], "count": "y_known"},
        '"count" says what a mean is over, and the loss "classes" is a sum',
        ".count",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_once(tmp_path: Path, wrong: str) -> None:
    more, message, place = WRONG[wrong]
    with pytest.raises(ConfigError) as raised:
        create_session(two_tasks(**more), session_dir=tmp_path / "s")
    assert [problem.message for problem in raised.value.problems] == [message]
    assert str(raised.value.problems[0].place).endswith(place)
