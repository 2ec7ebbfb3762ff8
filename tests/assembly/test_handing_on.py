"""What is behind ``**kwargs``, as the source of a function tells."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from torchvision import models

from torchassistant.assembly.handing_on import handed_on
from torchassistant.assembly.signatures import misfits


def names(target: Any) -> set[str] | None:
    found = handed_on(target)
    return None if found is None else set(found)


class Base:
    def __init__(self, width: int, depth: int = 2) -> None: ...


class Derived(Base):
    def __init__(self, *args: Any, act: str = "relu", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def _set_up(kwargs: dict[str, Any]) -> None: ...


def clear(rate: float = 0.1, **more: Any) -> Derived:
    _set_up(more)
    more["depth"] = more.pop("levels", 3) if "levels" in more else 2
    return Derived(7, act="gelu", **more)


def stored(**kwargs: Any) -> dict[str, Any]:
    return kwargs


def to_somebody(maker: Any, **kwargs: Any) -> Any:
    return maker(**kwargs)


def taken_by_a_name(name: str, **kwargs: Any) -> Any:
    return Base(kwargs.pop(name), **kwargs)


def test_what_a_call_gets_besides_is_followed() -> None:
    assert names(Derived) == {"width", "depth"}
    assert names(clear) == {"levels", "width", "depth"}


@pytest.mark.parametrize("function", [stored, to_somebody, taken_by_a_name, max, dict])
def test_what_cannot_be_told_is_not(function: Any) -> None:
    assert names(function) is None


def test_models_of_torchvision() -> None:
    assert {"num_classes", "norm_layer"} < (names(models.resnet18) or set())
    assert "block" not in (names(models.resnet18) or set())
    assert {"num_classes", "reduced_tail"} < (names(models.mobilenet_v3_large) or set())
    assert {"num_classes", "rpn_nms_thresh"} & (
        names(models.detection.fasterrcnn_resnet50_fpn) or set()
    ) == {"rpn_nms_thresh"}
    with_more = [
        model
        for name, model in vars(models).items()
        if inspect.isfunction(model) and name[0] != "_" and hasattr(model, "__wrapped__")
    ]
    assert len(with_more) > 70
    assert [model.__name__ for model in with_more if handed_on(model) is None] == []


def told(target: Any, **kwargs: Any) -> list[str]:
    return [misfit.message for misfit in misfits(target, (), (), kwargs)]


def test_check_knows_the_arguments_of_models() -> None:
    assert told(models.resnet18, num_classes=2, zero_init_residual=True, pretrained=True) == []
    (message,) = told(models.resnet18, num_clases=2)
    assert message == 'resnet18 has no argument "num_clases"; did you mean "num_classes"?'
    for unknown in ("xyzzy", "block"):
        (message,) = told(models.resnet18, **{unknown: 2})
        assert message.startswith(f'resnet18 has no argument "{unknown}"; there are "groups", ')
