"""What each callable of the libraries, and of our catalogue, does when it is called.

The lists in ``reviewed/`` have one line for each, sorted: its full name where it is defined, a
verdict, and where the verdict holds for some calls only, the argument that asks for it.

=========  =========================================================================================
plain      computes or builds from its arguments, and touches nothing of the world
reads      reads files that its arguments name
writes     writes files, or prints
pinned     may download or unpack, or unpickles; its own code verifies a checksum of all of it first
open       may download, follow addresses or unpack without such a check, or start processes
refused    machinery: calls what it is given for no reason that a config has, changes the process,
           registers, compiles, pickles, or is a kernel of one backend, which trusts its arguments
new        nobody has reviewed it
=========  =========================================================================================

Where only some calls do more than read, a line names the arguments that ask for it, as
``pinned download``, and where only some of their values do, those: ``open tokenize=flores101``. A
value with a colon in it is part of a text: ``open path=://`` is asked by each address.
``docs/reviewed.py`` finds what is missing in the lists; a person reviews it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from torchassistant.assembly.origin import home_of, layers_of, name_of

LISTS = Path(__file__).with_name("reviewed")
KINDS = ("plain", "reads", "writes", "pinned", "open", "refused", "new")


class Verdict(NamedTuple):
    """What a callable does.

    Args:
        kind: One of ``KINDS``.
        argument: The parameter that asks for it; None: each call does.
        values: Of this argument only these ask for it; empty: all that are true do.
        others: The same for other parameters, each of which may ask for it too.
    """

    kind: str
    argument: str | None = None
    values: tuple[str, ...] = ()
    others: tuple[Verdict, ...] = ()

    def is_asked_by(self, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call does what the verdict says, or may.

        Args:
            target: What is called, its defaults counted.
            args: Its arguments by position, objects among them made.
            kwargs: Those by name.
        """
        if self.argument is None or any(o.is_asked_by(target, args, kwargs) for o in self.others):
            return True
        try:
            given = inspect.signature(target).bind_partial(*args, **kwargs)
        except (TypeError, ValueError):
            return True
        given.apply_defaults()
        # What goes on through **kwargs is among the keyword arguments only.
        value = given.arguments.get(self.argument, given.kwargs.get(self.argument))
        if not self.values:
            # A model, or a function, in the place of its name is at hand already.
            return not callable(value) and bool(value)
        return any(self._names(one) for one in _values_in(value))

    def _names(self, value: Any) -> bool:
        parts = [one for one in self.values if ":" in one] if isinstance(value, str) else ()
        return value in self.values or any(part in value for part in parts)


def _values_in(value: Any) -> list[Any]:
    """A value, or those that it holds."""
    if isinstance(value, dict):
        return [one for item in value.values() for one in _values_in(item)]
    return [*value] if isinstance(value, (list, tuple, set)) else [value]


PLAIN, NEW = Verdict("plain"), Verdict("new")


def verdict_of(found: Any) -> Verdict:
    """What is known of a callable: of a ``functools.partial`` and the like, of its function.

    Returns:
        ``plain`` for what no list is about, as code of the user's own; ``new`` for what its
        library's list lacks.
    """
    return verdict_on(layers_of(found)[0])


def verdict_on(layer: Any) -> Verdict:
    """The same for one object, whatever it wraps."""
    name = name_of(layer)
    reviewed = reviewed_in(name.partition(".")[0])
    if reviewed is None:
        return PLAIN
    return reviewed.get(name) or registered_model(layer, reviewed) or _moved(name, layer, reviewed)


def registered_model(found: Any, reviewed: Mapping[str, Verdict]) -> Verdict | None:
    """The verdict on what timm lists as one of its models, of which each version has others."""
    name = getattr(found, "__name__", "")
    timm = sys.modules.get("timm") if home_of(found).startswith("timm.models.") else None
    is_model = timm is not None and timm.is_model(name) and timm.model_entrypoint(name) is found
    return reviewed.get("timm.models.*") if is_model else None


def _moved(name: str, found: Any, reviewed: Mapping[str, Verdict]) -> Verdict:
    """The verdict on what another version of the library defines in another module.

    It is the same thing if a package that the listed module is in offers it by its name.
    """
    own = name.rpartition(".")[2]
    for listed, verdict in reviewed.items():
        package, _, last = listed.rpartition(".")
        while last == own and package:
            if vars(sys.modules.get(package, object)).get(own) is found:
                return verdict
            package = package.rpartition(".")[0]
    return NEW


@cache
def reviewed_in(library: str) -> Mapping[str, Verdict] | None:
    """The verdicts on the callables of a library, by full name; None where there is no list."""
    if not library.isidentifier():
        return None
    try:
        text = (LISTS / f"{library}.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    lines = (line.partition(" ") for line in text.splitlines())
    return {name: _parsed(verdict) for name, _, verdict in lines}


@cache
def _parsed(text: str) -> Verdict:
    """A verdict, as ``plain``, ``pinned download`` or ``open tokenize=flores101,flores200``."""
    kind, *asked = text.split(" ")
    others = tuple(_parsed(f"{kind} {one}") for one in asked[1:])
    argument, _, values = asked[0].partition("=") if asked else ("", "", "")
    return Verdict(kind, argument or None, tuple(filter(None, values.split(","))), others)
