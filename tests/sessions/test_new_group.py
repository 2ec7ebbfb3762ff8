"""A new group is one file and its entry in the registry: tried on a copy of the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_config import HERE, ROOT

MEANS = '''"""Averages of models."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from torchassistant.config.blocks import Name, ObjectSpec
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group, all_of_it
from torchassistant.config.references import Reference
from torchassistant.config.role import MODULE, MODULE_BASES, Role


class AverageSpec(ObjectSpec):
    """An average of a model's weights."""

    model: Name = Field(description="The model that is averaged.")


def _references(spec: AverageSpec) -> Iterator[Reference]:
    yield Reference(("model",), "models", spec.model)


MEANS = Group(
    "means",
    "average",
    AverageSpec,
    section="means",
    references=_references,
    role=Role(
        "means",
        "average",
        ("torch.optim.swa_utils",),
        bases=MODULE_BASES,
        kind=MODULE,
        given=("the model",),
    ),
    gets=("model",),
    state="results",
    held=all_of_it,
    changes=(Rule("spec.kwargs.use_buffers", "applied", "from the next update on"),),
)
'''

TRIAL = """
import json
from pathlib import Path
import torch
from toy_config import toy_config
import torchassistant
from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError

assert Path(torchassistant.__file__).parent == Path.cwd() / "torchassistant"
average = {"class": "AveragedModel", "model": "net", "kwargs": {"use_buffers": False}}
# It stands before the model that it needs, and its class by its short name.
config = toy_config(ema=("means", average))
definitions = config["initialize"]["definitions"]
definitions.insert(0, definitions.pop())

def told(*settings):
    try:
        load_session("run", settings=settings)
    except ConfigError as error:
        return str(error)
    raise AssertionError("it was taken")

session = create_session(config, "run", preflight=False)
ema = session.means["ema"]
assert type(ema) is torch.optim.swa_utils.AveragedModel
with torch.no_grad():
    for parameter in ema.parameters():
        parameter.fill_(7.0)
session.train()
(*_, newest) = sorted(Path("run/checkpoints").glob("*/state.json"))
assert "means/ema" in newest.read_text()

loaded = load_session("run")
stored = loaded.means["ema"].state_dict()
assert stored.keys() == ema.state_dict().keys()
assert all(torch.equal(value, stored[key]) for key, value in ema.state_dict().items())
assert all((p == 7.0).all() for p in loaded.means["ema"].parameters())

more = "train.stages[0].stop_condition.kwargs.num_epochs=4"
load_session("run", settings=["ema.kwargs.use_buffers=true", more]).train()
changes = [json.loads(line) for line in Path("run/changes.jsonl").read_text().splitlines()]
assert [one["effect"] for one in changes if "use_buffers" in one["what"]] == ["applied"]
assert "this was decided when the session was created" in told("ema.kwargs.device=cpu")
assert 'no model is named "nett"; did you mean "net"?' in told("ema.model=nett")
assert "AveragedModle" in told("ema.class=AveragedModle")
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and of the docs, with one group more."""
    for name in ("torchassistant", "docs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    groups = tmp_path / "torchassistant" / "config" / "groups"
    (groups / "means.py").write_text(MEANS)
    registry = groups / "__init__.py"
    text = registry.read_text()
    imported = "from torchassistant.config.groups.means import MEANS\n"
    first = "from torchassistant.config.groups.batch_graphs"
    registry.write_text(text.replace(first, imported + first).replace("_ALL = (", "_ALL = (MEANS,"))
    return tmp_path


def run(copy: Path, *arguments: str) -> None:
    paths = os.pathsep.join([str(copy), str(HERE)])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": paths, "TORCHASSISTANT_TRUST": "toys"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_group_is_one_file_and_its_entry(copy: Path) -> None:
    run(copy, "-c", TRIAL)


def test_the_docs_of_a_group_are_written_from_it(copy: Path) -> None:
    page = copy / "docs" / "config.md"
    page.write_text(page.read_text() + "\n## means\n\n<!-- AverageSpec -->\n<!-- end -->\n")
    for script in ("tables", "rules", "schema"):
        run(copy, f"docs/{script}.py")
    text = page.read_text()
    assert "| `model` | string | needed | The model that is averaged. |" in text
    assert "[means](#means)" in text
    rules = (copy / "docs" / "sessions.md").read_text()
    assert "| `initialize.definitions.means.spec.kwargs.use_buffers` | applied |" in rules
    assert '"AverageDefinition"' in (copy / "docs" / "config.schema.json").read_text()
