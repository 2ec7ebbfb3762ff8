"""Who set a value, and what that hid."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchassistant.config import explain_path
from torchassistant.errors import ConfigError

BASE = """
seed: 1
variables: {lr: 0.1, width: 8}
initialize:
  definitions:
    - group: models
      name: net
      spec: &net {class: my.Net, kwargs: {width: "${width}", depth: 2}}
    - group: models
      name: other
      spec:
        <<: *net
        class: my.Other
    - group: optimizers
      name: adam
      spec: {class: Adam, model: net, kwargs: {lr: "${lr}"}}
"""
TOP = """{
 "$include": ["base.yaml"],
 "variables": {"lr": 0.01},
 "initialize": {"definitions": [
  {"group": "models", "name": "net", "spec": {"kwargs": {"depth": 3}}}]}
}"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    Path("top.json").write_text(TOP)
    Path("nets").mkdir()
    Path("nets/deep.yaml").write_text("class: my.Deep\nkwargs: {depth: 50}\n")


def lines(path: str, *settings: str) -> list[str]:
    found = explain_path("top.json", path, settings)
    found.diagnostics.raise_if_any()
    return [line for one in found.values for line in one.lines()]


def test_a_value_that_one_file_sets() -> None:
    assert lines("seed") == ["seed is 1", "  set at base.yaml:2:7"]


def test_an_include_is_hidden_by_the_file_and_that_by_an_override() -> None:
    where = "initialize.definitions[0].spec.kwargs.depth"
    assert lines("net.kwargs.depth") == [
        f"{where} is 3",
        "  set at top.json:5:67",
        "  hides 2 at base.yaml:8:69",
    ]
    assert lines("net.kwargs.depth", "net.kwargs.depth=4")[1:] == [
        "  set with --set net.kwargs.depth=4",
        "  hides 3 at top.json:5:67",
        "  hides 2 at base.yaml:8:69",
    ]


def test_variables_are_followed() -> None:
    assert lines("adam.kwargs.lr")[1:] == [
        '  written as "${lr}" at base.yaml:16:52',
        '  the variable "lr" is 0.01 at top.json:3:22',
        "  hides 0.1 at base.yaml:3:17",
    ]
    assert lines("adam.kwargs.lr", "variables.lr=5")[1:] == [
        '  written as "${lr}" at base.yaml:16:52',
        '  the variable "lr" is 5 with --set variables.lr=5',
        "  hides 0.01 at top.json:3:22",
        "  hides 0.1 at base.yaml:3:17",
    ]
    assert lines("variables.lr") == [
        "variables.lr is 0.01",
        "  set at top.json:3:22",
        "  hides 0.1 at base.yaml:3:17",
    ]


def test_a_part_from_a_file_hides_what_it_replaces() -> None:
    assert lines("net.kwargs.depth", "net=@nets/deep.yaml")[1:] == [
        "  set at nets/deep.yaml:2:17",
        "  hides 3 at top.json:5:67",
        "  hides 2 at base.yaml:8:69",
    ]


def test_merge_keys_hide_too() -> None:
    assert lines("other.class")[1:] == [
        "  set at base.yaml:13:16",
        '  hides "my.Net" at base.yaml:8:26',
    ]


def test_an_object_is_explained_by_its_values() -> None:
    found = lines("models.net.kwargs")
    assert [line for line in found if not line.startswith(" ")] == [
        "initialize.definitions[0].spec.kwargs.width is 8",
        "initialize.definitions[0].spec.kwargs.depth is 3",
    ]


def test_what_is_filled_in() -> None:
    with pytest.raises(ConfigError, match=r"net\.kwargs\.dept: the config says nothing there"):
        lines("net.kwargs.dept")
    assert lines("device") == [
        'device is "auto"',
        "  no file sets it: this is what is filled in where it is left out",
    ]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nett.kwargs", 'no definition or pipeline is named "nett"; did you mean "net"?'),
        ("seed=3", "a path is expected here, without a value"),
        ("", "the path begins with a key or a name"),
    ],
)
def test_wrong_paths(path: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lines(path)
    assert message in str(caught.value)
