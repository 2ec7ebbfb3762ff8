"""Writes the tables of sessions.md from the rules for what may change in a session.

``python docs/rules.py`` rewrites what stands between ``<!-- rules -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from pathlib import Path

from torchassistant.config.change_rule import Rule
from torchassistant.session.changes.change_policy import CODE_RULES, RULES

PAGE = Path(__file__).with_name("sessions.md")
_SECTION = re.compile(r"<!-- (?P<what>rules|rules of code) -->\n.*?<!-- end -->", re.DOTALL)
_TABLES = {"rules": ("path", RULES), "rules of code": ("role", CODE_RULES)}


def with_tables(page: str) -> str:
    """A page with the tables as the rules are now."""
    return _SECTION.sub(
        lambda found: f"<!-- {found['what']} -->\n{table(*_TABLES[found['what']])}\n<!-- end -->",
        page,
    )


def table(what: str, rules: tuple[Rule, ...]) -> str:
    """One line a rule."""
    lines = [f"| {what} | | |", "|---|---|---|"]
    lines += [f"| {_shown(rule)} | {rule.effect} | {rule.why} |" for rule in rules]
    return "\n".join(lines)


def _shown(rule: Rule) -> str:
    where = "everything else" if rule.where == "**" else f"`{rule.where.removesuffix('.**')}`"
    return where if rule.only is None else f"{where}, {rule.only.text}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
