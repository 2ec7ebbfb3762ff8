"""Everything in a config that names Python code, and what it is there for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from torchassistant.config.blocks import Block, ObjectSpec
from torchassistant.config.groups.hooks import HookSpec
from torchassistant.config.role import role_of_key
from torchassistant.config.tree import Path, items_of

LITERAL, TENSOR, ATTRIBUTE, OF = "$literal", "tensor", "attribute", "of"
NAMED: tuple[Literal["constant", "function"], ...] = ("constant", "function")
"""What is named among arguments, and is not called."""


class Described(NamedTuple):
    """Something of Python as the config describes it.

    Args:
        path: Where it stands.
        role: The name of its role: the group of its definition, or a key that it stands under.
        spec: Has ``class_``, ``factory_fn``, ``args``, ``kwargs``.
        named_at: Where the dotted path stands.
        nested: Whether it is an argument of another object.
        kind: Whether it is called to make an ``object``, or is an argument as it is.
    """

    path: Path
    role: str
    spec: Any
    named_at: Path
    nested: bool = False
    kind: Literal["object", "constant", "function"] = "object"

    @property
    def name(self) -> str:
        """The dotted path or short name, whichever way it is given."""
        return self.spec.class_ or self.spec.factory_fn or ""


def objects_in(block: Any, path: Path, role: str) -> Iterator[Described]:
    """The objects of a block, of the blocks in it, and in the arguments of all of those.

    Args:
        block: A block of the config, or a list or table of blocks.
        path: Where it stands.
        role: What it is there for, unless a key inside says otherwise.
    """
    if isinstance(block, list):
        for index, item in enumerate(block):
            yield from objects_in(item, (*path, index), role)
    elif isinstance(block, dict):
        for key, item in block.items():
            yield from objects_in(item, (*path, key), role)
    elif isinstance(block, Block):
        if isinstance(block, HookSpec):
            hook = ObjectSpec(class_=block.factory_fn)
            yield Described(path, role, hook, (*path, "factory_fn"))
        elif getattr(block, "class_", None) or getattr(block, "factory_fn", None):
            key = "class" if getattr(block, "class_", None) else "factory_fn"
            yield Described(path, role, block, (*path, key))
        for name, field in type(block).model_fields.items():
            key, value = field.alias or name, getattr(block, name)
            here, own = (*path, key), role_of_key(field)
            if key in ("args", "kwargs"):
                yield from arguments_in(value, here, role)
            elif own is not None and isinstance(value, str) and not own.or_name:
                yield Described(here, own.name, ObjectSpec(class_=value), here)
            elif isinstance(value, (Block, list, dict)):
                yield from objects_in(value, here, role if own is None else own.name)


def arguments_in(arguments: Any, path: Path, role: str) -> Iterator[Described]:
    """The objects among the arguments of an object, and what else they name."""
    if isinstance(arguments, dict):
        for key, item in arguments.items():
            yield from nested_in(item, (*path, key), role)
    elif isinstance(arguments, list):
        for index, item in enumerate(arguments):
            yield from nested_in(item, (*path, index), role)


def nested_in(value: Any, path: Path, role: str) -> Iterator[Described]:
    """The objects in one argument of an object, however deep, and what else it names."""
    form = form_of(value)
    for kind in NAMED:
        if form == kind:
            named = ObjectSpec(class_=value[kind])
            yield Described(path, role, named, (*path, kind), nested=True, kind=kind)
    if form is not None:
        return
    if is_object(value):
        args, kwargs = value.get("args", []), value.get("kwargs", {})
        # Where one of the keys does not fit, that is reported.
        key = "class" if _is_name(value.get("class")) else "factory_fn"
        spec = ObjectSpec(
            class_=value["class"] if key == "class" else None,
            factory_fn=value["factory_fn"] if key == "factory_fn" else None,
            args=args if isinstance(args, list) else [],
            kwargs=kwargs if isinstance(kwargs, dict) else {},
        )
        yield Described(path, role, spec, (*path, key), nested=True)
        yield from arguments_in(args, (*path, "args"), role)
        yield from arguments_in(kwargs, (*path, "kwargs"), role)
    else:
        yield from arguments_in(value, path, role)


def attributes_in(value: Any, path: Path, of_arguments: bool = False) -> Iterator[tuple[Path, str]]:
    """What arguments name attributes of, as ``models.backbone``, each with where it stands.

    Args:
        value: A block, or something in one.
        path: Where it stands.
        of_arguments: Whether it stands among arguments.
    """
    if isinstance(value, Block):
        for name, field in type(value).model_fields.items():
            key = field.alias or name
            inner = getattr(value, name)
            if isinstance(inner, (Block, list, dict)):
                yield from attributes_in(inner, (*path, key), key in ("args", "kwargs"))
    elif of_arguments and form_of(value) is not None:
        if form_of(value) == ATTRIBUTE:
            yield (*path, OF), value[OF]
    elif isinstance(value, (dict, list)):
        for step, item in items_of(value):
            yield from attributes_in(item, (*path, step), of_arguments)


def is_object(value: Any) -> bool:
    """Whether a value among arguments describes an object, and is no plain data."""
    if not isinstance(value, dict):
        return False
    return any(_is_name(value.get(key)) for key in ("class", "factory_fn"))


def form_of(value: Any) -> str | None:
    """Which of the other forms of an argument a value has, or None where it is none of them.

    - ``{"constant": "torch.float32"}``, ``{"function": "my.f"}``: a dotted path, and no other key.
    - ``{"tensor": [1, 3], "dtype": "float32"}``: numbers in lists, or a number.
    - ``{"attribute": "out_channels", "of": "models.backbone"}``: of what a definition has become.
    - ``{"$literal": {…}}``: plain data, even where it looks like an object, or like one of these.
    """
    if not isinstance(value, dict):
        return None
    if value.keys() == {LITERAL}:
        return LITERAL
    for form in NAMED:
        if value.keys() == {form} and _is_dotted(value[form]):
            return form
    if value.keys() == {ATTRIBUTE, OF} and all(map(_is_name, value.values())):
        return ATTRIBUTE
    if TENSOR in value and value.keys() <= {TENSOR, "dtype"}:
        return TENSOR if isinstance(value[TENSOR], (list, int, float)) else None
    return None


def _is_dotted(value: Any) -> bool:
    return isinstance(value, str) and "." in value and all(map(str.isidentifier, value.split(".")))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""
