"""Where a short name is looked for, by what the object is there for."""

from __future__ import annotations

from torchassistant.config.roles import ROLES
from torchassistant.config.source_inspection import classes_of, find_source
from torchassistant.errors import nearest


def our_class(name: str, role: str) -> str:
    """The short name of the class of ours that a config means by a name; empty where it is none.

    Args:
        name: A dotted path or short name, right or misspelt.
        role: What the object is there for; its short names have one search path, which is ours.
    """
    (module,) = ROLES[role].search_paths
    above, _, short = name.rpartition(".")
    if above not in ("", module):
        return ""
    known = classes_of(module)
    return short if short in known or not known else nearest(short, known) or ""


def is_one_thing(one: str, other: str) -> bool:
    """Whether two names, dotted paths or short names, are of one class or function.

    Where the source of one of them cannot be read, they are one thing if they are written alike.
    """
    return one == other or bool(_full_names(one) & _full_names(other))


def _full_names(name: str) -> set[str]:
    """The names by which what a name may mean is defined."""
    modules = {path.removesuffix(".*") for role in ROLES.values() for path in role.search_paths}
    paths = [name] if "." in name else [f"{module}.{name}" for module in modules]
    return {found.full_name for path in paths if (found := find_source(path)) is not None}
