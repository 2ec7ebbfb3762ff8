"""The mistakes of configs again: where one pipeline is like another, with definitions by group."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mistakes
import pytest
from mistakes_of_configs import TABLES
from planting import Planted, Source, apply
from test_mistakes_together import amiss

from torchassistant.config import read_training
from torchassistant.errors import ConfigError

pytestmark = pytest.mark.slow

SMALL = mistakes.sources()["small"]
KEYS = ("group", "name", "spec")
LIKE = '"of one kind": {"like": "fit", "gradient_accumulation": 2}'


def test_what_is_taken_over_is_told_once(tmp_path: Path) -> None:
    text, _ = apply(SMALL, SMALL.put("initialize.pipelines", LIKE))
    source = Source(text)
    file = tmp_path / "config.json"
    assert amiss(source, Planted(), file) == ""
    reports = {
        title: amiss(source, mistake(source), file) for title, mistake in TABLES["small"].items()
    }
    assert {title: report for title, report in reports.items() if report} == {}


def told(config: Any) -> list[str]:
    try:
        return sorted(one.message for one in read_training(config).diagnostics.in_order())
    except ConfigError as error:
        return sorted(one.message for one in error.problems)


def by_group(rows: Any) -> dict[str, dict[str, Any]] | None:
    """Definitions by group and name; None where they cannot be written so."""
    groups: dict[str, dict[str, Any]] = {}
    for row in rows if isinstance(rows, list) else [None]:
        if (
            not isinstance(row, dict)
            or not row.keys() >= {"name", "group"}
            or not row.keys() <= set(KEYS)
        ):
            return None
        if not all(isinstance(row[key], str) for key in ("group", "name")) or "spec" not in row:
            return None
        group = groups.setdefault(row["group"], {})
        if row["name"] in group:
            return None
        group[row["name"]] = row["spec"]
    return groups


def test_definitions_by_group_are_told_of_in_the_same_words() -> None:
    seen = 0
    for title, mistake in TABLES["small"].items():
        text, _ = apply(SMALL, mistake(SMALL))
        try:
            config = json.loads(text)
        except ValueError:
            continue
        initialize = config.get("initialize")
        rows = initialize.get("definitions") if isinstance(initialize, dict) else None
        groups = by_group(rows)
        if groups is None:
            continue
        seen += 1
        rows.sort(key=lambda row: list(groups).index(row["group"]))
        listed = told(config)
        initialize["definitions"] = groups
        assert told(config) == listed, title
    assert seen > 200
