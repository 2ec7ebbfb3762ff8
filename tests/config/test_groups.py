"""Every group keeps the contract of its declaration, and every part of it is used."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from torchassistant.assembly.groups import ASSEMBLERS, assembler_of
from torchassistant.assembly.groups.assembler import build_object
from torchassistant.assembly.role_checks import classes_named, fits, role_misfit
from torchassistant.config.blocks import Block, ObjectSpec
from torchassistant.config.groups import GROUPS, ID_WORDS
from torchassistant.config.groups.group import Group
from torchassistant.config.references import DATASET_OR_SLICE
from torchassistant.config.role import CALLABLE, Role
from torchassistant.config.roles import ROLES
from torchassistant.config.spec import DEFINITIONS
from torchassistant.session.changes.change_policy import CODE_RULES, RULES, rule_of_code

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")

# One block of each group, with all that it may name.
BLOCKS: dict[str, dict[str, Any]] = {
    "datasets": {"merge": ["a", "b.train"], "preprocessors": ["c"]},
    "splits": {"dataset_name": "a", "ratio": [1.0]},
    "preprocessors": {"class": "my.P", "fit": "a"},
    "collators": {"class": "Stack"},
    "loader_factories": {"dataset": "a", "collator": "b"},
    "models": {"class": "my.Net"},
    "optimizers": {"class": "Adam", "model": "net", "lr_scheduler": {"class": "StepLR"}},
    "losses": {"class": "MSELoss", "inputs": ["x"], "transform": "reverse_onehot"},
    "metrics": {"class": "Accuracy", "inputs": ["x"]},
    "evaluators": {"class": "my.evaluate"},
    "batch_processors": {
        "neural_graph": [
            {"model_name": "net", "inputs": ["x"], "outputs": ["y"], "optimizer_name": "adam"}
        ]
    },
    "batch_graphs": {"nodes": ["p"]},
    "gradient_clippers": {"model": "net", "clip_norm": 1.0},
    "backward_hooks": {"model": "net", "factory_fn": "my.f"},
    "forward_hooks": {"model": "losses.mse", "factory_fn": "my.f"},
    "callbacks": {"class": "my.Callback"},
}

each = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)


def block_of(group: Group) -> Any:
    return group.block.model_validate(BLOCKS[group.name])


def test_every_group_is_tried_here() -> None:
    assert BLOCKS.keys() == GROUPS.keys() == DEFINITIONS.keys()


@each
def test_its_block_is_part_of_the_language(group: Group) -> None:
    definition = DEFINITIONS[group.name]
    made = definition.model_validate(
        {"group": group.name, "name": "one", "spec": BLOCKS[group.name]}
    )
    assert (made.group, made.spec) == (group.name, block_of(group))
    assert get_args(definition.model_fields["group"].annotation) == (group.name,)
    assert definition.__name__ == group.noun.title().replace(" ", "") + "Definition"


@each
def test_it_is_documented_where_it_says(group: Group) -> None:
    (section,) = re.findall(rf"^## {group.section}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert f"<!-- {group.block.__name__} -->" in section
    assert f"[{group.section}](#" in PAGE.partition("## ")[0]


@each
def test_what_it_names_stands_in_the_block_and_is_of_a_group(group: Group) -> None:
    block, names = block_of(group), set()
    for path, target, name in group.references(block):
        assert target in GROUPS or target == DATASET_OR_SLICE
        value = block
        for step in path:
            value = value[step] if isinstance(step, int) else getattr(value, step)
        assert value in (name, f"{target}.{name}")
        names.add(path[0])
    assert names >= set(group.gets)
    assert set(group.gets) <= group.block.model_fields.keys()


@each
def test_its_role_is_known_by_its_name(group: Group) -> None:
    describes = issubclass(group.block, ObjectSpec) or "factory_fn" in group.block.model_fields
    assert group.role is not None or not describes
    if group.role is not None:
        assert group.role.name == group.name
        assert ROLES[group.name] is group.role


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_a_role_can_be_played(role: Role) -> None:
    for path in (*role.search_paths, *role.modules):
        assert importlib.import_module(path.removesuffix(".*"))
    # Names of the libraries for one class are of one class.
    assert len(set(classes_named(role.bases))) == (1 if role.bases else 0)
    assert not role.only_as or role.bases
    assert not role.bases or role.methods in ((), CALLABLE)
    for path in role.search_paths:
        if path.startswith("torchassistant."):
            module = importlib.import_module(path)
            ours = [
                made
                for name, made in inspect.getmembers(module, inspect.isclass)
                if made.__module__ == path and not name.startswith("_")
            ]
            assert all(fits(role, made) and role_misfit(role, made) is None for made in ours)
    nothing = type("Nothing", (), {})
    says_no = role.bases or role.methods
    assert (role_misfit(role, nothing) is None) != bool(says_no)
    assert rule_of_code(role.name)[1:3] == (role.code or CODE_RULES[-1][1:3])


@each
def test_how_it_is_built_is_said_once(group: Group) -> None:
    assembler = assembler_of(group.name)
    is_its_object = assembler.build is build_object
    assert is_its_object == (group.name not in ASSEMBLERS)
    assert not is_its_object or (issubclass(group.block, ObjectSpec) and group.role is not None)
    assert is_its_object or not group.gets


def test_only_groups_are_built() -> None:
    assert ASSEMBLERS.keys() <= GROUPS.keys()


@each
def test_its_rules_are_about_keys_of_its_block(group: Group) -> None:
    for rule in group.changes:
        steps = rule.where.split(".")
        assert any(one.where.endswith(f".{group.name}.{rule.where}") for one in RULES)
        assert steps[0] in ("spec", "**")
        block: Any = group.block
        for step in steps[1:]:
            if step in ("*", "**") or not (isinstance(block, type) and issubclass(block, Block)):
                break
            field = next(f for n, f in block.model_fields.items() if (f.alias or n) == step)
            block = field.annotation
        if rule.only is not None:
            assert rule.only.text
            assert rule.only.holds([block_of(group)]) in (True, False)


@each
def test_its_ids_stand_for_keys_of_its_block(group: Group) -> None:
    for word, key in group.id_keys:
        assert word not in GROUPS
        assert ID_WORDS[word] == (group.name, key)
        assert key in group.block.model_fields
    assert all(isinstance(part, str) for part in group.held(block_of(group)))
